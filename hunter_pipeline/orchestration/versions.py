"""Data versions: by them the Dagster UI tells which assets hold something new, and which are out of date.

Belongs here: when an asset's version is worked out anew. Does not belong here: what an asset holds
(`readers.holdings`). A stage that wrote nothing keeps the version it had, so that a quiet sync reads no table for it.
"""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.data_version import extract_data_version_from_entry
from sqlalchemy import Engine

from hunter_pipeline.readers.holdings import content_hash

BROKEN = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def version_of(instance: dg.DagsterInstance, engine: Engine, asset: str, *, moved: bool) -> dg.DataVersion:
    """The version of what an asset holds now.

    :param moved: whether this run wrote to it. If not, the version it had stands, unless a run broke off since,
        which may have written and not said so.
    """
    last = instance.get_latest_materialization_event(dg.AssetKey(asset))
    known = extract_data_version_from_entry(last) if last else None
    if last and known and not moved and not _broken_since(instance, last.timestamp):
        return known
    with engine.connect() as connection:
        return dg.DataVersion(content_hash(connection, asset))


def _broken_since(instance: dg.DagsterInstance, timestamp: float) -> bool:
    moment = datetime.fromtimestamp(timestamp, UTC)
    return bool(instance.get_runs(dg.RunsFilter(statuses=list(BROKEN), updated_after=moment), limit=1))
