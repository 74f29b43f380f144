"""Runs whose process is gone, runs that take too long, and failures that pass by themselves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.failures import failing_clearly
from hunter_pipeline.orchestration.guards import (
    EXCLUSIVE_TAG,
    EXCLUSIVE_TAGS,
    SIGN_WITHIN,
    sweep_orphans,
    sync_under_way,
)
from hunter_pipeline.partner_center.errors import ApiError, NetworkError, SignInRequired
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.runs.run_signs import drop_sign, show_sign, shows_sign
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG, SYNC_JOB, queued_sync_tags
from hunter_pipeline.settings import SettingsError
from hunter_pipeline.store.engine import DatabaseUnavailable
from hunter_pipeline.store.migrate import STAGE_LOCK
from hunter_pipeline_tests.orchestration.dagster_ui import wait_for

LATER = SIGN_WITHIN + timedelta(seconds=1)

WORKER = """
import sys, time
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.runs.run_signs import show_sign
from hunter_pipeline.store.engine import make_engine
show_sign(make_engine(sys.argv[1]), sys.argv[2])
print("shown", flush=True)
time.sleep(60)
"""


def started(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
    return create_run_for_test(instance, job_name=SYNC_JOB, status=status, tags=EXCLUSIVE_TAGS)


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_sign_of_life_goes_with_the_process_that_showed_it(engine: Engine, database_url: str):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, database_url, "a-run"], stdout=subprocess.PIPE, text=True)
    with worker, engine.connect() as connection:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "shown\n"
        assert shows_sign(connection, "a-run")
        assert not shows_sign(connection, "another-run")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        deadline = time.monotonic() + 30
        while shows_sign(connection, "a-run") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not shows_sign(connection, "a-run")


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_a_run_whose_process_is_gone_is_failed_and_no_longer_in_the_way(
    instance: dg.DagsterInstance, engine: Engine, status: dg.DagsterRunStatus
):
    run = started(instance, status)
    later = datetime.now(UTC) + LATER
    assert sync_under_way(instance, later) == run.run_id
    assert sweep_orphans(instance, lambda: engine, later) == [run.run_id]
    assert status_of(instance, run) == dg.DagsterRunStatus.FAILURE
    assert sync_under_way(instance, later) is None


def test_a_run_that_shows_its_sign_is_left_alone_however_old(instance: dg.DagsterInstance, engine: Engine):
    run = started(instance)
    show_sign(engine, run.run_id)
    assert sweep_orphans(instance, lambda: engine, datetime.now(UTC) + timedelta(hours=5)) == []
    drop_sign(run.run_id)
    # The server lets go of the lock once it sees that the connection was closed.
    wait_for(
        lambda: sweep_orphans(instance, lambda: engine, datetime.now(UTC) + timedelta(hours=5)) == [run.run_id], 60
    )


def test_a_run_that_is_being_launched_gets_time_to_show_its_sign(instance: dg.DagsterInstance, engine: Engine):
    started(instance, dg.DagsterRunStatus.STARTING)
    assert sweep_orphans(instance, lambda: engine, datetime.now(UTC) + SIGN_WITHIN - timedelta(seconds=30)) == []


# Makes a run as a run worker does, and is killed once the run counts as started.
KILLED = """
import os, signal
import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.test_utils import create_run_for_test

with dg.DagsterInstance.get() as instance:
    run = create_run_for_test(instance, job_name="__ASSET_JOB")
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", run.job_name), run.run_id)
    print(run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.processes
def test_a_killed_run_is_known_at_once(
    instance: dg.DagsterInstance, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED], check=False, stdout=subprocess.PIPE, text=True
    )
    assert killed.returncode == -signal.SIGKILL
    run_id = killed.stdout.strip()
    assert sync_under_way(instance, datetime.now(UTC)) == run_id
    deadline = time.monotonic() + 30
    while not (gone := sweep_orphans(instance, lambda: engine, datetime.now(UTC))) and time.monotonic() < deadline:
        time.sleep(0.05)  # the database notices within moments
    assert gone == [run_id]
    assert sync_under_way(instance, datetime.now(UTC)) is None


def test_a_run_shows_its_sign_before_it_counts_as_started_and_until_it_has_ended(
    instance: dg.DagsterInstance, engine: Engine
):
    seen = []

    def look(run_id: str) -> None:
        with engine.connect() as connection:
            found = instance.get_run_by_id(run_id)
            seen.append((found.status.value if found else None, shows_sign(connection, run_id)))

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        look(context.run_id)

    @dg.job
    def any_job() -> None:
        work()

    result = any_job.execute_in_process(instance=instance)
    look(result.run_id)
    assert seen == [("STARTED", True), ("SUCCESS", False)]


@pytest.mark.parametrize(
    ("selection", "counts"),
    [
        (None, True),
        (["partner_center_referrals_raw", "lead_scores"], True),
        (["lead_scores"], False),
    ],
)
def test_a_run_from_the_asset_graph_counts_when_it_fetches(
    instance: dg.DagsterInstance, selection: list[str] | None, counts: bool
):
    run = create_run_for_test(
        instance,
        job_name="__ASSET_JOB",
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset(map(dg.AssetKey, selection)) if selection else None,
    )
    assert sync_under_way(instance, datetime.now(UTC)) == (run.run_id if counts else None)


def queueable(instance: dg.DagsterInstance, job: str, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("hunter"), "__repository__")
    return create_run_for_test(instance, job_name=job, tags=tags, remote_job_origin=RemoteJobOrigin(origin, job))


def submit(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    # The workspace is what the queue's reader uses later.
    return instance.run_coordinator.submit_run(SubmitRunContext(run, None))  # type: ignore[arg-type]


def test_the_queue_takes_one_of_several_syncs_that_catch_up_at_once(instance: dg.DagsterInstance):
    now = datetime.now(UTC)
    window = Window(FIRST_DAY, now.date())
    runs = [queueable(instance, SYNC_JOB, queued_sync_tags(window, now, 3600)) for _ in range(4)]
    with ThreadPoolExecutor(4) as at_once:
        submitted = list(at_once.map(lambda run: submit(instance, run), runs))
    assert sorted(run.status.value for run in submitted) == ["CANCELED"] * 3 + ["QUEUED"]
    canceled = next(run for run in submitted if run.status == dg.DagsterRunStatus.CANCELED)
    assert "under way" in " ".join(entry.message for entry in instance.all_logs(canceled.run_id))


def test_a_backfill_is_never_dropped_and_waits_for_its_turn(instance: dg.DagsterInstance):
    started(instance)
    run = queueable(instance, "__ASSET_JOB")
    queued = submit(instance, run)
    assert queued.status == dg.DagsterRunStatus.QUEUED
    assert queued.tags[EXCLUSIVE_TAG] == "referral_sync"


@pytest.mark.parametrize(("tags", "seconds"), [({}, "20000"), ({"dagster/max_runtime": "60"}, "60")])
def test_a_run_from_the_asset_graph_that_fetches_may_run_as_long_as_is_set(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str], seconds: str
):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_SYNC_MAX_RUNTIME", "20000")
    queued = submit(instance, queueable(instance, "__ASSET_JOB", tags))
    assert queued.tags["dagster/max_runtime"] == seconds


def test_a_run_from_the_asset_graph_that_waits_for_its_pool_is_not_dead(instance: dg.DagsterInstance, engine: Engine):
    waiting = submit(instance, queueable(instance, "__ASSET_JOB", {".dagster/pool/referral_sync": "true"}))
    assert sweep_orphans(instance, lambda: engine, datetime.now(UTC) + timedelta(hours=5)) == []
    assert status_of(instance, waiting) == dg.DagsterRunStatus.QUEUED


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (NetworkError("no answer"), True),
        (ApiError(503), True),
        (ApiError(403), False),
        (SignInRequired("run `hunter login`"), False),
        (SettingsError("is not set"), False),
        (DatabaseUnavailable("does not answer"), True),
        (TimeoutError("another run has been writing"), True),
    ],
)
def test_a_failure_says_whether_it_passes_by_itself_and_is_never_retried_in_the_run(error: Exception, transient: bool):
    with pytest.raises(dg.Failure) as raised, failing_clearly():
        raise error
    assert raised.value.metadata["transient"].value is transient
    assert raised.value.description == str(error)
    assert raised.value.allow_retries is False


@contextmanager
def daemon(home: Path) -> Iterator[None]:
    """A Dagster daemon on the instance and workspace in `home`."""
    with (home / "daemon.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-w", str(home / "workspace.yaml")],
            cwd=home, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_a_run_over_its_maximum_time_is_ended_by_the_daemon(
    instance: dg.DagsterInstance, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = Path(__file__).parents[2]
    config = (
        (project / "dagster.yaml").read_text("utf-8").replace("poll_interval_seconds: 30", "poll_interval_seconds: 1")
    )
    (tmp_path / "dagster.yaml").write_text(config, "utf-8")
    (tmp_path / "workspace.yaml").write_text((project / "workspace.yaml").read_text("utf-8"), "utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(project))
    with engine.connect() as connection, daemon(tmp_path):
        # Every stage waits for this lock, so the run hangs in its first one.
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": STAGE_LOCK})
        launched = subprocess.run(
            [
                sys.executable, "-W", "ignore", "-m", "dagster", "job", "launch", "-w", "workspace.yaml",
                "-j", "domain_rescan_job", "--tags", json.dumps({MAX_RUNTIME_TAG: "1"}),
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert launched.returncode == 0, launched.stderr
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            # Not all runs: schedules run as well, and one of them may be due just now.
            [run] = instance.get_runs(dg.RunsFilter(tags={MAX_RUNTIME_TAG: "1"}))
            if run.is_finished:
                break
            time.sleep(0.5)
        assert run.is_failure, (tmp_path / "daemon.log").read_text()
        messages = [entry.message for entry in instance.all_logs(run.run_id)]
        assert any("Exceeded maximum runtime" in message for message in messages), messages
