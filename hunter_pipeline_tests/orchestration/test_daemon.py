"""The daemon's definitions: one code server for as long as it lives, and another one after that."""

import os
import signal
import warnings
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import DagsterDaemonController, daemon_controller_from_instance
from dagster._daemon.daemon import MonitoringDaemon

from hunter_pipeline.orchestration.daemon import refresh_definitions
from hunter_pipeline.orchestration.home import packaged_file
from hunter_pipeline_tests.orchestration.dagster_ui import wait_for


def code_servers(controller: DagsterDaemonController) -> list[int]:
    """Process ids of the code servers that run."""
    registry = controller._grpc_server_registry
    assert registry is not None
    running = [entry.server_process for entry in registry._all_processes if entry.server_process.poll() is None]
    return [process.pid for process in running]


def jobs(controller: DagsterDaemonController) -> set[str]:
    entries = controller._workspace_process_context.create_request_context().get_code_location_entries()
    location = entries["hunter"].code_location
    return (
        set()
        if location is None
        else {job.name for job in location.get_repositories()["__repository__"].get_all_jobs()}
    )


@pytest.mark.processes
def test_one_code_server_serves_until_it_dies_and_then_another_one(instance: dg.DagsterInstance, tmp_path: Path):
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(packaged_file("workspace.yaml").read_text("utf-8"), "utf-8")
    target = WorkspaceFileTarget([str(workspace)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with daemon_controller_from_instance(
            instance, target, gen_daemons=lambda _: [MonitoringDaemon(60)]
        ) as controller:
            [first] = code_servers(controller)
            refresh_definitions(controller)
            refresh_definitions(controller)
            assert code_servers(controller) == [first]
            assert "referral_sync_job" in jobs(controller)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: code_servers(controller) == [], 30)
            refresh_definitions(controller)
            [second] = code_servers(controller)
            assert second != first
            assert "referral_sync_job" in jobs(controller)
