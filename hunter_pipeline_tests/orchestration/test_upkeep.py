"""The jobs beside the sync: retention of Dagster's own records, and when each schedule asks for a run."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.instance_retention import (
    delete_old_evaluations,
    delete_old_stories,
    delete_runs,
    old_runs,
)
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.orchestration.upkeep import RetentionConfig
from hunter_pipeline.runs.sync_request import SYNC_JOB
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.settings import SettingsError, load_settings

DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01")


@dg.asset(check_specs=[dg.AssetCheckSpec("holds", asset="plain")])
def plain() -> dg.MaterializeResult:  # type: ignore[type-arg]
    sys.stdout.write("something that is kept as a file")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@dg.asset(partitions_def=DAYS)
def daily() -> None: ...


def run(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, partition: str | None = None) -> str:
    result = dg.materialize([asset], instance=instance, partition_key=partition)
    assert result.success
    return result.run_id


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def test_old_runs_go_with_events_and_files_and_the_newest_of_each_asset_and_partition_stays(
    instance: dg.DagsterInstance, tmp_path: Path
):
    first, second = run(instance, plain), run(instance, plain)
    monday, tuesday = run(instance, daily, "2026-11-02"), run(instance, daily, "2026-11-03")
    monday_again = run(instance, daily, "2026-11-02")
    gone = old_runs(instance, soon(), 100)
    assert gone == [first, monday]
    kept = {path.name for path in tmp_path.glob("dagster/storage/*")}
    assert {first, second} <= kept
    delete_runs(instance, gone)
    assert {path.name for path in tmp_path.glob("dagster/storage/*")} == kept - {first, monday}
    assert {record.dagster_run.run_id for record in instance.get_run_records()} == {second, tuesday, monday_again}
    assert list(instance.all_logs(first)) == []
    assert instance.get_latest_materialization_event(plain.key) is not None
    assert instance.get_materialized_partitions(daily.key) == {"2026-11-02", "2026-11-03"}


def test_young_runs_and_unfinished_ones_stay(instance: dg.DagsterInstance):
    run(instance, plain)
    run(instance, plain)
    assert old_runs(instance, datetime.now(UTC) - timedelta(days=1), 100) == []
    create_run_for_test(instance, job_name=SYNC_JOB, status=dg.DagsterRunStatus.STARTED)
    assert len(old_runs(instance, soon(), 100)) == 1
    assert len(old_runs(instance, soon(), 0)) == 0


def test_old_evaluations_go_but_the_newest_of_each_check(instance: dg.DagsterInstance):
    for _ in range(3):
        run(instance, plain)
    assert delete_old_evaluations(instance, soon(), 100, dry_run=True) == 2
    assert delete_old_evaluations(instance, soon(), 1, dry_run=False) == 1
    assert delete_old_evaluations(instance, soon(), 100, dry_run=False) == 1
    assert delete_old_evaluations(instance, soon(), 100, dry_run=False) == 0
    key = dg.AssetCheckKey(plain.key, "holds")
    [newest] = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).values()
    assert newest.status.value == "SUCCEEDED"


def test_old_stories_go_but_the_newest_of_each_referral(instance: dg.DagsterInstance):
    for partition in ("r1", "r1", "r2"):
        instance.report_runless_asset_event(
            dg.AssetMaterialization("referral_lineage", partition=partition, tags={"dagster/code_version": "1"})
        )
    assert delete_old_stories(instance, datetime.now(UTC) - timedelta(days=1), 100, dry_run=False) == 0
    assert delete_old_stories(instance, soon() + timedelta(days=1), 100, dry_run=True) == 1
    assert delete_old_stories(instance, soon() + timedelta(days=1), 100, dry_run=False) == 1
    assert delete_old_stories(instance, soon() + timedelta(days=1), 100, dry_run=False) == 0
    assert instance.get_materialized_partitions(dg.AssetKey("referral_lineage")) == {"r1", "r2"}


def test_the_job_counts_by_default_and_deletes_when_the_schedule_asks(instance: dg.DagsterInstance, engine: Engine):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO alerts VALUES ('old', 1, '2020-01-01', '2020-01-01', NULL)"))
    job = build_defs(load_settings()).resolve_job_def("retention_job")
    assert RetentionConfig().dry_run
    alerts = []
    scheduled = asked(instance, "retention_schedule")
    assert isinstance(scheduled, dg.RunRequest)
    for config in ({}, scheduled.run_config):
        result = job.execute_in_process(instance=instance, run_config=config)
        [output] = [event for event in result.all_node_events if event.event_type_value == "STEP_OUTPUT"]
        with engine.connect() as connection:
            left = connection.execute(text("SELECT count(*) FROM alerts")).scalar_one()
        alerts.append((output.step_output_data.metadata["alerts"].value, left))
    assert alerts == [(1, 1), (1, 0)]


def asked(instance: dg.DagsterInstance, name: str) -> dg.RunRequest | str:
    """What a schedule asks for now, or why it does not."""
    schedule = build_defs(load_settings()).get_repository_def().get_schedule_def(name)
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime.now(UTC), resources=make_resources()
    ) as context:
        data = schedule.evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message or ""


@pytest.mark.parametrize(
    "name",
    [
        "domain_rescan_schedule",
        "domain_registrations_schedule",
        "domain_tenants_schedule",
        "referral_sweep_schedule",
    ],
)
def test_with_the_flag_off_nothing_is_asked_of_anybody(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "false")
    monkeypatch.setenv("HUNTER_TENANT_DISCOVERY_ENABLED", "true")
    assert asked(instance, name) == "feature_disabled"


def test_registrations_are_asked_for_unless_switched_off(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(asked(instance, "domain_registrations_schedule"), dg.RunRequest)
    monkeypatch.setenv("HUNTER_REGISTRATION_ENABLED", "false")
    assert asked(instance, "domain_registrations_schedule") == "switched_off: HUNTER_REGISTRATION_ENABLED is false"


@pytest.mark.parametrize(
    ("schedule", "setting", "op", "field"),
    [
        ("domain_rescan_schedule", "HUNTER_DOMAIN_RESCAN_LIMIT", "domain_signals", "rescan_limit"),
        ("domain_registrations_schedule", "HUNTER_REGISTRATION_LIMIT", "domain_registrations", "limit"),
        ("domain_tenants_schedule", "HUNTER_TENANT_DISCOVERY_LIMIT", "domain_tenants", "limit"),
    ],
)
def test_a_run_asks_for_as_many_domains_as_are_set(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, schedule: str, setting: str, op: str, field: str
):
    monkeypatch.setenv("HUNTER_TENANT_DISCOVERY_ENABLED", "true")
    for value in ("7", "70000"):
        monkeypatch.setenv(setting, value)
        request = asked(instance, schedule)
        assert isinstance(request, dg.RunRequest)
        assert request.run_config["ops"][op]["config"][field] == int(value)
    monkeypatch.setenv(setting, "0")
    with pytest.raises(SettingsError, match=f"^{setting}: "):
        load_settings()


def test_a_sync_is_ended_after_the_time_that_is_set(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_SYNC_MAX_RUNTIME", "20000")
    request = asked(instance, "referral_sweep_schedule")
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/max_runtime"] == "20000"


def test_tenants_are_asked_for_only_when_switched_on(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    assert asked(instance, "domain_tenants_schedule") == "switched_off: HUNTER_TENANT_DISCOVERY_ENABLED is false"
    monkeypatch.setenv("HUNTER_TENANT_DISCOVERY_ENABLED", "true")
    assert isinstance(asked(instance, "domain_tenants_schedule"), dg.RunRequest)


def test_a_sweep_takes_everything_once_a_week_and_the_day_after_when_one_was_missed(
    instance: dg.DagsterInstance, engine: Engine
):
    sweep = asked(instance, "referral_sweep_schedule")
    assert isinstance(sweep, dg.RunRequest)
    assert sweep.tags["dagster/asset_partition_range_start"] == "2026-01-01"
    insert = text(
        "INSERT INTO sync_runs (run_id, status, source, forced, window_end, covers_to_now, started_at)"
        " VALUES (:run, :status, 'x', false, :at, true, :at)"
    )
    rows = [("a", "success", 8), ("b", "failed", 1)]
    with engine.begin() as connection:
        for run_id, status, days in rows:
            at = datetime.now(UTC) - timedelta(days=days)
            connection.execute(insert, {"run": run_id, "status": status, "at": at})
    assert isinstance(asked(instance, "referral_sweep_schedule"), dg.RunRequest)
    with engine.begin() as connection:
        connection.execute(insert, {"run": "c", "status": "partial", "at": datetime.now(UTC) - timedelta(days=6)})
    assert str(asked(instance, "referral_sweep_schedule")).startswith("not_due: the last sweep began ")


def test_every_run_of_an_upkeep_job_is_alone_and_limited_in_time():
    repository = build_defs(load_settings()).get_repository_def()
    names = ("domain_rescan_job", "domain_registrations_job", "domain_tenants_job", "retention_job", SYNC_JOB)
    tags = {name: repository.get_job(name).tags for name in names}
    assert len({tag["hunter/exclusive"] for tag in tags.values()}) == len(names)
    assert all(0 < int(tag["dagster/max_runtime"]) <= 3600 for tag in tags.values())


def test_a_rescan_scores_again_and_tenants_are_looked_up_beside_it(
    instance: dg.DagsterInstance, sandbox: Sandbox, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    definitions = build_defs(load_settings())
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO companies (domain, run_id) VALUES ('contoso.com', 'made')"))

    def run_job(name: str) -> dg.ExecuteInProcessResult:
        return definitions.resolve_job_def(name).execute_in_process(instance=instance, raise_on_error=False)

    def one(query: str) -> object:
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()

    assert run_job("domain_rescan_job").success
    score = one("SELECT score FROM lead_scores")
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE domain_signals SET scanned_at = scanned_at - interval '31 days', dmarc_state = 'none',"
                ' dmarc_policy = NULL, signals = signals || \'{"dmarc_state": "none", "dmarc_policy": null}\''
            )
        )
        connection.execute(text("UPDATE lead_scores SET score = 0, inputs_hash = 'other'"))
    assert run_job("domain_rescan_job").success
    assert one("SELECT score FROM lead_scores") == score
    assert one("SELECT old || ' -> ' || new FROM domain_signal_history WHERE field = 'dmarc'") == "none -> p=reject"

    off = run_job("domain_tenants_job")
    assert off.success, "an asset that is switched off is no alarm"
    [told] = off.asset_materializations_for_node("domain_tenants")
    assert told.metadata["skipped"].value == "switched_off: HUNTER_TENANT_DISCOVERY_ENABLED is false"
    assert one("SELECT count(*) FROM domain_tenants") == 0
    monkeypatch.setenv("HUNTER_TENANT_DISCOVERY_ENABLED", "true")
    assert run_job("domain_tenants_job").success
    assert one("SELECT status FROM domain_tenants") == "found"
