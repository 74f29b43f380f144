"""Fixtures of the web tests: one filled database for the session, settings, clients, a browser."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from sqlalchemy import Engine, create_engine, make_url, text
from starlette.testclient import TestClient

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.web.app import create_app
from hunter_pipeline_tests.pipeline_runs import NOW
from hunter_pipeline_tests.web.serving import chromium, fill, free_port

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="session")
def filled_engine(
    pg_server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A database that the pipeline filled from the sandbox; tests read it and change nothing."""
    name = f"web_{os.getpid()}"
    server = create_engine(pg_server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {migrated_template}"))
    server.dispose()
    engine = make_engine(make_url(pg_server_url).set(database=name).render_as_string(hide_password=False))
    folder = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as environment, Sandbox(directory=folder / "sandbox", first_start=NOW) as sandbox:
        for variable, value in sandbox.environment.items():
            environment.setenv(variable, value)
        fill(engine, sandbox, folder / "home")
    yield engine
    engine.dispose()


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of the web server: switched on, no token, a Dagster that is not there; arguments stand above these."""

    def make(**values: Any) -> Settings:
        defaults = {
            "home": tmp_path / "home",
            "partner_center_enabled": True,
            "dagster_url": f"http://127.0.0.1:{free_port()}",
        }
        return Settings(_env_file=None, **{**defaults, **values})

    return make


@pytest.fixture
def make_test_app(make_settings: Callable[..., Settings], filled_engine: Engine) -> Callable[..., FastAPI]:
    """The application on the filled database, its clock standing shortly after the sync."""

    def make(engine: Engine = filled_engine, **values: Any) -> FastAPI:
        return create_app(make_settings(**values), engine, clock=lambda: NOW, wrong_token_seconds=0)

    return make


@pytest.fixture
def client(make_test_app: Callable[..., FastAPI]) -> Iterator[TestClient]:
    """A client of the application without a token, under the name of this machine."""
    with TestClient(make_test_app(), base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, for one module only: while it lives, an event loop runs in this thread, and what calls
    `asyncio.run` (the scan) cannot."""
    with chromium() as browser:
        yield browser
