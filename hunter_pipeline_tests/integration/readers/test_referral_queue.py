"""The work queue on a synced database: what each tab holds, and that pages neither repeat nor hide a referral."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from hunter_pipeline.readers.cursor import InvalidCursor
from hunter_pipeline.readers.queue_columns import TABS
from hunter_pipeline.readers.referral_queue import (
    QUEUE_SORTS,
    QueueFilter,
    count_queue,
    count_tabs,
    iter_queue,
    list_queue,
)


@pytest.fixture
def now(synced_rows: Connection) -> datetime:
    found: datetime = synced_rows.execute(text("SELECT max(synced_at) FROM partner_center_referrals")).scalar_one()
    return found + timedelta(minutes=1)


def ids(connection: Connection, wanted: QueueFilter, now: datetime) -> list[str]:
    return [each.referral_id for each in iter_queue(connection, wanted, now)]


def test_every_referral_is_in_the_queue_those_that_failed_too(synced_rows: Connection, now: datetime):
    known = set(synced_rows.execute(text("SELECT referral_id FROM partner_center_referrals")).scalars())
    failed = set(synced_rows.execute(text("SELECT item_key FROM referral_failures")).scalars())
    found = ids(synced_rows, QueueFilter("all"), now)
    assert failed - known
    assert set(found) == known | failed
    assert len(found) == len(set(found))


def test_tabs_hold_what_they_say_and_the_counts_are_those_of_the_lists(synced_rows: Connection, now: datetime):
    counts = count_tabs(synced_rows, now)
    for tab in TABS:
        wanted = QueueFilter(tab)
        assert counts[tab] == count_queue(synced_rows, wanted, now) == len(ids(synced_rows, wanted, now))
    assert set(ids(synced_rows, QueueFilter("expiring"), now)) <= set(ids(synced_rows, QueueFilter("answer"), now))
    for each in iter_queue(synced_rows, QueueFilter("no_domain"), now):
        assert each.domain is None
        assert each.skip_reason
    for each in iter_queue(synced_rows, QueueFilter("failed"), now):
        assert each.error
    assert counts["open"] + counts["closed"] + counts["gone"] == synced_rows.execute(
        text("SELECT count(*) FROM partner_center_referrals")
    ).scalar_one()  # fmt: skip


def test_one_that_expired_waits_for_no_answer_and_one_within_three_days_is_expiring(
    synced_rows: Connection, now: datetime
):
    ones = ids(synced_rows, QueueFilter("answer"), now)[:3]
    moments = [now - timedelta(minutes=1), now + timedelta(days=2, hours=23), now + timedelta(days=3, minutes=1)]
    for referral_id, moment in zip(ones, moments, strict=True):
        synced_rows.execute(
            text("UPDATE partner_center_referrals SET expires_at = :moment WHERE referral_id = :id"),
            {"id": referral_id, "moment": moment},
        )
    answer = ids(synced_rows, QueueFilter("answer"), now)
    expiring = ids(synced_rows, QueueFilter("expiring"), now)
    assert [referral_id in answer for referral_id in ones] == [False, True, True]
    assert [referral_id in expiring for referral_id in ones] == [False, True, False]


def test_a_gone_referral_stands_under_gone_alone(synced_rows: Connection, now: datetime):
    one = ids(synced_rows, QueueFilter("answer"), now)[0]
    synced_rows.execute(
        text("UPDATE partner_center_referrals SET gone_at = :now, is_open = false WHERE referral_id = :id"),
        {"id": one, "now": now},
    )
    holding = [tab for tab in TABS if one in ids(synced_rows, QueueFilter(tab), now) and tab != "no_domain"]
    assert holding == ["gone", "all"]


def test_a_failure_that_somebody_dismissed_or_that_was_mended_is_no_failure(synced_rows: Connection, now: datetime):
    before = ids(synced_rows, QueueFilter("failed"), now)
    assert len(before) >= 2
    for referral_id, column in zip(before, ("dismissed_at", "resolved_at"), strict=False):
        synced_rows.execute(
            text(f"UPDATE referral_failures SET {column} = :now WHERE item_key = :id"), {"id": referral_id, "now": now}
        )
    assert ids(synced_rows, QueueFilter("failed"), now) == before[2:]


@pytest.mark.parametrize("sort", QUEUE_SORTS)
@pytest.mark.parametrize("tab", ["all", "open"])
def test_pages_follow_one_another_in_every_order(synced_rows: Connection, now: datetime, sort: str, tab: str):
    wanted = QueueFilter(tab)  # type: ignore[arg-type]
    whole = [each.referral_id for each in iter_queue(synced_rows, wanted, now, sort)]
    paged: list[str] = []
    after = None
    while True:
        page = list_queue(synced_rows, wanted, now, sort, 7, after)
        paged += [each.referral_id for each in page.referrals]
        after = page.next
        if after is None:
            break
    assert paged == whole


def test_a_search_matches_every_word_in_any_order_and_the_own_reference(synced_rows: Connection, now: datetime):
    one = next(iter(iter_queue(synced_rows, QueueFilter("open"), now)))
    assert one.company_name
    words = one.company_name.split()
    found = ids(synced_rows, QueueFilter("all", " ".join(reversed(words)).upper()), now)
    assert one.referral_id in found
    synced_rows.execute(
        text(
            'UPDATE partner_center_referrals SET raw_data = raw_data || \'{"externalReferenceId": "CRM-4711"}\''
            " WHERE referral_id = :id"
        ),
        {"id": one.referral_id},
    )
    assert ids(synced_rows, QueueFilter("all", "crm-4711"), now) == [one.referral_id]
    assert ids(synced_rows, QueueFilter("all", "100% \\ _"), now) == []
    assert ids(synced_rows, QueueFilter("all", "a\0b"), now) == []


@pytest.mark.parametrize("cursor", ["", "x", "e30", "WyJleHBpcmVzIiwgMSwgMl0", "WyJleHBpcmVzIiwgIm5vIiwgImEiXQ"])
def test_a_cursor_of_somebody_else_is_refused(synced_rows: Connection, now: datetime, cursor: str):
    with pytest.raises(InvalidCursor):
        list_queue(synced_rows, QueueFilter("all"), now, "expires", 5, cursor)


def test_no_row_holds_a_contact(synced_rows: Connection, now: datetime):
    people = set(
        synced_rows.execute(
            text(
                "SELECT DISTINCT person->>'email' FROM partner_center_referrals_raw r,"
                " jsonb_path_query(r.payload, 'lax $.customerProfile.team[*]') person"
                " WHERE length(person->>'email') > 5"
            )
        ).scalars()
    )
    shown = str(list(iter_queue(synced_rows, QueueFilter("all"), now)))
    assert people
    assert [person for person in people if person in shown] == []
