"""Day partitions of the fetched referrals, and the window that a range of them stands for.

A partition is a day (UTC) of the referrals' update time. Today is a partition too (`end_offset`), because a
sync takes updates of the running day.
"""

from datetime import date

import dagster as dg

from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window

DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), end_offset=1)


def window_of(keys: dg.PartitionKeyRange) -> Window:
    """The window of a run's partition range."""
    return Window(date.fromisoformat(keys.start), date.fromisoformat(keys.end))
