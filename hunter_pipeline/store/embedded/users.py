"""The PostgreSQL server that Hunter brings along, for when no server is configured.

Here belongs its shared life under HUNTER_HOME: started by whoever needs it first, found by every other Hunter process,
stopped by the last one. How the server's programs are run is told in `server`, under which account in
`account`; the databases inside belong to `engine`.

Who lives is asked of the kernel, never of a process id: each user of the server holds a lock on a file of its own,
and the server's processes inherit a locked file. A lock goes with its process, however that ends.
"""

import atexit
import contextlib
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hunter_pipeline.store.embedded.account import (
    EmbeddedError,
    account_for,
    let_through,
    open_programs,
    take_ownership,
)
from hunter_pipeline.store.embedded.server import (
    VERSION,
    Postmaster,
    ServerFiles,
    data_version,
    init_data,
    installation,
    read_postmaster,
    start_server,
    stop_server,
)

if sys.platform != "win32":
    import fcntl

__all__ = [
    "EmbeddedError",
    "EmbeddedStatus",
    "embedded_status",
    "release_embedded",
    "start_embedded",
    "stop_if_unused",
]

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 90

_registered: dict[Path, int] = {}
"""Descriptor of this process's locked file, by the root directory of the server that it uses."""


@dataclass(frozen=True)
class EmbeddedStatus:
    """What is known about the embedded server of one home directory.

    :param running: whether it accepts connections.
    :param pid: process id of the server, None when it is not running.
    :param version: major version that made the data directory, None when there is none yet.
    :param users: process ids of the live processes that use it, ascending.
    """

    running: bool
    pid: int | None
    version: int | None
    users: tuple[int, ...]


def start_embedded(home: Path) -> str:
    """Start the embedded server unless it runs already, and count this process as one of its users until it exits.

    Calling it again in the same process is cheap and brings back a server that has died meanwhile.

    :param home: HUNTER_HOME, made with mode 0700 when missing; the server lives in its subdirectory `postgres`.
    :returns: the URL of the maintenance database `postgres`, for SQLAlchemy with psycopg2.
    :raises EmbeddedError: it cannot be started here.
    """
    with _explained(home) as files:
        home.expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)
        files.users.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(files):
            postmaster = _ensure_running(files)
            _register(files, home)
    return postmaster.url


def release_embedded(home: Path) -> None:
    """Stop counting this process as a user of the server, and stop the server when no user is left.

    Happens by itself when the process exits.

    :param home: HUNTER_HOME.
    :raises EmbeddedError: the server was to be stopped and did not.
    """
    with _explained(home) as files:
        descriptor = _registered.pop(files.root, None)
        if descriptor is not None:
            # Closed and not unlocked: a forked child shares the lock and keeps it.
            os.close(descriptor)
    stop_if_unused(home)


def stop_if_unused(home: Path) -> bool:
    """Stop the server when no live process uses it, as after its users were killed.

    :param home: HUNTER_HOME; it need not exist.
    :returns: whether a running server was stopped.
    :raises EmbeddedError: it did not stop.
    """
    with _explained(home) as files:
        if not files.data.exists():
            return False
        with _locked(files):
            if _live_users(files, sweep=True) or not _is_locked(files.alive):
                return False
            postmaster = read_postmaster(files)
            return postmaster is not None and stop_server(files, postmaster, account_for(files.data))


def embedded_status(home: Path) -> EmbeddedStatus:
    """Return what is known about the embedded server; nothing is started, stopped or made.

    :param home: HUNTER_HOME; it need not exist.
    :raises EmbeddedError: its files may not be read.
    """
    with _explained(home) as files:
        postmaster = read_postmaster(files)
        running = postmaster is not None and postmaster.answers()
        return EmbeddedStatus(
            running=running,
            pid=postmaster.pid if postmaster is not None and running else None,
            version=data_version(files),
            users=tuple(sorted(_live_users(files, sweep=False))),
        )


@contextlib.contextmanager
def _explained(home: Path) -> Iterator[ServerFiles]:
    """Yield the files of the home's server; what the operating system refuses becomes an `EmbeddedError`."""
    if sys.platform == "win32":
        raise EmbeddedError("The embedded PostgreSQL needs Linux or macOS. Set HUNTER_DATABASE_URL to a server.")
    files = ServerFiles.of(home)
    try:
        yield files
    except PermissionError as error:
        raise EmbeddedError(
            f"No permission for {error.filename or files.root}. Run Hunter as the owner of {home}, "
            "or set HUNTER_HOME to a directory of your own."
        ) from error
    except OSError as error:
        raise EmbeddedError(
            f"The embedded PostgreSQL cannot use {error.filename or files.root} ({error.strerror}). "
            "Mend that, or set HUNTER_HOME to another directory."
        ) from error


@contextlib.contextmanager
def _locked(files: ServerFiles) -> Iterator[None]:
    """Hold the lock under which the server is started and stopped and its users are counted."""
    descriptor = os.open(files.start_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Another process has been starting or stopping PostgreSQL for {_WAIT_SECONDS} s and holds "
                    f"{files.start_lock}. End it, then run this again."
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Whether a live process holds the file; a file that is not there is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two that ask at once do not take each other for a holder.
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _register(files: ServerFiles, home: Path) -> None:
    if files.root in _registered:
        return
    file = files.users / f"{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _registered[files.root] = descriptor
    atexit.register(_release_at_exit, home.expanduser().resolve())


def _release_at_exit(home: Path) -> None:
    try:
        release_embedded(home)
    except EmbeddedError as error:
        logger.warning("%s", error)


def _live_users(files: ServerFiles, *, sweep: bool) -> list[int]:
    """Return the live users' process ids; with `sweep`, and the lock held, remove what dead ones left."""
    if not files.users.exists():
        return []
    live = []
    for file in files.users.iterdir():
        if _is_locked(file):
            live.append(int(file.name.partition("-")[0]))
        elif sweep:
            file.unlink(missing_ok=True)
    return live


def _ensure_running(files: ServerFiles) -> Postmaster:
    """Return the running server, started when need be; the lock is held."""
    running = _wait_for_survivor(files)
    if running is not None:
        return running
    account = account_for(files.data)
    if account is not None:
        open_programs(installation(), account)
        let_through(files.root, account)
    version = data_version(files)
    if version is None:
        init_data(files, account)
    elif version != VERSION:
        raise EmbeddedError(
            f"{files.data} was made by PostgreSQL {version} and Hunter brings {VERSION}. "
            "Move that directory away to start afresh, or serve it yourself and set HUNTER_DATABASE_URL."
        )
    if account is not None:
        take_ownership(files.data, account)
    start_server(files, account)
    started = read_postmaster(files)
    if started is None or not started.answers():
        raise EmbeddedError(f"The embedded PostgreSQL ended at once. The reason is in {files.log}.")
    return started


def _wait_for_survivor(files: ServerFiles) -> Postmaster | None:
    """Return the server that runs, or None once no process of one is left."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        postmaster = read_postmaster(files)
        if postmaster is not None and postmaster.ready and postmaster.answers():
            return postmaster
        # A server whose starter was killed half-way is still starting; the children of a killed one are still ending.
        if not _is_locked(files.alive):
            return None
        if time.monotonic() > deadline:
            process = f"process {postmaster.pid}" if postmaster else "a process of it"
            raise EmbeddedError(
                f"The embedded PostgreSQL in {files.data} lives ({process}) but does not answer. "
                "End it with kill, then run this again."
            )
        time.sleep(0.05)
