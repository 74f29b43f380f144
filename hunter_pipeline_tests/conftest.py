"""Fixtures that many tests share: a PostgreSQL server for the session, and a fresh migrated database for each test.

The server is the embedded one, in a directory of its own; nothing of the developer's HUNTER_HOME is touched. With
pytest-xdist each worker has its own server.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine

from hunter_pipeline.store.embedded.users import release_embedded, start_embedded
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline_tests.databases import administer, fresh_database, leave, url_of
from hunter_pipeline_tests.memory import write_in_memory
from hunter_pipeline_tests.sandbox_fixtures import empty, pipeline, sandbox
from hunter_pipeline_tests.synced_database import _newest_synced, _synced_engine, synced, synced_rows, synced_template

__all__ = [
    "_newest_synced",
    "_synced_engine",
    "empty",
    "pipeline",
    "sandbox",
    "synced",
    "synced_rows",
    "synced_template",
]

_TEMPLATE = "hunter_template"
_DAGSTER_TEMPLATE = "dagster_template"

# pytest-xdist gives its workers the width of a terminal that no test prints to; commands would fold their lines at it.
os.environ.pop("COLUMNS", None)

# What is imported stays: the collector would walk it again and again, an eighth of the tests' processor time.
gc.disable()

# Before pytest makes its first folder; its workers are started with the variable set.
_in_memory = write_in_memory()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    # Seven hundred new objects, after which it looks by itself, are one statement: that is a twentieth again.
    gc.set_threshold(100_000)
    gc.enable()


def pytest_sessionfinish(exitstatus: int) -> None:
    """What a failed run wrote stays to be looked at, until the next run."""
    if _in_memory and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(_in_memory, ignore_errors=True)


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    """A command in a test configures logging and sets variables for the whole process; the next test starts afresh."""
    before = dict(os.environ)
    yield
    structlog.reset_defaults()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def pg_server_url() -> Iterator[str]:
    """URL of the maintenance database of a server that lives as long as the session."""
    home = Path(tempfile.mkdtemp(prefix="hunter-test-"))
    url = start_embedded(home)
    # Tests need no data after a crash of the machine.
    careless = ("fsync", "synchronous_commit", "full_page_writes")
    administer(url, *(f"ALTER SYSTEM SET {name} = off" for name in careless), "SELECT pg_reload_conf()")
    yield url
    leave(url)
    release_embedded(home)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(pg_server_url: str) -> str:
    """Name of a database with the newest schema and no rows, to copy from."""
    # Imported here, so that tests without a database do not pay for Alembic.
    from hunter_pipeline.store.migrate import upgrade

    administer(pg_server_url, f"CREATE DATABASE {_TEMPLATE}")
    upgrade(url_of(pg_server_url, _TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def dagster_template(pg_server_url: str) -> str:
    """Name of a database with the tables of Dagster's storage and no rows, to copy from."""
    # Imported here, so that tests without Dagster do not pay for it.
    from hunter_pipeline.orchestration.storage_tables import ensure_tables

    administer(pg_server_url, f"CREATE DATABASE {_DAGSTER_TEMPLATE} TEMPLATE template0")
    ensure_tables(url_of(pg_server_url, _DAGSTER_TEMPLATE))
    return _DAGSTER_TEMPLATE


@pytest.fixture
def empty_database_url(pg_server_url: str) -> Iterator[str]:
    """URL of a database without any table, for one test."""
    with fresh_database(pg_server_url, "template0") as name:
        yield url_of(pg_server_url, name)


@pytest.fixture
def database_url(pg_server_url: str, migrated_template: str) -> Iterator[str]:
    """URL of a database with the newest schema and no rows, for one test."""
    with fresh_database(pg_server_url, migrated_template) as name:
        yield url_of(pg_server_url, name)


@pytest.fixture
def dagster_database_url(pg_server_url: str, dagster_template: str) -> Iterator[str]:
    """URL of a database with the tables of Dagster's storage and no rows, for one test."""
    with fresh_database(pg_server_url, dagster_template) as name:
        yield url_of(pg_server_url, name)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The product's engine on `database_url`."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()
