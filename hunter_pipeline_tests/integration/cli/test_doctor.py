"""`hunter doctor`: each thing that keeps a sync from working is named with its fix, and ends with status 1."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy import Engine, create_engine

from hunter_pipeline.cli.doctor import SCHEDULE, Finding, examine
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline_tests.integration.cli.command_line import CommandLine

NOW = datetime.now(UTC)


@pytest.fixture
def world(
    sandbox: Sandbox, database_url: str, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    """The sandbox, with databases and a Dagster home of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path))
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    monkeypatch.setenv("HUNTER_DAGSTER_DATABASE_URL", empty_database_url)
    folder = tmp_path / "dagster"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[3] / "dagster.yaml", folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return sandbox


@pytest.fixture
def signed_in(world: Sandbox, engine: Engine) -> Sandbox:
    make_sign_in(load_settings(), engine).device_login(lambda _: None)
    return world


@pytest.fixture
def instance(world: Sandbox) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance


def findings() -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(NOW)}


def states() -> dict[str, str]:
    return {check: finding.state for check, finding in findings().items()}


def beat(instance: dg.DagsterInstance, *, without: str = "") -> None:
    """What a running daemon writes all the time."""
    for name in instance.get_required_daemon_types():
        if name != without:
            instance.add_daemon_heartbeat(DaemonHeartbeat(datetime.now(UTC).timestamp(), name, "a-daemon", []))


def switch(instance: dg.DagsterInstance, status: InstigatorStatus) -> None:
    """What the switch of the schedule in the Dagster UI writes."""
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("hunter"), "__repository__"), SCHEDULE
    )
    data = ScheduleInstigatorData("*/10 * * * *", datetime.now(UTC).timestamp())
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))


def test_a_machine_that_is_ready_has_no_problem(
    signed_in: Sandbox,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    beat(instance)
    ended = CommandLine(monkeypatch, capsys)("doctor", "--json")
    assert ended.status == 0
    found = {finding["check"]: finding["state"] for finding in ended.json()}
    assert found == dict.fromkeys(
        ("settings", "scoring rules", "DNS", "database", "tables", "sign-in", "API", "Dagster's tables", "daemon"), "ok"
    ) | {"schedule": "warning", "last sync": "warning"}


def test_a_problem_ends_with_status_one_and_a_line_that_says_what_to_do(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ended = CommandLine(monkeypatch, capsys)("doctor")
    assert ended.status == 1
    assert "run `hunter login`" in " ".join(ended.out.split())


def test_a_wrong_setting_is_the_only_finding(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_DNS_SERVERS", "not-an-address")
    assert states() == {"settings": "problem"}
    assert "HUNTER_DNS_SERVERS" in findings()["settings"].detail


def test_missing_connection_settings_leave_sign_in_and_api_out(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HUNTER_PARTNER_CENTER_CLIENT_ID")
    found = states()
    assert (found["settings"], found["sign-in"], found["API"]) == ("problem", "left out", "left out")


def test_the_flag_being_off_is_a_warning_and_the_rest_is_checked(
    signed_in: Sandbox, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    beat(instance)
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "false")
    found = states()
    assert (found["settings"], found["API"], found["last sync"]) == ("warning", "ok", "ok")
    assert "problem" not in found.values()


def test_a_database_that_does_not_answer_leaves_out_what_needs_it(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/hunter")
    found = findings()
    assert found["database"].state == "problem"
    assert "HUNTER_DATABASE_URL" in found["database"].detail
    assert {found[check].state for check in ("tables", "sign-in", "API", "daemon", "schedule", "last sync")} == {
        "left out"
    }


def test_tables_of_an_older_version_name_the_upgrade(world: Sandbox, database_url: str):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    engine.dispose()
    tables = findings()["tables"]
    assert (tables.state, "hunter db upgrade" in tables.detail) == ("problem", True)


def test_tables_of_dagster_that_are_not_there_or_half_made_are_told(world: Sandbox, empty_database_url: str):
    found = findings()
    assert (found["Dagster's tables"].state, "not made yet" in found["Dagster's tables"].detail) == ("warning", True)
    assert (found["daemon"].state, found["schedule"].state) == ("left out", "left out")
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE runs (id bigint)")
    engine.dispose()
    assert "half made" in findings()["Dagster's tables"].detail
    with dg.DagsterInstance.get():
        pass
    assert states()["Dagster's tables"] == "ok"


def test_nobody_signed_in_is_a_problem_and_the_api_is_not_asked(world: Sandbox):
    found = states()
    assert (found["sign-in"], found["API"]) == ("problem", "left out")
    assert not [request for request in world.partner_center.requests if "referrals" in request.path]


def test_an_api_that_refuses_is_named_with_its_fix(signed_in: Sandbox):
    signed_in.partner_center.fail_next(9, status=403)
    api = findings()["API"]
    assert (api.state, "Referrals Admin" in api.detail) == ("problem", True)


def test_dns_servers_that_do_not_answer_are_named(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_DNS_TIMEOUT", "0.1")
    monkeypatch.setenv("HUNTER_DNS_SERVERS", f"127.0.0.1:9,{world.dns.address}")
    dns = findings()["DNS"]
    assert (dns.state, "127.0.0.1:9" in dns.detail) == ("warning", True)
    monkeypatch.setenv("HUNTER_DNS_SERVERS", "127.0.0.1:9")
    assert states()["DNS"] == "problem"


def test_a_part_of_the_daemon_that_is_silent_is_named(world: Sandbox, instance: dg.DagsterInstance):
    assert findings()["daemon"].detail.startswith("no heartbeat: ")
    beat(instance, without="SCHEDULER")
    assert findings()["daemon"].detail.startswith("no heartbeat of scheduler: ")
    beat(instance)
    assert states()["daemon"] == "ok"


def test_a_schedule_that_is_switched_off_is_a_problem(world: Sandbox, instance: dg.DagsterInstance):
    switch(instance, InstigatorStatus.STOPPED)
    schedule = findings()["schedule"]
    assert (schedule.state, "switch it on" in schedule.detail) == ("problem", True)


def test_a_schedule_that_is_on_is_no_problem(world: Sandbox, instance: dg.DagsterInstance):
    switch(instance, InstigatorStatus.RUNNING)
    assert states()["schedule"] == "warning"


def test_no_finding_holds_a_secret(signed_in: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_DATABASE_URL", "postgresql://user:the-password@127.0.0.1:9/hunter")
    text = " ".join(finding.detail for finding in findings().values())
    assert "the-password" not in text
    assert os.environ["HUNTER_PARTNER_CENTER_CLIENT_ID"] not in text
