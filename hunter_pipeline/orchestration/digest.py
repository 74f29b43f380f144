"""The daily digest as a job and its schedule.

Belongs here: the Dagster shell. Does not belong here: what a digest says and how often a day has one
(`readers.digest`, `quality.digest`). Switched on by HUNTER_DIGEST_HOUR and HUNTER_ALERT_WEBHOOK_URL.
"""

from datetime import UTC, datetime

import dagster as dg

from hunter_pipeline.orchestration.failures import StepError, failing_clearly
from hunter_pipeline.orchestration.guards import request_unless_off
from hunter_pipeline.orchestration.resources import DatabaseResource, SettingsResource
from hunter_pipeline.quality.digest import send_digest
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG
from hunter_pipeline.settings import Settings

UNSET_HOUR = 7
"""Hour of the schedule where none is set; its ticks are skipped then."""


@dg.op(out=dg.Out(dg.Nothing))
def digest(context: dg.OpExecutionContext, settings: SettingsResource, database: DatabaseResource) -> None:
    """Send the digest of the day to the channel, unless it was sent."""
    with failing_clearly():
        values = settings.load()
        if values.alert_webhook_url is None:
            raise StepError("there is no channel to send to; set HUNTER_ALERT_WEBHOOK_URL")
        link = f"{values.web_public_url}/referrals" if values.web_public_url else None
        sent = send_digest(database.engine(), values.alert_webhook_url.get_secret_value(), datetime.now(UTC), link)
    context.log.info("the digest was sent" if sent else "this day has had its digest")


@dg.job(
    executor_def=dg.in_process_executor,
    description="Tell the channel what is new, what expires and what changed since the last digest.",
    tags={MAX_RUNTIME_TAG: "600"},
)
def digest_job() -> None:
    """One step."""
    digest()


def make_digest_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule, at the hour that is set."""
    hour = UNSET_HOUR if settings.digest_hour is None else settings.digest_hour

    @dg.schedule(
        name="digest_schedule",
        job=digest_job,
        cron_schedule=f"0 {hour} * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Send the digest at HUNTER_DIGEST_HOUR (UTC), daily.",
    )
    def digest_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
        values = settings.load()
        if values.digest_hour is None:
            return dg.SkipReason("switched_off: HUNTER_DIGEST_HOUR is not set")
        if values.alert_webhook_url is None:
            return dg.SkipReason("switched_off: HUNTER_ALERT_WEBHOOK_URL is not set")
        return request_unless_off(values)

    return digest_schedule
