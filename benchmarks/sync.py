"""What a sync with nothing new costs: the tick that runs 144 times a day, with few leads and with many.

Limit, in alternating passes: a Dagster job of as many assets in a chain that do nothing, so that what is left is
Hunter's own part. Both do in this process what a run of its own would: open the instance, make the definitions and
their job, and run it on Dagster's PostgreSQL storage. The figures are medians.
The bytes are those of all rows that such a run leaves in Dagster's storage.
"""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import dagster as dg
from sqlalchemy import text

from benchmarks.filled import full_home
from benchmarks.report import Aim, Row, times
from hunter_pipeline.orchestration.jobs import SYNC_ASSETS
from hunter_pipeline.orchestration.run_sync import run_sync
from hunter_pipeline.pipeline.sync_runs import Window
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import Settings, load_settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline.store.embedded.users import release_embedded

TITLE = f"A sync with nothing new ({len(SYNC_ASSETS)} steps)"
FEW, MANY = 1_000, 100_000


@dataclass(frozen=True)
class Quiet:
    """The medians at one size.

    :param sync: seconds of a sync with nothing new.
    :param empty: seconds of the empty job.
    :param left: rows and bytes that a sync leaves in Dagster's storage.
    :param left_empty: the same of an empty job.
    """

    sync: float
    empty: float
    left: tuple[float, float]
    left_empty: tuple[float, float]


def run(*, quick: bool) -> list[Row]:
    """Measure with few leads, then with many."""
    many = 10_000 if quick else MANY
    few, much = (_measure(count, 2 if quick else 5) for count in (FEW, many))
    ratio, growth = few.sync / few.empty, (much.sync / much.empty) / (few.sync / few.empty)
    kilobytes = few.left[1] / 1000
    return [
        Row(
            f"Sync with nothing new, {FEW:,} leads",
            f"{few.sync:.2f} s",
            f"{times(ratio)} of the empty job",
            Aim(4, "quiet sync, of an empty job", ratio, 1.4, at_most=True),
        ),
        Row(f"  empty Dagster job of {len(SYNC_ASSETS)} assets", f"{few.empty:.2f} s"),
        Row(
            f"Sync with nothing new, {many:,} leads",
            f"{much.sync:.2f} s",
            f"{times(growth)} of that with {FEW:,}, beside the empty jobs",
            Aim(4, f"quiet sync with {many:,}, of {FEW:,}", growth, 1.2, at_most=True),
        ),
        Row(f"  empty Dagster job of {len(SYNC_ASSETS)} assets", f"{much.empty:.2f} s"),
        Row(
            "Left in Dagster's storage by a sync with nothing new",
            f"{few.left[0]:.0f} rows, {kilobytes:.1f} KB",
            f"{times(few.left[1] / few.left_empty[1])} of the empty job",
            Aim(9, "left in Dagster's storage", kilobytes, 45.0, at_most=True, unit=" KB"),
        ),
        Row("  by the empty job", f"{few.left_empty[0]:.0f} rows, {few.left_empty[1] / 1000:.1f} KB"),
    ]


def _measure(count: int, repeats: int) -> Quiet:
    os.environ.pop("DAGSTER_HOME", None)
    with full_home(count) as home, Sandbox() as world:
        os.environ |= {**world.environment, "HUNTER_HOME": str(home), "HUNTER_LOG_LEVEL": "ERROR"}
        settings = load_settings()
        try:
            make_sign_in(settings, open_database(settings)).device_login(lambda _: None)
            today = datetime.now(UTC).date()
            window = Window(today, today)  # a sweep would ask for each of the leads that the sandbox does not have
            _sync(settings, window)
            with dg.DagsterInstance.get() as instance:
                works: dict[str, Callable[[], object]] = {"sync": lambda: _sync(settings, window), "empty": _run_empty}
                works["empty"]()
                seconds: dict[str, list[float]] = defaultdict(list)
                rows: dict[str, list[float]] = defaultdict(list)
                bytes_left: dict[str, list[float]] = defaultdict(list)
                for _ in range(repeats):
                    for name, work in works.items():
                        before = _held(instance)
                        started = time.perf_counter()
                        work()
                        seconds[name].append(time.perf_counter() - started)
                        after = _held(instance)
                        rows[name].append(after[0] - before[0])
                        bytes_left[name].append(after[1] - before[1])
        finally:
            open_database(settings).dispose()
            release_embedded(home)
    left, empty = ((median(rows[name]), median(bytes_left[name])) for name in ("sync", "empty"))
    return Quiet(median(seconds["sync"]), median(seconds["empty"]), left, empty)


def _held(instance: dg.DagsterInstance) -> tuple[int, int]:
    """Rows and their bytes in all tables of Dagster's storage."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        names = connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        ).scalars()
        queries = [f'SELECT count(*) AS n, sum(pg_column_size(t.*)) AS size FROM "{name}" t' for name in names.all()]
        row = connection.execute(text(f"SELECT sum(n), sum(size) FROM ({' UNION ALL '.join(queries)}) q")).one()
        return int(row[0]), int(row[1] or 0)


def _sync(settings: Settings, window: Window) -> None:
    outcome = run_sync(settings, window, force=False, show=lambda _: None)
    if outcome.error is not None:
        raise RuntimeError(outcome.error)


def _run_empty() -> None:
    with dg.DagsterInstance.get() as instance:
        _empty_job(len(SYNC_ASSETS)).execute_in_process(instance=instance)


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
