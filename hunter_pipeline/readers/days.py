"""What a sync brought for each day of its window.

Belongs here: the counts of one day partition. Does not belong here: the totals of a sync, which are its books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.sync_runs import Window

DAYS = """
SELECT day, coalesce(k.kept, 0), coalesce(k.added, 0), coalesce(f.fetched, 0)
FROM (SELECT CAST(generate_series(CAST(:start AS date), CAST(:end AS date), interval '1 day') AS date) AS day) d
LEFT JOIN (
    SELECT r.partition_day AS day, count(*) AS kept,
        count(*) FILTER (WHERE r.run_id = s.run_id AND r.fetched_at >= s.started_at) AS added
    FROM partner_center_referrals_raw r LEFT JOIN sync_runs s ON s.run_id = :run
    WHERE r.partition_day BETWEEN :start AND :end GROUP BY 1
) k USING (day)
LEFT JOIN (
    SELECT r.partition_day AS day, count(*) AS fetched
    FROM sync_run_items i JOIN partner_center_referrals_raw r ON r.referral_id = i.item_key AND r.is_current
    WHERE i.run_id = :run GROUP BY 1
) f USING (day)
"""


@dataclass(frozen=True)
class DayCounts:
    """One day.

    :param kept: versions in the table under this day, whoever brought them.
    :param new: of these, the ones that the run brought.
    :param fetched: referrals of this day that the run fetched, known ones too.
    """

    kept: int
    new: int
    fetched: int


def day_counts(connection: Connection, run_id: str, window: Window) -> Mapping[date, DayCounts]:
    """The counts of every day in the window, zero where nothing happened."""
    rows = connection.execute(text(DAYS), {"run": run_id, "start": window.start, "end": window.end})
    return {row[0]: DayCounts(kept=row[1], new=row[2], fetched=row[3]) for row in rows}
