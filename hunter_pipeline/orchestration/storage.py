"""Dagster's own storage: its PostgreSQL storage, on the server that Hunter uses.

Belongs here: finding the database, one pool of connections for a process, the end of a run whose database is lost,
which events are kept and how, and the two switches that keep a run over many day partitions fast. Does not belong
here: how its tables are made (`storage_tables`), anything of Hunter's own tables. `dagster.yaml` names the class, so
every Dagster process (web server, daemon, code server, run worker) starts or joins the embedded server by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._config import UserConfigSchema
from dagster._core.assets import AssetDetails
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData, deserialize_value
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from hunter_pipeline.orchestration.storage_tables import ensure_tables
from hunter_pipeline.runs.run_signs import drop_sign, show_sign
from hunter_pipeline.runs.sync_request import SCAN_JOB
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.alive import look_before_use
from hunter_pipeline.store.database import urls_of
from hunter_pipeline.store.engine import (
    application_name,
    database_trouble,
    keep_values_out,
    make_engine,
    one_engine,
)

UNKEPT = frozenset(
    {
        # That a step handed on "Nothing": assets hand on by table. Dagster itself reads it for values alone.
        dg.DagsterEventType.STEP_OUTPUT,
        # That the wrappers of `resources` were made, which open nothing; a failure has an event of its own.
        dg.DagsterEventType.RESOURCE_INIT_STARTED,
        dg.DagsterEventType.RESOURCE_INIT_SUCCESS,
    }
)
"""Events that are not kept: a fifth of what a sync leaves."""

COMPRESSED_FROM = 2100
"""Characters to which an event is filled up with blanks. PostgreSQL compresses a row from 2 KB on, and most events are
a little shorter: they take half the space so."""

_ENDS = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)


_PATIENCE = (0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between the attempts to connect: a server that is started again is waited for."""

_runs_here: set[str] = set()
"""Runs that this process executes."""

_lost_here: set[str] = set()
"""Of these, the runs whose database was lost: it is not waited for again."""


class StorageLost(SystemExit):
    """A run cannot go on, as nothing of it can be written down any more.

    It ends the process, or is caught by whoever began the run in it. Dagster would catch an ordinary error, try to
    write that down as well, and print each failure of that.
    """


@one_engine
def _sign_engine(url: str) -> Engine:
    return make_engine(url, pool_size=2)


class _Discreet:
    """Takes connections from the process's pool, and keeps values of statements (personal data) out of error texts."""

    _engine: Engine

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url, False)  # type: ignore[call-arg]
        self._engine = pooled_engine(postgres_url)
        self._there: set[str] = set()

    def _is_there(self, what: str, look: Callable[[], bool]) -> bool:
        """Whether a table or column is there; once it is, nobody looks again.

        Dagster looks at each event and each question, which was a fifth of what a quiet sync sent.
        """
        if what not in self._there and look():
            self._there.add(what)
        return what in self._there

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        super().optimize_for_webserver(statement_timeout, pool_recycle, max_overflow)  # type: ignore[misc]
        self._engine.hide_parameters = True
        keep_values_out(self._engine)
        event.listen(self._engine, "do_connect", _name_session)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection, waited for a little.

        :raises StorageLost: the server does not answer or cannot go on, and this process executes a run.
        """
        try:
            with _connected(self._engine) as connection:
                yield connection
        except DBAPIError as error:
            trouble = database_trouble(error)
            if trouble is None or not _runs_here:
                raise
            _lost_here.update(_runs_here)
            raise StorageLost(trouble) from None


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    for seconds in () if _lost_here & _runs_here else _PATIENCE:
        try:
            connection = engine.connect()
            break
        except DBAPIError as error:
            if database_trouble(error) is None:
                raise
            time.sleep(seconds)
    else:
        connection = engine.connect()
    with connection:
        yield connection


class _RunStorage(_Discreet, PostgresRunStorage):
    def handle_run_event(self, run_id: str, event: dg.DagsterEvent, update_timestamp: datetime | None = None) -> None:
        """Show the run's sign of life before it counts as started, and let go of it when it has ended.

        So a run that counts as started and shows no sign has lost its process.
        """
        if event.event_type == dg.DagsterEventType.RUN_START:
            _runs_here.add(run_id)
            show_sign(_sign_engine(urls_of(load_settings()).hunter), run_id)
        super().handle_run_event(run_id, event, update_timestamp)
        if event.event_type in _ENDS:
            _runs_here.discard(run_id)
            drop_sign(run_id)

    def connect(self) -> AbstractContextManager[Connection]:
        """A connection."""
        return self._connection()

    def has_run_stats_index_cols(self) -> bool:
        return self._is_there("runs: times", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        return self._is_there("runs: backfill", super().has_backfill_id_column)


class _EventLogStorage(_Discreet, PostgresEventLogStorage):
    def _connect(self) -> AbstractContextManager[Connection]:
        return self._connection()

    def has_table(self, table_name: str) -> bool:
        look = super().has_table
        return self._is_there(table_name, lambda: look(table_name))

    def has_asset_key_col(self, column_name: str) -> bool:
        look = super().has_asset_key_col
        return self._is_there(f"asset_keys: {column_name}", lambda: look(column_name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        look = super()._has_asset_key_col_on_connection
        return self._is_there(f"asset_keys: {column_name}", lambda: look(conn, column_name))

    def _get_latest_materialization_records(
        self, raw_asset_rows: Any
    ) -> Mapping[dg.AssetKey, dg.EventLogRecord | None]:
        """The newest materialization of each asset: the one that its row holds.

        Dagster asks the log for those whose row holds none since the asset was wiped, and sends that question also when
        there are none of them: 20 times in a quiet sync.
        """
        rows = list(raw_asset_rows)
        found: dict[dg.AssetKey, dg.EventLogRecord | None] = {}
        for row in rows:
            key = dg.AssetKey.from_db_string(row["asset_key"])
            details = AssetDetails.from_db_string(row["asset_details"])  # type: ignore[no-untyped-call]
            held = deserialize_value(row["last_materialization"]) if row["last_materialization"] else None
            wiped = details.last_wipe_timestamp if details else None
            if key is None or not isinstance(held, dg.EventLogRecord) or (wiped and held.timestamp <= wiped):
                return super()._get_latest_materialization_records(rows)
            found[key] = held
        return found

    def store_event(self, event: EventLogEntry) -> None:
        """Keep an event, unless it tells an operator nothing.

        As Dagster does, but for two things: nobody is notified, since its own processes no longer listen, and each
        notice was a commit of its own; and that a check is planned is kept at the check alone, where it is read.

        Of a scan that is spread all are kept: where each shard is a Kubernetes job, Dagster reads from them which
        shards there are and what comes after them.
        """
        kind = None if event.dagster_event is None else event.dagster_event.event_type
        if kind in UNKEPT and event.job_name != SCAN_JOB:
            return
        if kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            self.store_asset_check_event(event, None)
            return
        with self._connect() as connection:
            insert = self.prepare_insert_event(event).returning(SqlEventLogStorageTable.c.id)
            number = connection.execute(insert).scalar_one()
        if kind in ASSET_EVENTS and event.dagster_event is not None and event.dagster_event.asset_key:
            with self.index_transaction() as connection:
                self._store_asset_event_tags(connection, [event], [number])
                self._store_asset_event(connection, event, number)
        if kind in ASSET_CHECK_EVENTS:
            self.store_asset_check_event(event, number)

    def store_asset_check_event(self, event: EventLogEntry, event_id: int | None) -> None:
        """Keep the evaluation of a check once more beside the check, as Dagster does."""
        filled = event._replace(user_message=event.user_message.ljust(1000))
        super().store_asset_check_event(_without_log_tags(filled), event_id)

    def _event_to_row(self, event: EventLogEntry) -> dict[str, Any]:
        row = super()._event_to_row(_without_log_tags(event))
        return {**row, "event": str(row["event"]).ljust(COMPRESSED_FROM)}


def _without_log_tags(event: EventLogEntry) -> EventLogEntry:
    """An event without what Dagster hands to its loggers with it: it repeats other fields, and is never read back."""
    told = event.dagster_event
    return event if told is None else event._replace(dagster_event=told._replace(logging_tags={}))


class _ScheduleStorage(_Discreet, PostgresScheduleStorage):
    def connect(self, run_id: str | None = None) -> AbstractContextManager[Connection]:  # noqa: ARG002 - Dagster's
        """A connection."""
        return self._connection()


class HunterStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage at the address that Hunter's settings give, with a pool of connections.

    Its own opens a connection for each question: 192 in a quiet sync, and 5 with the pool (measured).
    """

    def __init__(self, url: str, inst_data: ConfigurableClassData | None) -> None:
        super().__init__(url, should_autocreate_tables=False, inst_data=inst_data)
        self._run_storage = _RunStorage(url)
        self._event_log_storage = _EventLogStorage(url)
        self._schedule_storage = _ScheduleStorage(url)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No configuration in `dagster.yaml`: the settings are the one place for addresses."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> HunterStorage:  # noqa: ARG003
        """Open the storage, starting the embedded server when no database is set.

        :raises SettingsError: a setting is wrong.
        :raises DatabaseUnavailable: the server in `HUNTER_DATABASE_URL` does not answer.
        """
        tune_event_log()
        url = urls_of(load_settings()).dagster
        ensure_tables(url)
        return cls(url, inst_data)


@one_engine
def pooled_engine(url: str) -> Engine:
    """The engine of this process on Dagster's database.

    A web server puts its own pool in place, with a limit on the time of a statement.

    :param url: an address as `urls_of` gives it.
    """
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=2,
        max_overflow=20,
        pool_recycle=600,
        hide_parameters=True,
        use_native_hstore=False,
    )
    look_before_use(engine)
    keep_values_out(engine)
    event.listen(engine, "do_connect", _name_session)
    return engine


def _name_session(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
    parameters.setdefault("application_name", application_name())


def tune_event_log() -> None:
    """Let Dagster write the events of a range of partitions in batches.

    A range run otherwise writes two events for each day, one by one: 25 s for 328 days, and 1.1 s with these
    (measured, PostgreSQL on the same machine). Values that are already set stand.
    """
    os.environ.setdefault("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")
