"""A sync from a shell, and the standing checks: the same jobs as in the UI, run in this process, on the same instance.

Belongs here: starting the job with a window and reading how it ended. Does not belong here: how progress and
outcome are shown. The run, its log and its counts are in the Dagster UI like any other's.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.api import execute_run
from dagster._core.instance.ref import InstanceRef
from dagster._core.utils import make_new_run_id

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.checks import standing_checks_job
from hunter_pipeline.orchestration.failures import failure_reason
from hunter_pipeline.orchestration.guards import SIGNED_TAG, guarded, sweep_orphans, sync_under_way
from hunter_pipeline.orchestration.home import prepare_dagster_home
from hunter_pipeline.orchestration.storage import StorageLost
from hunter_pipeline.pipeline.sync_runs import Window
from hunter_pipeline.runs.run_signs import drop_sign, show_sign
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG, SYNC_JOB, SyncUnderWay, sync_tags
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline.store.engine import DatabaseUnavailable

_PRINTS_HERE: Mapping[str, Any] = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}
"""What a shell's sync prints stays in the shell: to keep it, Dagster would start two more processes for each step, in
the terminal's group, where Ctrl+C makes each of them print a stack trace."""


@dataclass(frozen=True)
class SyncOutcome:
    """How a sync ended.

    :param run_id: the Dagster run.
    :param error: why it failed, with the fix; None when it succeeded.
    """

    run_id: str
    error: str | None


class _Progress(logging.Handler):
    """Passes on what the steps say, and not what Dagster says about them."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        if record.levelno == logging.INFO and meta.get("dagster_event") is None and meta.get("orig_message"):
            self._show(f"{meta.get('step_key')}: {meta['orig_message']}")


def _interrupted(event: dg.DagsterEvent) -> bool:
    if event.event_type != dg.DagsterEventType.STEP_FAILURE:
        return False
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name == DagsterExecutionInterruptedError.__name__:
            return True
        error = error.cause
    return False


def run_sync(settings: Settings, window: Window, *, force: bool, show: Callable[[str], None]) -> SyncOutcome:
    """Run `referral_sync_job` over `window` in this process and wait for its end.

    :param force: process again what is fetched, changed or not.
    :param show: takes a line of progress.
    :raises SyncUnderWay: another one is queued or running.
    :raises DatabaseUnavailable: the database was lost on the way.
    :raises KeyboardInterrupt: a person stopped it; the run is over, and the next sync goes on from what it wrote.
    """

    @dg.logger(config_schema={})
    def progress(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("hunter.sync", logging.INFO)  # noqa: LOG001 - one for this run, not for the process
        logger.addHandler(_Progress(show))
        return logger

    home = prepare_dagster_home(settings)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_PRINTS_HERE)) as instance:
        engine = open_database(settings)
        job = build_defs(settings, loggers={"progress": progress}).resolve_job_def(SYNC_JOB)
        config: dict[str, object] = {"loggers": {"progress": {}}}
        with guarded(engine):
            now = datetime.now(UTC)
            sweep_orphans(instance, lambda: engine, now)
            active = sync_under_way(instance, now)
            if active is not None:
                raise SyncUnderWay(active)
            run_id = make_new_run_id()
            show_sign(engine, run_id)
            run = instance.create_run_for_job(
                job_def=job,
                run_id=run_id,
                run_config=config,
                tags={
                    **job.run_tags,
                    **sync_tags(window, force=force),
                    MAX_RUNTIME_TAG: str(settings.partner_center_sync_max_runtime),
                    SIGNED_TAG: "true",
                },
            )
        try:
            result = execute_run(InMemoryJob(job), run, instance, raise_on_error=False)
        except StorageLost as lost:
            raise DatabaseUnavailable(str(lost)) from None
        finally:
            drop_sign(run_id)
        error = None
        if not result.success:
            if any(_interrupted(event) for event in result.all_events):
                raise KeyboardInterrupt
            error = "; ".join(
                failure_reason(event)
                for event in result.all_events
                if event.event_type == dg.DagsterEventType.STEP_FAILURE
            )
        return SyncOutcome(result.run_id, None if result.success else error or "the run failed; see the Dagster UI")


def evaluate_standing_checks(settings: Settings) -> None:
    """Run `standing_checks_job` in this process and wait for its end; what it finds is shown in the UI."""
    prepare_dagster_home(settings)

    @dg.logger(config_schema={})
    def silent(_: dg.InitLoggerContext) -> logging.Logger:
        return logging.Logger("hunter.checks", logging.CRITICAL)  # noqa: LOG001 - as above

    with dg.DagsterInstance.get() as instance:
        job = build_defs(settings, loggers={"silent": silent}).resolve_job_def(standing_checks_job.name)
        job.execute_in_process({"loggers": {"silent": {}}}, instance=instance, raise_on_error=False)
