"""The jobs: which assets run together, and how."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from hunter_pipeline.orchestration.assets.books import sync_runs
from hunter_pipeline.orchestration.assets.referrals import (
    companies,
    normalized_domains,
    partner_center_referrals,
    partner_center_referrals_raw,
    raw_leads,
)
from hunter_pipeline.orchestration.assets.scoring import domain_signals, lead_scores
from hunter_pipeline.orchestration.checks import without_standing_checks
from hunter_pipeline.orchestration.guards import EXCLUSIVE_TAGS
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG, SYNC_JOB
from hunter_pipeline.settings import Settings

SYNC_ASSETS = (
    partner_center_referrals_raw,
    normalized_domains,
    partner_center_referrals,
    raw_leads,
    companies,
    domain_signals,
    lead_scores,
    sync_runs,
)


def make_sync_job(settings: Settings) -> UnresolvedAssetJobDefinition:
    """The job `referral_sync_job`.

    :param settings: decide how long one may run that somebody launches in Dagster's UI.
    """
    return dg.define_asset_job(
        SYNC_JOB,
        selection=without_standing_checks(dg.AssetSelection.assets(*SYNC_ASSETS)),
        description="Fetch referrals of a range of days and take them all the way to scores.",
        tags={**EXCLUSIVE_TAGS, MAX_RUNTIME_TAG: str(settings.partner_center_sync_max_runtime)},
    )
