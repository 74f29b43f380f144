"""Referrals that are asked for one by one: what goes wrong with one stays with it, and nothing is given up for good."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.store.migrate import STAGE_LOCK
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

FORMS = "SELECT referral_id, payload_form FROM partner_center_referrals_raw ORDER BY 1"


def short(number: int) -> dict[str, Any]:
    """A referral whose customer contacts the list leaves out."""
    return {
        "id": f"short-{number}",
        "status": "New",
        "updatedDateTime": f"2026-10-01T08:00:{60 - number - 1:02}Z",
        "customerProfile": {"name": "Short", "team": [{"email": f"a@kisa{number}-kurgu.com.tr"}]},
    }


@pytest.fixture
def shorts(empty: Sandbox) -> Sandbox:
    """Six referrals that must be asked for one by one, and one that need not, on pages of three."""
    empty.partner_center.page_size = 3
    for number in range(6):
        empty.partner_center.referrals.add(short(number), short_in_list=True)
    empty.partner_center.referrals.add(flat("A1", updatedDateTime="2026-09-01T00:00:00Z"))
    return empty


def asked(sandbox: Sandbox) -> list[str]:
    """The one-by-one requests so far."""
    paths = [each.target.partition("?")[0] for each in sandbox.partner_center.requests]
    return [path.rpartition("/")[2] for path in paths if "/referrals/" in path]


@pytest.mark.parametrize("fault", ["reset", "cut", "504"])
def test_a_broken_connection_leaves_one_referral_pending_and_the_sync_goes_on(
    pipeline: Pipeline, shorts: Sandbox, fault: str
):
    if fault == "504":
        shorts.partner_center.fail_next(2, 504, path="/referrals/short-2")
    else:
        shorts.partner_center.break_next(2, fault, path="/referrals/short-2")
    pipeline.sync()
    forms = dict(pipeline.rows(FORMS))
    assert forms.pop("short-2") == "detail_pending"
    assert forms == {f"short-{n}": "detail" for n in (0, 1, 3, 4, 5)} | {"A1": "list"}
    assert pipeline.rows("SELECT status, fetched FROM sync_runs") == [("success", 7)]
    pipeline.now += timedelta(hours=1)
    pipeline.sync()
    assert dict(pipeline.rows(FORMS))["short-2"] == "detail"
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [7]


def test_after_three_failures_in_a_row_the_rest_is_left_to_the_next_sync(pipeline: Pipeline, shorts: Sandbox):
    shorts.partner_center.break_next(100, "reset", path="/referrals/short-")
    lines = pipeline.watch()
    pipeline.sync()
    assert len(asked(shorts)) == 3 * 2, "three referrals, two attempts each"
    assert set(dict(pipeline.rows(FORMS)).values()) == {"detail_pending", "list"}
    assert pipeline.rows("SELECT status, fetched FROM sync_runs") == [("success", 7)]
    assert any("6 referrals" in line and "next sync" in line for line in lines)
    shorts.partner_center.clear_faults()
    pipeline.now += timedelta(hours=1)
    pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [7]


def test_a_referral_that_has_no_form_of_its_own_keeps_the_list_form(pipeline: Pipeline, shorts: Sandbox):
    shorts.partner_center.fail_next(1, 404, path="/referrals/short-2")
    pipeline.sync()
    assert dict(pipeline.rows(FORMS))["short-2"] == "list"
    assert pipeline.rows("SELECT status, fetched, succeeded, skipped FROM sync_runs") == [("success", 7, 6, 1)]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, None, "403 accessDenied: .*Referrals Admin"),
        (400, None, "400"),
        (200, '{"id": "another"}', "another referral"),
        (200, '{"status": "no id"}', "id is missing"),
    ],
)
def test_a_refused_detail_is_said_kept_pending_and_asked_for_again_with_force(
    pipeline: Pipeline, shorts: Sandbox, status: int, body: str | None, reason: str
):
    shorts.partner_center.fail_next(1, status, body=body, path="/referrals/short-2")
    pipeline.sync()
    assert dict(pipeline.rows(FORMS))["short-2"] == "detail_pending"
    ((stage, error),) = pipeline.rows("SELECT stage, error FROM referral_failures WHERE item_key = 'short-2'")
    assert stage == "referral_details"
    assert re.search(reason, error)
    assert pipeline.rows("SELECT status, fetched, succeeded, failed FROM sync_runs") == [("partial", 7, 6, 1)]
    pipeline.sync(force=True)
    assert dict(pipeline.rows(FORMS))["short-2"] == "detail"
    assert pipeline.rows("SELECT count(*) FROM referral_failures WHERE resolved_at IS NULL") == [0]
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [7]


def test_a_refusal_is_asked_for_again_by_itself_a_day_later(pipeline: Pipeline, shorts: Sandbox):
    shorts.partner_center.fail_next(1, 403, path="/referrals/short-2")
    pipeline.sync()
    for hours, form in ((1, "detail_pending"), (22, "detail_pending"), (1, "detail")):
        pipeline.now += timedelta(hours=hours)
        pipeline.sync(upto="fetch")
        assert dict(pipeline.rows(FORMS))["short-2"] == form


def test_an_account_that_may_read_no_detail_is_asked_three_times_and_not_for_all(pipeline: Pipeline, shorts: Sandbox):
    shorts.partner_center.fail_next(6, 403, path="/referrals/short-")
    lines = pipeline.watch()
    pipeline.sync(upto="fetch")
    assert len(asked(shorts)) == 3
    assert any("6 referrals" in line and "Referrals Admin" in line for line in lines)


def test_no_stage_lock_and_no_transaction_is_held_while_the_api_is_asked(pipeline: Pipeline, shorts: Sandbox):
    states: list[tuple[bool, int]] = []

    def look(_: object) -> None:
        with pipeline.engine.connect() as connection:
            free = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": STAGE_LOCK}).scalar_one()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": STAGE_LOCK})
            waiting = connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state LIKE 'idle in transaction%'"
                )
            ).scalar_one()
        states.append((free, waiting))

    pipeline.signed_in_client()
    shorts.partner_center.before_answer = look
    pipeline.sync(upto="fetch")
    assert len(states) == 3 + 6
    assert set(states) == {(True, 0)}
