"""Assets of the group `scoring`: what a company's domain says in public, and what that is worth."""

import dagster as dg

from hunter_pipeline.orchestration.assets.referrals import companies
from hunter_pipeline.orchestration.metadata import OWNERS, result_of, table_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource, DnsResource, ScoringResource
from hunter_pipeline.pipeline import scores, signals
from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.scan.scan import SIGNALS_VERSION
from hunter_pipeline.scoring.score import SCORER_VERSION
from hunter_pipeline.store import tables

GROUP = "scoring"


@dg.asset(
    deps=[companies],
    group_name=GROUP,
    kinds={"python", "dns", "postgres"},
    owners=OWNERS,
    code_version=SIGNALS_VERSION,
    metadata=table_metadata(tables.domain_signals),
)
def domain_signals(
    context: dg.AssetExecutionContext, database: DatabaseResource, dns: DnsResource
) -> dg.MaterializeResult[None]:
    """MX, SPF, DKIM, DMARC and mailbox provider of each company's domain, looked up once.

    A look-up that stayed open is tried again with back-off; a domain that has signals is not asked again.
    """
    return result_of(lambda: signals.scan_domains(database.stage(context), dns.scan()))


@dg.asset(
    deps=[domain_signals],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=SCORER_VERSION,
    metadata=table_metadata(tables.lead_scores),
)
def lead_scores(
    context: dg.AssetExecutionContext, database: DatabaseResource, scoring: ScoringResource
) -> dg.MaterializeResult[None]:
    """Score, segment, category and reason of every domain, computed again when its facts or the rules change."""

    def run() -> StageReport:
        settings = scoring.settings.load()
        return scores.score_leads(
            database.stage(context),
            scoring.rules(),
            tenant_score=settings.partner_center_azure_tenant_score,
            cosell_bonus=settings.partner_center_cosell_bonus,
        )

    return result_of(run)
