"""Dagster's daemon as a call: schedules, sensors, queue and the watch over runs, until the process is told to end.

Belongs here: instance and workspace as `dagster-daemon run` opens them, and the loop that watches its threads. Does
not belong here: what is done about signals (`cli.readiness`). Dagster's own command ends with the same status however
it was stopped, and waits for no database.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import dagster as dg
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import (
    HEARTBEAT_CHECK_INTERVAL,
    RELOAD_WORKSPACE_INTERVAL,
    THREAD_CHECK_INTERVAL,
    DagsterDaemonController,
    daemon_controller_from_instance,
)
from dagster._utils.log import define_default_formatter

from hunter_pipeline.settings import Settings


def run_daemon(settings: Settings, home: Path) -> None:
    """Run every part of the daemon that the instance asks for; ends by an exception only.

    :param home: Dagster's home, prepared.
    :raises Exception: a part has died; the process is to be started again.
    """
    with (
        dg.DagsterInstance.get() as instance,
        daemon_controller_from_instance(
            instance,
            workspace_load_target=WorkspaceFileTarget([str(home / "workspace.yaml")]),
            code_server_log_level="warning",
            log_level="warning",  # until the form of lines is right
            log_format="json" if settings.log_format == "json" else "colored",
        ) as controller,
    ):
        _write_lines(settings)
        try:
            _watch(controller)
        except (KeyboardInterrupt, SystemExit):
            # What its threads meet from here on, such as a code server that has ended before them, is no error.
            for handler in logging.getLogger("dagster").handlers:
                handler.setLevel(logging.CRITICAL)
            raise


def _watch(controller: DagsterDaemonController) -> None:
    refreshed = asked = time.monotonic()
    while True:
        time.sleep(THREAD_CHECK_INTERVAL)
        controller.check_daemon_threads()
        if time.monotonic() - refreshed > RELOAD_WORKSPACE_INTERVAL:
            refresh_definitions(controller)
            refreshed = time.monotonic()
        if time.monotonic() - asked > HEARTBEAT_CHECK_INTERVAL:
            controller.check_daemon_heartbeats()
            asked = time.monotonic()


def _write_lines(settings: Settings) -> None:
    """Write lines of the level that is set, and without the colours that Dagster puts into files and journals too."""
    logger = logging.getLogger("dagster")
    logger.setLevel(settings.log_level)
    for handler in logger.handlers:
        handler.setLevel(settings.log_level)
        if settings.log_format == "text" and not sys.stdout.isatty():
            handler.setFormatter(define_default_formatter())


def refresh_definitions(controller: DagsterDaemonController) -> None:
    """Ask the code server for the definitions again, and start another one if it is gone.

    Dagster's own loop starts another one every minute, for code that is edited in place: five seconds of processor time
    each. Hunter's code changes with an installation, after which its services are started again.
    """
    context = controller._workspace_process_context
    context.refresh_workspace()
    registry = controller._grpc_server_registry
    entries = context.create_request_context().get_code_location_entries()
    if registry and any(entry.load_error for entry in entries.values()):
        registry.clear_all_grpc_endpoints()  # type: ignore[no-untyped-call]
        context.refresh_workspace()
