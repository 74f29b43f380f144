"""What people and programs wait for in front of a full lead list: pages, the API, metrics, files.

Limit, in the same database in alternating passes: the statements of the same answer, sent one after the other over one
bare connection of the driver. They are taken down while the answer is made, so they are always those of today. The
server is `hunter web` in a process of its own; an answer's time is that of a reader on this machine, over a connection
that stays open. An export's limit is a COPY of the tables that it reads.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import requests
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from benchmarks.filled import full_home
from benchmarks.report import Aim, Row, percentile, times
from benchmarks.servers import free_port
from hunter_pipeline.settings import Settings, load_settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline.store.embedded.users import release_embedded
from hunter_pipeline.web.app import create_app

TITLE = "Reading with many leads"
LEAD = "company-00007.com"
QUESTIONS = {
    "API, list": "/api/leads",
    "API, search": "/api/leads?q=company+777",
    "API, sorted by score": "/api/leads?sort=-score",
    "API, one lead": f"/api/leads/{LEAD}",
    "page of the list": "/",
    "page of a lead": f"/leads/{LEAD}",
    "metrics": "/metrics",
}
WANTED_TIMES, WANTED_SECONDS, WANTED_PAGES, WANTED_FIRST = 3.0, 0.1, 40.0, 1.0
READERS = 8
FIRST = 1_000
"""Bytes of a file from which on it is taken to have begun."""

EXPORT = "COPY (SELECT * FROM companies c JOIN lead_scores s USING (domain)) TO STDOUT WITH CSV"

Statement = tuple[str, Any]


def run(*, quick: bool) -> list[Row]:
    """Ask each question and its bare statements in turns; then many readers at once; then the files."""
    count = 10_000 if quick else 100_000
    with full_home(count) as home:
        os.environ["HUNTER_HOME"] = str(home)
        settings = load_settings()
        engine = open_database(settings)
        try:
            with _server(home) as address:
                rows = _answers(settings, engine, address, 5 if quick else 25)
                rows.append(_many(address, 3 if quick else 8))
                rows += _files(engine, address)
        finally:
            engine.dispose()
            release_embedded(home)
    return [Row(f"With {count:,} leads", ""), *rows]


@contextmanager
def _server(home: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", "web", "--port", str(port)]
    environment = {**os.environ, "HUNTER_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                requests.get(f"{address}/healthz", timeout=10)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _answers(settings: Settings, engine: Engine, address: str, passes: int) -> list[Row]:
    taken = {name: _statements(settings, engine, path) for name, path in QUESTIONS.items()}
    answered: dict[str, list[float]] = defaultdict(list)
    bare: dict[str, list[float]] = defaultdict(list)
    with requests.Session() as session, engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        for number in range(passes + 1):
            for name, path in QUESTIONS.items():
                started = time.perf_counter()
                response = session.get(address + path, timeout=60)
                seconds = time.perf_counter() - started
                response.raise_for_status()
                started = time.perf_counter()
                _replay(driver, taken[name])
                if number:  # the first warms caches
                    answered[name].append(seconds)
                    bare[name].append(time.perf_counter() - started)
    rows = []
    for name in QUESTIONS:
        slow, limit = percentile(answered[name], 0.95), percentile(bare[name], 0.95)
        # Short of both is short of the larger share: three times the SQL, and a tenth of a second.
        found = max(slow / limit / WANTED_TIMES, slow / WANTED_SECONDS)
        figure = f"median {median(answered[name]) * 1000:.0f} ms, p95 {slow * 1000:.0f} ms"
        told = f"{times(slow / limit)} of its SQL ({limit * 1000:.0f} ms)"
        aim = Aim(7, f"{name}, p95 of 3x SQL and 100 ms", found, 1.0, at_most=True, unit=" of both")
        rows.append(Row(f"  {name}", figure, told, aim))
    return rows


def _statements(settings: Settings, engine: Engine, path: str) -> list[Statement]:
    """The statements that make an answer."""
    taken: list[Statement] = []

    def take(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        taken.append((statement, parameters))

    client = TestClient(create_app(settings, engine), base_url="http://127.0.0.1")
    client.get(path)
    event.listen(engine, "before_cursor_execute", take)
    try:
        client.get(path).raise_for_status()
    finally:
        event.remove(engine, "before_cursor_execute", take)
    return taken


def _replay(driver: Any, statements: Sequence[Statement]) -> None:
    with driver.cursor() as cursor:
        for statement, parameters in statements:
            cursor.execute(statement, parameters)
            if cursor.description:
                cursor.fetchall()
    driver.rollback()


def _many(address: str, seconds: int) -> Row:
    """How many pages eight readers get in a second."""
    end = time.perf_counter() + seconds

    def read(_: int) -> int:
        pages = 0
        with requests.Session() as session:
            while time.perf_counter() < end:
                session.get(address, timeout=60).raise_for_status()
                pages += 1
        return pages

    started = time.perf_counter()
    with ThreadPoolExecutor(READERS) as pool:
        pages = sum(pool.map(read, range(READERS)))
    rate = pages / (time.perf_counter() - started)
    aim = Aim(7, f"pages for {READERS} readers", rate, WANTED_PAGES, unit=" pages/s")
    return Row(f"  pages of the list for {READERS} readers at once", f"{rate:.0f} pages/s", "", aim)


def _files(engine: Engine, address: str) -> list[Row]:
    rows = []
    for form in ("csv", "xlsx"):
        started = time.perf_counter()
        with requests.get(f"{address}/api/leads?format={form}", stream=True, timeout=600) as response:
            pieces = response.iter_content(65536)
            came = 0
            while came < FIRST:  # a file's mark and header may come before any row
                came += len(next(pieces))
            first = time.perf_counter() - started
            for _ in pieces:
                pass
        whole = time.perf_counter() - started
        started = time.perf_counter()
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            with driver.cursor() as cursor:
                cursor.copy_expert(EXPORT, io.BytesIO())
        limit = time.perf_counter() - started
        aim = Aim(7, f"first rows of {form}", first, WANTED_FIRST, at_most=True, unit=" s")
        figure = f"first rows {first:.2f} s, all {whole:.1f} s"
        rows.append(Row(f"  export as {form}", figure, f"{times(whole / limit)} of a COPY ({limit:.1f} s)", aim))
    return rows
