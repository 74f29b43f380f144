"""What is thrown away when it has grown old, in Hunter's own tables.

Belongs here: the age limits and the statements, each bounded. Does not belong here: Dagster's runs and events
(`orchestration.instance_retention`). Current state is never touched, nor what it rests on, nor the history of
scores and signals, which is small and is what people ask for years later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from hunter_pipeline.pipeline.context import StageContext, StageReport

BATCH_ROWS = 5000
"""Rows in one DELETE and transaction, under one hold of the stage lock: well under a second."""


@dataclass(frozen=True)
class Ages:
    """Days after which rows go.

    :param raw_versions: versions of a referral that a newer one replaced, since they were last seen.
    :param sync_items: the lists of which referrals each sync fetched.
    :param sync_runs: the books of syncs.
    :param lineage: steps of a referral that a newer step of the same stage replaced.
    :param resolved_failures: failures that were resolved, with their payload.
    :param alerts: alerts that were not seen again.
    """

    raw_versions: int = 365
    sync_items: int = 30
    sync_runs: int = 365
    lineage: int = 365
    resolved_failures: int = 90
    alerts: int = 90


_OLD = {
    "raw_versions": (
        "partner_center_referrals_raw",
        """NOT t.is_current AND t.last_seen_at < :before
        AND NOT EXISTS (SELECT FROM normalized_domains x WHERE x.raw_id = t.id)
        AND NOT EXISTS (SELECT FROM partner_center_referrals x WHERE x.raw_id = t.id AND x.referral_id = t.referral_id)
        AND NOT EXISTS (SELECT FROM raw_leads x WHERE x.raw_id = t.id AND x.external_id = t.referral_id)
        AND NOT EXISTS (SELECT FROM referral_failures x
            WHERE x.item_key = t.referral_id AND x.raw_id = t.id AND x.resolved_at IS NULL)""",
    ),
    "sync_items": (
        "sync_run_items",
        """EXISTS (SELECT FROM sync_runs s
            WHERE s.run_id = t.run_id AND s.started_at < :before AND s.status NOT IN ('running', 'fetched'))""",
    ),
    "sync_runs": (
        "sync_runs",
        """t.started_at < :before AND t.status NOT IN ('running', 'fetched')
        AND NOT EXISTS (SELECT FROM sync_run_items x WHERE x.run_id = t.run_id)
        AND t.run_id NOT IN (SELECT DISTINCT ON (window_start IS NULL) run_id FROM sync_runs
            WHERE covers_to_now AND status IN ('fetched', 'success', 'partial')
            ORDER BY window_start IS NULL, window_end DESC)""",
    ),
    "lineage": (
        "referral_lineage",
        """t.recorded_at < :before AND EXISTS (SELECT FROM referral_lineage x
            WHERE x.referral_id = t.referral_id AND x.stage = t.stage AND x.id > t.id
                AND x.recorded_at >= t.recorded_at)""",
    ),
    "resolved_failures": ("referral_failures", "t.resolved_at < :before"),
    "alerts": ("alerts", "t.last_seen_at < :before"),
}
"""For each age: the table, and which of its rows `t` may go. What holds the watermark and the last sweep stays."""


def prune(context: StageContext, ages: Ages, *, most_rows: int, dry_run: bool) -> StageReport:
    """Delete what is older than `ages`, in every table at most `most_rows` rows.

    The stage lock is held for one batch at a time, so that a sync never waits for long.

    :param dry_run: count, and delete nothing.
    :returns: counts of the rows that went (or would go) by the names of `Ages`.
    """
    counts: dict[str, int] = {}
    for name, (table, condition) in _OLD.items():
        parameters = {"before": context.clock() - timedelta(days=getattr(ages, name))}
        if dry_run:
            query = f"SELECT count(*) FROM (SELECT FROM {table} t WHERE {condition} LIMIT :most) q"  # noqa: S608
            with context.engine.connect() as connection:
                counts[name] = connection.execute(text(query), {**parameters, "most": most_rows}).scalar_one()
            continue
        statement = text(
            f"DELETE FROM {table} WHERE ctid IN (SELECT t.ctid FROM {table} t WHERE {condition} LIMIT :most)"  # noqa: S608 - constants
        )
        counts[name] = 0
        while counts[name] < most_rows:
            batch = min(BATCH_ROWS, most_rows - counts[name])
            with context.stage() as connection:
                gone = connection.execute(statement, {**parameters, "most": batch}).rowcount
                connection.commit()
            counts[name] += gone
            if gone < batch:
                break
    return StageReport(counts)
