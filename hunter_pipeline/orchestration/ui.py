"""Dagster's web server as an application, for the guard to stand in front of.

Belongs here: instance and workspace as `dagster-webserver` opens them, and the page that it opens on. Does not belong
here: who may use it (`web.dagster_guard`) and listening (`cli.servers`). Dagster's own command has no place for a
middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

from hunter_pipeline.orchestration.home import prepare_dagster_home
from hunter_pipeline.settings import Settings

STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_SECONDS = 3600
POOL_OVERFLOW = 20
POLL_MS = 2000
"""The four are the defaults of `dagster-webserver`."""

GROUPS = ("referrals", "scoring", "books", "domain_facts", "use", "lineage")
"""Every group of assets."""

GRAPH = "/asset-groups?expanded=" + ",".join(f"global@global:{group}" for group in GROUPS)
"""The asset graph with its groups open. Dagster closes them where the address does not say otherwise, and names a group
so while groups of the same name in several code locations are one."""


@contextmanager
def dagster_ui(settings: Settings) -> Iterator[Starlette]:
    """Dagster's web application on the instance that the settings lead to, with its code location loaded.

    :raises DatabaseUnavailable: the instance's database does not answer.
    """
    home = prepare_dagster_home(settings)
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_SECONDS, POOL_OVERFLOW)
        with WorkspaceProcessContext(
            instance,
            workspace_load_target=WorkspaceFileTarget([str(home / "workspace.yaml")]),
            version=__version__,
            code_server_log_level="WARNING",
        ) as context:
            application = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)
            application.router.routes.insert(0, Route("/", _show_graph))
            yield application


def _show_graph(_: Request) -> RedirectResponse:
    return RedirectResponse(GRAPH, 307)
