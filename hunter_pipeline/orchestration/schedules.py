"""When a sync is asked for: the schedule, the weekly sweep, and the faster sensor of a development machine.

All ask the same question and give the same request or the same reason to skip. None does any work: a tick
reads one indexed row. The watermark is in Hunter's database, so losing Dagster's costs nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
from sqlalchemy import Connection

from hunter_pipeline.orchestration.guards import sweep_orphans, sync_under_way
from hunter_pipeline.orchestration.resources import DatabaseResource, SettingsResource
from hunter_pipeline.pipeline.sync_runs import (
    FIRST_DAY,
    Window,
    last_success,
    last_sweep,
    next_window,
    pause_until,
)
from hunter_pipeline.runs.sync_request import SYNC_JOB, queued_sync_tags
from hunter_pipeline.settings import DEVELOPMENT_SYNC_SECONDS, Settings

SWEEP_AGE = timedelta(days=6, hours=12)
"""Age of the last full sweep at which a daily tick asks for the next: weekly, and the day after when one was missed."""


def catch_up(connection: Connection, now: datetime) -> Window:
    """From the day of the last successful sync to today: midnight and an outage of days are no special cases."""
    return next_window(last_success(connection), now.date())


def sweep(connection: Connection, now: datetime) -> Window | dg.SkipReason:
    """Everything that the API returns, once a week."""
    last = last_sweep(connection)
    if last is not None and now - last < SWEEP_AGE:
        return dg.SkipReason(f"not_due: the last sweep began {last:%Y-%m-%d %H:%M} UTC")
    return Window(FIRST_DAY, now.date())


def request_sync(
    instance: dg.DagsterInstance,
    settings: SettingsResource,
    database: DatabaseResource,
    now: datetime,
    window_of: Callable[[Connection, datetime], Window | dg.SkipReason] = catch_up,
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the sync that is due as one range of days in one run, or say why none is.

    :param window_of: which days; asked only when a sync may run.
    """
    values = settings.load()
    if not values.partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    sweep_orphans(instance, database.engine, now)
    active = sync_under_way(instance, now)
    if active is not None:
        return dg.SkipReason(f"sync_under_way: run {active} is queued or running")
    with database.engine().connect() as connection:
        until = pause_until(connection, now)
        if until is not None:
            return dg.SkipReason(f"paused: Partner Center takes no request before {until:%Y-%m-%d %H:%M:%S} UTC")
        window = window_of(connection, now)
    if isinstance(window, dg.SkipReason):
        return window
    return dg.RunRequest(tags=queued_sync_tags(window, now, values.partner_center_sync_max_runtime))


@dg.schedule(
    job_name=SYNC_JOB,
    cron_schedule="5 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a week, sync everything: catches what paging missed while rows moved.",
)
def referral_sweep_schedule(
    context: dg.ScheduleEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask daily whether the weekly sweep is due, so that one that was in the way of a sync comes the day after."""
    return request_sync(context.instance, settings, database, datetime.now(UTC), sweep)


def make_sync_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule, running by default: with the feature flag off its ticks are skipped."""

    @dg.schedule(
        name="referral_sync_schedule",
        job_name=SYNC_JOB,
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
        job_name=SYNC_JOB,
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
