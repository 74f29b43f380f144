"""What a declaration of a column says, and how it is read back from a row's class.

Belongs here: the form of a declaration. Does not belong here: any column; those of a lead are in `lead_columns`,
those of a referral in `referral_columns`. A field is declared once, as `name: Annotated[type, Column(...)]`, and the
SQL, the API's schema, the pages, the exports and the terminal table are made of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import GetJsonSchemaHandler, PlainSerializer

Kind = Literal[
    "text",
    "domain",
    "id",
    "number",
    "score",
    "money",
    "moment",
    "expiry",
    "category",
    "segment",
    "provider",
    "referral_type",
    "flag",
]
"""How a value is shown. A page has a macro for each kind, the terminal and Excel a format."""

Amount = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""A sum of money; a number in JSON, exact everywhere else."""


@dataclass(frozen=True)
class Sort:
    """How a list is sorted by a column.

    :param name: name of the order in addresses; `-` before it turns the order round.
    :param sql: what is compared; None: the column's own expression.
    :param largest_first: whether a first click shows the largest or newest.
    """

    name: str
    sql: str | None = None
    largest_first: bool = False


@dataclass(frozen=True)
class Column:
    """A column as declared.

    :param label: its header on pages, in the terminal and in Excel.
    :param sql: the expression that reads it; the module of the columns says over which tables.
    :param help: what it means, in one sentence for the API's reader and for a page's tooltip.
    :param sort: None: no list is sorted by it.
    """

    label: str
    sql: str
    help: str = ""
    kind: Kind = "text"
    sort: Sort | None = None

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The help text as the description in the OpenAPI document."""
        described = dict(handler(schema))
        return {**described, "description": self.help} if self.help else described


@dataclass(frozen=True)
class Declared:
    """A column with what its class adds: the field's name and the type of a value that is there."""

    name: str
    type: type
    column: Column

    @property
    def label(self) -> str:
        """See `Column`."""
        return self.column.label

    @property
    def kind(self) -> Kind:
        """See `Column`."""
        return self.column.kind

    @property
    def help(self) -> str:
        """See `Column`."""
        return self.column.help

    @property
    def sort(self) -> Sort | None:
        """See `Column`."""
        return self.column.sort

    @property
    def is_number(self) -> bool:
        """Whether values stand at the right edge."""
        return self.kind in {"number", "score", "money"}


def declared_columns(row_class: Any) -> tuple[Declared, ...]:
    """The columns of a row's class, in order.

    :param row_class: a dataclass.
    :raises TypeError: a field is declared without a `Column`.
    """
    hints = get_type_hints(row_class, include_extras=True)
    return tuple(_declared(field.name, hints[field.name]) for field in fields(row_class))


def chosen(columns: tuple[Declared, ...], *names: str) -> tuple[Declared, ...]:
    """Some of the columns, in the order of `names`.

    :raises KeyError: there is no such column.
    """
    known = {column.name: column for column in columns}
    return tuple(known[name] for name in names)


SQL_TYPES: dict[type, tuple[str, Callable[[str], object]]] = {
    str: ("text", str),
    int: ("integer", int),
    Decimal: ("numeric", Decimal),
    datetime: ("timestamptz", datetime.fromisoformat),
}
"""The SQL type of a sort key, and how its text in a cursor is read back."""


def _declared(name: str, hint: Any) -> Declared:
    column = next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Column)), None)
    if column is None:
        raise TypeError(f"{name} is declared without a Column")
    return Declared(name, _plain_type(hint), column)


def _plain_type(hint: Any) -> type:
    """The class of a value that is there: `Decimal` of `Annotated[Amount | None, ...]`, `str` of a Literal."""
    while not isinstance(hint, type):
        if type(None) in (arguments := get_args(hint)):
            hint = next(each for each in arguments if each is not type(None))
        elif hasattr(hint, "__metadata__"):
            hint = hint.__origin__
        else:
            first = arguments[0]
            hint = first if isinstance(first, type) else type(first)
    return hint
