"""Behaviours of Dagster that Hunter rests on and Dagster does not promise: an upgrade that changes one fails here.

Each test builds the smallest definitions that show the behaviour; nothing of Hunter is in them.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test, create_test_daemon_workspace_context
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.sensor import execute_sensor_iteration

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_offset=1)
ENTITIES = dg.DynamicPartitionsDefinition(name="entities")
RANGE = {"dagster/asset_partition_range_start": "2026-01-03", "dagster/asset_partition_range_end": "2026-01-07"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["plain", "batched"])
def batched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Without and with the two switches by which events of many partitions are written in batches."""
    if request.param:
        monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "500")
    return bool(request.param)


def ranged_job(calls: list[str]) -> dg.JobDefinition:
    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def source(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        calls.append(f"source {context.partition_key_range.start} {context.partition_key_range.end}")
        return dg.MaterializeResult(metadata={"fetched": 1})

    @dg.asset(deps=[source])
    def follower() -> None:
        calls.append("follower")

    return dg.Definitions(
        assets=[source, follower],
        jobs=[dg.define_asset_job("both", selection=dg.AssetSelection.assets(source, follower))],
        executor=dg.in_process_executor,
    ).resolve_job_def("both")


def test_a_range_of_days_is_one_run_and_one_call_and_what_follows_needs_no_partition(
    instance: dg.DagsterInstance, batched: bool
):
    calls: list[str] = []
    result = ranged_job(calls).execute_in_process(instance=instance, tags=RANGE)
    assert result.success
    assert calls == ["source 2026-01-03 2026-01-07", "follower"]
    assert len(instance.get_runs()) == 1
    days = {f"2026-01-0{day}" for day in range(3, 8)}
    assert instance.get_materialized_partitions(dg.AssetKey("source")) == days
    told = result.asset_materializations_for_node("source")
    assert {each.partition for each in told} == days
    assert all(each.metadata["fetched"].value == 1 for each in told)


def test_metadata_of_single_partitions_can_be_added_in_a_range_run(instance: dg.DagsterInstance, batched: bool):
    keys = [f"e-{number}" for number in range(6)]
    instance.add_dynamic_partitions("entities", keys)

    @dg.asset(partitions_def=ENTITIES, backfill_policy=dg.BackfillPolicy.single_run())
    def stories(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        for key in context.partition_keys:
            context.add_asset_metadata({"story": f"of {key}"}, asset_key="stories", partition_key=key)
        return dg.MaterializeResult()

    result = dg.materialize(
        [stories],
        instance=instance,
        tags={"dagster/asset_partition_range_start": "e-1", "dagster/asset_partition_range_end": "e-4"},
    )
    told = result.asset_materializations_for_node("stories")
    assert {each.partition: each.metadata["story"].value for each in told} == {key: f"of {key}" for key in keys[1:5]}


@pytest.mark.parametrize(("blocking", "stops"), [(True, True), (False, False)])
def test_a_blocking_check_in_an_assets_own_step_keeps_the_asset_and_stops_what_follows(
    instance: dg.DagsterInstance, blocking: bool, stops: bool
):
    @dg.asset(check_specs=[dg.AssetCheckSpec("holds", asset="source", blocking=blocking)])
    def source() -> dg.MaterializeResult:
        return dg.MaterializeResult(
            check_results=[dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR)]
        )

    @dg.asset(deps=[source])
    def follower() -> None:
        pass

    result = dg.materialize([source, follower], instance=instance, raise_on_error=False)
    assert result.success is not stops
    assert len(result.asset_materializations_for_node("source")) == 1
    assert len(result.get_asset_check_evaluations()) == 1
    ran = {event.step_key for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_START}
    assert ran == ({"source"} if stops else {"source", "follower"})


def test_a_job_takes_the_checks_of_its_assets_unless_they_are_taken_out():
    @dg.asset
    def source() -> None:
        pass

    @dg.asset_check(asset=source)
    def standing() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    everything = dg.AssetSelection.assets(source)
    definitions = dg.Definitions(
        assets=[source],
        asset_checks=[standing],
        jobs=[
            dg.define_asset_job("with_it", selection=everything),
            dg.define_asset_job("without_it", selection=everything - dg.AssetSelection.checks(standing)),
        ],
    )
    steps = {
        name: {node.name for node in definitions.resolve_job_def(name).nodes} for name in ("with_it", "without_it")
    }
    assert steps == {"with_it": {"source", "source_standing"}, "without_it": {"source"}}


REPORTING = """
import dagster as dg
from dagster._core.definitions.run_request import DagsterRunReaction
from dagster._core.events import DagsterEventBatchMetadata, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

ENTITIES = dg.DynamicPartitionsDefinition(name="entities")

@dg.asset(partitions_def=ENTITIES)
def stories() -> None: ...

@dg.sensor(target=stories, default_status=dg.DefaultSensorStatus.RUNNING)
def reporter(context):
    context.instance.add_dynamic_partitions("entities", ["a", "b"])
    for key in "ab":
        told = dg.AssetMaterialization("stories", partition=key, metadata={"story": key * 3})
        event = dg.DagsterEvent(
            "ASSET_MATERIALIZATION", job_name=RUNLESS_JOB_NAME, event_specific_data=StepMaterializationData(told)
        )
        batch = DagsterEventBatchMetadata("one", is_end=key == "b")
        context.instance.report_dagster_event(event, run_id=RUNLESS_RUN_ID, batch_metadata=batch)
    context.update_cursor("2")
    [run] = context.instance.get_runs()
    yield DagsterRunReaction(run, run_status=run.status)

defs = dg.Definitions(assets=[stories], sensors=[reporter])
"""


@pytest.mark.processes
def test_a_sensor_reports_events_in_a_batch_and_its_tick_is_a_success_that_names_the_run(tmp_path: Path, batched: bool):
    file = tmp_path / "reporting.py"
    file.write_text(REPORTING, "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    with (
        dg.instance_for_test(temp_dir=str(home)) as instance,
        create_test_daemon_workspace_context(
            PythonFileTarget(python_file=str(file), attribute=None, working_directory=str(tmp_path), location_name="x"),
            instance,
        ) as workspace,
    ):
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.SUCCESS)
        list(execute_sensor_iteration(workspace, logging.getLogger("test"), None, None))
        assert set(instance.get_dynamic_partitions("entities")) == {"a", "b"}
        records = instance.fetch_materializations(dg.AssetKey("stories"), limit=10).records
        told = {record.partition_key: record.asset_materialization for record in records}
        assert {key: each.metadata["story"].value for key, each in told.items() if each} == {"a": "aaa", "b": "bbb"}
        (state,) = instance.all_instigator_state()
        assert state.instigator_data.cursor == "2"
        (made,) = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        assert made.status.value == "SUCCESS"
        assert list(made.tick_data.origin_run_ids) == [run.run_id]
        assert instance.get_runs_count() == 1
