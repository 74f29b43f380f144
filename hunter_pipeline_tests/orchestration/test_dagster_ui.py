"""Dagster's web server as Hunter serves it: guarded, in a browser, and by habit from a checkout with nothing set.

What operators see of the product itself is in `test_operators_view`.
"""

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests
from websockets import Origin, Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hunter_pipeline_tests.orchestration.dagster_ui import DRY_RUN, RUN_SECONDS, WORKSPACE, DagsterUi, started
from hunter_pipeline_tests.web.serving import chromium, free_port

pytestmark = [pytest.mark.xdist_group("dagster-ui"), pytest.mark.processes]

RELOAD = "mutation { reloadWorkspace { __typename } }"
"""A mutation that harms nobody; launching a run or stopping a schedule takes the same way."""


@pytest.mark.parametrize("path", ["/graphql", "/%67raphql", "/graphql/"])
def test_a_page_elsewhere_cannot_command_dagster_by_a_picture(product: DagsterUi, path: str):
    answer = requests.get(f"{product.url}{path}", params={"query": RELOAD}, headers={"accept": "image/*"}, timeout=60)
    assert "reloadWorkspace" not in answer.text
    if path != "/graphql/":  # which is a page of the UI
        assert answer.status_code == 405


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:3000"])
def test_no_name_but_this_machines_own_is_answered(product: DagsterUi, host: str):
    answer = requests.post(f"{product.url}/graphql", json={"query": RELOAD}, headers={"host": host}, timeout=60)
    assert answer.status_code == 403
    assert requests.get(product.url, headers={"host": host}, timeout=60).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/lead_scores"])
def test_another_site_cannot_command_dagster_by_a_form(product: DagsterUi, headers: dict[str, str], path: str):
    answer = requests.post(f"{product.url}{path}", params={"query": RELOAD}, headers=headers, timeout=60)
    assert answer.status_code == 403


def test_another_site_cannot_listen_to_dagster(product: DagsterUi):
    address = product.url.replace("http", "ws") + "/graphql"
    spoken = [Subprotocol("graphql-ws")]
    foreign = Origin("https://evil.example")
    with pytest.raises(InvalidStatus, match="403"), connect(address, origin=foreign, subprotocols=spoken):
        pass
    with connect(address, origin=Origin(product.url), subprotocols=spoken) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=60)) == {"type": "connection_ack"}


def test_the_ui_works_in_a_browser(product: DagsterUi):
    with chromium() as browser:
        page = browser.new_page()
        refused, live = [], []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.on("websocket", lambda opened: opened.on("framereceived", lambda frame: live.append(str(frame))))
        page.goto(f"{product.url}/locations/hunter/jobs/retention_job/playground")
        page.get_by_role("button", name="Launch Run").click(timeout=60_000)
        page.wait_for_url("**/runs/*", timeout=60_000)
        page.get_by_text("RUN_SUCCESS").first.wait_for(timeout=RUN_SECONDS * 1000)
        assert any("pipelineRunLogs" in frame for frame in live), "the log came as it was written"
        assert not refused


def test_dagster_dev_typed_by_habit_works_and_skips_while_the_flag_is_off():
    port = free_port()
    project = Path(__file__).parents[2]
    with TemporaryDirectory(prefix="hunter-habit-", ignore_cleanup_errors=True) as folder:
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(project / name, folder)
        command = [sys.executable, "-m", "dagster", "dev", "-p", str(port)]
        with started(command, port, Path(folder), {}) as server:
            entries = server.ask(WORKSPACE)["workspaceOrError"]["locationEntries"]
            repository = entries[0]["locationOrLoadError"]["repositories"][0]
            states = {each["name"]: each["scheduleState"]["status"] for each in repository["schedules"]}
            assert states["referral_sync_schedule"] == "RUNNING"
            schedule = {
                "repositoryName": repository["name"],
                "repositoryLocationName": entries[0]["name"],
                "scheduleName": "referral_sync_schedule",
            }
            tick = server.ask(DRY_RUN, schedule=schedule)["scheduleDryRun"]["evaluationResult"]
            assert tick == {"skipReason": "feature_disabled", "runRequests": [], "error": None}
