"""What a sync with nothing new costs: the tick that runs 144 times a day.

Limit, on the same instance in the same run: a Dagster job of as many assets in a chain that do nothing, so that what
is left is Hunter's own part. Both run in this process, on Dagster's PostgreSQL storage; the figure is the fastest of
several.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from benchmarks.report import Row, times
from hunter_pipeline.orchestration.jobs import SYNC_ASSETS
from hunter_pipeline.orchestration.run_sync import run_sync
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import Settings, load_settings
from hunter_pipeline.store.database import open_database

TITLE = f"A sync with nothing new ({len(SYNC_ASSETS)} steps)"


def run(*, quick: bool) -> list[Row]:
    """Sync the samples once, then measure syncs that find nothing, and empty jobs."""
    repeats = 2 if quick else 5
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder, Sandbox() as world:
        os.environ |= {**world.environment, "HUNTER_HOME": str(Path(folder) / "home"), "HUNTER_LOG_LEVEL": "ERROR"}
        settings = load_settings()
        make_sign_in(settings, open_database(settings)).device_login(lambda _: None)
        today = datetime.now(UTC).date()
        _sync(settings, Window(FIRST_DAY, today))
        nothing = _fastest(lambda: _sync(settings, Window(today, today)), repeats)
        job = _empty_job(len(SYNC_ASSETS))
        with dg.DagsterInstance.get() as instance:
            empty = _fastest(lambda: job.execute_in_process(instance=instance), repeats)
    return [
        Row("Sync with nothing new", f"{nothing:.2f} s", f"{times(nothing / empty)} of the empty job"),
        Row(f"Empty Dagster job of {len(SYNC_ASSETS)} assets", f"{empty:.2f} s"),
    ]


def _sync(settings: Settings, window: Window) -> None:
    outcome = run_sync(settings, window, force=False, show=lambda _: None)
    if outcome.error is not None:
        raise RuntimeError(outcome.error)


def _fastest(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _empty_job(steps: int) -> dg.JobDefinition:
    assets: list[dg.AssetsDefinition] = []
    for number in range(steps):
        assets.append(_empty_asset(f"empty_{number}", assets[-1:]))

    @dg.logger(config_schema={})
    def quiet(_: dg.InitLoggerContext) -> logging.Logger:
        return logging.Logger("quiet", logging.CRITICAL)  # noqa: LOG001 - one for these runs

    definitions = dg.Definitions(
        assets=assets,
        jobs=[dg.define_asset_job("empty_job", config={"loggers": {"quiet": {}}})],
        executor=dg.in_process_executor,
        loggers={"quiet": quiet},
    )
    return definitions.resolve_job_def("empty_job")


def _empty_asset(name: str, before: list[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=before)
    def empty() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    return empty
