"""The one place that lists what Dagster sees: assets, jobs, schedules, sensors, resources.

Nothing is found by loading folders: what is not listed here does not exist.
"""

from collections.abc import Mapping

import dagster as dg

from hunter_pipeline.orchestration import alerts, upkeep
from hunter_pipeline.orchestration.assets.lineage import referral_lineage
from hunter_pipeline.orchestration.assets.outside import ENDS
from hunter_pipeline.orchestration.assets.scoring import lead_scores, lead_scores_for
from hunter_pipeline.orchestration.checks import STANDING_CHECKS, standing_checks_job, standing_checks_schedule
from hunter_pipeline.orchestration.digest import digest_job, make_digest_schedule
from hunter_pipeline.orchestration.freshness import with_freshness
from hunter_pipeline.orchestration.jobs import SYNC_ASSETS, make_sync_job
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.orchestration.schedules import make_sync_schedule, make_sync_sensor, referral_sweep_schedule
from hunter_pipeline.orchestration.sensors import referral_lineage_sensor
from hunter_pipeline.orchestration.spread import domain_scan_sensor, make_scan_job
from hunter_pipeline.settings import Settings


def build_defs(
    settings: Settings,
    resources: Mapping[str, object] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Fresh definitions.

    Steps run in one process: six small assets take 0.5 s so, and 13 s with a process each. Concurrency lives
    inside the look-ups; those that are spread over shards have a job with an executor of its own.

    :param settings: decide the rhythm, which sensors run by default and which rules `lead_scores` is shown to follow;
        runs read their settings anew.
    :param resources: stand in for the resources of the same names.
    :param loggers: for runs in this process; None: Dagster's console logger.
    """
    spread = settings.executor != "in_process"
    return dg.Definitions(
        assets=[
            *ENDS,
            *with_freshness(
                settings, (lead_scores_for(settings) if asset is lead_scores else asset for asset in SYNC_ASSETS)
            ),
            referral_lineage,
            *upkeep.ASSETS,
        ],
        asset_checks=STANDING_CHECKS,
        jobs=[
            make_sync_job(settings),
            standing_checks_job,
            digest_job,
            *upkeep.JOBS,
            *([make_scan_job(settings)] if spread else []),
        ],
        schedules=[
            make_sync_schedule(settings),
            referral_sweep_schedule,
            standing_checks_schedule,
            make_digest_schedule(settings),
            *upkeep.SCHEDULES,
        ],
        sensors=[
            make_sync_sensor(settings),
            referral_lineage_sensor,
            *alerts.SENSORS,
            *([domain_scan_sensor] if spread else []),
        ],
        resources={**make_resources(), **(resources or {})},
        loggers=loggers,
        executor=dg.in_process_executor,
    )
