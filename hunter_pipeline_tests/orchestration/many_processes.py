"""The product as processes of their own, as on several machines: broker, workers, code servers, daemon.

Belongs here: starting them, and ending all that they started. Does not belong here: what is expected of them.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine, text

from hunter_pipeline.settings import load_settings
from hunter_pipeline_tests.orchestration.dagster_ui import HUNTER, PATIENT, RUN_SECONDS, wait_for
from hunter_pipeline_tests.web.serving import free_port

PASSWORD = "rredis"
SESSIONS = text(
    "SELECT application_name, datname, count(*) AS sessions FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND datname = ANY(:databases) GROUP BY 1, 2"
)
MODULE = ("-m", "hunter_pipeline.definitions")


def broker_url() -> str:
    """An address at which `redis` can serve."""
    return f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"


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
def watched_sessions(url: str, *databases: str) -> Iterator[dict[tuple[str, str], int]]:
    """The most sessions that all processes of a kind have held at once until now, by their name and the database."""
    most: dict[tuple[str, str], int] = {}
    over = threading.Event()
    engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def watch() -> None:
        with engine.connect() as connection:
            while not over.wait(0.1):
                for row in connection.execute(SESSIONS, {"databases": list(databases)}):
                    kind = (row.application_name, row.datname)
                    most[kind] = max(most.get(kind, 0), row.sessions)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()
        engine.dispose()


def stated_bounds() -> dict[str, tuple[int, int]]:
    """By the name of a process's sessions the most that docs/operations.md says it holds to Hunter's and Dagster's."""
    told = Path(__file__).parents[2].joinpath("docs/operations.md").read_text("utf-8")
    row = r"^\|[^|]*\| `(hunter [a-z]+)` \|[^|]*\| (\d+|none) \|[^|]*\| (\d+|none) \|$"
    rows = re.findall(row, told, re.MULTILINE)
    return {name: (int(own.replace("none", "0")), int(dagsters.replace("none", "0"))) for name, own, dagsters in rows}


@contextlib.contextmanager
def daemon_and_code(folder: Path, *locations: str) -> Iterator[dict[str, str]]:
    """A code server for each location, and a daemon that loads its definitions from them; gives their environment."""
    home = folder / "dagster-home"
    home.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", home)
    ports = {location: free_port() for location in locations}
    (home / "workspace.yaml").write_text(
        "load_from:\n"
        + "".join(
            f"  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {location}}}\n"
            for location, port in ports.items()
        )
    )
    where = {"HUNTER_HOME": str(folder / "home"), "DAGSTER_HOME": str(home), **PATIENT, "PYTHONWARNINGS": "ignore"}
    with contextlib.ExitStack() as stack:
        for location, port in ports.items():
            code = ("-m", "dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port), *MODULE)
            serving = stack.enter_context(process(location, folder, sys.executable, *code, **where))
            said(folder, location, "Started Dagster code server", serving)
        running = stack.enter_context(process("daemon", folder, *HUNTER, "daemon", **where))
        said(folder, "daemon", "Daemon: schedules, sensors and the queue of runs", running)
        yield where
