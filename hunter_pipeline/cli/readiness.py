"""What a long-running server needs before it starts: a port, a database that answers, tables of this version.

Belongs here: the questions in the order in which a person can mend them, each refused with one line. Does not belong
here: the servers (`servers`), how tables are made (`store.migrate`, `orchestration.dagster_tables`).
"""

from __future__ import annotations

import errno
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from hunter_pipeline.cli.console import err

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from hunter_pipeline.settings import Settings

Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on")]
Wait = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for a database server that does not answer")
]

WAIT_SECONDS = 60.0
"""By default: a database server that starts at the same time as its machine is there within that."""

PAUSE_SECONDS = 1.0


def end_well_when_told() -> None:
    """Let a server that is told to end (SIGTERM) end with status 0, once it has put everything in order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def check_port(port: int, option: str, host: str = "127.0.0.1") -> None:
    """Make sure that a server can listen there.

    :param option: what the person would change.
    :raises OSError: it cannot; the text is one line that names the fix.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise OSError(_foreign(host)) from None
        except OSError as error:
            raise OSError(_refusal(error, port, option, host)) from error


def _refusal(error: OSError, port: int, option: str, host: str) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return _foreign(host)
    if error.errno == errno.EACCES:
        return f"port {port} is for the system's own services only; choose one above 1023 with {option}"
    return f"port {port} is taken ({error.strerror}); choose another with {option}"


def _foreign(host: str) -> str:
    return f"{host} is no address of this machine; listen on 127.0.0.1 or on another of its own"


def await_database(settings: Settings, seconds: float, opening: Callable[[Settings], Engine] | None = None) -> Engine:
    """Hunter's database with this version's tables; a server that does not answer yet is waited for.

    :param seconds: how long at most.
    :param opening: makes the engine; None: `open_database`.
    :raises DatabaseUnavailable: it did not answer in time, or the embedded server cannot start.
    :raises SchemaOutdated: the tables of a configured server are older than this version; `hunter db upgrade` is named.
    :raises SchemaNewer: they are newer.
    """
    from hunter_pipeline.store.database import open_database
    from hunter_pipeline.store.engine import DatabaseUnavailable

    deadline = time.monotonic() + seconds
    told = False
    while True:
        try:
            return (opening or open_database)(settings)
        except DatabaseUnavailable as error:
            # An embedded server is started by the question itself: what it says will not change by waiting.
            if settings.database_url is None or time.monotonic() + PAUSE_SECONDS > deadline:
                raise
            if not told:
                err().print(f"waiting up to {seconds:.0f} s: {error}", markup=False, soft_wrap=True)
            told = True
        time.sleep(PAUSE_SECONDS)
