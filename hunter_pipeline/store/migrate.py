"""Upgrade, downgrade and status of the database schema, through Alembic.

Belongs here: running revisions under a lock, so that two processes that start at once do not both create
tables. Does not belong here: the revisions themselves (`store/migrations/versions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from hunter_pipeline.store.engine import HUNTER_SETTING, connect_or_explain, make_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATION_LOCK = 0x48554E5445524D  # "HUNTERM"
"""Key of the PostgreSQL advisory lock that is held while revisions run."""

STAGE_LOCK = 0x48554E544552  # "HUNTER"
"""Key of the advisory lock that a stage holds: two runs may overlap, two stages never write at once, and none while
revisions run."""

REVISION = max(file.name.partition("_")[0] for file in Path(__file__).parent.glob("migrations/versions/[0-9]*.py"))
"""The newest revision of this version. Read when the process starts: an installation may replace the files under it."""

REVISION_NOW = "SELECT version_num FROM alembic_version"
"""The revision in the database, for `check_revision`."""


class SchemaError(ValueError):
    """A revision that was asked for cannot be reached."""


class SchemaNewer(RuntimeError):  # noqa: N818 - the name says what is the case
    """The tables were made by a newer version of Hunter, and only that one can take them back."""

    def __init__(self, status: SchemaStatus) -> None:
        super().__init__(
            f"the tables are at revision {status.current}, which this version does not know (its newest is "
            f"{status.head}): install the newer version again, or run `hunter db downgrade {status.head}` with it first"
        )


class SchemaMoved(RuntimeError):  # noqa: N818 - the name says what is the case
    """The tables were brought to another revision while this process ran."""


def check_revision(current: str) -> None:
    """Make sure that the tables are still those of this process, which may write to no others.

    Another version keeps in them what this one does not know: it would be wrong from then on, and be found by nobody.

    :param current: the revision in the database.
    :raises SchemaMoved: they are not.
    """
    if current != REVISION:
        raise SchemaMoved(
            f"the tables were brought to revision {current} while this process ran, which is of the version with"
            f" {REVISION}: nothing is written; start it again with the version that is installed now"
        )


@dataclass(frozen=True)
class SchemaStatus:
    """Where the schema stands.

    :param current: the revision in the database; None: no table yet.
    :param head: the newest revision that this version knows.
    :param known: whether this version knows the one in the database.
    """

    current: str | None
    head: str
    known: bool = True

    @property
    def up_to_date(self) -> bool:
        """Whether no revision is waiting."""
        return self.current == self.head


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the packaged revisions, on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str, revision: str = "head") -> SchemaStatus:
    """Bring the schema up to `revision`; a no-op when it is there already.

    :param url: database URL as `store.engine.normalize_url` returns it.
    :raises DatabaseUnavailable: the database does not answer.
    :raises SchemaNewer: a newer version made the tables.
    :raises SchemaError: there is no such revision on the way up.
    """
    from alembic import command

    return _run(url, revision, command.upgrade)


def downgrade(url: str, revision: str) -> SchemaStatus:
    """Take the schema back to `revision` (`base`: no table at all; rows are lost).

    :raises DatabaseUnavailable: the database does not answer.
    :raises SchemaNewer: a newer version made the tables.
    :raises SchemaError: there is no such revision on the way down.
    """
    from alembic import command

    return _run(url, revision, command.downgrade)


def status(url: str, setting: str = HUNTER_SETTING) -> SchemaStatus:
    """Read where the schema stands, without changing anything.

    :param setting: the variable that an error names.
    :raises DatabaseUnavailable: the database does not answer.
    """
    engine = make_engine(url)
    try:
        with connect_or_explain(engine, setting) as connection:
            return _status(connection)
    finally:
        engine.dispose()


def _status(connection: Connection) -> SchemaStatus:
    return status_of(connection, alembic_config())


def status_of(connection: Connection, config: Config) -> SchemaStatus:
    """Where the tables of one chain of revisions stand, Hunter's or another's.

    :param config: Alembic's, which says where the revisions are.
    """
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    assert head is not None
    current = MigrationContext.configure(connection).get_current_revision()
    known = current is None or current in {script.revision for script in scripts.walk_revisions()}
    return SchemaStatus(current, head, known)


def _run(url: str, revision: str, step: object) -> SchemaStatus:
    from alembic.util import CommandError

    assert callable(step)
    engine = make_engine(url)
    try:
        with connect_or_explain(engine) as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
            before = _status(connection)
            if not before.known:
                raise SchemaNewer(before)
            if revision != "head" or not before.up_to_date:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": STAGE_LOCK})
                connection.commit()
            try:
                step(alembic_config(connection), revision)
            except CommandError as error:
                raise SchemaError(
                    f"revision {revision!r} cannot be reached from {before.current or 'none'} ({error}); "
                    "`hunter db status` says where the tables stand"
                ) from error
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
            connection.commit()
            return _status(connection)
    finally:
        engine.dispose()
