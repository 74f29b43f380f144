"""The jobs: which assets run together, and how."""

import dagster as dg

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
from hunter_pipeline.runs.sync_request import SYNC_JOB

MAX_SYNC_SECONDS = 3600
"""After this a sync is ended by run monitoring: six times the rhythm, and longer than a first sync takes."""

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

referral_sync_job = dg.define_asset_job(
    SYNC_JOB,
    selection=without_standing_checks(dg.AssetSelection.assets(*SYNC_ASSETS)),
    description="Fetch referrals of a range of days and take them all the way to scores.",
    tags={**EXCLUSIVE_TAGS, "dagster/max_runtime": str(MAX_SYNC_SECONDS)},
)
