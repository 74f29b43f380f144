"""`hunter dev`, `hunter daemon`, `hunter worker`, `hunter ui` and `hunter web`: the long-running servers.

Belongs here: what is started, and that one that is stopped leaves nothing behind. Does not belong here: what has to
be there before (`readiness`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hunter_pipeline.cli.console import err, out, ready
from hunter_pipeline.cli.demo import sandbox_settings
from hunter_pipeline.cli.readiness import WAIT_SECONDS, Port, Wait, await_database, check_port, end_well_when_told
from hunter_pipeline.cli.sign_in import sign_in
from hunter_pipeline.store.embedded.users import (
    EmbeddedError,
    embedded_status,
    release_embedded,
    start_embedded,
    stop_if_unused,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

STOP_SECONDS = 20
"""How long children get to end by themselves."""

MOST_DEATHS, WITHIN = 3, 600.0
"""How often within so many seconds the embedded server may die before that is not mended by starting it again."""

QUIET = {
    "GRPC_VERBOSITY": "ERROR",
    # Said at every import of the definitions; the lock file pins the version that was tested.
    "PYTHONWARNINGS": "ignore:Parameter `backfill_policy`",
}
"""Environment of processes that load the definitions; what is set already stands."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(dev)
    app.command()(daemon)
    app.command()(worker)
    app.command()(ui)
    app.command()(web)


def dev(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Serve sample referrals and point everything at them")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI")] = 3000,
    web_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the lead list; by default HUNTER_WEB_PORT (8000)")
    ] = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Run Dagster (UI, schedule, sensors, runs) and the lead list on this machine until stopped.

    With --sandbox it runs on the samples of hunter demo, signed in and switched on. Without, it runs on your
    settings: until HUNTER_PARTNER_CENTER_ENABLED=true each tick of the schedule is skipped with the reason
    feature_disabled.
    """
    from hunter_pipeline.services import make_sign_in
    from hunter_pipeline.settings import load_settings

    settings = ready()
    list_port = web_port or settings.web_port
    if port == list_port:
        raise typer.BadParameter(f"Dagster UI and lead list cannot both have port {port}", param_hint="--web-port")
    check_port(port, "--port")
    check_port(list_port, "--web-port")
    with ExitStack() as stack:
        if sandbox:
            stack.enter_context(sandbox_settings())
        settings = load_settings()
        engine = await_database(settings, wait)
        if sandbox:
            sign_in(make_sign_in(settings, engine))
        # Here, since Dagster takes seconds: what is wrong with a port or the database is said before.
        from hunter_pipeline.orchestration.dagster_tables import prepare_dagster

        prepare_dagster(settings)
        hunter = [sys.executable, "-c", "from hunter_pipeline.cli import main; main()"]
        commands = [
            [*hunter, "daemon"],
            [*hunter, "ui", "--port", str(port)],
            [*hunter, "web", "--port", str(list_port)],
        ]
        out().print(f"Lead list:  http://127.0.0.1:{list_port}")
        out().print(f"Dagster UI: http://127.0.0.1:{port} (takes some seconds to start; Ctrl+C stops all)")
        os.environ.setdefault("HUNTER_DAGSTER_URL", f"http://127.0.0.1:{port}")
        watch = None
        if settings.database_url is None:  # one of somebody's own is not ours to start
            stack.callback(_stop_database, settings.home, engine)
            watch = DatabaseWatch(settings.home)
        _run(commands, watch)


def daemon(wait: Wait = WAIT_SECONDS) -> None:
    """Run schedules, sensors and the queue of runs until stopped; nothing happens by itself without it.

    One daemon serves one database, on whichever machine: Dagster allows no second. The folder and the tables that it
    needs are made; tables that are behind are refused, and a database server that does not answer yet is waited for.
    """
    end_well_when_told()
    settings = ready()
    await_database(settings, wait)
    from hunter_pipeline.orchestration.daemon import run_daemon
    from hunter_pipeline.orchestration.dagster_tables import prepare_dagster
    from hunter_pipeline.settings import load_settings

    home = prepare_dagster(settings)
    os.environ.update({**QUIET, **os.environ})
    err().print("Daemon: schedules, sensors and the queue of runs")
    run_daemon(load_settings(), home)  # with the level of log lines that is set, as nobody watches a progress line


def worker(wait: Wait = WAIT_SECONDS) -> None:
    """Look up shards of large scans until stopped, on any machine that reaches the database and Redis.

    It takes one shard after the other from HUNTER_CELERY_URL; run it as often as HUNTER_SCAN_SHARES says. Stopped, it
    ends its shard first; killed, others look its domains up. The other processes need HUNTER_EXECUTOR=celery.
    """
    settings = ready()
    from hunter_pipeline.orchestration.executors import make_celery_app

    application = make_celery_app(settings)
    await_database(settings, wait).dispose()  # the process that looks up is forked, and opens connections of its own
    from hunter_pipeline.orchestration.dagster_tables import prepare_dagster

    prepare_dagster(settings)
    os.environ.update({**QUIET, **os.environ})
    name = f"hunter-{os.getpid()}@%h"  # two on one machine are two
    options = ["--hostname", name, "--concurrency", "1", "--queues", "dagster", "--loglevel", settings.log_level]
    application.worker_main(["worker", *options])


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Port = 3000,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Serve the Dagster UI behind Hunter's guard until stopped.

    Dagster itself has no sign-in and obeys any web page that a browser on this machine shows. The guard answers under
    own names only (this machine's, HUNTER_DAGSTER_URL, HUNTER_DAGSTER_PUBLIC_URL), takes changes from own pages and
    programs only, and asks for HUNTER_WEB_TOKEN when it is set; an address beyond loopback needs it.
    """
    end_well_when_told()
    from hunter_pipeline.web.dagster_guard import DagsterGuard
    from hunter_pipeline.web.security import check_exposure

    settings = ready()
    check_exposure(settings, host)
    check_port(port, "--port", host)
    await_database(settings, wait)
    from hunter_pipeline.orchestration.dagster_tables import prepare_dagster
    from hunter_pipeline.orchestration.ui import dagster_ui

    prepare_dagster(settings)
    os.environ.update({**QUIET, **os.environ})
    with dagster_ui(settings) as application:
        err().print(f"Dagster UI: http://{host}:{port}", markup=False)
        _serve(DagsterGuard(application, settings), host, port)


def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default HUNTER_WEB_HOST")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on; by default HUNTER_WEB_PORT")
    ] = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Serve the lead list and its API until stopped.

    Without HUNTER_WEB_TOKEN it listens on this machine only. The Sync button starts runs through Dagster's web
    server at HUNTER_DAGSTER_URL. The API's own page is at /docs.
    """
    end_well_when_told()
    from hunter_pipeline.store.database import open_reading
    from hunter_pipeline.web.app import create_app
    from hunter_pipeline.web.security import check_exposure

    settings = ready()
    chosen = {"web_host": host, "web_port": port}
    settings = settings.model_copy(update={name: value for name, value in chosen.items() if value is not None})
    check_exposure(settings, settings.web_host)
    check_port(settings.web_port, "--port", settings.web_host)
    engine = await_database(settings, wait)
    application = create_app(settings, engine, reading=await_database(settings, wait, open_reading))
    err().print(f"Lead list: http://{settings.web_host}:{settings.web_port}", markup=False)
    # The address of a proxy itself decides whether its word for the person is believed.
    _serve(application, settings.web_host, settings.web_port, proxy_headers=False)


def _serve(application: object, host: str, port: int, *, proxy_headers: bool = True) -> None:
    """Serve until a signal; it is passed on once all is in order, which `uvicorn.run` would swallow."""
    import uvicorn

    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        proxy_headers=proxy_headers,
        timeout_graceful_shutdown=5,  # open pages hold WebSockets and long questions
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        raise OSError(f"{host}:{port} cannot be listened on; see the line above")


class DatabaseWatch:
    """Starts the embedded server again when it has died, under the same address, so that its users find it again.

    :param home: HUNTER_HOME; the server runs.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pid = embedded_status(home).pid
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)

    def __call__(self) -> None:
        """Look after the server.

        :raises DatabaseUnavailable: it cannot be started, or dies again and again.
        """
        from hunter_pipeline.store.engine import DatabaseUnavailable

        try:
            if embedded_status(self._home).running:
                return
            start_embedded(self._home)
            pid = embedded_status(self._home).pid
        except EmbeddedError as error:
            raise DatabaseUnavailable(str(error)) from error
        if pid == self._pid:  # it was too busy to answer
            return
        self._pid = pid
        self._deaths.append(time.monotonic())
        if len(self._deaths) == MOST_DEATHS and self._deaths[-1] - self._deaths[0] < WITHIN:
            raise DatabaseUnavailable(
                f"The embedded database died {MOST_DEATHS} times within {WITHIN / 60:.0f} minutes; the reason is in "
                f"{self._home / 'postgres' / 'data' / 'server.log'}"
            )
        err().print("the embedded database had died and was started again", style="bold yellow")


def _stop_database(home: Path, engine: Engine) -> None:
    """Stop the embedded server once the children's own children, killed or not, have left it."""
    engine.dispose()
    release_embedded(home)
    deadline = time.monotonic() + STOP_SECONDS
    while embedded_status(home).users and time.monotonic() < deadline:
        time.sleep(0.2)
    stop_if_unused(home)


def _run(commands: Sequence[Sequence[str]], watch: Callable[[], None] | None = None) -> None:
    """Run servers together: the end of one, an error of `watch`, or a signal, ends all of them.

    A service manager sees it: the exit status is 0 only after a signal.

    They run in the working directory, where `.env` and relative paths in it are found.
    """
    from hunter_pipeline.settings import load_settings

    environment = {**QUIET, **os.environ, "HUNTER_HOME": str(load_settings().home)}
    children = [subprocess.Popen(command, env=environment, start_new_session=True) for command in commands]
    wanted: list[int] = []

    def stop(number: int, _: object) -> None:
        wanted.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        while not wanted and all(child.poll() is None for child in children):
            if watch is not None:
                watch()
            time.sleep(0.5)
    finally:
        for child in children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if wanted and wanted[0] == signal.SIGINT:
        raise KeyboardInterrupt
    if not wanted:
        err().print("a server ended by itself; its last lines above say why", style="bold red")
        raise typer.Exit(1)
