"""When a sync is asked for: the flag, the window, the overlap and the expiry, on a real Dagster instance."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, next_window
from hunter_pipeline.runs.run_signs import drop_sign, show_sign
from hunter_pipeline.runs.sync_request import EXPIRES_TAG, SYNC_JOB
from hunter_pipeline.settings import load_settings

ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("hunter"), "__repository__"), SYNC_JOB)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """What the schedule answers now."""
    schedule = build_defs(load_settings()).get_repository_def().get_schedule_def("referral_sync_schedule")
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NOW, resources=make_resources()
    ) as context:
        data = schedule.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else dg.SkipReason(data.skip_message)


def test_with_the_flag_off_a_tick_is_skipped(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HUNTER_PARTNER_CENTER_ENABLED")
    answer = tick(instance)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "feature_disabled"


def test_the_first_sync_takes_everything_and_expires_after_an_hour(instance: dg.DagsterInstance):
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    today = datetime.now(UTC).date().isoformat()
    assert answer.tags["dagster/asset_partition_range_start"] == FIRST_DAY.isoformat()
    assert answer.tags["dagster/asset_partition_range_end"] == today
    left = datetime.fromisoformat(answer.tags[EXPIRES_TAG]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_later_syncs_catch_up_from_the_last_success_to_today(instance: dg.DagsterInstance, engine: Engine):
    began = datetime.now(UTC) - timedelta(days=3)
    with engine.begin() as connection:
        for run, status, at in (("a", "success", began), ("b", "failed", datetime.now(UTC))):
            connection.execute(
                text(
                    "INSERT INTO sync_runs (run_id, status, source, forced, window_end, covers_to_now, started_at)"
                    " VALUES (:run, :status, 'x', false, :at, true, :at)"
                ),
                {"run": run, "status": status, "at": at},
            )
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    assert answer.tags["dagster/asset_partition_range_start"] == (began - timedelta(hours=1)).date().isoformat()


@pytest.mark.parametrize(
    "status",
    [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
)
def test_a_tick_does_not_pile_up_on_a_sync_under_way(
    instance: dg.DagsterInstance, engine: Engine, status: dg.DagsterRunStatus
):
    run = create_run_for_test(instance, job_name=SYNC_JOB, status=status, remote_job_origin=ORIGIN)
    show_sign(engine, run.run_id)
    answer = tick(instance)
    drop_sign(run.run_id)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message is not None
    assert answer.skip_message.startswith("sync_under_way")
    assert run.run_id in answer.skip_message


def test_a_sync_that_was_not_picked_up_within_an_hour_is_cancelled_and_replaced(instance: dg.DagsterInstance):
    run = create_run_for_test(instance, job_name=SYNC_JOB, status=dg.DagsterRunStatus.QUEUED, remote_job_origin=ORIGIN)
    with instance.run_storage.connect() as connection:
        connection.execute(
            text("UPDATE runs SET create_timestamp = create_timestamp - interval '2 hours' WHERE run_id = :run"),
            {"run": run.run_id},
        )
    assert isinstance(tick(instance), dg.RunRequest)
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    ("last", "start"),
    [
        (None, "2026-01-01"),
        ("2026-11-24T11:50:00+00:00", "2026-11-24"),
        ("2026-11-24T00:30:00+00:00", "2026-11-23"),
        ("2026-11-20T10:00:00+00:00", "2026-11-20"),
        ("2025-05-01T10:00:00+00:00", "2026-01-01"),
        ("2031-01-01T00:00:00+00:00", "2026-11-24"),
    ],
)
def test_the_window_runs_from_the_last_success_less_an_hour_to_today(last: str | None, start: str):
    window = next_window(datetime.fromisoformat(last) if last else None, NOW.date())
    assert (window.start.isoformat(), window.end.isoformat()) == (start, "2026-11-24")
