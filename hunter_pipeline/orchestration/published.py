"""What Dagster shows of single referrals, and how it is taken away: partitions, stories, and texts that name them.

Belongs here: the deletion of partitions of `referral_lineage` with all that was published for them (of erased
referrals, of ones that are no more, of long-closed ones), and taking erased ids, addresses and domains out of Dagster's
own tables. Does not belong here: finding who is to be erased (`upkeep.erase`), and runs that have grown old
(`instance_retention`). Dagster asks for fewer than 100,000 keys; the feed publishes a referral anew when it changes,
so a partition that was deleted comes back by itself.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import dagster as dg
from dagster._core.event_api import EventLogRecord
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    DynamicPartitionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable, RunsTable, RunTagsTable
from dagster._core.storage.schedules.schema import InstigatorsTable, JobTable, JobTickTable
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._serdes import deserialize_value, serialize_value
from sqlalchemy import Connection, Table, delete, func, select, text, update

from hunter_pipeline.orchestration.assets.lineage import REFERRALS, referral_lineage
from hunter_pipeline.orchestration.instance_retention import FINISHED
from hunter_pipeline.store.tables import erasures
from hunter_pipeline.upkeep.erase import ERASED

MOST_PARTITIONS = 90_000
"""Partitions of referrals that are made: Dagster asks for fewer than 100,000 keys."""

MOST_KEPT = 80_000
"""Partitions that stay when old ones are thrown away: between the two is the room for new ones."""

AT_ONCE = 500
SHORTEST_NAME = 6
"""Characters from which a name is taken out of texts also where it stands between other words."""

_ASSET = referral_lineage.key.to_string()
_NAME = str(REFERRALS.name)
_events = SqlEventLogStorageTable.c
_IS_MATERIALIZATION = _events.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value

_TEXTS: tuple[tuple[Table, str], ...] = (
    (SqlEventLogStorageTable, "event"),
    (AssetKeyTable, "last_materialization"),
    (AssetEventTagsTable, "value"),
    (AssetCheckExecutionsTable, "evaluation_event"),
    (RunsTable, "run_body"),
    (RunsTable, "partition"),
    (RunTagsTable, "value"),
    (BulkActionsTable, "body"),
    (BackfillTagsTable, "value"),
    (JobTable, "job_body"),
    (InstigatorsTable, "instigator_body"),
    (JobTickTable, "tick_body"),
)
"""Columns of Dagster's in which a referral or a domain may be named; all are text."""


def delete_partitions(connection: Connection, keys: Sequence[str]) -> Counter[str]:
    """Delete partitions of referrals with every story that was published for them; the caller commits.

    :param connection: on Dagster's database.
    :returns: how many rows went, by table of Dagster's.
    """
    counts: Counter[str] = Counter()
    for start in range(0, len(keys), AT_ONCE):
        chunk = list(keys[start : start + AT_ONCE])
        ids = list(
            connection.execute(
                select(_events.id).where(_events.asset_key == _ASSET, _events.partition.in_(chunk))
            ).scalars()
        )
        tags = delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(ids))
        counts["asset_event_tags"] += connection.execute(tags).rowcount
        counts["event_logs"] += connection.execute(delete(SqlEventLogStorageTable).where(_events.id.in_(ids))).rowcount
        partitions = delete(DynamicPartitionsTable).where(
            DynamicPartitionsTable.c.partitions_def_name == _NAME, DynamicPartitionsTable.c.partition.in_(chunk)
        )
        counts["dynamic_partitions"] += connection.execute(partitions).rowcount
    if sum(counts.values()):
        _point_at_newest(connection)
    return counts


def _point_at_newest(connection: Connection) -> None:
    """Dagster keeps the last materialization, and which partitions there are, a second time beside the asset's name."""
    newest = connection.execute(
        select(_events.id, _events.event)
        .where(_events.asset_key == _ASSET, _IS_MATERIALIZATION)
        .order_by(_events.id.desc())
        .limit(1)
    ).first()
    kept = newest and serialize_value(
        EventLogRecord(storage_id=newest.id, event_log_entry=deserialize_value(newest.event, EventLogEntry))
    )
    connection.execute(
        update(AssetKeyTable)
        .where(AssetKeyTable.c.asset_key == _ASSET)
        .values(last_materialization=kept, cached_status_data=None)
    )


def erase_published(
    connection: Connection, referral_ids: Sequence[str], domains: Sequence[str], addresses: Sequence[str]
) -> tuple[Counter[str], Counter[str]]:
    """Take erased referrals, and the names of companies and persons, out of Dagster's storage; the caller commits.

    :param connection: on Dagster's database, which is PostgreSQL.
    :returns: how many rows went, and how many stay without the name, by table of Dagster's.
    """
    removed = delete_partitions(connection, referral_ids)
    altered: Counter[str] = Counter()
    for start in range(0, len(referral_ids), AT_ONCE):
        removed += _delete_runs_of(connection, referral_ids[start : start + AT_ONCE])
    names = [name for name in (*referral_ids, *domains, *addresses) if name]
    for start in range(0, len(names), AT_ONCE):
        chunk = names[start : start + AT_ONCE]
        spellings = sorted({form for name in chunk for form in _spellings(name)}, key=len, reverse=True)
        pattern = re.compile("|".join(_bounded(form) for form in spellings), re.IGNORECASE)
        for table, column in _TEXTS:
            for row_id, content in _rows_with(connection, table, column, spellings):
                without = pattern.sub(ERASED, content)
                if without != content:
                    connection.execute(update(table).where(table.c.id == row_id).values({column: without}))
                    altered[table.name] += 1
    return removed, altered


def _delete_runs_of(connection: Connection, referral_ids: Sequence[str]) -> Counter[str]:
    """Delete finished runs that told the story of one of the referrals alone."""
    finished = [status.value for status in FINISHED]
    runs = list(
        connection.execute(
            select(RunTagsTable.c.run_id)
            .join(RunsTable, RunsTable.c.run_id == RunTagsTable.c.run_id)
            .where(
                RunTagsTable.c.key == PARTITION_NAME_TAG,
                RunTagsTable.c.value.in_(referral_ids),
                RunsTable.c.status.in_(finished),
            )
        ).scalars()
    )
    events = select(_events.id).where(_events.run_id.in_(runs))
    counts: Counter[str] = Counter()
    for table, condition in (
        (AssetEventTagsTable, AssetEventTagsTable.c.event_id.in_(events)),
        (SqlEventLogStorageTable, _events.run_id.in_(runs)),
        (AssetCheckExecutionsTable, AssetCheckExecutionsTable.c.run_id.in_(runs)),
        (RunTagsTable, RunTagsTable.c.run_id.in_(runs)),
        (RunsTable, RunsTable.c.run_id.in_(runs)),
    ):
        counts[table.name] += connection.execute(delete(table).where(condition)).rowcount
    return counts


def _spellings(name: str) -> set[str]:
    """A name as it may stand in a text of Dagster's: by itself, in JSON, and in JSON inside JSON."""
    once = json.dumps(name)[1:-1]
    return {name, once, json.dumps(once)[1:-1]}


def _bounded(form: str) -> str:
    """A name as a whole word; one that is very short only where it is a whole text."""
    if len(form) < SHORTEST_NAME:
        return rf'(?<=")(?:{re.escape(form)})(?=\\*")|\A(?:{re.escape(form)})\Z'
    return rf"(?<![\w-]){re.escape(form)}(?![\w-])"


def _rows_with(connection: Connection, table: Table, column: str, forms: Sequence[str]) -> Iterator[tuple[int, str]]:
    patterns = ["%" + re.sub(r"([%_\\])", r"\\\1", form) + "%" for form in forms]
    query = text(f'SELECT id, "{column}" FROM {table.name} WHERE "{column}" ILIKE ANY(:patterns)')  # noqa: S608
    for row in connection.execute(query, {"patterns": patterns}).all():
        yield row[0], row[1]


def tidy_after_erasures(instance: dg.DagsterInstance, hunter: Connection, now: datetime) -> int:
    """Delete the partitions of referrals that are no more, once after each erasure, and return how many.

    An erasure deletes what is published when it happens. A tick that was publishing at that moment has ended when the
    next one comes here.

    :param hunter: on Hunter's database; it is committed.
    """
    untidied = erasures.c.tidied_at.is_(None)
    if hunter.execute(select(erasures.c.digest).where(untidied).limit(1)).first() is None:
        return 0
    orphans = partitions_without_referral(instance, hunter)
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        delete_partitions(connection, orphans)
    hunter.execute(update(erasures).where(untidied, erasures.c.erased_at <= now).values(tidied_at=now))
    hunter.commit()
    return len(orphans)


def partitions_without_referral(instance: dg.DagsterInstance, hunter: Connection) -> list[str]:
    """Keys of partitions whose referral Hunter does not have, and of stories without a partition."""
    keys = list({*instance.get_dynamic_partitions(_NAME), *instance.get_materialized_partitions(referral_lineage.key)})
    query = text(
        "SELECT k FROM unnest(CAST(:keys AS text[])) k"
        " WHERE NOT EXISTS (SELECT FROM referral_lineage l WHERE l.referral_id = k)"
    )
    return list(hunter.execute(query, {"keys": keys}).scalars())


def partitions_of_closed(
    instance: dg.DagsterInstance, hunter: Connection, before: datetime, most: int = MOST_KEPT
) -> list[str]:
    """Keys of partitions whose referral has been closed or gone since before `before`; more where there are too many.

    :param most: partitions that may stay: beyond, those that have been closed longest go, however young.
    """
    keys = list(instance.get_dynamic_partitions(_NAME))
    query = text(
        "SELECT t.referral_id, least(t.source_updated_at, t.updated_at) AS since FROM unnest(CAST(:keys AS text[])) k"
        " JOIN partner_center_referrals t ON t.referral_id = k WHERE NOT t.is_open ORDER BY since, t.referral_id"
    )
    closed = hunter.execute(query, {"keys": keys}).all()
    too_many = max(len(keys) - most, 0)
    return [row.referral_id for number, row in enumerate(closed) if row.since < before or number < too_many]


def room_for(instance: dg.DagsterInstance, keys: Sequence[str], most: int = MOST_PARTITIONS) -> list[str]:
    """Those of some keys that are partitions already or for which there is room."""
    partitions = DynamicPartitionsTable.c
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        of_referrals = partitions.partitions_def_name == _NAME
        used = connection.execute(select(func.count()).where(of_referrals)).scalar_one()
        if used + len(keys) <= most:
            return list(keys)
        known = set(
            connection.execute(
                select(partitions.partition).where(of_referrals, partitions.partition.in_(keys))
            ).scalars()
        )
    new = [key for key in keys if key not in known][: max(most - used, 0)]
    return [key for key in keys if key in known or key in new]
