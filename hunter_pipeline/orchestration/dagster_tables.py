"""Dagster's home and tables as a server needs them: there, and of the version that is installed.

Belongs here: telling tables that an older or newer Dagster made, and bringing older ones up to date. Does not belong
here: making them in the first place (`storage_tables`). Dagster itself only says so when a query breaks.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster_postgres import run_storage
from dagster_postgres.utils import pg_alembic_config
from sqlalchemy import text

from hunter_pipeline.orchestration.home import prepare_dagster_home
from hunter_pipeline.orchestration.storage_tables import LOCK, ensure_tables
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.database import SchemaOutdated, urls_of
from hunter_pipeline.store.engine import connect_or_explain, describe, make_engine
from hunter_pipeline.store.migrate import SchemaStatus, status_of


def read_revision(url: str) -> SchemaStatus:
    """Where the tables in Dagster's database stand; nothing is changed.

    :param url: address of Dagster's database with complete tables.
    """
    engine = make_engine(url, pool_size=2)
    try:
        with connect_or_explain(engine) as connection:
            return status_of(connection, pg_alembic_config(run_storage.__file__))
    finally:
        engine.dispose()


def prepare_dagster(settings: Settings) -> Path:
    """The home of Dagster's instance, whose tables are there and up to date.

    Embedded tables are brought up to date by this; those of a configured server are not touched.

    :raises SchemaOutdated: the configured server's tables are not those of the installed Dagster.
    :raises DatabaseUnavailable: the database does not answer.
    """
    home = prepare_dagster_home(settings)
    url = urls_of(settings).dagster
    ensure_tables(url)
    revision = read_revision(url)
    if revision.up_to_date:
        return home
    if settings.database_url is None and settings.dagster_database_url is None and revision.known:
        upgrade_dagster(settings)
        return home
    fix = "run `hunter db upgrade`" if revision.known else "install the newer version again"
    raise SchemaOutdated(
        f"Dagster's tables in {describe(url)} are at revision {revision.current or 'none'}, "
        f"this version needs {revision.head}; {fix}"
    )


def upgrade_dagster(settings: Settings) -> SchemaStatus:
    """Make Dagster's tables or bring them up to date; safe to repeat, and by several processes at once.

    :raises SchemaOutdated: a newer Dagster made them.
    """
    prepare_dagster_home(settings)
    url = urls_of(settings).dagster
    ensure_tables(url)
    engine = make_engine(url, pool_size=2)
    try:
        with connect_or_explain(engine) as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
            connection.commit()
            revision = read_revision(url)
            if not revision.known:
                raise SchemaOutdated(
                    f"Dagster's tables in {describe(url)} are at revision {revision.current}, which this version does "
                    "not know; install the newer version again"
                )
            if not revision.up_to_date:
                with dg.DagsterInstance.get() as instance:
                    instance.upgrade()
            return read_revision(url)
    finally:
        engine.dispose()  # lets go of the lock
