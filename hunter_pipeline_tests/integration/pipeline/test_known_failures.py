"""Failures that are no news: known from before, dismissed, or of a referral that is there no more."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hunter_pipeline.pipeline.failures import dismiss_failures, undo_dismissal
from hunter_pipeline.quality.claims import CLAIMS
from hunter_pipeline.quality.gates import GATES, judge_books, read_books
from hunter_pipeline.readers.lineage_story import changed_referrals
from hunter_pipeline.readers.summary import summary
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

BOOKS = "SELECT status, failed, failed_before, jsonb_array_length(errors) FROM sync_runs ORDER BY started_at"
OPEN = "SELECT item_key FROM referral_failures WHERE resolved_at IS NULL ORDER BY 1"
BROKEN: dict[str, Any] = {"customerProfile": []}
OTHERWISE: dict[str, Any] = {"customerProfile": {"team": 7}}


@pytest.fixture
def broken(pipeline: Pipeline, empty: Sandbox) -> Pipeline:
    """One sync has seen a good referral and one that cannot be read."""
    empty.partner_center.referrals.add(flat("A1", **BROKEN))
    empty.partner_center.referrals.add(flat("A2"))
    pipeline.sync()
    return pipeline


def all_gates_hold(pipeline: Pipeline) -> None:
    with pipeline.engine.connect() as connection:
        for gate in GATES:
            verdict = judge_books(gate, read_books(connection, gate, pipeline.now + timedelta(seconds=1)))
            assert verdict.holds, f"{gate.name}: {verdict.summary}"


def unprocessed(pipeline: Pipeline, now: datetime) -> int:
    claim = next(claim for claim in CLAIMS if claim.name == "nothing_unprocessed_for_an_hour")
    with pipeline.engine.connect() as connection:
        return claim.check(connection, now).counts["waiting"]


def test_a_sync_after_which_nothing_new_failed_is_a_success(broken: Pipeline):
    broken.sync()
    broken.sync(force=True)
    assert broken.rows(BOOKS) == [("partial", 1, 0, 1), ("success", 1, 1, 0), ("success", 1, 1, 0)]


def test_a_new_failure_beside_a_known_one_is_told_and_counted_apart(broken: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.add(flat("A3", **BROKEN))
    broken.sync()
    assert broken.rows(BOOKS)[-1] == ("partial", 2, 1, 1)
    assert "A3" in broken.rows("SELECT errors->>0 FROM sync_runs ORDER BY started_at DESC LIMIT 1")[0]


def test_another_reason_is_a_new_failure_and_the_same_one_of_a_new_version_is_not(broken: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.update("A1", status="Active")
    broken.sync()
    empty.partner_center.referrals.update("A1", **OTHERWISE)
    broken.sync()
    assert [status for status, *_ in broken.rows(BOOKS)] == ["partial", "success", "partial"]


def test_what_was_mended_and_breaks_again_is_new(broken: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.update("A1", customerProfile={})
    broken.sync()
    empty.partner_center.referrals.update("A1", **BROKEN)
    broken.sync()
    assert [status for status, *_ in broken.rows(BOOKS)] == ["partial", "success", "partial"]
    assert broken.rows("SELECT occurrences FROM referral_failures") == [1]


def test_a_good_content_that_comes_back_closes_the_failure(pipeline: Pipeline, empty: Sandbox):
    good = flat("A1", updatedDateTime=None)
    for fields in ({}, BROKEN, {}):
        empty.partner_center.referrals.clear()
        empty.partner_center.referrals.add(good | fields)
        pipeline.sync()
    assert pipeline.rows(OPEN) == []
    assert pipeline.rows(BOOKS)[-1] == ("success", 0, 0, 0)


def test_an_item_that_two_sweeps_do_not_see_is_there_no_more(pipeline: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.add(flat("A1"))
    empty.partner_center.add_raw_item('{"status": "New"}')
    pipeline.sync()
    (key,) = pipeline.rows(OPEN)
    pipeline.sync()
    assert pipeline.rows(OPEN) == [key], "it is there"
    empty.partner_center.referrals.clear()
    empty.partner_center.referrals.add(flat("A1"))
    pipeline.sync()
    assert pipeline.rows(OPEN) == [key], "rows move while pages are read"
    pipeline.sync()
    assert pipeline.rows(OPEN) == []
    empty.partner_center.add_raw_item('{"status": "New"}')
    pipeline.sync()
    assert pipeline.rows(OPEN) == [key]
    assert pipeline.rows(BOOKS)[-1][:3] == ("partial", 1, 0)


def test_a_referral_that_is_gone_and_could_never_be_read_breaks_no_gate_and_waits_for_nothing(
    broken: Pipeline, empty: Sandbox
):
    empty.partner_center.referrals.remove("A1")
    broken.sync()
    assert broken.rows("SELECT gone_at IS NOT NULL FROM partner_center_referrals_raw WHERE referral_id = 'A1'") == [
        True
    ]
    assert broken.rows(OPEN) == [], "there is nothing to mend"
    all_gates_hold(broken)
    assert unprocessed(broken, broken.now + timedelta(days=1)) == 0
    with broken.engine.connect() as connection:
        told = {change.referral_id for change in changed_referrals(connection, 0, 10, [], broken.now)}
    assert told == {"A1", "A2"}
    broken.sync(force=True)
    assert broken.rows(OPEN) == []
    all_gates_hold(broken)


def test_so_does_one_that_is_gone_before_any_stage_took_it(pipeline: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.add(flat("A1", **BROKEN))
    empty.partner_center.referrals.add(flat("A2"))
    pipeline.sync(upto="fetch")
    empty.partner_center.referrals.remove("A1")
    pipeline.sync()
    assert pipeline.rows(OPEN) == []
    all_gates_hold(pipeline)
    assert pipeline.rows("SELECT run_id, status, fetched, succeeded, failed FROM sync_runs ORDER BY 1") == [
        ("run-1", "partial", 2, 1, 1),
        ("run-2", "success", 1, 1, 0),
    ]


def test_an_unreadable_referral_that_comes_back_is_a_new_failure(broken: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.remove("A1")
    broken.sync()
    empty.partner_center.referrals.add(flat("A1", **BROKEN))
    broken.sync()
    assert broken.rows(OPEN) == ["A1"]
    assert [status for status, *_ in broken.rows(BOOKS)] == ["partial", "success", "partial"]


def test_a_dismissed_failure_stays_open_and_is_counted_apart(broken: Pipeline):
    with broken.engine.begin() as connection:
        assert dismiss_failures(connection, "A1", broken.now) == 1
        assert dismiss_failures(connection, "A1", broken.now) == 0
        assert dismiss_failures(connection, "nobody", broken.now) == 0
    broken.sync(force=True)
    assert broken.rows("SELECT resolved_at IS NULL, dismissed_at IS NULL FROM referral_failures") == [(True, False)]
    all_gates_hold(broken)
    with broken.engine.connect() as connection:
        counts = summary(connection)
        assert (counts.open_failures, counts.dismissed_failures) == (0, 1)
        claim = next(claim for claim in CLAIMS if claim.name == "no_unresolved_failures").check(connection, broken.now)
        gate = next(gate for gate in GATES if gate.name == "fetched_equals_decided_plus_failed")
        books = read_books(connection, gate, broken.now + timedelta(seconds=1))
    assert claim.holds
    assert claim.counts == {"unresolved": 0, "dismissed": 1}
    assert books.parts == {"decided": 1, "failed": 0, "dismissed": 1}


def test_a_dismissal_can_be_undone_and_ends_when_it_fails_for_another_reason(broken: Pipeline, empty: Sandbox):
    def dismissed() -> list[Any]:
        return broken.rows("SELECT dismissed_at IS NOT NULL FROM referral_failures WHERE resolved_at IS NULL")

    with broken.engine.begin() as connection:
        dismiss_failures(connection, "A1", broken.now)
        assert undo_dismissal(connection, "A1") == 1
        assert undo_dismissal(connection, "A1") == 0
    assert dismissed() == [False]
    with broken.engine.begin() as connection:
        dismiss_failures(connection, "A1", broken.now)
    empty.partner_center.referrals.update("A1", status="Active")
    broken.sync()
    assert dismissed() == [True], "still the same reason"
    empty.partner_center.referrals.update("A1", **OTHERWISE)
    broken.sync()
    assert dismissed() == [False]


def test_a_dismissed_failure_that_goes_through_is_resolved(broken: Pipeline, empty: Sandbox):
    with broken.engine.begin() as connection:
        dismiss_failures(connection, "A1", broken.now)
    empty.partner_center.referrals.update("A1", customerProfile={})
    broken.sync()
    assert broken.rows(OPEN) == []
    with broken.engine.connect() as connection:
        assert summary(connection).dismissed_failures == 0


def test_a_failure_is_known_by_its_first_time_whichever_run_of_two_that_overlap_saw_it(broken: Pipeline):
    with broken.engine.begin() as connection:
        connection.execute(text("UPDATE referral_failures SET first_seen_at = :at"), {"at": broken.now})
    broken.now += timedelta(minutes=-2)  # a sync that began before, and ends after
    broken.sync()
    assert broken.rows("SELECT status FROM sync_runs WHERE run_id = 'run-2'") == ["partial"]
