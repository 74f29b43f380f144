"""How a sync is asked for, whoever asks: the job's name and the tags of its run.

Belongs here: names and tags that the schedule, the shell and the web server must agree on; plain text, so that
Dagster is not needed to know them. Does not belong here: whether a sync is due or under way.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hunter_pipeline.pipeline.sync_runs import Window

SYNC_JOB = "referral_sync_job"

SCAN_JOB = "domain_scan_job"
"""The job that spreads look-ups which a sync left over shards."""

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
"""Dagster's own tags for a run over a range of partitions."""

FORCE_TAG = "hunter/force"
"""Run tag: `true` processes again what the run fetches, changed or not."""

MAX_RUNTIME_TAG = "dagster/max_runtime"
"""Dagster's own tag: seconds after which run monitoring ends the run."""

EXPIRES_TAG = ".dagster/hunter_expires_at"
"""Run tag: the moment from which a run that is only now picked up refuses to begin. Dagster's UI leaves tags of this
prefix out of its lists."""

QUEUE_EXPIRY = timedelta(hours=1)
"""A sync that was not picked up for this long is given up; a newer one covers its window."""


class SyncUnderWay(RuntimeError):  # noqa: N818 - the name says what is the case
    """Another sync is queued or running.

    :param run_id: its Dagster run.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(f"A sync is under way (run {run_id}); wait for it, or terminate it in the Dagster UI")
        self.run_id = run_id


def sync_tags(window: Window, *, force: bool = False) -> dict[str, str]:
    """The tags of one run over all days of a window.

    :param force: process again what is fetched, changed or not.
    """
    tags = {RANGE_START_TAG: window.start.isoformat(), RANGE_END_TAG: window.end.isoformat()}
    return {**tags, FORCE_TAG: "true"} if force else tags


def queued_sync_tags(window: Window, now: datetime, max_runtime: int, *, force: bool = False) -> dict[str, str]:
    """The tags of a run that goes through the queue, expires there, and is ended when it runs for too long.

    :param max_runtime: seconds, HUNTER_PARTNER_CENTER_SYNC_MAX_RUNTIME.
    """
    expires = (now + QUEUE_EXPIRY).isoformat()
    return {**sync_tags(window, force=force), EXPIRES_TAG: expires, MAX_RUNTIME_TAG: str(max_runtime)}
