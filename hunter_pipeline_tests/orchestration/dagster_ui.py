"""The running product through Dagster's web server, asked as its UI asks: GraphQL, and nothing below it.

Belongs here: starting it and the questions. Does not belong here: what is expected of the answers.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from hunter_pipeline.store.embedded.users import embedded_status
from hunter_pipeline_tests.web.serving import free_port

START_SECONDS = 300
RUN_SECONDS = 600
"""How long to wait on a machine that is busy with other things; nothing is measured by it."""
PATIENT = dict.fromkeys(
    ("DAGSTER_GRPC_TIMEOUT_SECONDS", "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS"),
    str(RUN_SECONDS),
)
"""Dagster's processes wait for one another as long as the tests do, and not for a minute only."""

HUNTER = [sys.executable, "-c", "from hunter_pipeline.cli import main; main()"]
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "hunter"}

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
LAUNCH = """
mutation L($what: ExecutionParams!) { launchRun(executionParams: $what) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }
"""
RUN = """
query R($id: ID!) { runOrError(runId: $id) { ... on Run { runId status tags { key value } } } }
"""
FAILED_STEPS = """
query F($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message stack causes { message } }
        failureMetadata { metadataEntries { label ... on BoolMetadataEntry { boolValue } } } } } } } }
"""
TROUBLES = """
query W($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events {
    ... on MessageEvent { level message } ... on ErrorEvent { error { message } } } } } }
"""
ASSETS = """
{ assetNodes { assetKey { path } isPartitioned isMaterializable staleStatus groupName } }
"""
PARTITIONS = """
query P($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }
"""
STALE = """
query S($key: AssetKeyInput!, $partitions: [String!]) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    staleStatusByPartition(partitions: $partitions)
    staleCausesByPartition(partitions: $partitions) { reason } } } }
"""
CHECKS = """
query C($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError {
    ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }
"""
TICKS = """
query T($of: InstigationSelector!) { instigationStateOrError(instigationSelector: $of) { ... on InstigationState {
    ticks(limit: 20) { status skipReason originRunIds } } } }
"""
MATERIALIZATIONS = """
query M($key: AssetKeyInput!, $partitions: [String!], $limit: Int!) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(partitions: $partitions, limit: $limit) { runId partition metadataEntries { label
        ... on MarkdownMetadataEntry { mdStr } ... on IntMetadataEntry { intValue }
        ... on TextMetadataEntry { text } } } } } }
"""


@dataclass(frozen=True)
class DagsterUi:
    """A running web server, the HUNTER_HOME of the product that it shows, and the address of its lead list."""

    url: str
    home: Path = Path()
    list_url: str = ""

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a GraphQL request answers."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch_backfill(self, assets: Sequence[str], days: list[str] | None = None) -> str:
        """Launch a backfill over some days, or over all partitions, as the asset graph does; return its id."""
        which = {"allPartitions": True} if days is None else {"partitionNames": days}
        what = {"assetSelection": [{"path": [name]} for name in assets], **which}
        launched = self.ask(BACKFILL, what=what)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def backfilled(self, backfill: str) -> list[dict[str, Any]]:
        """Wait for the end of a backfill, and return its runs."""

        def ended() -> Any:
            state = self.ask(BACKFILL_STATE, id=backfill)["partitionBackfillOrError"]
            return state if state["status"].startswith(("COMPLETED", "FAILED")) else None

        state = wait_for(ended, RUN_SECONDS)
        assert state["status"] == "COMPLETED_SUCCESS", [self.troubles(run["runId"]) for run in state["runs"]]
        return list(state["runs"])

    def launch(self, job: str, tags: Mapping[str, str] | None = None, assets: Sequence[str] | None = None) -> str:
        """Launch a run, as the launchpad and the button *Materialize* of one partition do; return its id."""
        selector: dict[str, Any] = {**REPOSITORY, "jobName": job}
        if assets is not None:
            selector["assetSelection"] = [{"path": [name]} for name in assets]
        what = {
            "selector": selector,
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]},
        }
        launched = self.ask(LAUNCH, what=what)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def ended(self, run: str) -> dict[str, Any]:
        """Wait for the end of a run, and return its status and tags."""

        def over() -> Any:
            found = self.ask(RUN, id=run)["runOrError"]
            return found if found["status"] in {"SUCCESS", "FAILURE", "CANCELED"} else None

        return dict(wait_for(over, RUN_SECONDS))

    def troubles(self, run: str) -> list[str]:
        """What the log of a run says in red."""
        events = self.ask(TROUBLES, id=run)["logsForRun"]["events"]
        return [
            f"{event['message']} {(event.get('error') or {}).get('message', '')}"
            for event in events
            if event.get("level") in {"ERROR", "CRITICAL"}
        ]

    def failed_steps(self, run: str) -> list[dict[str, Any]]:
        """The failures of a run's steps as its page shows them."""
        return [event for event in self.ask(FAILED_STEPS, id=run)["logsForRun"]["events"] if event]

    def assets(self) -> list[dict[str, Any]]:
        """What the asset graph shows of each asset."""
        return list(self.ask(ASSETS)["assetNodes"])

    def partitions(self, asset: str) -> list[str]:
        """The keys of an asset's partitions."""
        return list(self.ask(PARTITIONS, key={"path": [asset]})["assetNodeOrError"]["partitionKeys"])

    def unsynced(self, asset: str) -> dict[str, list[str]]:
        """Partitions that are shown as unsynced, with the reasons."""
        keys = self.partitions(asset)
        node = self.ask(STALE, key={"path": [asset]}, partitions=keys)["assetNodeOrError"]
        told = zip(keys, node["staleStatusByPartition"], node["staleCausesByPartition"], strict=True)
        return {key: [cause["reason"] for cause in causes] for key, status, causes in told if status == "STALE"}

    def checks(self, asset: str) -> dict[str, str | None]:
        """The checks of an asset with the status that is shown; None: "Not evaluated"."""
        listed = self.ask(CHECKS, key={"path": [asset]})["assetNodeOrError"]["assetChecksOrError"]["checks"]
        shown = {check["name"]: check["executionForLatestMaterialization"] for check in listed}
        return {name: execution["status"] if execution else None for name, execution in shown.items()}

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """The newest ticks of a schedule or sensor."""
        return list(self.ask(TICKS, of={**REPOSITORY, "name": name})["instigationStateOrError"].get("ticks", []))

    def materializations(self, asset: str, partitions: list[str] | None = None, limit: int = 5) -> list[dict[str, Any]]:
        """The newest materializations of an asset, or of some of its partitions."""
        answer = self.ask(MATERIALIZATIONS, key={"path": [asset]}, partitions=partitions, limit=limit)
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
            command,
            cwd=cwd,
            env={**bare, **PATIENT, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
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


@contextlib.contextmanager
def running_product() -> Iterator[DagsterUi]:
    """`hunter dev --sandbox` in a folder of its own, which asks for no sync by itself."""
    port, web_port = free_port(), free_port()
    command = [*HUNTER, "dev", "--sandbox", "--port", str(port), "--web-port", str(web_port)]
    with TemporaryDirectory(prefix="hunter-ui-", ignore_cleanup_errors=True) as folder:
        environment = {"HUNTER_HOME": f"{folder}/home", "HUNTER_PARTNER_CENTER_SYNC_INTERVAL": "86400"}
        with started(command, port, Path(folder), environment) as server:
            yield replace(server, home=Path(folder) / "home", list_url=f"http://127.0.0.1:{web_port}")
        assert not embedded_status(Path(folder) / "home").running, "the last user to leave stops the database"
