"""Asset `sync_runs`: the books of each sync, settled once its referrals have gone through every stage."""

import dagster as dg

from hunter_pipeline.actions.settle import settle_attempts
from hunter_pipeline.orchestration.assets.scoring import lead_scores
from hunter_pipeline.orchestration.guards import SYNC_POOL
from hunter_pipeline.orchestration.metadata import OWNERS, AssetEvents, result_of, table_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource
from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.pipeline.settle import SETTLE_VERSION, settle_syncs
from hunter_pipeline.store import tables


@dg.asset(
    deps=[lead_scores],
    group_name="books",
    kinds={"sql", "postgres"},
    owners=OWNERS,
    code_version=SETTLE_VERSION,
    metadata=table_metadata(tables.sync_runs),
    pool=SYNC_POOL,
)
def sync_runs(context: dg.AssetExecutionContext, database: DatabaseResource) -> AssetEvents:
    """One row for each sync: its window, and fetched = with a lead + skipped + failed."""

    def run() -> StageReport:
        stage = database.stage(context)
        settled = settle_syncs(stage)
        settle_attempts(stage)
        return settled

    yield from result_of(context, database.engine, run, writes=("settled",))
