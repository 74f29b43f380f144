"""The job that spreads a scan over shards, and the sensor that asks for it.

Belongs here: the steps and what Dagster shows of them. Does not belong here: what a shard does (`upkeep.shards`) and
what runs it (`executors`). It is a job of its own and no part of the sync: a sync takes no worker, and costs what it
does where nothing is spread. Steps hand nothing on, as they may run on any machine: what they know is in PostgreSQL.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from sqlalchemy import Connection, text

from hunter_pipeline.orchestration.executors import make_executor
from hunter_pipeline.orchestration.failures import failing_clearly
from hunter_pipeline.orchestration.guards import EXCLUSIVE_TAG, UNFINISHED, off_reason
from hunter_pipeline.orchestration.metadata import counts_in_words, report_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource, DnsResource, SettingsResource
from hunter_pipeline.orchestration.versions import version_of
from hunter_pipeline.pipeline import claims
from hunter_pipeline.pipeline.context import LOCK_WAIT_SECONDS, StageContext, StageReport
from hunter_pipeline.pipeline.signals import STAGE, Scan, report_totals
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG, SCAN_JOB
from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.upkeep import shards
from hunter_pipeline.upkeep.shards import Spread

MOST_SHARDS = 100
"""Shards of one run; what is left stands in the line for the next."""

SILENT_TAG = "hunter/silent"
"""Run tag of a run that was ended because nothing of it gave a sign."""

SILENT = (
    "domains wait and none of its shards is at work: the broker has lost them, or no `hunter worker` runs. Another run"
    " is asked for once this one has ended"
)

SILENT_AT_LEAST = timedelta(minutes=2)
"""As long as a worker may take until the first claim of a shard; on a busy machine that is half a minute."""

PAUSE_AFTER_FAILURE = timedelta(minutes=10)
"""As long as until the next sync: a run that fails before it looked anything up is not asked for every half minute."""

WRITTEN = """
SELECT count(*) AS domains, count(*) FILTER (WHERE status = 'partial') AS partial
FROM domain_signals WHERE run_id = :run
"""

WROTE = "SELECT EXISTS(SELECT FROM domain_signals WHERE scanned_at > :since AND run_id = :run)"


def _spread(dns: DnsResource) -> tuple[Spread, Scan]:
    found = dns.spread()
    if found is None:
        raise SettingsError(
            "scans are not spread with HUNTER_EXECUTOR=in_process; set it to multiprocess, celery or k8s, or let the"
            " sync look the domains up"
        )
    return found


@dg.op(out=dg.DynamicOut(dg.Nothing))
def plan_scan(
    context: dg.OpExecutionContext, database: DatabaseResource, dns: DnsResource
) -> Iterator[dg.DynamicOutput[None]]:
    """Put every domain that is due into the line, and make a shard for each part of it."""
    with failing_clearly():
        spread, _ = _spread(dns)
        stage = database.stage(context)
        shards.offer_due(stage)
        with stage.engine.connect() as connection:
            waiting = claims.waiting(connection)
    number = min(math.ceil(waiting / spread.shard), MOST_SHARDS)
    context.log.info("%s domains wait, %s shards look them up", waiting, number)
    for shard in range(number):
        yield dg.DynamicOutput(None, mapping_key=f"{shard + 1:03}")


@dg.op(ins={"planned": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def scan_shard(context: dg.OpExecutionContext, database: DatabaseResource, dns: DnsResource) -> None:
    """Claim domains, look them up and write what was found."""
    with failing_clearly():
        spread, scan = _spread(dns)
        report = shards.scan_shard(database.stage(context), scan, spread, wait=LOCK_WAIT_SECONDS)
    context.log.info(counts_in_words(report) or "nothing was left to look up")


@dg.op(ins={"scanned": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def collect_scan(context: dg.OpExecutionContext, database: DatabaseResource, dns: DnsResource) -> None:
    """Look up what dead shards left, and tell Dagster that `domain_signals` has changed.

    Scores follow with the next sync, which finds the domains marked.
    """
    with failing_clearly():
        spread, scan = _spread(dns)
        stage = database.stage(context)
        shards.scan_shard(stage, scan, spread, wait=LOCK_WAIT_SECONDS, rest_of_run=True)
        report = _report(stage)
    version = version_of(context.instance, stage.engine, STAGE, moved=bool(report.counts["scanned"]))
    context.log_event(
        dg.AssetMaterialization(STAGE, metadata=report_metadata(report), tags={"dagster/data_version": version.value})
    )


def _report(stage: StageContext) -> StageReport:
    with stage.engine.connect() as connection:
        written = connection.execute(text(WRITTEN), {"run": stage.run_id}).one()
    totals = report_totals(stage)
    return StageReport({"scanned": written.domains, "partial": written.partial, **totals.counts}, totals.groups)


@dg.graph
def spread_scan() -> None:
    """Plan, shards side by side, and what remains."""
    collect_scan(plan_scan().map(scan_shard).collect())


def make_scan_job(settings: Settings) -> dg.JobDefinition:
    """The job `domain_scan_job`, run by the executor that is set.

    :raises SettingsError: the executor cannot be had.
    """
    return spread_scan.to_job(
        name=SCAN_JOB,
        executor_def=make_executor(settings),
        description="Look up the domains that wait in the line, spread over shards.",
        tags={EXCLUSIVE_TAG: "domain_scan", MAX_RUNTIME_TAG: str(settings.scan_max_runtime)},
    )


@dg.sensor(
    name="domain_scan_sensor",
    job_name=SCAN_JOB,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Spread a scan when a sync or a rescan left more domains than one shard holds.",
)
def domain_scan_sensor(
    context: dg.SensorEvaluationContext, settings: SettingsResource, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a spread scan."""
    now = settings.load()
    off = off_reason(now)
    if off is not None:
        return dg.SkipReason(off)
    with database.engine().connect() as connection:
        return request_scan(context.instance, connection, now, datetime.now(UTC))


def request_scan(
    instance: dg.DagsterInstance, connection: Connection, settings: Settings, now: datetime
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a spread scan, unless few domains wait, one is under way, or one has just failed.

    A run whose tasks are gone (a broker that was started again without its data) waits for them for ever. Its sign is
    that domains wait and no shard is at work; then run monitoring is told to end it, and the next is asked for at once.
    """
    waiting = claims.waiting(connection)
    if waiting <= settings.scan_shard:
        return dg.SkipReason(f"{waiting} domains wait, a sync looks them up")
    for record in instance.get_run_records(dg.RunsFilter(job_name=SCAN_JOB), limit=1):
        status, run_id = record.dagster_run.status, record.dagster_run.run_id
        silent = SILENT_TAG in record.dagster_run.tags
        if status in UNFINISHED:
            if silent or not _is_silent(connection, record, settings, now):
                return dg.SkipReason(f"scan_under_way: run {run_id}")
            instance.report_engine_event(SILENT, record.dagster_run)
            instance.add_run_tags(run_id, {SILENT_TAG: "true", MAX_RUNTIME_TAG: "1"})
            return dg.SkipReason(f"scan_silent: run {run_id} is ended: {SILENT}")
        just = status == dg.DagsterRunStatus.FAILURE and now - record.update_timestamp < PAUSE_AFTER_FAILURE
        if just and not silent and not _wrote_since(connection, record.create_timestamp, run_id):
            return dg.SkipReason(f"run {run_id} has just failed; asked for again ten minutes later")
    return dg.RunRequest(tags={MAX_RUNTIME_TAG: str(settings.scan_max_runtime)})


def _is_silent(connection: Connection, record: dg.RunRecord, settings: Settings, now: datetime) -> bool:
    """Whether a run has had the time in which a dead worker's shard goes to another one, twice, and none is at work."""
    if record.start_time is None or claims.at_work(connection):
        return False
    since = now - max(timedelta(seconds=2 * settings.scan_claim_seconds), SILENT_AT_LEAST)
    if datetime.fromtimestamp(record.start_time, UTC) > since:
        return False
    return not _wrote_since(connection, since, record.dagster_run.run_id)


def _wrote_since(connection: Connection, since: datetime, run_id: str) -> bool:
    return bool(connection.execute(text(WROTE), {"since": since, "run": run_id}).scalar_one())
