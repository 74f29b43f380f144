"""`python -m benchmarks [names] [--quick]`: runs the benchmarks, each in a process of its own.

Belongs here: the choice of what runs. A process each keeps peak memory, environment and warm caches apart.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import warnings

from benchmarks.report import show
from hunter_pipeline.logs import configure_logging
from hunter_pipeline.settings import load_settings

NAMES = ("scoring", "scan", "sync", "fetch")


def main() -> int:
    """Run what was asked for; exit status 1 when a benchmark broke."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, each figure beside a peer.")
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the amount: a look, not a measurement")
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    if len(names) == 1:
        run_one(names[0], quick=arguments.quick)
        return 0
    options = ["--quick"] if arguments.quick else []
    ends = [subprocess.run([sys.executable, "-m", "benchmarks", name, *options], check=False) for name in names]
    return int(any(end.returncode for end in ends))


def run_one(name: str, *, quick: bool) -> None:
    """Run one benchmark in this process and print its rows."""
    warnings.filterwarnings("ignore", module="dagster")
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
    for variable in [variable for variable in os.environ if variable.startswith(("HUNTER_", "DAGSTER_"))]:
        del os.environ[variable]
    os.environ["HUNTER_ENV_FILE"] = os.devnull
    configure_logging(load_settings(log_level="ERROR"))
    module = importlib.import_module(f"benchmarks.{name}")
    show(module.TITLE, module.run(quick=quick))


if __name__ == "__main__":
    sys.exit(main())
