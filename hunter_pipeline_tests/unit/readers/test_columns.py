"""Declared columns: read back with name and type, and shown everywhere from the one declaration."""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, get_args

import pytest
from pydantic import TypeAdapter

from hunter_pipeline.readers import lead_columns, referral_columns
from hunter_pipeline.readers.columns import Amount, Column, Sort, declared_columns
from hunter_pipeline.readers.lead_list import SORTS
from hunter_pipeline.store.tables import partner_center_referrals
from hunter_pipeline.vocabulary import BADGES, NO_TYPE, ReferralType, ReferralTypeFilter


@dataclass(frozen=True)
class Row:
    name: Annotated[str | None, Column("Name", "t.name", "What it is called", sort=Sort("name"))]
    kind: Annotated[Literal["a", "b"] | None, Column("Kind", "t.kind")]
    value: Annotated[Amount | None, Column("Value", "t.value", kind="money")]
    at: Annotated[datetime, Column("At", "t.at", kind="moment")]
    codes: Annotated[tuple[str, ...], Column("Codes", "t.codes")]


def test_a_declaration_knows_its_field_and_the_type_of_its_values():
    columns = declared_columns(Row)
    assert [(column.name, column.label) for column in columns] == [
        ("name", "Name"), ("kind", "Kind"), ("value", "Value"), ("at", "At"), ("codes", "Codes"),
    ]  # fmt: skip
    assert [column.type for column in columns[:4]] == [str, str, Decimal, datetime]


def test_the_api_s_schema_takes_type_and_help_from_the_declaration():
    schema = TypeAdapter(Row).json_schema(mode="serialization")
    assert schema["properties"]["name"]["description"] == "What it is called"
    assert schema["properties"]["value"]["anyOf"] == [{"type": "number"}, {"type": "null"}]


def test_a_field_without_a_declaration_is_refused():
    @dataclass
    class Bare:
        name: str

    with pytest.raises(TypeError, match="name is declared without a Column"):
        declared_columns(Bare)


def test_every_order_of_the_list_comes_from_a_column():
    names = {column.sort.name for column in lead_columns.COLUMNS if column.sort}
    assert {sort.removeprefix("-") for sort in SORTS} == names | {"rank"}


def test_a_referral_s_columns_are_columns_of_its_table():
    assert {field.name for field in fields(referral_columns.Referral)} <= set(partner_center_referrals.columns.keys())


def test_every_type_of_referral_has_a_badge():
    assert tuple(BADGES) == get_args(ReferralType)
    assert get_args(ReferralTypeFilter) == (*BADGES, NO_TYPE)
