"""Two lead lists, two code servers and two workers side by side: no sync, alert or digest is doubled.

Both code servers are locations of one daemon, the hardest case: each has its own schedules and sensors, and each asks.
"""

import json
import logging
import shutil
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
import trustme
from cryptography.fernet import Fernet
from sqlalchemy import Engine, make_url, text

from hunter_pipeline.orchestration.guards import is_sync
from hunter_pipeline.sandbox.https_server import HttpsServer, Request, Response
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import urls_of
from hunter_pipeline_tests.orchestration.dagster_ui import HUNTER, LAUNCH, RUN_SECONDS, DagsterUi, wait_for
from hunter_pipeline_tests.orchestration.many_processes import (
    broker_url,
    daemon_and_code,
    process,
    redis,
    said,
    stated_bounds,
    watched_sessions,
    worker,
)
from hunter_pipeline_tests.web.serving import free_port

LOCATIONS = ("hunter", "second")
SHARD = 10
RUNS_AT_ONCE = 3
OF_EACH = {
    "hunter web": 2,
    "hunter ui": 1,
    "hunter daemon": 1,
    "hunter code": 2,
    "hunter run": RUNS_AT_ONCE,
    "hunter worker": 2,
}
"""Processes of each kind, by the name of their sessions."""

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (apt-get install redis-server)"
)


@pytest.fixture
def channel(
    instance: dg.DagsterInstance, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The texts that a chat channel was sent, by a product that is signed in to a sandbox and always wants a sync."""
    messages: list[str] = []

    def answer(request: Request) -> Response:
        messages.append(json.loads(request.body)["text"])
        return Response(200, b"ok")

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HttpsServer(answer, context, port=0)
    server.start()
    with Sandbox(directory=tmp_path / "sandbox") as sandbox:
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(sandbox.ca_file.read_bytes() + authority.cert_pem.bytes())
        for name, value in {
            **sandbox.environment,
            "REQUESTS_CA_BUNDLE": str(trusted),
            "HUNTER_ALERT_WEBHOOK_URL": f"https://127.0.0.1:{server.port}/hook",
            "HUNTER_TOKEN_CACHE_KEY": Fernet.generate_key().decode(),
            "HUNTER_ENVIRONMENT": "development",
            "HUNTER_EXECUTOR": "celery",
            "HUNTER_CELERY_URL": broker_url(),
            "HUNTER_SCAN_SHARD": str(SHARD),
            "HUNTER_DAGSTER_URL": f"http://127.0.0.1:{free_port()}",
        }.items():
            monkeypatch.setenv(name, value)
        make_sign_in(load_settings(), engine).device_login(lambda _: None)
        yield messages
    server.stop()


def answers(address: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{address}/healthz/live", timeout=10).ok
    return False


def launch(ui: DagsterUi, job: str, location: str) -> str:
    selector = {"repositoryName": "__repository__", "repositoryLocationName": location, "jobName": job}
    what = {"selector": selector, "runConfigData": {}, "mode": "default"}
    launched = ui.ask(LAUNCH, what=what)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def ended(instance: dg.DagsterInstance, run_ids: list[str]) -> bool:
    runs = [instance.get_run_by_id(run_id) for run_id in run_ids]
    return all(run is not None and run.is_finished for run in runs)


def syncs(instance: dg.DagsterInstance) -> list[tuple[float, float]]:
    """Start and end of every sync that began and has ended, in order."""
    records = instance.get_run_records()
    return sorted(
        (record.start_time, record.end_time)
        for record in records
        if is_sync(record.dagster_run) and record.start_time and record.end_time
    )


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.mark.timeout(2 * RUN_SECONDS)
def test_two_of_each_double_nothing_and_hold_no_more_sessions_than_is_stated(
    instance: dg.DagsterInstance, channel: list[str], engine: Engine, tmp_path: Path
):
    ui = DagsterUi(load_settings().dagster_url)
    addresses = urls_of(load_settings())
    own, dagsters = (str(make_url(url).database) for url in (addresses.hunter, addresses.dagster))
    with ExitStack() as stack:
        sessions = stack.enter_context(watched_sessions(addresses.hunter, own, dagsters))
        stack.enter_context(redis(tmp_path))
        for name in ("worker-one", "worker-two"):
            stack.enter_context(worker(name, tmp_path))
        where = stack.enter_context(daemon_and_code(tmp_path, *LOCATIONS))
        port = ui.url.rpartition(":")[2]
        running = stack.enter_context(process("ui", tmp_path, *HUNTER, "ui", "--port", port, **where))
        said(tmp_path, "ui", "Dagster UI: http", running)
        lists = []
        for name in ("list-one", "list-two"):
            lists.append(f"http://127.0.0.1:{free_port()}")
            command = (*HUNTER, "web", "--port", lists[-1].rpartition(":")[2])
            running = stack.enter_context(process(name, tmp_path, *command, **where))
            said(tmp_path, name, "Lead list: http", running)
            wait_for(lambda: answers(lists[-1]), RUN_SECONDS)

        def press(address: str) -> int:
            return requests.post(f"{address}/api/referrals/sync", params={"wait": 0}, json={}, timeout=120).status_code

        with ThreadPoolExecutor(2) as pool:
            pressed = list(pool.map(press, lists * 2))
        assert set(pressed) <= {200, 202, 409}, pressed
        wait_for(lambda: len(syncs(instance)) > 1, RUN_SECONDS)
        wait_for(lambda: rows(engine, "SELECT count(*) FROM domain_signals")[0][0] > SHARD, RUN_SECONDS)

        jobs = ("digest_job", "standing_checks_job")
        with ThreadPoolExecutor(4) as pool:
            launched = list(pool.map(lambda pair: launch(ui, *pair), [(job, at) for job in jobs for at in LOCATIONS]))
        wait_for(lambda: ended(instance, launched), RUN_SECONDS)
        told_twice = "SELECT 1 FROM alerts WHERE fingerprint LIKE 'check failing%' AND occurrences > 1"
        wait_for(lambda: rows(engine, told_twice), RUN_SECONDS)
        with ThreadPoolExecutor(60) as pool:  # more readers at once than there may be sessions
            read = [pool.submit(requests.get, f"{address}/api/leads", timeout=120) for address in lists * 20]
            asked = [pool.submit(ui.partitions, "referral_lineage") for _ in range(20)]
        assert {answer.result().status_code for answer in read} == {200}
        assert len({len(answer.result()) for answer in asked}) == 1

    bounds = stated_bounds()
    assert set(bounds) == set(OF_EACH) | {"hunter sync"}
    for name, number in OF_EACH.items():
        found = tuple(sessions.get((name, database), 0) for database in (own, dagsters))
        assert any(found), f"{name}: {sessions}"
        limits = tuple(number * bound for bound in bounds[name])
        assert all(held <= limit for held, limit in zip(found, limits, strict=True)), f"{name}: {found} > {limits}"
    assert {name for name, _ in sessions} <= {*OF_EACH, "hunter", ""}, sessions
    logging.getLogger(__name__).warning("sessions at most: %s", sessions)  # for the table, with `pytest -rP`

    found = syncs(instance)
    assert all(before[1] <= after[0] for before, after in pairwise(found)), found
    assert rows(engine, "SELECT referral_id FROM partner_center_referrals_raw GROUP BY 1 HAVING count(*) > 1") == []
    assert rows(engine, "SELECT 1 FROM sync_runs GROUP BY source, run_id HAVING count(*) > 1") == []
    about = [message.partition("\n")[0].partition(", run ")[0] for message in channel]
    assert len([first for first in about if first.startswith("Hunter: leads since")]) == 1, about
    assert "check failing at" in "".join(about)
    assert len(about) == len(set(about)), about
