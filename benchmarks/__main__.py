"""`python -m benchmarks [names] [--rows 3,10] [--quick] [--full] [--write FILE]`: each benchmark in its own process.

Belongs here: the choice of what runs, and where its result goes. A process each keeps peak memory, environment and warm
caches apart.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.filled import HOMES
from benchmarks.plot import draw
from benchmarks.report import load, read_rows, show, write_down, write_rows
from hunter_pipeline.logs import configure_logging
from hunter_pipeline.settings import load_settings

NAMES = {
    "landing": (1,),
    "one_by_one": (2,),
    "growth": (3,),
    "sync": (4, 9),
    "scan": (5,),
    "scoring": (6,),
    "reading": (7,),
    "start": (8,),
    "size": (10,),
    "stories": (11,),
    "fetch": (),
    "lists": (),
    "spread": (),
}
"""Every benchmark, with the rows of the table in `docs/performance.md` that it measures."""

BY_NAME = ("lists",)
"""Those that run only when they are asked for: they would take all the others beyond fifteen minutes."""

PICTURE = "images/performance.svg"
"""Where the plot is kept, as the document sees it."""


def main() -> int:
    """Run what was asked for; exit status 1 when a benchmark broke, 0 whatever the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, each figure beside a peer.")
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(NAMES)}; all but {', '.join(BY_NAME)} by default")
    parser.add_argument("--rows", type=_numbers, help="rows of the table in docs/performance.md, such as 3,10")
    parser.add_argument("--quick", action="store_true", help="a tenth of the amount: a look, not a measurement")
    parser.add_argument("--full", action="store_true", help="growth to 100,000 referrals as well (many minutes)")
    parser.add_argument("--write", type=Path, help="put table and plot into this document as well")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # a child's rows
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    measured = {number for numbers in NAMES.values() for number in numbers}
    if arguments.rows and (unknown_rows := arguments.rows - measured):
        parser.error(f"no benchmark for row {min(unknown_rows)}; there are {', '.join(map(str, sorted(measured)))}")
    if arguments.into:
        run_one(arguments.names[0], arguments.into, quick=arguments.quick, full=arguments.full)
        return 0
    wanted = arguments.names or set(NAMES) - set(BY_NAME)
    names = [
        name
        for name, numbers in NAMES.items()
        if name in wanted and (not arguments.rows or arguments.rows & set(numbers))
    ]
    options = [option for option in ("--quick", "--full") if getattr(arguments, option[2:])]
    return run_all(names, options, arguments.write)


def run_all(names: list[str], options: list[str], document: Path | None) -> int:
    """Run benchmarks one after the other and print one table of what they found."""
    found = {}
    took = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        environment = {**os.environ, HOMES: folder}
        for name in names:
            print(f"{time.monotonic() - began:4.0f} s: measuring {name} ...", file=sys.stderr, flush=True)
            into = Path(folder) / name
            command = [sys.executable, "-m", "benchmarks", name, *options, "--into", str(into)]
            started = time.monotonic()
            if subprocess.run(command, check=False, env=environment).returncode == 0:
                title, rows = read_rows(into)
                found[title] = rows
            took[name] = time.monotonic() - started
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    show(found)
    when = f"Measured on {datetime.now(UTC):%Y-%m-%d} in {minutes} min {seconds} s: {load()}."
    print(", ".join(f"{name} {each:.0f} s" for name, each in took.items()))
    print(when)
    if document:
        aims = [row.aim for rows in found.values() for row in rows if row.aim]
        (document.parent / PICTURE).write_text(draw(aims), encoding="utf-8")
        write_down(document, found, PICTURE, when)
    return int(len(found) < len(names))


def run_one(name: str, into: Path, *, quick: bool, full: bool) -> None:
    """Run one benchmark in this process and write its rows to a file."""
    warnings.filterwarnings("ignore", module="dagster")
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
    for variable in [variable for variable in os.environ if variable.startswith(("HUNTER_", "DAGSTER_"))]:
        del os.environ[variable]
    os.environ["HUNTER_ENV_FILE"] = os.devnull
    configure_logging(load_settings(log_level="ERROR"))
    module = importlib.import_module(f"benchmarks.{name}")
    further = {"full": True} if full and name == "growth" else {}
    write_rows(into, module.TITLE, module.run(quick=quick, **further))


def _numbers(value: str) -> set[int]:
    return {int(number) for number in value.split(",")}


if __name__ == "__main__":
    sys.exit(main())
