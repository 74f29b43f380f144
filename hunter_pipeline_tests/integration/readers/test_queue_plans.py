"""What the work queue looks at: rows of the page and the tab that was asked for, never all there are."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.readers.queue_columns import TABS
from hunter_pipeline.readers.referral_queue import (
    QUEUE_SORTS,
    QueueFilter,
    count_queue,
    count_tabs,
    iter_queue,
    list_queue,
)
from hunter_pipeline_tests.integration.readers.filled import GROUP, REFERRALS, looked_at

pytestmark = GROUP

PAGE = 20
FEW = 40 * PAGE
"""Rows that a page of so many referrals may look at: each in the index, in the table, in the few failures."""

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("sort", QUEUE_SORTS)
@pytest.mark.parametrize("tab", ["all", "closed"])
def test_a_page_of_a_large_tab_looks_at_the_rows_of_a_page(filled: Engine, tab: Any, sort: str):
    assert looked_at(filled, lambda each: list_queue(each, QueueFilter(tab), NOW, sort, PAGE)) < FEW


@pytest.mark.parametrize("sort", ["expires", "-received", "company"])
def test_the_hundredth_page_costs_what_the_first_does(filled: Engine, sort: str):
    after = None
    with filled.connect() as connection:
        for _ in range(15):
            after = list_queue(connection, QueueFilter("all"), NOW, sort, 200, after).next
    assert after is not None
    assert looked_at(filled, lambda each: list_queue(each, QueueFilter("all"), NOW, sort, PAGE, after)) < FEW


@pytest.mark.parametrize("tab", [tab for tab in TABS if tab not in ("all", "closed")])
def test_a_small_tab_looks_at_what_it_holds(filled: Engine, tab: Any):
    with filled.connect() as connection:
        held = count_tabs(connection, NOW)["answer" if tab == "expiring" else tab]
    for sort in ("expires", "-deal_value"):
        looked = looked_at(filled, lambda each, by=sort: list_queue(each, QueueFilter(tab), NOW, by, PAGE))
        assert looked < 6 * held + FEW


@pytest.mark.parametrize("tab", ["all", "answer"])
@pytest.mark.parametrize("word", ["IŞIK", "ısparta", "celik", "UNAL", "crm-97"])
def test_a_search_looks_at_what_it_finds(filled: Engine, tab: Any, word: str):
    with filled.connect() as connection:
        found = count_queue(connection, QueueFilter("all", word), NOW)
    assert 0 < found < REFERRALS / 10
    wanted = QueueFilter(tab, word)
    assert looked_at(filled, lambda each: list_queue(each, wanted, NOW, "expires", PAGE)) < 7 * found + FEW
    assert looked_at(filled, lambda each: count_queue(each, wanted, NOW)) < 7 * found + FEW


def test_an_id_is_found_by_its_beginning_and_none_by_three_letters_within(filled: Engine):
    with filled.connect() as connection:
        one = list_queue(connection, QueueFilter("all"), NOW, limit=1).referrals[0].referral_id
        for word in (one, one.upper(), one[:8]):
            page = list_queue(connection, QueueFilter("all", word), NOW)
            assert [each.referral_id for each in page.referrals] == [one]
        assert count_queue(connection, QueueFilter("all", one[1:4]), NOW) == 0
    assert looked_at(filled, lambda each: list_queue(each, QueueFilter("all", one[:9]), NOW)) < FEW


def test_rows_are_narrow_so_that_a_look_at_all_of_them_is_cheap(filled: Engine):
    with filled.connect() as connection:
        size = connection.execute(text("SELECT pg_relation_size('partner_center_referrals')")).scalar_one()
    assert size / REFERRALS < 600


@pytest.mark.parametrize("rates", [{}, {"EUR": Decimal(1), "USD": Decimal("0.9")}], ids=["without rates", "with rates"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_deal_values_of_two_currencies_are_never_compared_as_numbers(
    filled: Engine, sign: str, rates: dict[str, Decimal]
):
    with filled.connect() as connection:
        rows = list(iter_queue(connection, QueueFilter("open"), NOW, f"{sign}deal_value", rates))
    values = [
        (each.currency, each.deal_value if not rates else each.deal_value * rates[each.currency or ""])
        for each in rows
        if each.deal_value is not None and (not rates or each.currency in rates)
    ]
    assert len({each.currency for each in rows}) == 4
    assert all(each.deal_value is None or (rates and each.currency not in rates) for each in rows[len(values) :])
    stretches = [values] if rates else [list(group) for _, group in groupby(values, itemgetter(0))]
    assert len(stretches) == (1 if rates else len({currency for currency, _ in values}))
    for stretch in stretches:
        amounts = [amount for _, amount in stretch]
        assert amounts == sorted(amounts, reverse=bool(sign))
