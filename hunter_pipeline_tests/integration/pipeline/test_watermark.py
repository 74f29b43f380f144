"""The watermark: which syncs count as catching up, and whose clock it follows."""

from datetime import UTC, date, datetime, timedelta

import pytest

from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window, last_success, next_window
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import NOW, Pipeline, day

TODAY = NOW.date()
EVERYTHING = Window(FIRST_DAY, TODAY)


def watermark(pipeline: Pipeline) -> datetime | None:
    with pipeline.engine.connect() as connection:
        return last_success(connection)


def catch_up(pipeline: Pipeline, today: date = TODAY) -> Window:
    return next_window(watermark(pipeline), today)


@pytest.mark.parametrize("start", [TODAY, day("2026-10-01"), FIRST_DAY + timedelta(days=1)])
def test_a_partial_range_on_a_fresh_database_leaves_the_rest_to_the_next_sync(pipeline: Pipeline, start: date):
    pipeline.sync(Window(start, TODAY), upto="fetch")
    assert watermark(pipeline) is None
    assert catch_up(pipeline) == EVERYTHING
    pipeline.sync(catch_up(pipeline), upto="fetch")
    assert len(pipeline.rows("SELECT DISTINCT referral_id FROM partner_center_referrals_raw")) == 58


def test_a_range_of_some_days_after_an_outage_does_not_hide_the_days_between(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    reached = watermark(pipeline)
    pipeline.now += timedelta(days=10)
    today = pipeline.now.date()
    pipeline.sync(Window(today - timedelta(days=2), today), upto="fetch")
    assert watermark(pipeline) == reached
    assert catch_up(pipeline, today).start == TODAY
    pipeline.sync(catch_up(pipeline, today), upto="fetch")
    assert watermark(pipeline) == pipeline.now


def test_a_range_that_begins_before_the_catching_up_and_reaches_to_today_counts(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    pipeline.sync(Window(TODAY - timedelta(days=30), TODAY), upto="fetch")
    assert watermark(pipeline) == pipeline.now
    pipeline.sync(Window(TODAY - timedelta(days=30), TODAY - timedelta(days=1)), upto="fetch")
    assert watermark(pipeline) == pipeline.now - timedelta(minutes=1), "a past range reads nothing of today"


def test_a_clock_of_ours_that_is_ahead_does_not_carry_the_watermark_with_it(pipeline: Pipeline, sandbox: Sandbox):
    theirs = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    sandbox.partner_center.clock = lambda: theirs
    lines = pipeline.watch()
    pipeline.sync(upto="fetch")
    assert watermark(pipeline) == theirs
    assert any("clock" in line for line in lines)


def test_a_clock_of_ours_that_is_behind_stays_the_measure(pipeline: Pipeline, sandbox: Sandbox):
    sandbox.partner_center.clock = lambda: datetime(2026, 12, 20, 8, 0, tzinfo=UTC)
    pipeline.sync(upto="fetch")
    assert watermark(pipeline) == pipeline.now


@pytest.mark.parametrize("header", ["", "yesterday", "Fri, 99 Nov 2026"])
def test_an_api_that_tells_no_readable_time_leaves_ours_as_the_measure(
    pipeline: Pipeline, sandbox: Sandbox, header: str
):
    sandbox.partner_center.headers["Date"] = header
    pipeline.sync(upto="fetch")
    assert watermark(pipeline) == pipeline.now
