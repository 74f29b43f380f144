"""Stage `sync_runs`: settle the books of every sync whose referrals have gone through all stages.

Belongs here: the verdict over a sync (success, or partial when something failed that had not before) once its
counts are final. Does not belong here: the
counting itself and the watermark (`sync_runs`). It is a step of its own, so that no stage has to know that it is
the last one.
"""

from __future__ import annotations

from sqlalchemy import text

from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.sync_runs import count_items

STAGE = "sync_runs"
SETTLE_VERSION = "2"
"""Raise it when a sync would be settled otherwise."""

SETTLE = """
UPDATE sync_runs SET status = CASE WHEN failed > failed_before THEN 'partial' ELSE 'success' END, finished_at = :now
WHERE status = 'fetched' AND (run_id = :run OR fetched = succeeded + skipped + failed)
RETURNING status, fetched, succeeded, skipped, failed, failed_before
"""


def settle_syncs(context: StageContext) -> StageReport:
    """Settle every sync whose referrals have now gone through all stages.

    A backfill from the asset graph fetches in one run and does the rest in another, so all that are open are
    looked at, whichever run fetched them. A sync of another run that is between two stages (a rescan scores at any
    time) has referrals without a decision still, and is left to its own end.

    :returns: counts `settled`, `fetched`, `succeeded`, `skipped`, `failed`, `failed_before` of the syncs that were
        settled now.
    """
    parameters = {"now": context.clock(), "run": context.run_id}
    with context.stage() as connection:
        count_items(connection, "s.status = 'fetched'", parameters)
        settled = connection.execute(text(SETTLE), parameters).all()
        connection.commit()
    counts = {
        name: sum(getattr(row, name) for row in settled)
        for name in ("fetched", "succeeded", "skipped", "failed", "failed_before")
    }
    return StageReport({"settled": len(settled), **counts})
