"""What is thrown away of Dagster's own records: finished runs with their events and logs, and old evaluations.

Belongs here: the deletion of runs through Dagster, and of two kinds of rows that Dagster keeps for ever. Does
not belong here: Hunter's tables (`upkeep.retention`) and ticks, which `dagster.yaml` limits. Asset keys,
partitions and the newest materialization of each stay, so that the UI shows the graph as it stands.
"""

from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import Select, delete, func, select

FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)

NO_RUN = ""
"""The run id under which Dagster keeps events that a sensor reported."""

_events = SqlEventLogStorageTable.c
_checks = AssetCheckExecutionsTable.c
_IS_MATERIALIZATION = _events.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value


def old_runs(instance: dg.DagsterInstance, before: datetime, most: int) -> list[str]:
    """Ids of finished runs that were created before `before`, oldest first, at most `most`.

    A run that holds the newest materialization of an asset or partition is not among them: with its events the
    UI would show the asset as never materialized.
    """
    with _storage(instance).index_connection() as connection:
        newest = set(connection.execute(select(_events.run_id).where(_events.id.in_(_newest_ids()))).scalars())
    found: list[str] = []
    cursor: str | None = None
    while len(found) < most:
        page = instance.get_run_records(
            dg.RunsFilter(statuses=list(FINISHED), created_before=before), limit=1000, cursor=cursor, ascending=True
        )
        found += [record.dagster_run.run_id for record in page if record.dagster_run.run_id not in newest]
        if len(page) < 1000:
            break
        cursor = page[-1].dagster_run.run_id
    return found[:most]


def delete_runs(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Delete runs with their events and with the files of what they printed."""
    for run_id in run_ids:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])


def delete_old_evaluations(instance: dg.DagsterInstance, before: datetime, most: int, *, dry_run: bool) -> int:
    """Delete evaluations of asset checks from before `before`, but the newest of each check; return how many."""
    newest = select(func.max(_checks.id)).group_by(_checks.asset_key, _checks.check_name)
    old = (
        select(_checks.id)
        .where(_checks.create_timestamp < before.replace(tzinfo=None), _checks.id.not_in(newest))
        .order_by(_checks.id)
        .limit(most)
    )
    with _storage(instance).index_connection() as connection:
        ids = list(connection.execute(old).scalars())
        if ids and not dry_run:
            connection.execute(delete(AssetCheckExecutionsTable).where(_checks.id.in_(ids)))
    return len(ids)


def delete_old_stories(instance: dg.DagsterInstance, before: datetime, most: int, *, dry_run: bool) -> int:
    """Delete materializations that no run holds from before `before`, but the newest of each partition."""
    old = (
        select(_events.id)
        .where(_events.run_id == NO_RUN, _IS_MATERIALIZATION, _events.timestamp < before.replace(tzinfo=None))
        .where(_events.id.not_in(_newest_ids()))
        .order_by(_events.id)
        .limit(most)
    )
    with _storage(instance).index_connection() as connection:
        ids = list(connection.execute(old).scalars())
        if ids and not dry_run:
            connection.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(ids)))
            connection.execute(delete(SqlEventLogStorageTable).where(_events.id.in_(ids)))
    return len(ids)


def _newest_ids() -> Select[Any]:
    return select(func.max(_events.id)).where(_IS_MATERIALIZATION).group_by(_events.asset_key, _events.partition)


def _storage(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"Dagster's events are kept by {type(storage).__name__}, not in a database: see dagster.yaml")
    return storage
