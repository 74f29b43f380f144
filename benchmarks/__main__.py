"""`python -m benchmarks [names] [--rows 3,10] [--quick] [--large]`: runs the benchmarks, each in a process of its own.

Belongs here: the choice of what runs. A process each keeps peak memory, environment and warm caches apart.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from benchmarks.report import read_rows, show, write_rows
from hunter_pipeline.logs import configure_logging
from hunter_pipeline.settings import load_settings

NAMES = {"growth": (3, 4), "sync": (4,), "scan": (5,), "scoring": (6,), "lists": (7,), "size": (10,), "fetch": ()}
"""Every benchmark, with the rows of the table in `docs/performance.md` that it measures."""


def main() -> int:
    """Run what was asked for; exit status 1 when a benchmark broke, 0 whatever the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, each figure beside a peer.")
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument("--rows", type=_numbers, help="rows of the table in docs/performance.md, such as 3,10")
    parser.add_argument("--quick", action="store_true", help="a tenth of the amount: a look, not a measurement")
    parser.add_argument("--large", action="store_true", help="growth to 100,000 referrals as well (many minutes)")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # a child's rows
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    measured = {number for numbers in NAMES.values() for number in numbers}
    if arguments.rows and (unknown_rows := arguments.rows - measured):
        parser.error(f"no benchmark for row {min(unknown_rows)}; there are {', '.join(map(str, sorted(measured)))}")
    if arguments.into:
        run_one(arguments.names[0], arguments.into, quick=arguments.quick, large=arguments.large)
        return 0
    names = [
        name
        for name, numbers in NAMES.items()
        if name in (arguments.names or NAMES) and (not arguments.rows or arguments.rows & set(numbers))
    ]
    options = [option for option in ("--quick", "--large") if getattr(arguments, option[2:])]
    return run_all(names, options)


def run_all(names: list[str], options: list[str]) -> int:
    """Run benchmarks one after the other and print one table of what they found."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            into = Path(folder) / name
            command = [sys.executable, "-m", "benchmarks", name, *options, "--into", str(into)]
            if subprocess.run(command, check=False).returncode == 0:
                title, rows = read_rows(into)
                found[title] = rows
    show(found)
    return int(len(found) < len(names))


def run_one(name: str, into: Path, *, quick: bool, large: bool) -> None:
    """Run one benchmark in this process and write its rows to a file."""
    warnings.filterwarnings("ignore", module="dagster")
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
    for variable in [variable for variable in os.environ if variable.startswith(("HUNTER_", "DAGSTER_"))]:
        del os.environ[variable]
    os.environ["HUNTER_ENV_FILE"] = os.devnull
    configure_logging(load_settings(log_level="ERROR"))
    module = importlib.import_module(f"benchmarks.{name}")
    further = {"large": True} if large and name == "growth" else {}
    write_rows(into, module.TITLE, module.run(quick=quick, **further))


def _numbers(value: str) -> set[int]:
    return {int(number) for number in value.split(",")}


if __name__ == "__main__":
    sys.exit(main())
