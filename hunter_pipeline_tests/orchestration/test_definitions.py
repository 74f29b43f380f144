"""What Dagster loads: in a fresh interpreter it touches nothing, and its graph is pinned."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.runs.sync_request import SYNC_JOB
from hunter_pipeline.settings import Settings
from hunter_pipeline.store import tables

PROBE = """
import json, os, sys
touched = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "os.system", "os.mkdir", "os.remove", "os.rename"):
        touched.append([event, str(arguments)[:200]])
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        touched.append([event, str(arguments[0])])
sys.dont_write_bytecode = True
sys.addaudithook(watch)
from hunter_pipeline.definitions import defs
print(json.dumps({"touched": touched, "assets": sorted(key.to_user_string() for key in defs.resolve_all_asset_keys())}))
"""

GRAPH = {
    "partner_center": set(),
    "partner_center_referrals_raw": {"partner_center"},
    "normalized_domains": {"partner_center_referrals_raw"},
    "partner_center_referrals": {"normalized_domains"},
    "raw_leads": {"partner_center_referrals"},
    "companies": {"raw_leads"},
    "domain_signals": {"companies"},
    "lead_scores": {"domain_signals"},
    "sync_runs": {"lead_scores"},
    "referral_lineage": {"lead_list"},
    "lead_list": {"lead_scores", "companies", "partner_center_referrals"},
}
"""Each asset with what it follows."""

SYNC = set(GRAPH) - {"referral_lineage", "partner_center", "lead_list"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs(Settings(_env_file=None))


@pytest.mark.processes
def test_they_load_with_an_empty_environment_and_touch_nothing(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["touched"] == []
    assert set(result["assets"]) >= set(GRAPH)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_a_wrong_setting_stops_the_load_and_is_named(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import hunter_pipeline.definitions"],
        cwd=tmp_path,
        env={"HUNTER_ENVIRONMENT": "staging"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "HUNTER_ENVIRONMENT" in done.stderr


@pytest.mark.processes
def test_a_process_of_dagsters_writes_log_lines_as_is_set(tmp_path: Path):
    line = "import hunter_pipeline.definitions, structlog; structlog.get_logger().warning('told')"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", line],
        cwd=tmp_path,
        env={"HUNTER_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stderr.splitlines()[-1])["event"] == "told"


def test_the_asset_graph_is_as_drawn(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    drawn = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert {name: parents for name, parents in drawn.items() if name in GRAPH} == GRAPH


def test_the_sync_job_holds_the_way_from_payload_to_score_and_nothing_else(definitions: dg.Definitions):
    job = definitions.resolve_job_def(SYNC_JOB)
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == SYNC
    assert job.executor_def is dg.in_process_executor
    assert job.tags["hunter/exclusive"] == "referral_sync"
    assert int(job.tags["dagster/max_runtime"]) == 3600


def test_a_sync_that_somebody_launches_in_the_ui_may_run_as_long_as_is_set():
    job = build_defs(Settings(_env_file=None, partner_center_sync_max_runtime=14_400)).resolve_job_def(SYNC_JOB)
    assert job.tags["dagster/max_runtime"] == "14400"


def test_the_page_that_the_ui_opens_on_names_every_group(definitions: dg.Definitions):
    # Imported here: Dagster's web server takes seconds of each worker that only collects the tests.
    from hunter_pipeline.orchestration.ui import GROUPS

    assert {spec.group_name for spec in definitions.resolve_all_asset_specs()} == set(GROUPS)


@pytest.mark.parametrize("name", sorted(SYNC))
def test_every_asset_says_what_it_is(definitions: dg.Definitions, name: str):
    node = definitions.resolve_asset_graph().get(dg.AssetKey(name))
    assert node.description
    assert node.group_name in {"referrals", "scoring", "books"}
    assert "postgres" in node.kinds
    assert list(node.owners) == ["team:sales-operations"]
    assert node.code_version
    assert node.metadata["dagster/table_name"] == f"public.{name}"
    shown = {column.name: column.description or "" for column in node.metadata["dagster/column_schema"].columns}
    columns = tables.metadata.tables[name].columns
    assert list(shown) == [column.name for column in columns]
    assert all(shown[column.name] == column.comment for column in columns)


def test_only_the_raw_referrals_are_partitioned_by_day_and_a_range_is_one_run(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    daily = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if isinstance(graph.get(key).partitions_def, dg.TimeWindowPartitionsDefinition)
    }
    assert daily == {"partner_center_referrals_raw"}
    policy = graph.get(dg.AssetKey("partner_center_referrals_raw")).backfill_policy
    assert policy is not None
    assert policy.max_partitions_per_run is None


def test_the_schedule_runs_by_default_and_the_sensor_only_in_development():
    for environment, expected in (
        ("production", dg.DefaultSensorStatus.STOPPED),
        ("development", dg.DefaultSensorStatus.RUNNING),
    ):
        repository = build_defs(Settings(_env_file=None, environment=environment)).get_repository_def()
        schedule = repository.get_schedule_def("referral_sync_schedule")
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        assert schedule.cron_schedule == "*/10 * * * *"
        sensor = repository.get_sensor_def("referral_sync_dev_sensor")
        assert sensor.default_status == expected
        assert sensor.minimum_interval_seconds == 30


def test_resources_can_be_replaced(definitions: dg.Definitions):
    stand_in = object()
    replaced = build_defs(Settings(_env_file=None), resources={"dns": stand_in})
    assert replaced.resources is not None
    assert replaced.resources["dns"] is stand_in
    assert definitions.resources is not None
    assert set(replaced.resources) == set(definitions.resources)
