"""Day partitions of the fetched referrals, and their way to and from a sync's window.

A partition is a day (UTC) of the referrals' update time. Today is a partition too (`end_offset`), because a
sync takes updates of the running day.
"""

from datetime import date

import dagster as dg

from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window

DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), end_offset=1)

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def range_tags(window: Window) -> dict[str, str]:
    """The run tags that make one run of all days of a window."""
    return {RANGE_START_TAG: window.start.isoformat(), RANGE_END_TAG: window.end.isoformat()}


def window_of(keys: dg.PartitionKeyRange) -> Window:
    """The window of a run's partition range."""
    return Window(date.fromisoformat(keys.start), date.fromisoformat(keys.end))
