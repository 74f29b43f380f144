"""The tables of Dagster's own storage: made whole, or made again.

Belongs here: making them under a lock, telling ones that are complete from ones whose making broke off, and dropping
the latter. Does not belong here: what Dagster keeps in them. Dagster makes each table in a transaction of its own and
takes a home with some of them for a finished one, so a process that dies meanwhile would leave a home that no later
start mends.
"""

from __future__ import annotations

import threading
from typing import Literal

from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError

from hunter_pipeline.store.engine import DAGSTER_SETTING, DatabaseUnavailable, describe, explain, make_engine

LOCK = 0x48554E54455244  # "HUNTERD"
"""Key of the advisory lock, in Dagster's database, under which the tables are made."""

_looking = threading.Lock()
"""Each tick of a code server looks: one at a time, as each opens a connection."""

State = Literal["none", "complete", "broken off"]

_MARK = "hunter/tables"
"""Key in Dagster's key-value table that is written when all else is there."""

_METADATA = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
_NAMES = frozenset(name for metadata in _METADATA for name in metadata.tables)
_REVISION = "alembic_version"


def ensure_tables(url: str) -> None:
    """Make Dagster's tables unless they are complete; tables whose making broke off are dropped before.

    Several processes may call this at once.

    :param url: address of Dagster's database, which exists.
    :raises DatabaseUnavailable: the database went away or is full; the next call starts over.
    """
    with _looking:
        _ensure_tables(url)


def _ensure_tables(url: str) -> None:
    engine = make_engine(url, pool_size=2)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if _state(connection) == "complete":
                return
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
            state = _state(connection)
            if state == "broken off":
                _drop(engine)
            if state != "complete":
                DagsterPostgresStorage(url)
                _mark(connection)
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
    except OperationalError as error:
        raise DatabaseUnavailable(
            f"Dagster's tables could not be made: {explain(engine.url, error, DAGSTER_SETTING)} "
            "What is half made is made again."
        ) from error
    finally:
        engine.dispose()


def tables_state(url: str) -> State:
    """Whether Dagster's tables are there; nothing is changed.

    :raises DatabaseUnavailable: the database does not answer.
    """
    engine = create_engine(url, hide_parameters=True)
    try:
        with engine.connect() as connection:
            return _state(connection)
    except DBAPIError as error:
        raise DatabaseUnavailable(explain(engine.url, error, DAGSTER_SETTING)) from error
    finally:
        engine.dispose()


def _state(connection: Connection) -> State:
    present = set(inspect(connection).get_table_names())
    if not present & _NAMES:
        return "none"
    if "kvs" in present and _has_row(connection, f"kvs WHERE key = '{_MARK}'"):
        return "complete"
    # Made by Dagster itself, or by a Hunter that set no mark: what has been used is never dropped.
    used = any(name in present and _has_row(connection, name) for name in ("runs", "event_logs"))
    return "complete" if used else "broken off"


def _has_row(connection: Connection, source: str) -> bool:
    return connection.execute(text(f"SELECT 1 FROM {source} LIMIT 1")).first() is not None  # noqa: S608 - own literals


def _drop(engine: Engine) -> None:
    with engine.begin() as connection:
        for metadata in _METADATA:
            metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE IF EXISTS {_REVISION}"))


def _mark(connection: Connection) -> None:
    connection.execute(text("INSERT INTO kvs (key, value) VALUES (:key, 'complete')"), {"key": _MARK})


def describe_tables(url: str, state: State) -> str:
    """One line about the tables of a database."""
    return {
        "none": f"{describe(url)}: not made yet; the next `hunter sync` or `hunter dev` makes them",
        "complete": f"{describe(url)}: complete",
        "broken off": f"{describe(url)}: half made; the next `hunter sync` or `hunter dev` makes them again",
    }[state]
