"""The running product through Dagster's web server, asked as its UI asks: schedule, materialize all, backfill, lineage.

Two servers: `hunter dev --sandbox`, and `dagster dev` typed by habit in a checkout with nothing set.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import requests
from websockets import Origin, Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hunter_pipeline.sandbox.samples import as_of
from hunter_pipeline.sandbox.sandbox import FIRST_START
from hunter_pipeline.store.embedded.users import embedded_status
from hunter_pipeline.vocabulary import STAGES
from hunter_pipeline_tests.web.serving import chromium, free_port

START_SECONDS = 120
RUN_SECONDS = 180

pytestmark = pytest.mark.xdist_group("dagster-ui")

WORKSPACE = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    ... on RepositoryLocation { repositories { name
        schedules { name scheduleState { status } } sensors { name sensorState { status } } } }
    ... on PythonError { message } } } } } }
"""
DRY_RUN = """
mutation D($schedule: ScheduleSelector!) { scheduleDryRun(selectorData: $schedule, timestamp: 1795514400) {
    ... on DryRunInstigationTick { evaluationResult { skipReason runRequests { tags { key } } error { message } } }
    ... on PythonError { message } } }
"""
BACKFILL = """
mutation B($what: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $what) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
BACKFILL_STATE = """
query S($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status error { message } runs(limit: 20) { runId status tags { key value } } } } }
"""
MATERIALIZATIONS = """
query M($key: AssetKeyInput!, $partitions: [String!]) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(partitions: $partitions, limit: 5) { runId partition metadataEntries { label
        ... on MarkdownMetadataEntry { mdStr } ... on IntMetadataEntry { intValue } } } } } }
"""


@dataclass(frozen=True)
class DagsterUi:
    """A running web server, and the HUNTER_HOME of the product that it shows."""

    url: str
    home: Path = Path()

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a GraphQL request answers."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def backfill(self, assets: tuple[str, ...], days: list[str]) -> list[dict[str, Any]]:
        """Launch a backfill as the asset graph does, wait for its end, and return its runs."""
        what = {"assetSelection": [{"path": [name]} for name in assets], "partitionNames": days}
        launched = self.ask(BACKFILL, what=what)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

        def ended() -> Any:
            state = self.ask(BACKFILL_STATE, id=launched["backfillId"])["partitionBackfillOrError"]
            return state if state["status"].startswith(("COMPLETED", "FAILED")) else None

        state = wait_for(ended, RUN_SECONDS)
        assert state["status"] == "COMPLETED_SUCCESS", state
        return list(state["runs"])

    def materializations(self, asset: str, partitions: list[str] | None = None) -> list[dict[str, Any]]:
        """The newest materializations of an asset, or of some of its partitions."""
        answer = self.ask(MATERIALIZATIONS, key={"path": [asset]}, partitions=partitions)
        return list(answer["assetOrError"].get("assetMaterializations", []))


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"did not happen within {seconds} s")


@contextlib.contextmanager
def started(command: list[str], port: int, cwd: Path, environment: Mapping[str, str]) -> Iterator[DagsterUi]:
    """A Dagster process until the block ends, ready to answer."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("HUNTER_", "DAGSTER_"))}
    log = cwd / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env={**bare, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    server = DagsterUi(f"http://127.0.0.1:{port}")

    def loaded() -> bool:
        assert process.poll() is None, log.read_text("utf-8")[-3000:]
        with contextlib.suppress(requests.RequestException):
            entries = server.ask(WORKSPACE)["workspaceOrError"].get("locationEntries", [])
            return any((entry["locationOrLoadError"] or {}).get("repositories") for entry in entries)
        return False

    try:
        wait_for(loaded, START_SECONDS)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def product() -> Iterator[DagsterUi]:
    """`hunter dev --sandbox`."""
    port, web_port = free_port(), free_port()
    command = [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", "dev", "--sandbox"]
    with TemporaryDirectory(prefix="hunter-ui-", ignore_cleanup_errors=True) as folder:
        environment = {"HUNTER_HOME": f"{folder}/home", "HUNTER_PARTNER_CENTER_SYNC_INTERVAL": "86400"}
        full = [*command, "--port", str(port), "--web-port", str(web_port)]
        with started(full, port, Path(folder), environment) as server:
            yield replace(server, home=Path(folder) / "home")
        assert not embedded_status(Path(folder) / "home").running, "the last user to leave stops the database"


def _days(product: DagsterUi) -> list[str]:
    """The three days up to the one of the referral without a domain, which the samples have on 3 October."""
    started = datetime.fromisoformat((product.home / "sandbox" / FIRST_START).read_text("utf-8").strip())
    last = started - (as_of() - datetime(2026, 10, 3, 8, 6, tzinfo=UTC))
    return [(last - timedelta(days=back)).date().isoformat() for back in (2, 1, 0)]


def test_materializing_all_over_three_days_is_one_run_for_the_range_and_one_for_the_rest(product: DagsterUi):
    runs = product.backfill(tuple(STAGES), _days(product))
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    end = {"key": "dagster/asset_partition_range_end", "value": _days(product)[-1]}
    ranged = [run for run in runs if end in run["tags"]]
    assert len(ranged) == 1
    newest = product.materializations("lead_scores")[0]
    numbers = {entry["label"]: entry.get("intValue") for entry in newest["metadataEntries"]}
    assert numbers["scored"] >= 1


def test_one_referral_shows_its_story_as_a_partition(product: DagsterUi):
    if not product.materializations("lead_scores"):
        product.backfill(tuple(STAGES), _days(product))
    referral = "FLAT-0105"

    def told() -> str | None:
        for shown in product.materializations("referral_lineage", [referral]):
            text = "\n".join(entry["mdStr"] for entry in shown["metadataEntries"] if "mdStr" in entry)
            if "normalized_domains" in text:
                return text
        return None

    # The first story may end where the range's run ended; the sensor tells it anew after the rest.
    assert "social_or_site_builder" in wait_for(told, RUN_SECONDS)
    runs = product.backfill(("referral_lineage",), [referral])
    assert [run["status"] for run in runs] == ["SUCCESS"], "one partition is rebuilt by hand"


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
