"""The lead list reading through PgBouncer in transaction mode, where each transaction may get another session."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from starlette.testclient import TestClient

from hunter_pipeline.settings import Settings
from hunter_pipeline.store.database import SchemaOutdated, open_reading
from hunter_pipeline.store.engine import DatabaseUnavailable
from hunter_pipeline.web.app import create_app
from hunter_pipeline_tests.databases import fresh_database
from hunter_pipeline_tests.pipeline_runs import NOW
from hunter_pipeline_tests.web.serving import free_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="no pgbouncer here; `apt install pgbouncer` brings it")

CONFIGURATION = """
[databases]
* = host={folder} port={server_port} user={user} connect_query='SET TIME ZONE ''Asia/Tokyo'''
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
{account}
"""
"""Two sessions for everybody, and sessions that begin in another time zone than ours."""

READS = (
    "/",
    "/?sort=score&limit=5",
    "/leads/hostile-example.com",
    "/referrals",
    "/referrals?tab=all",
    "/referrals/FLAT-0002",
    "/api/leads?limit=7",
    "/api/leads?format=csv",
    "/api/leads/hostile-example.com",
    "/api/referrals",
    "/api/referrals/FLAT-0002",
    "/api/referrals/FLAT-0002/lineage",
    "/api/referrals/queue?tab=all",
    "/api/referrals/queue?tab=all&format=csv",
)


class Pooler:
    """A running PgBouncer in front of the test server.

    :param process: it runs in the foreground, so that its end is ours to decide.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def url(self, database: str | None) -> str:
        """Address of a database through it."""
        return f"postgresql://reader@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """End it, and wait."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def pooler(filled_engine: Engine, tmp_path: Path) -> Iterator[Pooler]:
    folder, port = str(filled_engine.url.query["host"]), free_port()
    # PgBouncer refuses to run as root; the account that owns the server's socket may reach it.
    account = f"user = {Path(folder).owner()}" if os.geteuid() == 0 else ""
    file = tmp_path / "pgbouncer.ini"
    file.write_text(
        CONFIGURATION.format(
            folder=folder,
            server_port=filled_engine.url.query.get("port", 5432),
            user=filled_engine.url.username,
            port=port,
            account=account,
        ),
        "utf-8",
    )
    log = tmp_path / "pgbouncer.log"
    with log.open("w") as lines:
        process = subprocess.Popen([str(PGBOUNCER), str(file)], stderr=lines)
    made = Pooler(process, port)
    try:
        while True:
            assert process.poll() is None, log.read_text("utf-8")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield made
    finally:
        made.stop()


@pytest.fixture
def reading(pooler: Pooler, filled_engine: Engine, make_settings: Callable[..., Settings]) -> Iterator[Engine]:
    engine = open_reading(make_settings(web_database_url=pooler.url(filled_engine.url.database)))
    yield engine
    engine.dispose()


def client_of(settings: Settings, engine: Engine, **more: Any) -> TestClient:
    # No cookie is kept: what a page marks as new rests on the requests before it.
    forgetful = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    app = create_app(settings, engine, clock=lambda: NOW, **more)
    return TestClient(app, base_url="http://127.0.0.1", cookies=forgetful)


def test_every_page_and_export_is_the_same_through_a_pooler_also_at_the_same_time(
    reading: Engine, filled_engine: Engine, make_settings: Callable[..., Settings]
):
    settings = make_settings()
    with client_of(settings, filled_engine) as direct:
        wanted = {path: direct.get(path) for path in READS}
    assert {path: answer.status_code for path, answer in wanted.items()} == dict.fromkeys(READS, 200)
    with client_of(settings, filled_engine, reading=reading) as pooled, ThreadPoolExecutor(6) as at_once:
        answers = list(at_once.map(lambda path: (path, pooled.get(path)), READS * 4))
        assert pooled.get("/api/leads?format=xlsx").content.startswith(b"PK")
        assert "hunter_database_up 1.0" in pooled.get("/metrics").text
        assert pooled.get("/healthz").json()["ready"] is True
    for path, answer in answers:
        assert answer.text == wanted[path].text, path


def test_what_changes_something_does_not_go_over_the_pooler(
    pooler: Pooler, reading: Engine, filled_engine: Engine, make_settings: Callable[..., Settings]
):
    key = Fernet.generate_key().decode()
    with client_of(make_settings(token_cache_key=key), filled_engine, reading=reading) as client:
        pooler.stop()
        for path in ("/api/leads", "/api/leads?format=csv", "/api/referrals", "/api/referrals/queue"):
            answer = client.get(path)
            assert (answer.status_code, "database" in answer.json()["detail"]) == (503, True), path
        assert client.get("/healthz").status_code == 503
        assert "hunter_database_up 0.0" in client.get("/metrics").text
        started = client.post("/api/referrals/sync", headers={"origin": "http://127.0.0.1"})
    assert started.status_code == 503
    assert "Dagster" in started.json()["detail"], "it got as far as asking Dagster, which is not there"


def test_an_address_that_leads_elsewhere_or_nowhere_is_refused_by_its_name(
    pooler: Pooler, pg_server_url: str, make_settings: Callable[..., Settings]
):
    with (
        fresh_database(pg_server_url, "template0") as name,
        pytest.raises(SchemaOutdated, match="HUNTER_WEB_DATABASE_URL leads"),
    ):
        open_reading(make_settings(web_database_url=pooler.url(name)))
    pooler.stop()
    with pytest.raises(DatabaseUnavailable, match="correct HUNTER_WEB_DATABASE_URL"):
        open_reading(make_settings(web_database_url=pooler.url("any")))
