"""How many domains a second shards look up: on one and two Celery workers, and as two processes of one machine.

The peer is the stage in one process. All of it asks the same DNS server, which answers after 20 ms, at a pace that
bounds nobody. Counted is the time from the first shard's start to the last one's end, without planning and the start of
workers. Workers, DNS, PostgreSQL and Redis share the machine: two workers need more than two cores to be twice as fast.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy import Engine, text

from benchmarks.filled import add_companies
from benchmarks.report import Row, times
from benchmarks.servers import company_domains, dns_server, free_port
from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.home import prepare_dagster_home
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.runs.sync_request import SCAN_JOB
from hunter_pipeline.services import make_scan
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline.store.embedded.users import release_embedded

TITLE = "Spreading a scan over shards"
DOMAINS = 3000
DELAY = 0.020
SHARDS = 4
WORKER = [sys.executable, "-W", "ignore", "-c", "from hunter_pipeline.cli import main; main()", "worker"]
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
EMPTY = "TRUNCATE domain_signals, referral_lineage, scan_claims; UPDATE stage_state SET totals = NULL"
MARK = "INSERT INTO stage_queue SELECT 'domain_signals', domain FROM companies ON CONFLICT DO NOTHING"


def run(*, quick: bool) -> list[Row]:
    """Measure one process, then each way to spread the same domains."""
    number = DOMAINS // 10 if quick else DOMAINS
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hunter-bench-")))
        address, _ = stack.enter_context(dns_server(number, DELAY))
        os.environ.update(
            HUNTER_HOME=str(folder / "home"),
            HUNTER_DNS_SERVERS=address,
            HUNTER_DNS_QUERIES_PER_SECOND="1000000",
            HUNTER_DNS_MOST_QUERIES_PER_SECOND="1000000",
            HUNTER_SCAN_SHARD=str(number // SHARDS),
        )
        prepare_dagster_home(load_settings())
        engine = open_database(load_settings())
        stack.callback(release_embedded, folder / "home")
        stack.callback(engine.dispose)
        add_companies(engine, company_domains(number))
        alone = 0.0
        for turn in ("cold", "warm"):  # the DNS server is slower the first time
            _make_due(engine)
            started = time.perf_counter()
            scan_domains(StageContext(engine, turn), make_scan(load_settings()))
            alone = number / (time.perf_counter() - started)
        rows.append(Row(f"{number:,} domains in one process", f"{alone:,.0f} domains/s"))
        rate = _spread(engine, number, "multiprocess", 2)
        rows.append(Row("  two shards at a time, as processes", f"{rate:,.0f} domains/s", times(rate / alone)))
        if shutil.which("redis-server") is None:
            return [*rows, Row("  Celery workers", "not measured: apt-get install redis-server")]
        stack.enter_context(_redis(folder))
        for workers in (1, 2):
            with ExitStack() as running:
                for worker in range(workers):
                    running.enter_context(_process(WORKER, folder / f"worker-{workers}-{worker}.log", "ready."))
                rate = _spread(engine, number, "celery", workers)
            rows.append(Row(f"  Celery, workers: {workers}", f"{rate:,.0f} domains/s", times(rate / alone)))
    return rows


def scan_job() -> dg.JobDefinition:
    """The job, as each process of it makes it."""
    return build_defs(load_settings()).resolve_job_def(SCAN_JOB)


def _spread(engine: Engine, number: int, executor: str, shares: int) -> float:
    """Domains a second of one run, which looks all of them up."""
    _make_due(engine)
    os.environ.update(HUNTER_EXECUTOR=executor, HUNTER_SCAN_SHARES=str(shares))
    with (
        dg.DagsterInstance.get() as instance,
        dg.execute_job(dg.reconstructable(scan_job), instance, run_config=QUIET, raise_on_error=True) as result,
    ):
        shards = [
            record.timestamp
            for kind in (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS)
            for record in instance.all_logs(result.run_id, of_type=kind)
            if str(record.step_key).startswith("scan_shard[")
        ]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM domain_signals")).scalar_one() == number
    return number / (max(shards) - min(shards))


def _make_due(engine: Engine) -> None:
    """Have all domains looked up next."""
    with engine.begin() as connection:
        connection.execute(text(EMPTY))
        connection.execute(text(MARK))


@contextmanager
def _redis(folder: Path) -> Iterator[None]:
    port = str(free_port())
    os.environ["HUNTER_CELERY_URL"] = f"redis://127.0.0.1:{port}/0"
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with _process(command, folder / "redis.log", "Ready to accept connections"):
        yield


@contextmanager
def _process(command: list[str], log: Path, ready: str) -> Iterator[None]:
    """A process in a group of its own, until the block ends, once it has said that it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        while ready not in log.read_text("utf-8", "replace"):
            assert process.poll() is None, log.read_text("utf-8", "replace")[-2000:]
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
