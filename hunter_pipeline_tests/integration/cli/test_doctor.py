"""`hunter doctor`: each thing that keeps a sync from working is named with its fix, and ends with status 1."""

import contextlib
import os
import shutil
import socket
import threading
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
from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.sandbox.identity import USERNAME
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.embedded.users import release_embedded
from hunter_pipeline_tests.databases import administer, url_of
from hunter_pipeline_tests.integration.cli.command_line import CommandLine
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

NOW = datetime.now(UTC)


@pytest.fixture
def world(
    sandbox: Sandbox, database_url: str, dagster_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    """The sandbox, with databases and a Dagster home of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path))
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    monkeypatch.setenv("HUNTER_DAGSTER_DATABASE_URL", dagster_database_url)
    folder = tmp_path / "dagster"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[3] / "dagster.yaml", folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    monkeypatch.setenv("HUNTER_WEB_PORT", str(free_port()))
    monkeypatch.setenv("HUNTER_DAGSTER_URL", f"http://127.0.0.1:{free_port()}")
    return sandbox


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    assert found.pop("schedule") == found.pop("last sync") == "warning"
    assert set(found) > {"settings", "names", "DNS", "ports", "database", "tables", "sign-in", "API", "role", "daemon"}
    assert set(found.values()) == {"ok"}
    ended = CommandLine(monkeypatch, capsys)("doctor")
    assert ended.out.splitlines()[-1] == "next: hunter sync"


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


def test_tables_of_dagster_that_are_not_there_or_half_made_are_told(
    world: Sandbox, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_DAGSTER_DATABASE_URL", empty_database_url)
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


def test_a_name_server_that_does_not_resolve_for_others_is_found_out_with_the_fix(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    with ZoneServer({"acme.com": {"MX": ["10 mail.acme.com."]}}, recursive=False) as closed:
        monkeypatch.setenv("HUNTER_DNS_SERVERS", closed.address)
        dns = findings()["DNS"]
        assert dns.state == "problem"
        assert dns.detail == (
            f"{closed.address} is a name server and does not resolve for others (refused): "
            "put a resolver into HUNTER_DNS_SERVERS"
        )
        monkeypatch.setenv("HUNTER_DNS_SERVERS", f"{world.dns.address},{closed.address}")
        beside = findings()["DNS"]
        assert (beside.state, beside.detail) == ("warning", dns.detail)


def test_a_daemon_that_does_not_run_is_a_warning(signed_in: Sandbox, instance: dg.DagsterInstance):
    assert states()["daemon"] == "warning"
    assert "problem" not in states().values()


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


def test_a_database_that_holds_no_names_is_a_problem(
    world: Sandbox, pg_server_url: str, monkeypatch: pytest.MonkeyPatch
):
    name = "ascii_only"
    administer(
        pg_server_url,
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'",
    )
    monkeypatch.setenv("HUNTER_DATABASE_URL", url_of(pg_server_url, name))
    found = findings()["database"]
    assert (found.state, "--encoding=UTF8" in found.detail) == ("problem", True)
    administer(pg_server_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_no_finding_holds_a_secret(signed_in: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_DATABASE_URL", "postgresql://user:the-password@127.0.0.1:9/hunter")
    text = " ".join(finding.detail for finding in findings().values())
    assert "the-password" not in text
    assert os.environ["HUNTER_PARTNER_CENTER_CLIENT_ID"] not in text


def test_a_sign_in_that_was_revoked_is_not_ok_while_its_last_token_still_works(signed_in: Sandbox):
    signed_in.identity.revoke()
    found = findings()["sign-in"]
    assert (found.state, found.next) == ("problem", "hunter login")


def test_a_refusal_that_a_sign_in_alone_does_not_mend_is_not_followed_by_one(signed_in: Sandbox):
    signed_in.identity.deny_next("invalid_grant", "AADSTS53003")
    found = findings()["sign-in"]
    assert (found.state, found.next) == ("problem", None)
    assert "administrator" in found.detail


@pytest.mark.processes
def test_a_new_home_is_told_to_sign_in(world: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HUNTER_DATABASE_URL")
    monkeypatch.delenv("HUNTER_DAGSTER_DATABASE_URL")
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path / "new"))
    found = findings()
    release_embedded(tmp_path / "new")
    assert {finding.check for finding in found.values() if finding.state == "problem"} == {"sign-in"}
    assert [finding.next for finding in found.values() if finding.next] == ["hunter login"]


def test_names_that_are_no_settings_are_listed_with_the_nearest(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTRE_ENABLED", "true")
    monkeypatch.setenv("HUNTER_WEB_SERVICE_PORT", "80")  # Kubernetes' own
    Path("other.env").write_text("HUNTER_DNS_SERVER=10.0.0.53\n", "utf-8")
    monkeypatch.setenv("HUNTER_ENV_FILE", "other.env")
    names = findings()["names"]
    assert names.state == "warning"
    assert "HUNTER_PARTNER_CENTRE_ENABLED is no setting, HUNTER_PARTNER_CENTER_ENABLED is" in names.detail
    assert "HUNTER_DNS_SERVER is no setting, HUNTER_DNS_SERVERS is" in names.detail
    assert "SERVICE_PORT" not in names.detail


def test_a_port_that_another_program_has_is_named(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    other.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        port = other.getsockname()[1]
        monkeypatch.setenv("HUNTER_WEB_PORT", str(port))
        ports = findings()["ports"]
    assert (ports.state, f"lead list {port} is taken" in ports.detail) == ("warning", True)


def test_a_name_server_that_does_not_recurse_is_named(world: Sandbox, monkeypatch: pytest.MonkeyPatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    question, sender = server.recvfrom(512)
                    # A reply, recursion desired and not available, REFUSED.
                    server.sendto(question[:2] + b"\x81\x05" + question[4:], sender)

        threading.Thread(target=refuse, daemon=True).start()
        monkeypatch.setenv("HUNTER_DNS_SERVERS", f"127.0.0.1:{server.getsockname()[1]}")
        dns = findings()["DNS"]
    assert (dns.state, "does not resolve for others" in dns.detail) == ("problem", True)


def test_a_database_of_another_partner_center_is_a_problem(signed_in: Sandbox, engine: Engine):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync_runs (run_id, source, status, forced, window_end, covers_to_now, started_at)"
            " VALUES ('r', 'api.partner.microsoft.com', 'success', false, now(), true, now())"
        )
    source = findings()["source"]
    assert (source.state, "HUNTER_HOME" in source.detail) == ("problem", True)


def test_an_account_that_sees_only_referrals_which_name_it_is_told(
    signed_in: Sandbox, empty: Sandbox, pipeline: Pipeline, tmp_path: Path
):
    pipeline.home = tmp_path  # one machine, so one key for the sign-in
    referrals = signed_in.partner_center.referrals
    for number in range(5):
        referrals.add(flat(f"OWN-{number}", team=[{"email": USERNAME}]))
    pipeline.sync()
    assert "Referrals Admin" in findings()["role"].detail
    referrals.add(flat("OTHER", team=[{"email": "somebody.else@sandbox-partner.example"}]))
    pipeline.sync()
    assert states()["role"] == "ok"
