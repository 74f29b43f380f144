"""The run queue: Dagster's own, with the rule that there is one sync at a time.

Belongs here: what happens when a run is put into the queue, whoever asked for it (schedule, sensor, web page,
backfill). Does not belong here: a sync in a shell, which does not queue (`run_sync`), and how long one may wait
(`guards`).
"""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from sqlalchemy import Engine

from hunter_pipeline.orchestration.guards import EXCLUSIVE_TAGS, guarded, is_sync, sync_under_way
from hunter_pipeline.runs.sync_request import EXPIRES_TAG, MAX_RUNTIME_TAG
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import urls_of
from hunter_pipeline.store.engine import make_engine, one_engine


class HunterRunQueue(QueuedRunCoordinator):
    """Lets the syncs through one by one, and takes none that catches up twice."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Queue a run; one that catches up is canceled when another sync is queued or running already.

        A run over days that a person chose is never dropped: it waits for its turn.
        """
        run = context.dagster_run
        if not is_sync(run) or run.status != dg.DagsterRunStatus.NOT_STARTED:
            return super().submit_run(context)
        settings = load_settings()
        with guarded(_engine(urls_of(settings).hunter)):
            limit = run.tags.get(MAX_RUNTIME_TAG, str(settings.partner_center_sync_max_runtime))
            self._instance.add_run_tags(run.run_id, {**EXCLUSIVE_TAGS, MAX_RUNTIME_TAG: limit})
            other = sync_under_way(self._instance, datetime.now(UTC), besides=run.run_id)
            if other is None or EXPIRES_TAG not in run.tags:
                return super().submit_run(context)
            self._instance.report_run_canceled(run, message=f"a sync is under way already: run {other}")
            return self._instance.get_run_by_id(run.run_id) or run


@one_engine
def _engine(url: str) -> Engine:
    # One for the process: a web server that is asked for many syncs at once holds two connections and not as many.
    return make_engine(url, pool_size=2)
