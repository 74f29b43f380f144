"""What every stage is given and what it gives back.

Belongs here: the context (database, run, clock, progress), the report, and the lock that keeps two runs out
of one stage. Does not belong here: anything a single stage needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import MultiFernet
from sqlalchemy import Connection, Engine, Row, text

from hunter_pipeline.store.migrate import REVISION_NOW, STAGE_LOCK, check_revision

FETCH_LOCK = 0x48554E544553
"""Key of the advisory lock that a fetch holds beside it: it lets go of the stage lock while it waits for the API."""

LOCK_WAIT_SECONDS = 600
"""How long a stage waits for another run's stage; longer than any stage takes in a ten-minute rhythm."""

FIRST_RETRY = timedelta(minutes=10)
LAST_RETRY = timedelta(days=1)

BATCH = 500
"""Rows in one upsert statement and transaction: large enough to be set-based, small enough to stay flat in memory."""


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after so many failures in a row: ten minutes, doubled up to a day."""
    return min(FIRST_RETRY * (1 << min(attempts - 1, 10)), LAST_RETRY)


def utc_now() -> datetime:
    """The present, with time zone; the default clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class StageContext:
    """The surroundings of one stage in one run.

    :param engine: the Hunter database.
    :param run_id: Dagster's run id, written on every row.
    :param clock: gives the present, aware UTC.
    :param progress: takes a line for the operator, free of personal data.
    :param force: process again what the run's fetch saw, even if nothing changed.
    :param lock_wait: seconds to wait for another run's stage.
    :param keys: gives the keys under which that of the erasures is encrypted; without it a fetch is refused once
        something was erased.
    """

    engine: Engine
    run_id: str
    clock: Callable[[], datetime] = utc_now
    progress: Callable[[str], None] = field(default=lambda _: None)
    force: bool = False
    lock_wait: int = LOCK_WAIT_SECONDS
    keys: Callable[[], MultiFernet] | None = None

    @contextmanager
    def stage(self) -> Iterator[Connection]:
        """A connection for one stage, holding the stage lock until the block ends.

        The caller commits batch by batch. The lock belongs to the session, so a killed process frees it.

        :raises TimeoutError: another run's stage held the lock for `lock_wait`.
        :raises SchemaMoved: the tables are not those of this process any more.
        """
        with self.alone(STAGE_LOCK) as connection:
            yield connection

    @contextmanager
    def alone(self, key: int) -> Iterator[Connection]:
        """A connection that holds the advisory lock `key` until the block ends, with no transaction open.

        :raises TimeoutError: another run held the lock for `lock_wait`.
        :raises SchemaMoved: the tables are not those of this process any more.
        """
        with self.engine.connect() as connection:
            limit = f"SET lock_timeout = '{self.lock_wait}s'"
            locked = f"{limit}; SELECT pg_advisory_lock(:key); SET lock_timeout = 0; {REVISION_NOW}"
            try:  # one message to the server for all of it
                revision: str = connection.execute(text(locked), {"key": key}).scalar_one()
                connection.commit()
            except Exception as error:
                connection.rollback()
                if getattr(getattr(error, "orig", None), "pgcode", None) == "55P03":
                    raise TimeoutError(
                        f"another run has been writing for {self.lock_wait} s; look for it in the Dagster UI "
                        "under Runs and terminate it if it hangs"
                    ) from error
                raise
            try:
                check_revision(revision)
                yield connection
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
                connection.commit()

    def batches(self, connection: Connection, query: str, **parameters: object) -> Iterator[Sequence[Row[Any]]]:
        """Rows of a stage that are still to do, `BATCH` at a time; memory stays flat.

        :param query: selects `raw_id` and what else the stage needs, in order of `raw_id`, with the parameters
            `:after` and `:limit`, and `:force` and `:run` for what a forced run takes as well.
        """
        after = 0
        fixed = {**parameters, "force": self.force, "run": self.run_id, "limit": BATCH}
        while batch := connection.execute(text(query), {**fixed, "after": after}).all():
            after = batch[-1].raw_id
            yield batch


@dataclass(frozen=True)
class StageReport:
    """What a stage did.

    :param counts: how many of what, by plain names; they become Dagster metadata and are plotted over time.
    :param groups: counts by a closed list of names, such as skipped by reason.
    :param seen: items of its queue that the stage looked at; None when that was everything, or too many to keep.
    """

    counts: Mapping[str, int]
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seen: Sequence[str] | None = None
