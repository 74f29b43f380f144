"""A scan on two Celery workers, of which one, or their broker, is killed in the middle: the rows of one process.

Redis, PostgreSQL, code server, daemon and workers are processes of their own; the daemon's sensor asks for the run.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
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
from hunter_pipeline_tests.orchestration.dagster_ui import RUN_SECONDS, wait_for
from hunter_pipeline_tests.orchestration.many_processes import PASSWORD, broker_url, daemon_and_code, redis, worker
from hunter_pipeline_tests.spread_scans import CountedZone, content, differences, make_companies

NUMBER = 2000
SHARD = 200
PACE = 400.0
"""Questions a second that the resolver gets from all together."""

SPAN = 8.0
"""Seconds over which the pace is told. A resolver's process that stands still for a moment reads at once what came in
meanwhile; without shares twice as many questions would come all the time."""

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (apt-get install redis-server)"
)


@pytest.fixture
def resolver(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedZone]:
    """The DNS of the companies, and settings that have workers ask it."""
    with CountedZone(NUMBER) as server:
        for name, value in {
            "EXECUTOR": "celery",
            "CELERY_URL": broker_url(),
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


def domains_written(engine: Engine) -> int:
    with engine.connect() as connection:
        number: int = connection.execute(text("SELECT count(*) FROM domain_signals")).scalar_one()
    return number


@pytest.fixture
def alone(
    resolver: CountedZone, pg_server_url: str, migrated_template: str
) -> Callable[[int], dict[str, list[object]]]:
    """What one process makes of so many of the companies; the resolver forgets that it was asked."""

    def scan(number: int) -> dict[str, list[object]]:
        with fresh_database(pg_server_url, migrated_template) as name:
            engine = make_engine(url_of(pg_server_url, name))
            try:
                make_companies(engine, number)
                settings = load_settings(dns_most_queries_per_second=3000, dns_queries_per_second=3000)
                scan_domains(StageContext(engine, "alone"), make_scan(settings))
                return content(engine)
            finally:
                engine.dispose()
                resolver.times.clear()

    return scan


def run_state(instance: dg.DagsterInstance) -> Mapping[str, str]:
    return {run.run_id: run.status.value for run in instance.get_runs(dg.RunsFilter(job_name=SCAN_JOB))}


def under_way(instance: dg.DagsterInstance) -> bool:
    return bool({"STARTED", "STARTING", "QUEUED"} & {*run_state(instance).values()})


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
    alone: Callable[[int], dict[str, list[object]]],
    engine: Engine,
    tmp_path: Path,
):
    expected = alone(NUMBER)
    make_companies(engine, NUMBER)
    offer_due(StageContext(engine, "sync"))
    with (
        redis(tmp_path),
        worker("first", tmp_path) as first,
        worker("second", tmp_path) as second,
        daemon_and_code(tmp_path, "hunter"),
    ):
        wait_for(lambda: claimed_by(engine) == 2 and domains_written(engine) > SHARD, RUN_SECONDS)
        os.killpg(second.pid, signal.SIGKILL)
        killed_at = domains_written(engine)
        with worker("third", tmp_path):
            wait_for(lambda: not under_way(instance), RUN_SECONDS)
        first.send_signal(signal.SIGTERM)
        assert first.wait() == 0, "a worker that is told to end does so in order"
    assert list(run_state(instance).values()) == ["SUCCESS"], (tmp_path / "first.log").read_text()[-3000:]
    assert 0 < killed_at < NUMBER
    assert differences(content(engine), expected) == []
    assert resolver.most_within(SPAN) / SPAN < 1.25 * PACE
    with instance.run_storage.connect() as connection:
        for table in ("runs", "run_tags", "event_logs"):
            query = text(f"SELECT count(*) FROM {table} t WHERE CAST(t AS text) LIKE :secret")
            assert connection.execute(query, {"secret": f"%{PASSWORD}%"}).scalar_one() == 0


@pytest.mark.timeout(2 * RUN_SECONDS)
def test_a_broker_that_comes_back_empty_costs_a_run_and_no_domain(
    instance: dg.DagsterInstance, alone: Callable[[int], dict[str, list[object]]], engine: Engine, tmp_path: Path
):
    number = 3 * NUMBER // 4  # so that more than a shard is left, which alone is scanned by a run of its own
    expected = alone(number)
    make_companies(engine, number)
    offer_due(StageContext(engine, "sync"))
    with worker("first", tmp_path) as first, worker("second", tmp_path), daemon_and_code(tmp_path, "hunter"):
        with redis(tmp_path):
            wait_for(lambda: domains_written(engine) > 0, RUN_SECONDS)
        wrote = domains_written(engine)
        wait_for(lambda: not under_way(instance), RUN_SECONDS)
        with redis(tmp_path):
            wait_for(lambda: domains_written(engine) == number and not under_way(instance), RUN_SECONDS)
        first.send_signal(signal.SIGTERM)
        assert first.wait() == 0, "a worker whose broker is away ends in order, too"
    assert 0 < wrote < number
    last, *before = run_state(instance).values()  # newest first
    assert (last, {*before}) == ("SUCCESS", {"FAILURE"})
    assert differences(content(engine), expected) == []
