"""Signs of life: what tells a run that is at work from one whose process is gone.

Belongs here: an advisory lock that a run's process holds from before it counts as started until it has ended.
PostgreSQL frees it when the process dies, on whichever machine that was, which no entry of Dagster's tells: its default
launcher keeps no process id. Does not belong here: what is done about a dead run.
"""

from __future__ import annotations

import hashlib
import threading

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

_held: dict[str, Connection] = {}
_mutex = threading.Lock()


def show_sign(engine: Engine, run_id: str) -> None:
    """Hold the sign of a run until the process ends or `drop_sign` is called. Safe to repeat.

    It takes a connection of its own, as the lock belongs to the session.
    """
    with _mutex:
        if run_id in _held:
            return
        connection = engine.connect()
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": sign_key(run_id)})
        connection.commit()
        _held[run_id] = connection


def renew_sign(run_id: str) -> None:
    """Take the sign of a run again that this process showed and a restart of the database took away."""
    with _mutex:
        connection = _held.get(run_id)
        if connection is None:
            return
        try:
            connection.execute(text("SELECT 1"))
            connection.commit()
            return
        except DBAPIError:
            engine = connection.engine
            connection.invalidate()
            connection.close()
            del _held[run_id]
    show_sign(engine, run_id)


def drop_sign(run_id: str) -> None:
    """Let go of the sign of a run that ends before its process does."""
    with _mutex:
        connection = _held.pop(run_id, None)
    if connection is not None:
        # Closed for good, not handed back to the pool: that frees the lock also when the session is broken.
        connection.invalidate()
        connection.close()


def shows_sign(connection: Connection, run_id: str) -> bool:
    """Whether a process somewhere holds the sign of a run."""
    key = {"key": sign_key(run_id)}
    free = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one()
    if free:
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
    connection.commit()
    return not free


def sign_key(run_id: str) -> int:
    """The key of a run's advisory lock."""
    return int.from_bytes(hashlib.sha256(f"run {run_id}".encode()).digest()[:8], signed=True)
