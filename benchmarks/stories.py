"""How fast stories of referrals are published in Dagster, out of a full database.

Limit, on the same instance in alternating passes: one materialization outside of a run, as Dagster writes it. The
sensor publishes a bounded number in a tick and is asked every thirty seconds, so the time for all of them follows from
that number, as long as a tick is shorter than its interval. Ticks of other sensors do not wait: up to four run at once.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from statistics import median

import dagster as dg

from benchmarks.filled import full_home
from benchmarks.report import Aim, Row, times
from hunter_pipeline.orchestration.home import prepare_dagster_home
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.orchestration.sensors import STORIES_PER_TICK, referral_lineage_sensor
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.embedded.users import release_embedded

TITLE = "Stories published in Dagster"
ALL = 100_000
TICKS = 3
ALONE = 100
INTERVAL = referral_lineage_sensor.minimum_interval_seconds or 30
MINUTES = 40.0


def run(*, quick: bool) -> list[Row]:
    """Evaluate ticks of the sensor, and write materializations one by one, in turns."""
    count = 10_000 if quick else ALL
    with full_home(count) as home:
        os.environ["HUNTER_HOME"] = str(home)
        settings = load_settings()
        prepare_dagster_home(settings)
        seconds: dict[str, list[float]] = defaultdict(list)
        cursor = None
        try:
            with dg.DagsterInstance.get() as instance:
                _alone(instance, 5)
                for _ in range(TICKS):
                    started = time.perf_counter()
                    with dg.build_sensor_context(instance, cursor, resources=make_resources()) as context:
                        cursor = referral_lineage_sensor.evaluate_tick(context).cursor
                    seconds["tick"].append(time.perf_counter() - started)
                    started = time.perf_counter()
                    _alone(instance, ALONE)
                    seconds["alone"].append((time.perf_counter() - started) / ALONE)
        finally:
            release_embedded(home)
    tick, alone = median(seconds["tick"]), median(seconds["alone"])
    minutes = ALL / STORIES_PER_TICK * max(tick, INTERVAL) / 60
    each = tick / STORIES_PER_TICK
    aim = Aim(11, "100,000 stories published", minutes, MINUTES, at_most=True, unit=" min")
    return [
        Row(f"{ALL:,} stories, at the sensor's pace", f"{minutes:.0f} minutes", "", aim),
        Row(
            f"  a tick of {STORIES_PER_TICK:,} with {count:,} waiting",
            f"{tick:.1f} s, {each * 1000:.1f} ms each",
            f"{times(each / alone)} of Dagster's own",
            Aim(11, "tick, of its interval", tick, INTERVAL / 2, at_most=True, unit=" s"),
        ),
        Row("  one materialization by Dagster", f"{alone * 1000:.1f} ms"),
    ]


def _alone(instance: dg.DagsterInstance, number: int) -> None:
    for key in range(number):
        instance.report_runless_asset_event(dg.AssetMaterialization("alone", partition=str(key)))
