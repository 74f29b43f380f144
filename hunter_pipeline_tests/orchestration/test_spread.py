"""A scan that is spread over shards by Dagster: the same rows as without, and asked for when it is needed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest
import structlog
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.executors import EXTRAS
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.orchestration.spread import domain_scan_sensor, request_scan, spread_scan
from hunter_pipeline.pipeline.claims import offer
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.runs.sync_request import SCAN_JOB
from hunter_pipeline.services import make_scan
from hunter_pipeline.settings import Settings, SettingsError, load_settings
from hunter_pipeline_tests.spread_scans import CountedZone, content, differences, make_companies

NUMBER = 60
SHARD = 25


@pytest.fixture
def spread(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedZone]:
    """Companies of a sandbox's DNS, and settings that spread their scan over processes."""
    with CountedZone(NUMBER) as server:
        for name, value in {
            "EXECUTOR": "multiprocess",
            "SCAN_SHARD": str(SHARD),
            "DNS_SERVERS": server.address,
            "DNS_ATTEMPTS": "1",
            "DNS_TIMEOUT": "60",
        }.items():
            monkeypatch.setenv(f"HUNTER_{name}", value)
        yield server


def scan_job() -> dg.JobDefinition:
    return build_defs(load_settings()).resolve_job_def(SCAN_JOB)


def alone(engine: Engine) -> dict[str, list[Any]]:
    """What one process makes of the companies, which are then as before."""
    make_companies(engine, NUMBER)
    scan_domains(StageContext(engine, "alone"), make_scan(load_settings()))
    found = content(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "TRUNCATE companies, raw_leads, domain_signals, domain_signal_history, referral_lineage, stage_queue,"
                " stage_state RESTART IDENTITY CASCADE"
            )
        )
    make_companies(engine, NUMBER)
    return found


@pytest.mark.processes
def test_shards_in_processes_of_their_own_write_what_one_process_writes(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine
):
    expected = alone(engine)
    with dg.execute_job(dg.reconstructable(scan_job), instance) as result:
        assert result.success
        steps = {event.step_key for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_SUCCESS}
    assert steps == {"plan_scan", "scan_shard[001]", "scan_shard[002]", "scan_shard[003]", "collect_scan"}
    assert differences(content(engine), expected) == []
    shown = instance.get_latest_materialization_event(dg.AssetKey("domain_signals"))
    assert shown is not None
    assert shown.asset_materialization is not None
    assert shown.asset_materialization.metadata["scanned"].value == NUMBER
    # Nothing is handed on by files, which another machine would not see.
    files = [path for path in Path(instance.root_directory, "storage").rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= {"compute_logs"}


class ProcessesForPods(StepHandler):
    """Starts the command of a step as a process, where `dagster-k8s` gives the same command to a pod."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []
    name = "processes"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        arguments = step_handler_context.execute_step_args
        variables = {each["name"]: each["value"] for each in arguments.get_command_env()}
        command = [sys.executable, "-W", "ignore", "-m", *arguments.get_command_args(skip_serialized_namedtuple=True)]
        self.started.append(subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL))
        yield from ()

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:  # noqa: ARG002
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:  # noqa: ARG002
        yield from ()


@dg.executor(requirements=dg.multiple_process_executor_requirements())
def processes_for_pods(_: dg.InitExecutorContext) -> StepDelegatingExecutor:
    return StepDelegatingExecutor(ProcessesForPods(), RetryMode.DISABLED, sleep_seconds=0.2)


def scan_job_of_pods() -> dg.JobDefinition:
    job = spread_scan.to_job(name=SCAN_JOB, executor_def=processes_for_pods)
    return dg.Definitions(jobs=[job], resources=make_resources()).resolve_job_def(SCAN_JOB)


@pytest.mark.processes
def test_where_dagster_learns_of_steps_from_its_storage_alone_as_on_kubernetes_no_shard_is_lost(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCAN_SHARD", str(NUMBER // 2))
    make_companies(engine, NUMBER)
    with dg.execute_job(dg.reconstructable(scan_job_of_pods), instance) as result:
        assert result.success
    assert [process.wait() for process in ProcessesForPods.started] == [0] * len(("plan", "shard", "shard", "collect"))
    found = content(engine)
    assert len(found["domain_signals"]) == NUMBER
    assert found["scan_claims"] == []


def test_the_job_run_without_a_worker_of_its_own_does_the_same(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine
):
    make_companies(engine, NUMBER)
    assert scan_job().execute_in_process(instance=instance).success
    again = scan_job().execute_in_process(instance=instance)
    assert again.success  # with nothing that waits
    assert structlog.contextvars.get_contextvars()["run_id"] == again.run_id, "log lines tell the run"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM domain_signals")).scalar_one() == NUMBER


def asked_for(instance: dg.DagsterInstance, engine: Engine, after: timedelta = timedelta(0)) -> str | None:
    """Why no scan is asked for; None: one is."""
    with engine.connect() as connection:
        answer = request_scan(instance, connection, load_settings(), datetime.now(UTC) + after)
    return None if isinstance(answer, dg.RunRequest) else answer.skip_message


def test_a_scan_is_asked_for_when_more_domains_wait_than_one_shard_holds_and_none_is_under_way(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine
):
    assert asked_for(instance, engine) == "0 domains wait, a sync looks them up"
    with engine.begin() as connection:
        offer(connection, [f"d{number}.com" for number in range(SHARD)], again=False)
    assert asked_for(instance, engine) == "25 domains wait, a sync looks them up"
    with engine.begin() as connection:
        offer(connection, ["one-more.com"], again=True)
    assert asked_for(instance, engine) is None
    run = create_run_for_test(instance, job_name=SCAN_JOB, status=dg.DagsterRunStatus.STARTED)
    assert asked_for(instance, engine) == f"scan_under_way: run {run.run_id}"
    instance.report_run_failed(run)
    assert "has just failed" in str(asked_for(instance, engine))
    assert asked_for(instance, engine, timedelta(minutes=11)) is None
    with engine.begin() as connection:  # all are claimed by a run from another instance
        connection.execute(
            text("UPDATE scan_claims SET owner = 'a', run_id = 'b', claimed_until = now() + interval '1 day'")
        )
    assert asked_for(instance, engine, timedelta(minutes=11)) == "0 domains wait, a sync looks them up"


def test_after_a_run_that_failed_on_its_way_another_one_is_asked_for_at_once(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine
):
    make_companies(engine, NUMBER)
    assert scan_job().execute_in_process(instance=instance).success
    with engine.begin() as connection:
        offer(connection, [f"d{number}.com" for number in range(SHARD + 5)], again=False)
    run = create_run_for_test(instance, job_name=SCAN_JOB, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "the broker went away")
    assert "has just failed" in str(asked_for(instance, engine)), "it looked nothing up and may fail so every time"
    with engine.begin() as connection:
        written = "UPDATE domain_signals SET run_id = :run, scanned_at = clock_timestamp()"
        connection.execute(
            text(f"{written} WHERE domain = (SELECT min(domain) FROM domain_signals)"), {"run": run.run_id}
        )
    assert asked_for(instance, engine) is None


def begun_with_domains_that_wait(instance: dg.DagsterInstance, engine: Engine) -> dg.DagsterRun:
    """A run that counts as started, of which no shard does anything."""
    with engine.begin() as connection:
        offer(connection, [f"d{number}.com" for number in range(SHARD + 5)], again=False)
    run = create_run_for_test(instance, job_name=SCAN_JOB)
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, SCAN_JOB), run.run_id)
    return run


def test_a_run_whose_shards_were_forgotten_is_ended_and_another_one_is_asked_for(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCAN_CLAIM_SECONDS", "60")
    run = begun_with_domains_that_wait(instance, engine)
    under_way = f"scan_under_way: run {run.run_id}"

    def limit() -> str | None:
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.tags.get("dagster/max_runtime")

    assert asked_for(instance, engine, timedelta(seconds=60)) == under_way
    claim = text(
        "UPDATE scan_claims SET owner = 'a', run_id = :run, claimed_until = clock_timestamp() + :left * interval '1 s'"
        " WHERE domain IN ('d0.com', 'd1.com')"
    )
    with engine.begin() as connection:
        connection.execute(claim, {"run": run.run_id, "left": 86_400})
    assert asked_for(instance, engine, timedelta(hours=1)) == under_way  # somebody is at work
    with engine.begin() as connection:
        connection.execute(claim, {"run": run.run_id, "left": -1})
    assert limit() is None
    assert str(asked_for(instance, engine, timedelta(hours=1))).startswith(f"scan_silent: run {run.run_id} is ended")
    assert limit() == "1"  # which run monitoring takes for long over
    assert asked_for(instance, engine, timedelta(hours=1)) == under_way  # until it has ended
    instance.report_run_failed(run)
    assert asked_for(instance, engine) is None  # at once: there is no pause after such a failure


def test_a_run_whose_workers_are_still_starting_is_not_silent_however_short_claims_hold(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCAN_CLAIM_SECONDS", "5")
    run = begun_with_domains_that_wait(instance, engine)
    assert asked_for(instance, engine, timedelta(seconds=60)) == f"scan_under_way: run {run.run_id}"
    assert str(asked_for(instance, engine, timedelta(minutes=3))).startswith("scan_silent: ")


def test_the_sensor_asks_nobody_while_the_feature_is_off(
    instance: dg.DagsterInstance, spread: CountedZone, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "false")
    with dg.build_sensor_context(
        instance=instance, resources=make_resources(), repository_def=build_defs(load_settings()).get_repository_def()
    ) as context:
        answer = domain_scan_sensor(context)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "feature_disabled"


def test_a_sync_leaves_what_is_too_much_for_one_shard_and_looks_the_rest_up_itself(
    instance: dg.DagsterInstance, spread: CountedZone, engine: Engine
):
    make_companies(engine, NUMBER)
    defs = build_defs(load_settings())
    job = defs.resolve_job_def("domain_rescan_job")
    assert job.execute_in_process(instance=instance).success
    shown = instance.get_latest_materialization_event(dg.AssetKey("domain_signals"))
    assert shown is not None
    assert shown.asset_materialization is not None
    told = shown.asset_materialization.metadata
    assert (told["scanned"].value, told["left"].value) == (0, NUMBER)
    assert spread.times == []
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM scan_claims"))
        connection.execute(text("DELETE FROM raw_leads WHERE id > 20"))
        connection.execute(text("DELETE FROM companies WHERE id > 20"))
        connection.execute(text("DELETE FROM stage_queue"))
        connection.execute(text("INSERT INTO stage_queue SELECT 'domain_signals', domain FROM companies"))
    assert job.execute_in_process(instance=instance).success
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM domain_signals")).scalar_one() == 20


def test_where_nothing_is_spread_there_is_neither_job_nor_sensor():
    defs = build_defs(Settings(_env_file=None))
    assert SCAN_JOB not in {job.name for job in defs.resolve_all_job_defs()}
    assert "domain_scan_sensor" not in {sensor.name for sensor in defs.sensors or ()}


@pytest.mark.parametrize(("executor", "extra"), [("celery", "celery"), ("k8s", "kubernetes")])
def test_an_executor_whose_package_is_missing_is_refused_with_the_command_that_installs_it(
    executor: Any, extra: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, EXTRAS[executor][0].replace("-", "_"), None)
    settings = Settings(_env_file=None, executor=executor, celery_url="redis://h")
    with pytest.raises(SettingsError, match=rf"{EXTRAS[executor][0]}; .*pip install 'hunter-pipeline\[{extra}\]'"):
        build_defs(settings)


def test_celery_without_a_broker_is_refused_and_says_what_to_set():
    with pytest.raises(SettingsError, match="HUNTER_CELERY_URL is not set"):
        build_defs(Settings(_env_file=None, executor="celery"))


@pytest.mark.parametrize("executor", ["multiprocess", "celery", "k8s"])
def test_each_executor_is_dagsters_own_and_takes_its_configuration(executor: Any):
    settings = Settings(_env_file=None, executor=executor, celery_url="redis://:secret@h/1", scan_shares=7)
    job = build_defs(settings).resolve_job_def(SCAN_JOB)
    assert job.executor_def.name == executor
    assert dg.validate_run_config(job, {})
    assert "secret" not in dg.serialize_value(job.get_job_snapshot())


@pytest.mark.parametrize("wrong", ["HUNTER_SCAN_SHARD=0", "HUNTER_SCAN_SHARES=0", "HUNTER_EXECUTOR=dask"])
def test_settings_that_spread_nothing_are_refused_by_name(wrong: str, monkeypatch: pytest.MonkeyPatch):
    name, _, value = wrong.partition("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings()
