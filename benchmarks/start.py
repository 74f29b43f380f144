"""How long commands take to start.

Limit: `import dagster` in a fresh process, in alternating passes; the figures are medians. The demo is the whole
product on sample data, from an empty HUNTER_HOME to the printed list, and has a time for its aim.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.report import Aim, Row, medians, times

TITLE = "Start"
PASSES = 5
HUNTER = "from hunter_pipeline.cli import main; main()"
IMPORT, HELP, LEADS, DEFINITIONS, STORAGE = (
    "import dagster",
    "hunter --help",
    "hunter leads --help",
    "loading Dagster's definitions",
    "dagster and dagster-postgres alone",
)
COMMANDS = {
    IMPORT: ["-c", "import dagster"],
    HELP: ["-c", HUNTER, "--help"],
    LEADS: ["-c", HUNTER, "leads", "--help"],
    DEFINITIONS: ["-c", "import hunter_pipeline.definitions"],
    STORAGE: ["-c", "import dagster, dagster_postgres"],
}
WANTED = {HELP: 0.3, LEADS: 0.3, DEFINITIONS: 1.8}
DEMO_SECONDS = 6.0


def run(*, quick: bool) -> list[Row]:
    """Start each in turns, then the demo."""
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        environment = {**os.environ, "HUNTER_HOME": str(Path(folder) / "home"), "PYTHONWARNINGS": "ignore"}
        passes: dict[str, list[float]] = defaultdict(list)
        for name in COMMANDS:  # compiles what is not compiled yet
            _start(COMMANDS[name], environment)
        for _ in range(2 if quick else PASSES):
            for name, command in COMMANDS.items():
                passes[name].append(_start(command, environment))
        demos = []
        for number in range(1 if quick else 3):
            place = {**environment, "HUNTER_HOME": str(Path(folder) / f"demo-{number}")}
            demos.append(_start(["-c", HUNTER, "demo"], place))
    seconds = medians({**passes, "demo": demos})
    limit = seconds[IMPORT]
    rows = []
    for name in COMMANDS:
        ratio = seconds[name] / limit
        aim = Aim(8, f"{name}, of import dagster", ratio, WANTED[name], at_most=True) if name in WANTED else None
        told = "" if name == IMPORT else f"{times(ratio)} of import dagster"
        rows.append(Row(f"{'  ' if name == IMPORT else ''}{name}", f"{seconds[name]:.2f} s", told, aim))
    aim = Aim(8, "hunter demo, empty home", seconds["demo"], DEMO_SECONDS, at_most=True, unit=" s")
    return [*rows, Row("hunter demo in an empty HUNTER_HOME", f"{seconds['demo']:.1f} s", "", aim)]


def _start(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    ended = subprocess.run([sys.executable, *command], env=environment, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{command} failed: {ended.stderr[-2000:]}")
    return time.perf_counter() - started
