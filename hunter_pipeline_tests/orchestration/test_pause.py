"""While Partner Center asks for a pause: no tick asks for a sync, and a run that somebody starts says why it ends."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.failures import failure_reason
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.pipeline.sync_runs import Window
from hunter_pipeline.runs.sync_request import SYNC_JOB, sync_tags
from hunter_pipeline.settings import load_settings
from hunter_pipeline_tests.pipeline_runs import told_to_pause

AUTOMATIONS = ("referral_sync_schedule", "referral_sweep_schedule", "referral_sync_dev_sensor")


@pytest.fixture
def paused(instance: dg.DagsterInstance, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The newest sync was told to ask for nothing for an hour."""
    monkeypatch.setenv("HUNTER_ENVIRONMENT", "development")
    return told_to_pause(engine)


def tick(instance: dg.DagsterInstance, name: str) -> str:
    """The reason for which an automation asks for nothing now; empty when it asks."""
    defs = build_defs(load_settings())
    if name.endswith("sensor"):
        with dg.build_sensor_context(instance=instance, resources=make_resources()) as context:
            found = defs.resolve_sensor_def(name).evaluate_tick(context)
    else:
        with dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.now(UTC), resources=make_resources()
        ) as context:
            found = defs.resolve_schedule_def(name).evaluate_tick(context)  # type: ignore[assignment]
    return "" if found.run_requests else found.skip_message or "no reason"


@pytest.mark.parametrize("name", AUTOMATIONS)
def test_a_tick_is_skipped_until_the_pause_is_over(
    instance: dg.DagsterInstance, engine: Engine, paused: datetime, name: str
):
    assert tick(instance, name) == f"paused: Partner Center takes no request before {paused:%Y-%m-%d %H:%M:%S} UTC"
    with engine.begin() as connection:
        connection.execute(text("UPDATE sync_runs SET retry_at = now()"))
    assert tick(instance, name) == ""


def test_a_run_that_is_started_all_the_same_says_until_when_and_that_it_passes_by_itself(
    instance: dg.DagsterInstance, paused: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CLIENT_ID", "11111111-1111-4111-8111-111111111111")
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TENANT_ID", "22222222-2222-4222-8222-222222222222")
    today = datetime.now(UTC).date()
    job = build_defs(load_settings()).resolve_job_def(SYNC_JOB)
    result = job.execute_in_process(instance=instance, tags=sync_tags(Window(today, today)), raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert f"no request before {paused:%Y-%m-%d %H:%M:%S} UTC" in failure_reason(failed)
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert data.metadata["transient"].value is True
