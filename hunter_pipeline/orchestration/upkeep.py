"""What keeps the data fresh and the instance small beside the ten-minute sync: jobs and their schedules.

Belongs here: rescans, the weekly sweep, registration look-ups, retention. Does not belong here: the work
itself, which is in `pipeline`. Every schedule is off the fast path, bounded per run, and skipped with a reason
where it has nothing to do.
"""

import dagster as dg

from hunter_pipeline.orchestration.assets.scoring import SignalsConfig
from hunter_pipeline.orchestration.resources import SettingsResource

MOST_RESCANS = 5000
"""Domains looked up again in one run: 150,000 domains in thirty days, and under ten minutes at the default pace."""

domain_rescan_job = dg.define_asset_job(
    "domain_rescan_job",
    selection=dg.AssetSelection.assets("domain_signals", "lead_scores"),
    config=dg.RunConfig(ops={"domain_signals": SignalsConfig(rescan_limit=MOST_RESCANS)}),
    description="Look up again the domains whose signals have grown old, record what changed, and score again.",
    tags={"dagster/max_runtime": "3600"},
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
    if not settings.load().partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    return dg.RunRequest()


JOBS = (domain_rescan_job,)
SCHEDULES = (domain_rescan_schedule,)
