"""Fixtures for tests that begin after a whole sync of the samples; `conftest.py` imports them.

The sync runs once for all modules, and again when it has grown old. A test that works on one connection takes
`synced_rows` and breaks rows as it likes; one that runs Dagster takes `synced`, a database of its own.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline_tests.databases import fresh_database, url_of
from hunter_pipeline_tests.pipeline_runs import Pipeline

SYNCED_AGO = timedelta(minutes=10)
"""How long before the present the sync ran: no claim about hours is broken by it."""


FRESH_SECONDS = 600
"""For how long one sync serves the modules that ask for it; then its times are no longer as they should be."""


@contextlib.contextmanager
def _synced_database(server_url: str, template: str, folder: Path) -> Iterator[str]:
    with fresh_database(server_url, template) as name:
        engine = make_engine(url_of(server_url, name))
        with Sandbox(directory=folder / "sandbox") as running, pytest.MonkeyPatch.context() as monkeypatch:
            for variable, value in running.environment.items():
                monkeypatch.setenv(variable, value)
            monkeypatch.setenv("HUNTER_DNS_TIMEOUT", "1.5")
            monkeypatch.setenv("HUNTER_DNS_ATTEMPTS", "1")
            Pipeline(engine, folder, now=datetime.now(UTC) - SYNCED_AGO).sync()
        engine.dispose()
        yield name


@pytest.fixture(scope="session")
def _newest_synced(
    pg_server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    name, until = "", 0.0

    def current() -> str:
        nonlocal name, until
        if time.monotonic() > until:
            made = _synced_database(pg_server_url, migrated_template, tmp_path_factory.mktemp("synced"))
            name, until = stack.enter_context(made), time.monotonic() + FRESH_SECONDS
        return name

    with contextlib.ExitStack() as stack:
        yield current


@pytest.fixture(scope="module")
def synced_template(_newest_synced: Callable[[], str]) -> str:
    """Name of a database that holds what a sync of the samples wrote a little while ago, to copy from."""
    return _newest_synced()


@pytest.fixture(scope="module")
def _synced_engine(pg_server_url: str, synced_template: str) -> Iterator[Engine]:
    with fresh_database(pg_server_url, synced_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        yield engine
        engine.dispose()


@pytest.fixture
def synced_rows(_synced_engine: Engine) -> Iterator[Connection]:
    """A connection to a database as a sync left it; what the test does to it is rolled back."""
    with _synced_engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def synced(
    pg_server_url: str, synced_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """An engine on a database as a sync left it; the environment points the product at it."""
    with fresh_database(pg_server_url, synced_template) as name:
        url = url_of(pg_server_url, name)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HUNTER_HOME", str(tmp_path))
        monkeypatch.setenv("HUNTER_DATABASE_URL", url)
        engine = make_engine(url)
        yield engine
        engine.dispose()
