"""Assets of the group `referrals`: from the API's pages to one company per domain.

Bodies call one stage of `pipeline` and report its counts. Hand-off is by table: each stage finds in the
database what it has not done yet, so an asset that is materialized alone does just the rest.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from hunter_pipeline.orchestration.checks import gate_results, gate_specs
from hunter_pipeline.orchestration.metadata import OWNERS, PERSONAL_DATA, examples_table, result_of, table_metadata
from hunter_pipeline.orchestration.partitions import DAYS, window_of
from hunter_pipeline.orchestration.resources import DatabaseResource, PartnerCenterResource
from hunter_pipeline.partner_center.referral import REFERRAL_VERSION
from hunter_pipeline.pipeline import fetch, leads, normalize, track
from hunter_pipeline.pipeline.context import utc_now
from hunter_pipeline.pipeline.sync_runs import last_success
from hunter_pipeline.pipeline.versions import FETCH_VERSION
from hunter_pipeline.readers.glances import top_skip_reasons
from hunter_pipeline.runs.sync_request import EXPIRES_TAG
from hunter_pipeline.store import tables

GROUP = "referrals"


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=FETCH_VERSION,
    metadata=table_metadata(tables.partner_center_referrals_raw),
    tags=PERSONAL_DATA,
)
def partner_center_referrals_raw(
    context: dg.AssetExecutionContext, database: DatabaseResource, partner_center: PartnerCenterResource
) -> dg.MaterializeResult[None]:
    """Every version of every referral, as Partner Center gave it, by day (UTC) of its last update.

    A range of days is one run. The first day stands for everything before it as well, so the whole range is
    a full sweep.
    """
    expires = context.run.tags.get(EXPIRES_TAG)
    if expires and datetime.fromisoformat(expires) < datetime.now(UTC):
        raise dg.Failure(
            description="this run waited in the queue for too long and has expired; the next tick asks again",
            allow_retries=False,
        )
    window = window_of(context.partition_key_range)

    def watermark() -> dict[str, dg.MetadataValue[Any]]:
        with database.engine().connect() as connection:
            reached = last_success(connection)
        return {} if reached is None else {"watermark": dg.MetadataValue.timestamp(reached)}

    return result_of(
        lambda: fetch.fetch_referrals(database.stage(context), partner_center.client(), window), more=watermark
    )


@dg.asset(
    deps=[partner_center_referrals_raw],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=normalize.code_version(),
    metadata=table_metadata(tables.normalized_domains),
    tags=PERSONAL_DATA,
    check_specs=gate_specs("normalized_domains"),
)
def normalized_domains(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # see gate_specs
    """The company domain of each referral (website, else customer e-mail), or why it has none."""
    began = utc_now()

    def skips() -> dict[str, dg.MetadataValue[Any]]:
        with database.engine().connect() as connection:
            return {"top_skip_reasons": examples_table(top_skip_reasons(connection))}

    return result_of(
        lambda: normalize.normalize_domains(database.stage(context)),
        gates=lambda: gate_results(database.engine(), normalize.STAGE, began),
        more=skips,
    )


@dg.asset(
    deps=[normalized_domains],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=REFERRAL_VERSION,
    metadata=table_metadata(tables.partner_center_referrals),
    tags=PERSONAL_DATA,
    check_specs=gate_specs("partner_center_referrals"),
)
def partner_center_referrals(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # see gate_specs
    """Where each referral stands now: type, status, deal, expiry, domain. Every readable referral is here."""
    began = utc_now()
    return result_of(
        lambda: track.track_referrals(database.stage(context)),
        gates=lambda: gate_results(database.engine(), track.STAGE, began),
    )


@dg.asset(
    deps=[partner_center_referrals],
    group_name=GROUP,
    kinds={"sql", "postgres"},
    owners=OWNERS,
    code_version=leads.LEADS_VERSION,
    metadata=table_metadata(tables.raw_leads),
    tags=PERSONAL_DATA,
)
def raw_leads(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult[None]:
    """One lead per referral that has a company domain, updated with it and withdrawn when the domain goes."""
    return result_of(lambda: leads.make_leads(database.stage(context)))


@dg.asset(
    deps=[raw_leads],
    group_name=GROUP,
    kinds={"sql", "postgres"},
    owners=OWNERS,
    code_version=leads.LEADS_VERSION,
    metadata=table_metadata(tables.companies),
    check_specs=gate_specs("companies"),
)
def companies(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # see gate_specs
    """One company per domain. A declared Azure tenant makes its provider M365, whatever DNS says."""
    began = utc_now()
    return result_of(
        lambda: leads.upsert_companies(database.stage(context)),
        gates=lambda: gate_results(database.engine(), "companies", began),
    )
