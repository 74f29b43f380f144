"""How the time of each stage grows with the number of referrals, and what a sync with nothing new costs then.

Limit: itself. Ten times the referrals should take ten times as long, and a sync with nothing new as long as before. All
runs in this process, through every stage but the network: pages come from memory and DNS answers at once. A fresh
database for each size, without statistics of what is loaded, as it is on the first day. The quiet sync is the median of
five. Dagster's own cost is not in it (`sync`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from sqlalchemy import Engine

from benchmarks.filled import database
from benchmarks.flow import Stages, bodies, instant_scan, stages
from benchmarks.report import Aim, Row, peak_mib, times
from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.quality.gates import judge_stage

TITLE = "Growth: all stages but DNS"
QUIET_RUNS = 5
GATED = {
    "normalize": "normalized_domains",
    "track": "partner_center_referrals",
    "companies": "companies",
    "scores": "lead_scores",
}


@dataclass(frozen=True)
class Grown:
    """What was measured at one size.

    :param load: seconds of each stage, with its gates, while all referrals are new.
    :param quiet: the same while nothing is new, the medians.
    :param memory: MiB that the process's peak grew by.
    """

    count: int
    load: dict[str, float]
    quiet: dict[str, float]
    memory: float


def run(*, quick: bool, full: bool = False) -> list[Row]:
    """Load each number of referrals, then sync with nothing new.

    :param full: 100,000 too.
    """
    sizes = [100, 1_000] if quick else [1_000, 10_000]
    grown = [_measure(size) for size in [*sizes, *([100_000] if full else [])]]
    return [row for before, each in zip([None, *grown], grown, strict=False) for row in _rows(each, before)]


def _rows(each: Grown, before: Grown | None) -> list[Row]:
    whole, quiet = sum(each.load.values()), sum(each.quiet.values())
    factor = each.count / before.count if before else 1
    linear = whole / factor / sum(before.load.values()) if before else 1.0
    aim = Aim(3, f"{each.count:,} new referrals, of linear", linear, 1.15, at_most=True) if before else None
    figure = f"{whole:.2f} s, {each.count / whole:,.0f}/s, {each.memory:+.0f} MiB"
    rows = [Row(f"{each.count:,} new referrals", figure, f"{times(linear)} of linear" if before else "", aim)]
    for name, seconds in each.load.items():
        told = f"{times(seconds / factor / before.load[name])} of linear" if before else ""
        rows.append(Row(f"  {name}", f"{seconds:.2f} s", told))
    flat = f"{times(quiet / sum(before.quiet.values()))} of that at {before.count:,}" if before else ""
    rows.append(Row(f"Stages of a sync with nothing new at {each.count:,}", f"{quiet * 1000:.0f} ms", flat))
    for name, seconds in each.quiet.items():
        flat = times(seconds / before.quiet[name]) if before else ""
        rows.append(Row(f"  {name}", f"{seconds * 1000:.1f} ms", flat))
    return rows


def _measure(count: int) -> Grown:
    answers = bodies(range(count))
    scan = instant_scan(count)
    with database() as engine:
        before = peak_mib()
        load = _timed(engine, "load", stages(engine, "load", answers, scan))
        memory = peak_mib() - before
        runs = [f"quiet-{number}" for number in range(QUIET_RUNS)]
        quiet = [_timed(engine, name, stages(engine, name, [], scan, sweep=False)) for name in runs]
    return Grown(count, load, {name: median(each[name] for each in quiet) for name in load}, memory)


def _timed(engine: Engine, run_id: str, work: Stages) -> dict[str, float]:
    seconds = {}
    for name, stage in work.items():
        started = time.perf_counter()
        report = stage()
        _gates(engine, run_id, name, report)
        seconds[name] = time.perf_counter() - started
    return seconds


def _gates(engine: Engine, run_id: str, name: str, report: StageReport) -> None:
    if name not in GATED:
        return
    before = datetime.now(UTC) + timedelta(seconds=1)
    with engine.begin() as connection:
        for gate, verdict in judge_stage(connection, GATED[name], before, run_id, report.seen).items():
            if not verdict.holds:
                raise RuntimeError(f"{gate.name}: {verdict.summary}")
