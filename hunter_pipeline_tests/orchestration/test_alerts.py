"""Alerts over real HTTPS: one message for one fault, nothing personal in it, and never in the way."""

import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import trustme
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.alerts import alerts_of, check_alert_sensor, run_failure_alert_sensor
from hunter_pipeline.orchestration.failures import StepError
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.partner_center.errors import ApiError
from hunter_pipeline.quality.alerts import OVER_AFTER, REMIND_AFTER, Alert, body_for, send_alerts
from hunter_pipeline.sandbox.https_server import HttpsServer, Request, Response
from hunter_pipeline.settings import SettingsError, load_settings
from hunter_pipeline_tests.orchestration.dagster_ui import wait_for

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTES = timedelta(minutes=10)
FAULT = Alert("referral_sync_job failed at companies", "the database does not answer", "http://dagster/runs/1")


@dataclass
class Channel:
    """The server behind an incoming webhook."""

    url: str = ""
    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def answer(self, request: Request) -> Response:
        self.meanwhile()
        if self.status == 200:
            self.messages.append(json.loads(request.body))
        return Response(self.status, b"ok")


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    channel = Channel()
    server = HttpsServer(channel.answer, context, port=0)
    server.start()
    channel.url = f"https://127.0.0.1:{server.port}/hook/secret-part"
    yield channel
    server.stop()


def test_one_fault_is_one_message_until_a_day_has_passed(engine: Engine, channel: Channel):
    moments = [NOW + MINUTES * number for number in range(4)]
    assert [send_alerts(engine, channel.url, [FAULT], moment) for moment in moments] == [1, 0, 0, 0]
    later = NOW
    while later < NOW + REMIND_AFTER - MINUTES:
        later += MINUTES
        assert send_alerts(engine, channel.url, [FAULT], later) == 0
    assert send_alerts(engine, channel.url, [FAULT], NOW + REMIND_AFTER) == 1
    [first, reminder] = [message["text"] for message in channel.messages]
    assert first == f"Hunter: {FAULT.about}\n{FAULT.reason}\n{FAULT.link}"
    assert "since 2026-11-24 09:00 UTC)" in reminder


def test_a_fault_that_comes_back_after_it_was_over_is_told_again(engine: Engine, channel: Channel):
    assert send_alerts(engine, channel.url, [FAULT], NOW) == 1
    assert send_alerts(engine, channel.url, [FAULT], NOW + OVER_AFTER + MINUTES) == 1
    assert "seen" not in channel.messages[1]["text"]


def test_two_sensors_that_see_a_fault_at_once_tell_it_once(engine: Engine, channel: Channel):
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    others: list[Future[int]] = []

    def ask_while_the_channel_answers() -> None:
        channel.meanwhile = lambda: None
        others.append(pool.submit(send_alerts, engine, channel.url, [FAULT], NOW + MINUTES))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
            wait_for(lambda: others[0].done() or looking.execute(waiting).first(), 60)

    channel.meanwhile = ask_while_the_channel_answers
    with ThreadPoolExecutor(1) as pool:
        assert send_alerts(engine, channel.url, [FAULT], NOW) == 1
        assert others[0].result() == 0
    assert len(channel.messages) == 1


# Sees the fault as a sensor does, in a process of its own.
SEEING = """
import sys
from datetime import datetime
from hunter_pipeline.quality.alerts import Alert, send_alerts
from hunter_pipeline.store.engine import make_engine
send_alerts(make_engine(sys.argv[1]), sys.argv[2], [Alert(*sys.argv[4:])], datetime.fromisoformat(sys.argv[3]))
"""


def see_in_a_process(engine: Engine, channel: Channel, now: datetime) -> subprocess.Popen[bytes]:
    address = engine.url.render_as_string(hide_password=False)
    fault = (FAULT.about, FAULT.reason, str(FAULT.link))
    return subprocess.Popen([sys.executable, "-c", SEEING, address, channel.url, now.isoformat(), *fault])


@pytest.mark.parametrize("dies", ["process", "connection"])
def test_a_fault_whose_teller_dies_before_it_notes_that_it_told_is_told_once_more_and_never_a_third_time(
    engine: Engine, channel: Channel, dies: str
):
    """The channel has taken the message, and nobody could write that down."""
    teller: list[subprocess.Popen[bytes]] = []
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'"
    )

    def die() -> None:
        channel.meanwhile = lambda: None
        if dies == "process":
            wait_for(lambda: teller, 60)
            teller[0].kill()
            teller[0].wait()
        else:
            with engine.connect() as connection:
                assert connection.execute(others).all() == [(True,)]

    channel.meanwhile = die
    teller.append(see_in_a_process(engine, channel, NOW))
    assert teller[0].wait() != 0
    wait_for(lambda: len(channel.messages) == 1, 60)
    assert send_alerts(engine, channel.url, [FAULT], NOW + MINUTES) == 1
    assert send_alerts(engine, channel.url, [FAULT], NOW + 2 * MINUTES) == 0
    first, second = (message["text"] for message in channel.messages)
    assert first == second == f"Hunter: {FAULT.about}\n{FAULT.reason}\n{FAULT.link}"


def test_two_faults_are_two_messages_and_ids_and_counts_make_no_other_fault(engine: Engine, channel: Channel):
    refusals = [ApiError(503, "busy", f"7b1e7a3c-0000-4000-8000-00000000000{number}") for number in (1, 2)]
    alerts = [Alert("sync failed", str(error)) for error in refusals]
    alerts += [Alert("check", f"{number} have waited") for number in (3, 40)]
    assert send_alerts(engine, channel.url, alerts, NOW) == 2
    assert send_alerts(engine, channel.url, [Alert("other check", "3 have waited")], NOW) == 1


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_what_the_channel_refuses_is_logged_without_its_address_and_sent_the_next_time(
    engine: Engine, channel: Channel, capsys: pytest.CaptureFixture[str], status: int
):
    channel.status = status
    assert send_alerts(engine, channel.url, [FAULT], NOW) == 0
    output = "".join(capsys.readouterr())
    assert f"HTTP status {status}" in output
    assert "secret-part" not in output
    channel.status = 200
    assert send_alerts(engine, channel.url, [FAULT], NOW + MINUTES) == 1


def test_a_channel_that_is_down_is_logged_and_raises_nothing(engine: Engine, capsys: pytest.CaptureFixture[str]):
    assert send_alerts(engine, "https://127.0.0.1:9/hook/secret-part", [FAULT], NOW) == 0
    output = "".join(capsys.readouterr())
    assert "alert_not_delivered" in output
    assert "secret-part" not in output


def test_teams_workflows_get_a_card_and_everybody_else_plain_text():
    workflow = "https://prod-1.westeurope.logic.azure.com:443/workflows/x"
    [attachment] = body_for(workflow, "one\ntwo")["attachments"]
    assert [block["text"] for block in attachment["content"]["body"]] == ["one", "two"]
    assert "actions" not in attachment["content"]
    [linked] = body_for(workflow, "one", "https://dagster/runs/1")["attachments"]
    assert linked["content"]["actions"] == [
        {"type": "Action.OpenUrl", "title": "Open", "url": "https://dagster/runs/1"}
    ]
    assert body_for("https://hooks.slack.com/services/x", "one\ntwo") == {"text": "one\ntwo"}
    assert body_for("https://hooks.slack.com/services/x", "one", "https://d") == {"text": "one\nhttps://d"}
    assert body_for("https://logic.azure.com.evil.example/x", "one") == {"text": "one"}


@pytest.mark.parametrize("url", ["http://hooks.slack.com/x", "hooks.slack.com/x", "https://user:pw@hooks.slack.com/x"])
def test_an_address_that_is_not_https_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("HUNTER_ALERT_WEBHOOK_URL", url)
    with pytest.raises(SettingsError, match="HUNTER_ALERT_WEBHOOK_URL: must be an https") as raised:
        load_settings()
    assert url not in str(raised.value)


@dg.asset(check_specs=[dg.AssetCheckSpec("holds", asset="warned", description="claim")])
def warned() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                passed=False, severity=dg.AssetCheckSeverity.WARN, description="3 referrals wait: answer them"
            )
        ]
    )


@dg.asset
def clear_failure() -> None:
    raise dg.Failure("the sign-in has expired; run `hunter login`", allow_retries=False)


@dg.asset(check_specs=[dg.AssetCheckSpec("books_hold", asset="gated", blocking=True)])
def gated() -> Iterator[dg.MaterializeResult[None]]:
    reason = "3 referrals lost: run `hunter sync --force`"
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, description=reason)])
    raise StepError(reason)


@dg.asset
def crash() -> None:
    raise ValueError("jane.roe@contoso.com")


def finish(instance: dg.DagsterInstance, asset: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    job = dg.Definitions(assets=[asset], jobs=[dg.define_asset_job("some_job", [asset])]).resolve_job_def("some_job")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def tell(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> None:
    """What Dagster does with the sensors after a run."""
    kind = dg.DagsterEventType.RUN_SUCCESS if result.success else dg.DagsterEventType.RUN_FAILURE
    [event] = [event for event in result.all_events if event.event_type == kind]
    resources = {name: make_resources()[name] for name in ("settings", "database")}
    sensor = check_alert_sensor if result.success else run_failure_alert_sensor
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name, dagster_instance=instance, dagster_run=result.dagster_run, dagster_event=event,
        resources=resources,
    )  # fmt: skip
    with context:
        sensor(context if result.success else context.for_run_failure())


def test_a_failed_run_is_told_with_its_fix_and_a_link(
    instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_ALERT_WEBHOOK_URL", channel.url)
    result = finish(instance, clear_failure)
    tell(instance, result)
    tell(instance, finish(instance, clear_failure))
    assert [message["text"] for message in channel.messages] == [
        f"Hunter: some_job failed at clear_failure, run {result.run_id[:8]}\n"
        "the sign-in has expired; run `hunter login`\n"
        f"http://127.0.0.1:3000/runs/{result.run_id}"
    ]


def test_a_gate_that_does_not_hold_is_one_message(
    instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_ALERT_WEBHOOK_URL", channel.url)
    tell(instance, finish(instance, gated))
    [text] = [message["text"] for message in channel.messages]
    assert text.splitlines()[0].startswith("Hunter: some_job failed at gated, run ")
    assert text.splitlines()[1] == "3 referrals lost: run `hunter sync --force`"


def test_a_run_from_the_asset_graph_is_told_as_such(instance: dg.DagsterInstance):
    run = finish(instance, warned).dagster_run.with_job_origin(None)._replace(job_name="__ASSET_JOB")
    [alert, _] = alerts_of(instance, run, "Its process is gone.", load_settings())
    assert alert.about == "materialization by hand failed"


def test_the_text_of_an_unexpected_error_never_leaves(
    instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_ALERT_WEBHOOK_URL", channel.url)
    tell(instance, finish(instance, crash))
    [text] = [message["text"] for message in channel.messages]
    assert "crash broke with ValueError" in text
    assert "jane" not in text


def test_a_check_that_warns_in_a_run_that_succeeds_is_told(
    instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_ALERT_WEBHOOK_URL", channel.url)
    tell(instance, finish(instance, warned))
    [text] = [message["text"] for message in channel.messages]
    head, reason, link = text.splitlines()
    assert head.startswith("Hunter: check failing at warned: holds, run ")
    assert reason == "3 referrals wait: answer them"
    assert link.startswith("http://127.0.0.1:3000/runs/")


def test_a_run_that_failed_without_a_failed_step_is_told_with_what_dagster_says(instance: dg.DagsterInstance):
    run = finish(instance, warned).dagster_run
    alerts = alerts_of(instance, run, "Exceeded maximum runtime of 3600 seconds.", load_settings())
    assert (alerts[0].about, alerts[0].reason) == (
        "some_job failed",
        "Exceeded maximum runtime of 3600 seconds.",
    )


def test_without_an_address_nothing_is_sent(instance: dg.DagsterInstance, channel: Channel):
    tell(instance, finish(instance, clear_failure))
    assert channel.messages == []
