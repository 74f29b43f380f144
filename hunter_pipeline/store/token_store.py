"""The token cache's row: one ciphertext, held by one process at a time.

Belongs here: reading, locking and writing the bytes. Does not belong here: encryption and what the bytes
mean (hunter_pipeline.partner_center.token_cache); nothing in the database can read them. The lock is
held in a transaction while a token is renewed, so that no other process renews from what is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from hunter_pipeline.store.engine import connect_or_explain
from hunter_pipeline.store.tables import token_cache

LOCK_SECONDS = 120.0
"""How long to wait for another process: more than a renewal with its time-outs takes."""

_LOCK_NOT_AVAILABLE = "55P03"


class _Row:
    """The row, while the transaction of `connection` holds its lock."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def read(self) -> bytes | None:
        """The stored bytes, None when there is no row."""
        row = self._connection.execute(select(token_cache.c.ciphertext).where(token_cache.c.name == self._name)).first()
        return None if row is None else bytes(row.ciphertext)

    def write(self, data: bytes) -> None:
        """Replace the bytes."""
        statement = insert(token_cache).values(name=self._name, ciphertext=data, updated_at=func.now())
        changed = {"ciphertext": statement.excluded.ciphertext, "updated_at": statement.excluded.updated_at}
        self._connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))

    def delete(self) -> None:
        """Remove the row."""
        self._connection.execute(delete(token_cache).where(token_cache.c.name == self._name))


class DatabaseBlobStore:
    """Bytes in one row of `token_cache`.

    :param engine: Hunter's database, migrated.
    :param name: which row.
    :param lock_seconds: how long to wait for another process.
    """

    def __init__(self, engine: Engine, *, name: str = "partner_center", lock_seconds: float = LOCK_SECONDS) -> None:
        self._engine = engine
        self._name = name
        self._lock_seconds = lock_seconds

    def read(self) -> bytes | None:
        """The bytes as last committed, without waiting for a lock.

        :raises DatabaseUnavailable: the database cannot be reached.
        """
        with connect_or_explain(self._engine) as connection:
            return _Row(connection, self._name).read()

    @contextmanager
    def locked(self) -> Iterator[_Row]:
        """Hold the row in one transaction, committed when the block ends well and rolled back when it does not.

        :raises TimeoutError: another process held it for too long.
        :raises DatabaseUnavailable: the database cannot be reached, or goes away meanwhile.
        """
        with connect_or_explain(self._engine) as connection, connection.begin():
            connection.execute(
                text(
                    "SELECT set_config('lock_timeout', :wait, true),"
                    # A server may end transactions that wait for something else, as this one does for Microsoft.
                    " set_config('idle_in_transaction_session_timeout', '0', true)"
                ),
                {"wait": f"{int(self._lock_seconds * 1000)}ms"},
            )
            try:
                # An advisory lock, since there may be no row yet to lock.
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
                    {"name": f"hunter.token_cache.{self._name}"},
                )
            except OperationalError as error:
                if getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
                    raise TimeoutError from None
                raise
            yield _Row(connection, self._name)
