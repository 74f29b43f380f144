"""Assets of the group `scoring`: what a company's domain says in public, and what that is worth."""

from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from hunter_pipeline.orchestration.assets.referrals import companies
from hunter_pipeline.orchestration.checks import gate_results, gate_specs
from hunter_pipeline.orchestration.guards import SYNC_POOL
from hunter_pipeline.orchestration.metadata import OWNERS, AssetEvents, examples_table, result_of, table_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource, DnsResource, ScoringResource
from hunter_pipeline.pipeline import scores, signals
from hunter_pipeline.pipeline.context import StageReport, utc_now
from hunter_pipeline.readers.glances import moved_scores, open_lookups
from hunter_pipeline.scan.scan import SIGNALS_VERSION
from hunter_pipeline.scoring.document import RulesError
from hunter_pipeline.scoring.score import SCORER_VERSION
from hunter_pipeline.services import make_rules
from hunter_pipeline.settings import Settings
from hunter_pipeline.store import tables
from hunter_pipeline.upkeep import rescans, shards

GROUP = "scoring"


class SignalsConfig(dg.Config):
    """What a run of `domain_signals` does beside the domains that have no signals yet."""

    rescan_limit: int = Field(
        default=0, ge=0, description="Domains older than HUNTER_DOMAIN_RESCAN_DAYS to look up again, at most; 0: none"
    )


@dg.asset(
    deps=[companies],
    group_name=GROUP,
    kinds={"python", "dns", "postgres"},
    owners=OWNERS,
    code_version=SIGNALS_VERSION,
    metadata=table_metadata(tables.domain_signals),
    pool=SYNC_POOL,
)
def domain_signals(
    context: dg.AssetExecutionContext, config: SignalsConfig, database: DatabaseResource, dns: DnsResource
) -> AssetEvents:
    """MX, SPF, DKIM, DMARC and mailbox provider of each company's domain, looked up once.

    A look-up that stayed open is tried again with back-off. A domain that has signals is asked again only by a
    rescan, which keeps what changed in the table `domain_signal_history`. With `HUNTER_EXECUTOR`, more domains than
    `HUNTER_SCAN_SHARD` are left to `domain_scan_job`.
    """

    def run() -> StageReport:
        stage, spread = database.stage(context), dns.spread()
        if spread is not None:
            how, share = spread
            return shards.scan_or_leave(stage, share, how, rescan_limit=config.rescan_limit)
        scan = dns.scan()
        first = signals.scan_domains(stage, scan)
        if not config.rescan_limit:
            return first
        age = timedelta(days=dns.settings.load().domain_rescan_days)
        again = rescans.rescan_domains(stage, scan, older_than=age, limit=config.rescan_limit)
        return StageReport({**first.counts, **again.counts}, {**first.groups, **again.groups})

    def more(_: StageReport) -> dict[str, Any]:
        with database.engine().connect() as connection:
            return {"domains_with_failed_lookups": dg.MetadataValue.int(open_lookups(connection))}

    yield from result_of(
        context,
        database.engine,
        run,
        writes=("scanned", "rederived", *(("rescanned",) if config.rescan_limit else ())),
        more=more,
    )


@dg.asset(
    deps=[domain_signals],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=SCORER_VERSION,
    metadata=table_metadata(tables.lead_scores),
    pool=SYNC_POOL,
    check_specs=gate_specs("lead_scores"),
)
def lead_scores(context: dg.AssetExecutionContext, database: DatabaseResource, scoring: ScoringResource) -> AssetEvents:
    """Score, segment, category and reason of every domain, computed again when its facts or the rules change."""
    began = utc_now()

    def run() -> StageReport:
        settings = scoring.settings.load()
        return scores.score_leads(
            database.stage(context),
            scoring.rules(),
            tenant_score=settings.partner_center_azure_tenant_score,
            cosell_bonus=settings.partner_center_cosell_bonus,
        )

    def more(report: StageReport) -> dict[str, Any]:
        shown: dict[str, Any] = {
            f"leads_{category}": dg.MetadataValue.int(number)
            for category, number in report.groups["categories"].items()
        }
        if report.counts["changed"]:
            with database.engine().connect() as connection:
                moved = moved_scores(connection, context.run.run_id, report.counts["changed"])
                shown["moved"] = examples_table(moved)
        return shown

    yield from result_of(
        context,
        database.engine,
        run,
        writes=("scored",),
        gates=lambda report: gate_results(database.engine(), scores.STAGE, began, context.run.run_id, report.seen),
        more=more,
    )


def lead_scores_for(settings: Settings) -> dg.AssetsDefinition:
    """`lead_scores` with a code version that names the rules and settings behind the scores.

    So the UI shows the scores as out of date after an edit of the rules, once the definitions are loaded again. A
    rules file with faults makes the version `unreadable` and does not keep the definitions from loading: the run
    fails, with the fault and its line.
    """
    try:
        rules = make_rules(settings)
    except RulesError:
        version = "unreadable"
    else:
        version = scores.rules_version(
            rules, settings.partner_center_azure_tenant_score, settings.partner_center_cosell_bonus
        )[:12]
    return lead_scores.map_asset_specs(lambda spec: spec.replace_attributes(code_version=f"{SCORER_VERSION}-{version}"))
