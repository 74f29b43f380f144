"""Assets of the group `referrals`: from the API's pages to one company per domain.

Bodies call one stage of `pipeline` and report its counts. Hand-off is by table: each stage finds in the
database what it has not done yet, so an asset that is materialized alone does just the rest.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from hunter_pipeline.orchestration.assets.outside import SOURCE
from hunter_pipeline.orchestration.checks import gate_results, gate_specs
from hunter_pipeline.orchestration.failures import StepError, failing_clearly
from hunter_pipeline.orchestration.guards import SYNC_POOL, off_reason
from hunter_pipeline.orchestration.metadata import (
    OWNERS,
    PERSONAL_DATA,
    AssetEvents,
    counts_in_words,
    examples_table,
    result_of,
    skipped,
    table_metadata,
)
from hunter_pipeline.orchestration.partitions import DAYS, window_of
from hunter_pipeline.orchestration.resources import DatabaseResource, PartnerCenterResource
from hunter_pipeline.orchestration.versions import version_of
from hunter_pipeline.partner_center.referral import REFERRAL_VERSION
from hunter_pipeline.pipeline import fetch, leads, normalize, track
from hunter_pipeline.pipeline.context import StageReport, utc_now
from hunter_pipeline.pipeline.sync_runs import Window
from hunter_pipeline.pipeline.versions import FETCH_VERSION
from hunter_pipeline.readers.days import day_counts
from hunter_pipeline.readers.glances import top_skip_reasons
from hunter_pipeline.runs.sync_request import EXPIRES_TAG
from hunter_pipeline.store import tables

GROUP = "referrals"


@dg.asset(
    deps=[SOURCE],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=FETCH_VERSION,
    metadata=table_metadata(tables.partner_center_referrals_raw),
    pool=SYNC_POOL,
    tags=PERSONAL_DATA,
)
def partner_center_referrals_raw(
    context: dg.AssetExecutionContext, database: DatabaseResource, partner_center: PartnerCenterResource
) -> dg.MaterializeResult[None]:
    """Every version of every referral, as Partner Center gave it, by day (UTC) of its last update.

    A range of days is one run. The first day stands for everything before it as well, so the whole range is
    a full sweep.
    """
    with failing_clearly():
        expires = context.run.tags.get(EXPIRES_TAG)
        if expires and datetime.fromisoformat(expires) < datetime.now(UTC):
            raise StepError(
                "this run waited in the queue for too long and has expired; the next tick asks again", transient=True
            )
        window = window_of(context.partition_key_range)
        off = off_reason(partner_center.settings.load())
        if off is not None:
            result = skipped(context, database.engine, off)
            _count_days(context, database, window)
            return result
        report = fetch.fetch_referrals(database.stage(context), partner_center.client(), window)
        _count_days(context, database, window)
        # The run's totals are no numbers of a day: they stand in the log, and at the asset `sync_runs`.
        context.log.info(counts_in_words(report) or "nothing fetched")
        moved = bool(report.counts["new_versions"])
        return dg.MaterializeResult(
            data_version=version_of(context.instance, database.engine(), "partner_center_referrals_raw", moved=moved)
        )


def _count_days(context: dg.AssetExecutionContext, database: DatabaseResource, window: Window) -> None:
    """Show each day's own counts at its partition; a day on which nothing happened shows zero."""
    with database.engine().connect() as connection:
        counts = day_counts(connection, context.run.run_id, window)
    for day, of_day in counts.items():
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": dg.MetadataValue.int(of_day.kept),
                "new_versions": dg.MetadataValue.int(of_day.new),
                "fetched": dg.MetadataValue.int(of_day.fetched),
            },
            asset_key=context.asset_key,
            partition_key=day.isoformat(),
        )


@dg.asset(
    deps=[partner_center_referrals_raw],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=normalize.code_version(),
    metadata=table_metadata(tables.normalized_domains),
    pool=SYNC_POOL,
    tags=PERSONAL_DATA,
    check_specs=gate_specs("normalized_domains"),
)
def normalized_domains(context: dg.AssetExecutionContext, database: DatabaseResource) -> AssetEvents:
    """The company domain of each referral (website, else customer e-mail), or why it has none."""
    began = utc_now()

    def more(report: StageReport) -> dict[str, Any]:
        share = 100 * report.counts["without_domain"] / max(report.counts["total"], 1)
        shown: dict[str, Any] = {"without_domain_percent": dg.MetadataValue.float(round(share, 1))}
        if report.counts["processed"]:
            with database.engine().connect() as connection:
                shown["top_skip_reasons"] = examples_table(top_skip_reasons(connection))
        return shown

    yield from result_of(
        context,
        database.engine,
        lambda: normalize.normalize_domains(database.stage(context)),
        writes=("processed",),
        gates=lambda report: gate_results(database.engine(), normalize.STAGE, began, context.run.run_id, report.seen),
        more=more,
    )


@dg.asset(
    deps=[normalized_domains],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=REFERRAL_VERSION,
    metadata=table_metadata(tables.partner_center_referrals),
    pool=SYNC_POOL,
    tags=PERSONAL_DATA,
    check_specs=gate_specs("partner_center_referrals"),
)
def partner_center_referrals(context: dg.AssetExecutionContext, database: DatabaseResource) -> AssetEvents:
    """Where each referral stands now: type, status, deal, expiry, domain. Every readable referral is here."""
    began = utc_now()
    yield from result_of(
        context,
        database.engine,
        lambda: track.track_referrals(database.stage(context)),
        writes=("tracked",),
        gates=lambda report: gate_results(database.engine(), track.STAGE, began, context.run.run_id, report.seen),
    )


@dg.asset(
    deps=[partner_center_referrals],
    group_name=GROUP,
    kinds={"sql", "postgres"},
    owners=OWNERS,
    code_version=leads.LEADS_VERSION,
    metadata=table_metadata(tables.raw_leads),
    pool=SYNC_POOL,
    tags=PERSONAL_DATA,
)
def raw_leads(context: dg.AssetExecutionContext, database: DatabaseResource) -> AssetEvents:
    """One lead per referral that has a company domain, updated with it and withdrawn when the domain goes."""
    yield from result_of(
        context,
        database.engine,
        lambda: leads.make_leads(database.stage(context)),
        writes=("added", "updated", "withdrawn"),
    )


@dg.asset(
    deps=[raw_leads],
    group_name=GROUP,
    kinds={"sql", "postgres"},
    owners=OWNERS,
    code_version=leads.LEADS_VERSION,
    metadata=table_metadata(tables.companies),
    pool=SYNC_POOL,
    check_specs=gate_specs("companies"),
)
def companies(context: dg.AssetExecutionContext, database: DatabaseResource) -> AssetEvents:
    """One company per domain. A declared Azure tenant makes its provider M365, whatever DNS says."""
    began = utc_now()
    yield from result_of(
        context,
        database.engine,
        lambda: leads.upsert_companies(database.stage(context)),
        writes=("added", "updated"),
        gates=lambda report: gate_results(database.engine(), "companies", began, context.run.run_id, report.seen),
    )
