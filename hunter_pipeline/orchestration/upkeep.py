"""What keeps the data fresh and the instance small beside the ten-minute sync: jobs and their schedules.

Belongs here: rescans, the weekly sweep, registration look-ups, retention. Does not belong here: the work
itself, which is in `pipeline`. Every schedule is off the fast path, bounded per run, and skipped with a reason
where it has nothing to do.
"""

from datetime import timedelta

import dagster as dg
from pydantic import Field

from hunter_pipeline.orchestration.assets.domain_facts import LookUpConfig, domain_registrations, domain_tenants
from hunter_pipeline.orchestration.assets.scoring import SignalsConfig
from hunter_pipeline.orchestration.checks import without_standing_checks
from hunter_pipeline.orchestration.failures import failing_clearly
from hunter_pipeline.orchestration.guards import EXCLUSIVE_TAG, request_unless_off
from hunter_pipeline.orchestration.metadata import report_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource, SettingsResource
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG
from hunter_pipeline.settings import Settings
from hunter_pipeline.upkeep.retention import Ages, prune

ASSETS = (domain_registrations, domain_tenants)


def exclusive(name: str, max_seconds: int) -> dict[str, str]:
    """Run tags of a job that runs once at a time and is ended after `max_seconds`."""
    return {EXCLUSIVE_TAG: name, MAX_RUNTIME_TAG: str(max_seconds)}


RESCANS: int = Settings.model_fields["domain_rescan_limit"].default
"""What somebody who launches the job is offered; the schedule asks for as many as are set."""

domain_rescan_job = dg.define_asset_job(
    "domain_rescan_job",
    selection=without_standing_checks(dg.AssetSelection.assets("domain_signals", "lead_scores")),
    config=dg.RunConfig(ops={"domain_signals": SignalsConfig(rescan_limit=RESCANS)}),
    description="Look up again the domains whose signals have grown old, record what changed, and score again.",
    tags=exclusive("domain_rescan", 3600),
)

domain_registrations_job = dg.define_asset_job(
    "domain_registrations_job",
    selection=dg.AssetSelection.assets(domain_registrations),
    description="Ask the registries about domains that were never asked about or whose answer is old.",
    tags=exclusive("domain_registrations", 3600),
)

domain_tenants_job = dg.define_asset_job(
    "domain_tenants_job",
    selection=dg.AssetSelection.assets(domain_tenants),
    description="Ask Microsoft for the Entra tenants of domains.",
    tags=exclusive("domain_tenants", 3600),
)


@dg.schedule(
    job=domain_rescan_job,
    cron_schedule="20 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Look up stale domains (HUNTER_DOMAIN_RESCAN_DAYS) again, daily.",
)
def domain_rescan_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the daily rescan; nothing is asked of DNS while the feature flag is off."""
    values = settings.load()
    config = SignalsConfig(rescan_limit=values.domain_rescan_limit)
    return request_unless_off(values, config=dg.RunConfig(ops={"domain_signals": config}))


@dg.schedule(
    job=domain_registrations_job,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ask the registries about up to HUNTER_REGISTRATION_LIMIT domains, hourly.",
)
def domain_registrations_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the hourly look-ups, unless they or the feature are switched off."""
    values = settings.load()
    config = LookUpConfig(limit=values.registration_limit)
    return request_unless_off(values, "registration_enabled", dg.RunConfig(ops={"domain_registrations": config}))


@dg.schedule(
    job=domain_tenants_job,
    cron_schedule="50 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ask Microsoft about up to HUNTER_TENANT_DISCOVERY_LIMIT domains, hourly; off by default.",
)
def domain_tenants_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the hourly look-ups, unless they or the feature are switched off."""
    values = settings.load()
    config = LookUpConfig(limit=values.tenant_discovery_limit)
    return request_unless_off(values, "tenant_discovery_enabled", dg.RunConfig(ops={"domain_tenants": config}))


EVENTS_OF_A_RUN = 10
"""Evaluations and stories that go with each run, generously."""


class RetentionConfig(dg.Config):
    """What is thrown away; by default nothing is, and the counts say what would be."""

    dry_run: bool = Field(default=True, description="Count, and delete nothing")
    run_days: int = Field(default=60, ge=14, description="Age of Dagster's finished runs, with their events and logs")
    raw_version_days: int = Field(default=Ages.raw_versions, ge=30, description="Age of replaced referral versions")
    sync_item_days: int = Field(default=Ages.sync_items, ge=7, description="Age of the lists of what a sync fetched")
    sync_run_days: int = Field(default=Ages.sync_runs, ge=30, description="Age of the books of syncs")
    lineage_days: int = Field(default=Ages.lineage, ge=30, description="Age of replaced steps of a referral's story")
    resolved_failure_days: int = Field(default=Ages.resolved_failures, ge=7, description="Age of resolved failures")
    alert_days: int = Field(default=Ages.alerts, ge=7, description="Age of alerts that were not seen again")
    most_rows: int = Field(default=100_000, ge=1, description="Rows of each of Hunter's tables in one run, at most")
    most_runs: int = Field(default=2000, ge=1, description="Dagster runs, and ten times as many events, at most")


@dg.op(out=dg.Out(dg.Nothing))
def retention(
    context: dg.OpExecutionContext, config: RetentionConfig, database: DatabaseResource, settings: SettingsResource
) -> dg.Output[None]:
    """Throw away what is older than the configuration says, or count it."""
    from hunter_pipeline.orchestration.instance_retention import (
        delete_old_evaluations,
        delete_old_stories,
        delete_runs,
        old_runs,
    )

    with failing_clearly():
        stage = database.stage(context)
        ages = Ages(
            raw_versions=config.raw_version_days,
            sync_items=config.sync_item_days,
            sync_runs=config.sync_run_days,
            lineage=config.lineage_days,
            resolved_failures=config.resolved_failure_days,
            alerts=config.alert_days,
        )
        counts = dict(prune(stage, ages, most_rows=config.most_rows, dry_run=config.dry_run).counts)
    before = stage.clock() - timedelta(days=config.run_days)
    most_events = EVENTS_OF_A_RUN * config.most_runs
    runs = old_runs(context.instance, before, config.most_runs)
    if not config.dry_run:
        delete_runs(context.instance, runs)
    counts["dagster_runs"] = len(runs)
    counts["check_evaluations"] = delete_old_evaluations(context.instance, before, most_events, dry_run=config.dry_run)
    counts["partitions"] = _delete_partitions(context.instance, stage, settings.load(), dry_run=config.dry_run)
    counts["published_stories"] = delete_old_stories(context.instance, before, most_events, dry_run=config.dry_run)
    verb = "would go" if config.dry_run else "went"
    context.log.info(", ".join(f"{number} {name} {verb}" for name, number in counts.items()))
    return dg.Output(None, metadata=report_metadata(StageReport(counts)))


def _delete_partitions(instance: dg.DagsterInstance, stage: StageContext, settings: Settings, *, dry_run: bool) -> int:
    """Delete the partitions of referrals that are no more or have been closed for long, with their stories."""
    from hunter_pipeline.orchestration.published import (
        delete_partitions,
        partitions_of_closed,
        partitions_without_referral,
    )

    before = stage.clock() - timedelta(days=settings.closed_partition_days)
    with stage.engine.connect() as connection:
        keys = {
            *partitions_without_referral(instance, connection),
            *partitions_of_closed(instance, connection, before),
        }
    if not dry_run:
        with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
            delete_partitions(connection, sorted(keys))
    return len(keys)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Throw away what has grown old. Launched by hand it counts only, until dry_run is switched off.",
    tags=exclusive("retention", 3600),
)
def retention_job() -> None:
    """One step, within bounds; what is left over goes the next day."""
    retention()


@dg.schedule(
    job=retention_job,
    cron_schedule="40 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Throw away what has grown old, daily and within bounds.",
)
def retention_schedule() -> dg.RunRequest:
    """Ask for the daily clean-up; it runs with the feature flag off too, as Dagster's own records go on growing."""
    return dg.RunRequest(run_config=dg.RunConfig(ops={"retention": RetentionConfig(dry_run=False)}))


JOBS = (domain_rescan_job, domain_registrations_job, domain_tenants_job, retention_job)
SCHEDULES = (domain_rescan_schedule, domain_registrations_schedule, domain_tenants_schedule, retention_schedule)
