"""A sync asked for by a person or by a webhook: may it start, and how does it stand.

Belongs here: the window and tags of such a run, one at a time, and the status that joins Dagster's word with
the books of the sync. Does not belong here: HTTP. The run's own work is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import Engine, text

from hunter_pipeline.pipeline.sync_runs import asked_window, check_pause, last_success, read_sync
from hunter_pipeline.runs.sync_request import SyncUnderWay, queued_sync_tags
from hunter_pipeline.web.dagster_client import DagsterClient, DagsterUnavailable

Status = Literal["queued", "running", "success", "partial", "failed"]
FINAL: tuple[Status, ...] = ("success", "partial", "failed")

START_LOCK = 0x48554E57  # "HUNW"
"""Key of the advisory lock around "is one under way?" and "start one", so that two clicks make one run."""


@dataclass(frozen=True)
class SyncState:
    """How a sync stands.

    :param total: referrals that were fetched; it grows while it runs.
    :param erased: beside these, referrals that were returned and are erased on request: not kept.
    :param failed_before: of the failed, those that were known before; a sync with no others is a success.
    :param errors: why it failed, or the first of the referrals whose failure is new.
    """

    run_id: str
    status: Status
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    failed_before: int = 0
    skipped: int = 0
    erased: int = 0
    errors: tuple[str, ...] = ()


def start_sync(
    engine: Engine,
    dagster: DagsterClient,
    clock: Callable[[], datetime],
    max_runtime: int,
    *,
    force: bool,
    trigger: str,
) -> str:
    """Queue a sync and return its run id.

    :param max_runtime: seconds after which the daemon ends it.
    :param force: fetch everything, however old, and process all of it again.
    :param trigger: who asks, for the run's tags: `web` or `webhook`.
    :raises SyncUnderWay: one is queued or running.
    :raises SyncPaused: Partner Center has asked for a pause that is not over.
    :raises DagsterUnavailable: Dagster does not answer.
    :raises DagsterRefused: Dagster does not take the run.
    """
    now = clock()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": START_LOCK})
        active = dagster.sync_under_way()
        if active is not None:
            raise SyncUnderWay(active)
        check_pause(connection, now)
        window = asked_window(last_success(connection), now.date(), force=force)
        tags = queued_sync_tags(window, now, max_runtime, force=force)
        run_id = dagster.launch_sync({**tags, "hunter/trigger": trigger})
        run = dagster.sync_run(run_id)
        if run is not None and run.status == "CANCELED":
            # Another began between the question and the launch, and the queue takes one at a time.
            raise SyncUnderWay(dagster.sync_under_way() or run_id)
        return run_id


def sync_state(engine: Engine, dagster: DagsterClient, run_id: str) -> SyncState | None:
    """How a sync stands; None when there is none of this id.

    Once a sync is settled the books answer alone, so that its result can be read without Dagster.

    :raises DagsterUnavailable: Dagster does not answer and the books are not closed.
    :raises DagsterRefused: Dagster's answer is not understood.
    """
    with engine.connect() as connection:
        books = read_sync(connection, run_id)
    settled = books is not None and books["status"] in FINAL
    try:
        run = dagster.sync_run(run_id)
    except DagsterUnavailable:
        if not settled:
            raise
        run = None
    if run is None and books is None:
        return None
    state = SyncState(run_id, "running")
    if books is not None:
        state = SyncState(
            run_id,
            books["status"] if settled else "running",
            books["fetched"],
            books["succeeded"],
            books["failed"],
            books["failed_before"],
            books["skipped"],
            books["erased"],
            tuple(str(error) for error in books["errors"]),
        )
    if run is None:
        return state if settled else _with(state, "failed", ("the run is gone from Dagster; start another sync",))
    if run.status in {"QUEUED", "NOT_STARTED"}:
        return _with(state, "queued")
    if run.status in {"STARTING", "STARTED", "CANCELING"}:
        return _with(state, "running")
    if run.status == "CANCELED":
        return _with(state, "failed", (*state.errors, "the run was canceled in Dagster"))
    if run.status == "FAILURE":
        reasons = state.errors or tuple(dagster.failure_reasons(run_id)) or ("the run failed; see the Dagster UI",)
        return _with(state, "failed", reasons)
    return state if settled else _with(state, "success")


def _with(state: SyncState, status: Status, errors: tuple[str, ...] | None = None) -> SyncState:
    return replace(state, status=status, errors=state.errors if errors is None else errors)
