"""A scan on two Celery workers, one of which is killed in the middle: the rows of one process, and the pace of one.

Redis, PostgreSQL, code server, daemon and workers are processes of their own; the daemon's sensor asks for the run.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.runs.sync_request import SCAN_JOB
from hunter_pipeline.services import make_scan
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.upkeep.shards import offer_due
from hunter_pipeline_tests.databases import fresh_database, url_of
from hunter_pipeline_tests.orchestration.dagster_ui import HUNTER, PATIENT, RUN_SECONDS, wait_for
from hunter_pipeline_tests.spread_scans import CountedZone, content, differences, make_companies
from hunter_pipeline_tests.web.serving import free_port

NUMBER = 2000
SHARD = 200
PACE = 400.0
"""Questions a second that the resolver gets from all together."""

SPAN = 8.0
"""Seconds over which the pace is told. A resolver's process that stands still for a moment reads at once what came in
meanwhile; without shares twice as many questions would come all the time."""

PASSWORD = "rredis"

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (apt-get install redis-server)"
)


@contextlib.contextmanager
def process(name: str, folder: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own until the block ends; its output is in a file of its name."""
    with (folder / f"{name}.log").open("wb") as output:
        started = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield started
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(20)


def said(folder: Path, name: str, words: str, running: subprocess.Popen[bytes]) -> None:
    """Wait for words of a process."""

    def found() -> bool:
        text_ = (folder / f"{name}.log").read_text("utf-8", "replace")
        assert running.poll() is None, text_[-3000:]
        return words in text_

    wait_for(found, RUN_SECONDS)


@pytest.fixture
def resolver(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedZone]:
    """The DNS of the companies, and settings that have workers ask it."""
    with CountedZone(NUMBER) as server:
        for name, value in {
            "EXECUTOR": "celery",
            "CELERY_URL": f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0",
            "SCAN_SHARD": str(SHARD),
            "SCAN_SHARES": "2",
            "SCAN_CLAIM_SECONDS": "10",
            "DNS_SERVERS": server.address,
            "DNS_ATTEMPTS": "1",
            "DNS_TIMEOUT": "60",
            "DNS_QUERIES_PER_SECOND": str(PACE),
            "DNS_MOST_QUERIES_PER_SECOND": str(PACE),
            "PARTNER_CENTER_SYNC_INTERVAL": "86400",
        }.items():
            monkeypatch.setenv(f"HUNTER_{name}", value)
        yield server


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[None]:
    """The broker at HUNTER_CELERY_URL."""
    port = load_settings().celery_url.get_secret_value().rpartition(":")[2].partition("/")[0]  # type: ignore[union-attr]
    options = ("--port", port, "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "", "--dir", str(folder))
    with process("redis", folder, "redis-server", *options) as running:
        said(folder, "redis", "Ready to accept connections", running)
        yield


@contextlib.contextmanager
def worker(name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with process(name, folder, *HUNTER, "worker", HUNTER_HOME=str(folder / name), DAGSTER_HOME="") as running:
        yield running


@contextlib.contextmanager
def daemon_and_code(folder: Path) -> Iterator[None]:
    """A code server, and a daemon that loads its definitions from there."""
    port = str(free_port())
    home = folder / "daemon" / "dagster"
    home.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", home)
    (home / "workspace.yaml").write_text(
        f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: hunter}}\n"
    )
    code = ("-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", port, "-m", "hunter_pipeline.definitions")
    where = {"HUNTER_HOME": str(folder / "daemon"), "DAGSTER_HOME": str(home), **PATIENT, "PYTHONWARNINGS": "ignore"}
    with (
        process("code", folder, sys.executable, *code, **where) as serving,
        process("daemon", folder, *HUNTER, "daemon", **where) as running,
    ):
        said(folder, "code", "Started Dagster code server", serving)
        said(folder, "daemon", "Instance is configured with the following daemons", running)
        yield


def domains_written(engine: Engine) -> int:
    with engine.connect() as connection:
        number: int = connection.execute(text("SELECT count(*) FROM domain_signals")).scalar_one()
    return number


def alone(pg_server_url: str, migrated_template: str) -> dict[str, list[object]]:
    """What one process makes of the same companies."""
    with fresh_database(pg_server_url, migrated_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        try:
            make_companies(engine, NUMBER)
            settings = load_settings(dns_most_queries_per_second=3000, dns_queries_per_second=3000)
            scan_domains(StageContext(engine, "alone"), make_scan(settings))
            return content(engine)
        finally:
            engine.dispose()


def run_state(instance: dg.DagsterInstance) -> Mapping[str, str]:
    return {run.run_id: run.status.value for run in instance.get_runs(dg.RunsFilter(job_name=SCAN_JOB))}


def claimed_by(engine: Engine) -> int:
    """Shards that hold domains now."""
    with engine.connect() as connection:
        return int(
            connection.execute(
                text("SELECT count(DISTINCT owner) FROM scan_claims WHERE claimed_until > clock_timestamp()")
            ).scalar_one()
        )


@pytest.mark.timeout(RUN_SECONDS)
def test_two_workers_of_which_one_is_killed_write_what_one_process_writes_at_the_pace_of_one(
    instance: dg.DagsterInstance,
    resolver: CountedZone,
    engine: Engine,
    tmp_path: Path,
    pg_server_url: str,
    migrated_template: str,
):
    expected = alone(pg_server_url, migrated_template)
    resolver.times.clear()
    make_companies(engine, NUMBER)
    offer_due(StageContext(engine, "sync"))
    with redis(tmp_path), worker("first", tmp_path), worker("second", tmp_path) as second, daemon_and_code(tmp_path):
        wait_for(lambda: claimed_by(engine) == 2 and domains_written(engine) > SHARD, RUN_SECONDS)
        os.killpg(second.pid, signal.SIGKILL)
        killed_at = domains_written(engine)
        with worker("third", tmp_path):
            wait_for(lambda: not {"STARTED", "STARTING", "QUEUED"} & {*run_state(instance).values()}, RUN_SECONDS)
    assert list(run_state(instance).values()) == ["SUCCESS"], (tmp_path / "first.log").read_text()[-3000:]
    assert 0 < killed_at < NUMBER
    assert differences(content(engine), expected) == []
    assert resolver.most_within(SPAN) / SPAN < 1.25 * PACE
    with instance.run_storage.connect() as connection:
        for table in ("runs", "run_tags", "event_logs"):
            query = text(f"SELECT count(*) FROM {table} t WHERE CAST(t AS text) LIKE :secret")
            assert connection.execute(query, {"secret": f"%{PASSWORD}%"}).scalar_one() == 0
