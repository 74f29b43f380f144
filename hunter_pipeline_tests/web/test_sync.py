"""The manual sync, end to end: API and browser against a real Dagster, whose runs go through the sandbox."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, create_engine, inspect, make_url, text

from hunter_pipeline.orchestration.home import packaged_file
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.web.app import create_app
from hunter_pipeline.web.dagster_client import DagsterClient
from hunter_pipeline_tests.web.serving import free_port, serving

START_SECONDS = 240
SYNC_SECONDS = 120

pytestmark = [pytest.mark.xdist_group("dagster"), pytest.mark.processes]


@dataclass(frozen=True)
class Live:
    """A running product: the web server's address, Dagster's, the database, and the sandbox behind it all."""

    url: str
    dagster_url: str
    engine: Engine
    sandbox: Sandbox

    def sync(self, *, wait: float = SYNC_SECONDS, force: bool = False) -> requests.Response:
        return requests.post(
            f"{self.url}/api/referrals/sync", params={"wait": wait}, json={"force": force}, timeout=wait + 30
        )

    def forget(self) -> None:
        """Empty every table but those of the sign-in and the schema, as if no sync had been before."""
        inspector = inspect(self.engine)
        names = [name for name in inspector.get_table_names() if name not in {"token_cache", "alembic_version"}]
        with self.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(names)}"))

    def tags(self, run_id: str) -> dict[str, str]:
        query = "query R($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key value } } } }"
        answer = requests.post(
            f"{self.dagster_url}/graphql", json={"query": query, "variables": {"id": run_id}}, timeout=20
        )
        return {tag["key"]: tag["value"] for tag in answer.json()["data"]["runOrError"]["tags"]}


@pytest.fixture(scope="module")
def live(pg_server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    database = f"live_{os.getpid()}"
    server = create_engine(pg_server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database} TEMPLATE {migrated_template}"))
        connection.execute(text(f"CREATE DATABASE {database}_dagster"))
    server.dispose()
    url = make_url(pg_server_url).set(database=database).render_as_string(hide_password=False)
    engine = make_engine(url)
    port = free_port()
    with pytest.MonkeyPatch.context() as environment, Sandbox(directory=folder / "sandbox") as sandbox:
        for name, value in {
            **sandbox.environment,
            "HUNTER_HOME": str(folder / "home"),
            "HUNTER_DATABASE_URL": url,
            "HUNTER_ENV_FILE": os.devnull,
            "HUNTER_PARTNER_CENTER_SYNC_INTERVAL": "86400",
            "DAGSTER_HOME": str(folder / "dagster"),
        }.items():
            environment.setenv(name, value)
        settings = Settings(_env_file=None, dagster_url=f"http://127.0.0.1:{port}")
        make_sign_in(settings, engine).device_login(lambda _: None)
        with _dagster(folder / "dagster", port), serving(create_app(settings, engine)) as address:
            yield Live(address, settings.dagster_url, engine, sandbox)
    engine.dispose()


@contextlib.contextmanager
def _dagster(home: Path, port: int) -> Iterator[None]:
    """`dagster dev` on a port, ready to launch runs."""
    home.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        (home / name).write_text(packaged_file(name).read_text("utf-8"), "utf-8")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(home / "workspace.yaml"), "-h", "127.0.0.1"]
    log = home / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-p", str(port)], cwd=home, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_ready(process, port, log)
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(4)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=10)
            if answer.json()["data"]["repositoriesOrError"].get("nodes"):
                return
        except (requests.RequestException, ValueError, KeyError, TypeError):
            pass
        time.sleep(0.3)
    raise RuntimeError("Dagster did not start: " + log.read_text("utf-8")[-3000:])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def test_the_button_fetches_the_referrals_and_the_list_fills(live: Live, page: Page):
    live.forget()
    page.goto(live.url)
    expect(page.get_by_text("No leads yet")).to_be_visible()
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("button", name="Syncing…")).to_be_visible()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("referrals fetched", timeout=SYNC_SECONDS * 1000)
    expect(toast).to_contain_text("Sync done in part")
    expect(page.locator("table.leads tbody tr").first).to_be_visible()
    expect(page.locator("table.leads .badge", has_text="Co-sell").first).to_be_visible()
    expect(page.get_by_role("button", name="Sync now")).to_be_visible()
    with live.engine.connect() as connection:
        fetched = connection.execute(text("SELECT fetched FROM sync_runs ORDER BY started_at DESC")).scalar()
    expect(toast).to_contain_text(f"{fetched} referrals fetched")


def test_a_forced_sync_takes_everything_and_keeps_a_second_one_out(live: Live):
    live.forget()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(live.sync, force=True)
        active = _under_way(live)
        second = live.sync(wait=0)
        state = requests.get(f"{live.url}/api/referrals/sync/{active}", timeout=20).json()
        first = waiting.result()
    assert second.status_code == 409
    assert second.json()["run_id"] == active
    assert second.json()["status_url"] == f"/api/referrals/sync/{active}"
    assert state["status"] in {"queued", "running"}
    body = first.json()
    assert first.status_code == 200
    assert (body["run_id"], body["status"]) == (active, "partial")
    assert body["total"] == body["succeeded"] + body["failed"] + body["skipped"] > 0
    assert body["failed"] == len(body["errors"]) > 0
    assert body["run_url"] == f"{live.dagster_url}/runs/{active}"
    assert requests.get(live.url + body["status_url"], timeout=20).json() == body
    tags = live.tags(active)
    assert tags["hunter/force"] == "true"
    assert tags["dagster/asset_partition_range_start"] == FIRST_DAY.isoformat()
    assert (tags["hunter/trigger"], tags["hunter/exclusive"]) == ("web", "referral_sync")


def test_a_sync_that_is_not_waited_for_says_where_to_ask(live: Live):
    answer = live.sync(wait=0)
    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    assert answer.headers["location"] == answer.json()["status_url"]
    _wait_for(live, answer.json()["run_id"])


def test_a_sync_that_breaks_tells_why_in_answer_and_toast(live: Live, page: Page):
    live.sandbox.partner_center.fail_next(count=40, status=403, path="/referrals")
    page.goto(live.url)
    page.get_by_role("button", name="Sync now").click()
    toast = page.locator(".toast.failed")
    expect(toast).to_contain_text("Sync failed", timeout=SYNC_SECONDS * 1000)
    expect(toast).to_contain_text("403")
    with live.engine.connect() as connection:
        run_id = connection.execute(text("SELECT run_id FROM sync_runs ORDER BY started_at DESC LIMIT 1")).scalar_one()
    body = requests.get(f"{live.url}/api/referrals/sync/{run_id}", timeout=20).json()
    assert body["status"] == "failed"
    assert "403" in body["errors"][0]
    live.sandbox.partner_center.clear_faults()


def test_an_id_that_dagster_does_not_know_is_no_sync(live: Live):
    answer = requests.get(f"{live.url}/api/referrals/sync/00000000-0000-0000-0000-000000000000", timeout=20)
    assert answer.status_code == 404


def _under_way(live: Live) -> str:
    deadline = time.monotonic() + SYNC_SECONDS
    while time.monotonic() < deadline:
        active = DagsterClient(live.dagster_url).sync_under_way()
        if active is not None:
            return active
        time.sleep(0.1)
    raise AssertionError("no sync was started")


def _wait_for(live: Live, run_id: str) -> None:
    deadline = time.monotonic() + SYNC_SECONDS
    while time.monotonic() < deadline:
        body = requests.get(f"{live.url}/api/referrals/sync/{run_id}", timeout=20).json()
        if body["status"] in {"success", "partial", "failed"}:
            return
        time.sleep(0.3)
    raise AssertionError("the sync did not end")
