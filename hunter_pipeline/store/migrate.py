"""Upgrade, downgrade and status of the database schema, through Alembic.

Belongs here: running revisions under a lock, so that two processes that start at once do not both create
tables. Does not belong here: the revisions themselves (`store/migrations/versions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from hunter_pipeline.store.engine import connect_or_explain, make_engine

MIGRATION_LOCK = 0x48554E5445524D  # "HUNTERM"
"""Key of the PostgreSQL advisory lock that is held while revisions run."""


@dataclass(frozen=True)
class SchemaStatus:
    """Where the schema stands: the revision in the database (None: no table yet) and the newest one known."""

    current: str | None
    head: str

    @property
    def up_to_date(self) -> bool:
        """Whether no revision is waiting."""
        return self.current == self.head


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the packaged revisions, on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str, revision: str = "head") -> SchemaStatus:
    """Bring the schema up to `revision`; a no-op when it is there already.

    :param url: database URL as `store.engine.normalize_url` returns it.
    :raises DatabaseUnavailable: the database does not answer.
    """
    return _run(url, revision, command.upgrade)


def downgrade(url: str, revision: str) -> SchemaStatus:
    """Take the schema back to `revision` (`base`: no table at all; rows are lost).

    :raises DatabaseUnavailable: the database does not answer.
    """
    return _run(url, revision, command.downgrade)


def status(url: str) -> SchemaStatus:
    """Read where the schema stands, without changing anything.

    :raises DatabaseUnavailable: the database does not answer.
    """
    engine = make_engine(url)
    try:
        with connect_or_explain(engine) as connection:
            return _status(connection)
    finally:
        engine.dispose()


def _status(connection: Connection) -> SchemaStatus:
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return SchemaStatus(MigrationContext.configure(connection).get_current_revision(), head)


def _run(url: str, revision: str, step: object) -> SchemaStatus:
    assert callable(step)
    engine = make_engine(url)
    try:
        with connect_or_explain(engine) as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
            step(alembic_config(connection), revision)
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
            return _status(connection)
    finally:
        engine.dispose()
