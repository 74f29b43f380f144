"""When a sync is asked for: the schedule, and the faster sensor of a development machine.

Both ask the same question and give the same request or the same reason to skip. Neither does any work: a
tick reads one indexed row. The watermark is in Hunter's database, so losing Dagster's costs nothing.
"""

from datetime import UTC, datetime

import dagster as dg

from hunter_pipeline.orchestration.guards import EXPIRES_TAG, QUEUE_EXPIRY, sync_under_way
from hunter_pipeline.orchestration.jobs import referral_sync_job
from hunter_pipeline.orchestration.partitions import range_tags
from hunter_pipeline.orchestration.resources import DatabaseResource, SettingsResource
from hunter_pipeline.pipeline.sync_runs import last_success, next_window
from hunter_pipeline.settings import DEVELOPMENT_SYNC_SECONDS, Settings


def request_sync(
    instance: dg.DagsterInstance, settings: SettingsResource, database: DatabaseResource, now: datetime
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the sync that is due, or say why none is.

    The window runs from the day of the last successful sync to today as one range in one run: midnight and
    an outage of days are no special cases.
    """
    if not settings.load().partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    active = sync_under_way(instance, now)
    if active is not None:
        return dg.SkipReason(f"sync_under_way: run {active} is queued or running")
    with database.engine().connect() as connection:
        window = next_window(last_success(connection), now.date())
    return dg.RunRequest(tags={**range_tags(window), EXPIRES_TAG: (now + QUEUE_EXPIRY).isoformat()})


def make_sync_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule, running by default: with the feature flag off its ticks are skipped."""

    @dg.schedule(
        name="referral_sync_schedule",
        job=referral_sync_job,
        cron_schedule=settings.sync_cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Sync referrals every HUNTER_PARTNER_CENTER_SYNC_INTERVAL seconds.",
    )
    def referral_sync_schedule(
        context: dg.ScheduleEvaluationContext, settings: SettingsResource, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        return request_sync(context.instance, settings, database, datetime.now(UTC))

    return referral_sync_schedule


def make_sync_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor, running by default only where `HUNTER_ENVIRONMENT=development`."""
    development = settings.environment == "development"

    @dg.sensor(
        name="referral_sync_dev_sensor",
        job=referral_sync_job,
        minimum_interval_seconds=DEVELOPMENT_SYNC_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if development else dg.DefaultSensorStatus.STOPPED,
        description="Sync referrals every 30 seconds on a development machine.",
    )
    def referral_sync_dev_sensor(
        context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        if settings.load().environment != "development":
            return dg.SkipReason("not_development: HUNTER_ENVIRONMENT is production")
        return request_sync(context.instance, settings, database, datetime.now(UTC))

    return referral_sync_dev_sensor
