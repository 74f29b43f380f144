"""How fast pages of referrals land in `partner_center_referrals_raw`, from the bytes of the answers.

Limit, in the same database in alternating passes: `json` and one `COPY` of all items into a bare table without an
index, in one transaction. Peer: dlt, flat (nothing below the first level becomes a table of its own), which loads the
same items. Hunter writes a transaction for each page, keeps each item's exact text, tells versions apart by their hash,
chooses the current one and writes lineage and the run's books.

dlt is no dependency. It is measured when it can be imported, or when BENCH_DLT names a Python that has it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.filled import database
from benchmarks.flow import PAYLOAD_BYTES, Pages, bodies
from benchmarks.report import Aim, Row, medians, times
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window

TITLE = f"Landing pages of referrals ({PAYLOAD_BYTES / 1000:.1f} KB each)"
PASSES = 3
HUNTER, COPY, DLT = "Hunter's fetch", "json and COPY into a bare table", "dlt, flat"
BARE = "CREATE TABLE bench_bare (referral_id text, payload jsonb)"
EMPTY = "TRUNCATE bench_bare, partner_center_referrals_raw, referral_lineage, sync_runs, sync_run_items, stage_queue"
LOADER = Path(__file__).with_name("dlt_load.py")

_runs = count(1)


def run(*, quick: bool) -> list[Row]:
    """Load the same answers with each contender, in turns."""
    number = 500 if quick else 5_000
    answers = bodies(range(number))
    passes: dict[str, list[float]] = defaultdict(list)
    with database() as engine, tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        with engine.begin() as connection:
            connection.execute(text(BARE))
        contenders: dict[str, Callable[[], float]] = {
            HUNTER: lambda: _timed(lambda: _hunter(engine, answers)),
            COPY: lambda: _timed(lambda: _copy(engine, answers)),
        }
        if (python := dlt_python()) is not None:
            contenders[DLT] = lambda: _dlt(python, engine, answers, Path(folder))
        for _ in range(1 if quick else PASSES):
            for who, work in contenders.items():
                with engine.begin() as connection:
                    connection.execute(text(EMPTY))
                passes[who].append(number / work())
    rates = medians(passes)
    ours = rates[HUNTER]
    of_copy = ours / rates[COPY]
    rows = [
        Row(HUNTER, f"{ours:,.0f} referrals/s", f"{times(of_copy)} of COPY", Aim(1, "landing, of COPY", of_copy, 0.4)),
        Row(f"  {COPY}", f"{rates[COPY]:,.0f} referrals/s"),
    ]
    if DLT not in rates:
        return [*rows, Row(f"  {DLT}", "not measured: dlt not installed")]
    of_dlt = ours / rates[DLT]
    told = f"Hunter {times(of_dlt)}"
    return [*rows, Row(f"  {DLT}", f"{rates[DLT]:,.0f} referrals/s", told, Aim(1, "landing, of dlt", of_dlt, 2.0))]


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _hunter(engine: Engine, answers: Sequence[bytes]) -> None:
    window = Window(FIRST_DAY, datetime.now(UTC).date())
    fetch_referrals(StageContext(engine, f"run-{next(_runs)}"), Pages(answers), window)


def _copy(engine: Engine, answers: Sequence[bytes]) -> None:
    lines = io.StringIO()
    for body in answers:
        for item in json.loads(body)["value"]:
            held = json.dumps(item).replace("\\", "\\\\")  # what COPY's text form asks for
            lines.write(f"{item['id']}\t{held}\n")
    lines.seek(0)
    with engine.begin() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.cursor().copy_expert("COPY bench_bare FROM STDIN", lines)


def dlt_python() -> str | None:
    """A Python that has dlt, if there is one."""
    for python in (os.environ.get("BENCH_DLT"), sys.executable):
        if python and subprocess.run([python, "-c", "import dlt"], check=False, capture_output=True).returncode == 0:
            return python
    return None


def _dlt(python: str, engine: Engine, answers: Sequence[bytes], folder: Path) -> float:
    pages = folder / "pages.jsonl"
    if not pages.exists():
        pages.write_bytes(b"\n".join(answers))
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        socket = driver.get_dsn_parameters()
    command = [python, str(LOADER), str(pages), json.dumps(socket), str(folder / f"dlt-{next(_runs)}")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"dlt could not load: {ended.stderr[-2000:]}")
    return float(ended.stdout.split()[-1])
