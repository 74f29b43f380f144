"""The sensors that tell a chat channel about failed runs and failing checks.

Belongs here: reading from a finished run what is worth an alert. Does not belong here: when it is told again
and how it is delivered (`quality.alerts`). Both sensors see every run of this location and do nothing while
`HUNTER_ALERT_WEBHOOK_URL` is not set. Trouble with the channel never fails a tick: the next run is not in the way.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from hunter_pipeline.orchestration.failures import failure_reason
from hunter_pipeline.orchestration.guards import ASSET_JOB
from hunter_pipeline.orchestration.resources import DatabaseResource, SettingsResource
from hunter_pipeline.quality.alerts import Alert, send_alerts
from hunter_pipeline.settings import Settings

_WATCHED = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


def alerts_of(instance: dg.DagsterInstance, run: dg.DagsterRun, failure: str | None, settings: Settings) -> list[Alert]:
    """What a finished run gives reason to tell.

    :param failure: what Dagster says of the run's failure; None: it succeeded. It is told when no step failed, as
        for a run that took too long or whose process is gone.
    """
    base = settings.dagster_public_url or settings.dagster_url
    link, short = f"{base}/runs/{run.run_id}", run.run_id[:8]
    job = "materialization by hand" if run.job_name == ASSET_JOB else run.job_name
    failed: list[Alert] = []
    checks: list[Alert] = []
    for entry in instance.all_logs(run.run_id, of_type=_WATCHED):
        event = entry.get_dagster_event()
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failed.append(Alert(f"{job} failed at {event.step_key}", failure_reason(event), link, short))
            continue
        evaluation = event.asset_check_evaluation_data
        # What a gate found is the reason of the step that failed by it.
        if not evaluation.passed and not (failure is not None and evaluation.blocking):
            name = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}"
            checks.append(Alert(f"check failing at {name}", evaluation.description or "see its page", link, short))
    if failure is not None and not failed:
        failed.append(Alert(f"{job} failed", failure, link, short))
    return failed + checks


def tell(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    failure: str | None,
    settings: Settings,
    database: DatabaseResource,
) -> int:
    """Send the alerts of a finished run that were not sent before; return how many messages went out."""
    if settings.alert_webhook_url is None:
        return 0
    alerts: Sequence[Alert] = alerts_of(instance, run, failure, settings)
    if not alerts:
        return 0
    return send_alerts(database.engine(), settings.alert_webhook_url.get_secret_value(), alerts, datetime.now(UTC))


@dg.run_failure_sensor(
    name="run_failure_alert_sensor",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tell the channel in HUNTER_ALERT_WEBHOOK_URL about failed runs.",
)
def run_failure_alert_sensor(
    context: dg.RunFailureSensorContext, settings: SettingsResource, database: DatabaseResource
) -> None:
    """Called once for each failed run."""
    failure = context.failure_event.message or "no reason given"
    tell(context.instance, context.dagster_run, failure, settings.load(), database)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="check_alert_sensor",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tell the channel in HUNTER_ALERT_WEBHOOK_URL about checks that fail or warn.",
)
def check_alert_sensor(
    context: dg.RunStatusSensorContext, settings: SettingsResource, database: DatabaseResource
) -> None:
    """Called once for each run that succeeded; standing checks warn in such runs."""
    tell(context.instance, context.dagster_run, None, settings.load(), database)


SENSORS = (run_failure_alert_sensor, check_alert_sensor)
