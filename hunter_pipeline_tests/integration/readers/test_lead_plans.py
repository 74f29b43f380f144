"""What the lead list looks at: the rows of a page, in whatever order, never all leads and never all their referrals."""

import pytest
from sqlalchemy import Engine

from hunter_pipeline.readers.lead_list import SORTS, count_leads, list_leads
from hunter_pipeline_tests.integration.readers.filled import GROUP, looked_at

pytestmark = GROUP

PAGE = 20
# Left out below: far down in the ranking a page walks through its category, whose scores and domains run contrary ways;
# and leads without a score are those that lack a row, which no index finds.
FEW = 20 * PAGE
"""Rows that a page of so many leads may look at: each in the index, as a lead, with its score, and in full."""


@pytest.mark.parametrize("sort", SORTS)
def test_a_page_in_any_order_looks_at_the_rows_of_a_page(filled: Engine, sort: str):
    assert looked_at(filled, lambda each: list_leads(each, sort=sort, limit=PAGE)) < FEW


@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort != "rank"])
def test_a_page_far_down_costs_what_the_first_does_in_both_directions(filled: Engine, sort: str):
    page = None
    with filled.connect() as connection:
        for _ in range(4):
            page = list_leads(connection, sort=sort, limit=200, after=page.next if page else None)
    assert page is not None
    after, before = page.next, page.previous
    assert looked_at(filled, lambda each: list_leads(each, sort=sort, limit=PAGE, after=after)) < FEW
    assert looked_at(filled, lambda each: list_leads(each, sort=sort, limit=PAGE, before=before)) < FEW


@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort.strip("-") not in ("rank", "score")])
def test_leads_that_lack_a_value_are_found_as_fast(filled: Engine, sort: str):
    with filled.connect() as connection:
        page, cursor, seen = None, None, 0
        while page is None or page.next is not None:
            cursor = page.next if page else None
            page = list_leads(connection, sort=sort, limit=200, after=cursor)
            seen += len(page.leads)
        assert seen == count_leads(connection)
    before = page.previous
    assert looked_at(filled, lambda each: list_leads(each, sort=sort, limit=PAGE, after=cursor)) < FEW
    assert looked_at(filled, lambda each: list_leads(each, sort=sort, limit=PAGE, before=before)) < FEW
