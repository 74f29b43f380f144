"""`hunter dev` and `hunter web`: the long-running servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from hunter_pipeline.cli.console import err, out, ready
from hunter_pipeline.cli.demo import sandbox_settings
from hunter_pipeline.cli.sign_in import sign_in
from hunter_pipeline.pipeline.services import make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import open_database

STOP_SECONDS = 20
"""How long children get to end by themselves."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(dev)


def dev(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Serve sample referrals and point everything at them")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the Dagster UI")] = 3000,
) -> None:
    """Run Dagster (UI, schedule, sensors, runs) on this machine until stopped.

    With --sandbox it runs on the samples of hunter demo, signed in and switched on. Without, it runs on your
    settings: until HUNTER_PARTNER_CENTER_ENABLED=true each tick of the schedule is skipped with the reason
    feature_disabled.
    """
    ready()
    _check_port(port, "--port")
    with ExitStack() as stack:
        if sandbox:
            stack.enter_context(sandbox_settings())
        settings = load_settings()
        engine = open_database(settings)
        if sandbox:
            sign_in(make_sign_in(settings, engine))
        from hunter_pipeline.orchestration.home import prepare_dagster_home  # imports Dagster, which takes seconds

        home = prepare_dagster_home(settings)
        dagster = [sys.executable, "-m", "dagster", "dev", "-w", str(home / "workspace.yaml"), "-h", "127.0.0.1"]
        out().print(f"Dagster UI: http://127.0.0.1:{port} (starting; Ctrl+C stops)")
        _run([[*dagster, "-p", str(port)]], cwd=str(home))


def _check_port(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OSError(f"port {port} is taken ({error.strerror}); choose another with {option}") from error


def _run(commands: Sequence[Sequence[str]], cwd: str) -> None:
    """Run servers together: the end of one, or a signal, ends all of them."""
    environment = {**os.environ, "HUNTER_HOME": str(load_settings().home)}
    children = [subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True) for command in commands]
    wanted = False

    def stop(*_: object) -> None:
        nonlocal wanted
        wanted = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        while not wanted and all(child.poll() is None for child in children):
            time.sleep(0.2)
    finally:
        for child in children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if not wanted:
        err().print("a server ended by itself; its last lines above say why", style="bold red")
        raise typer.Exit(1)
