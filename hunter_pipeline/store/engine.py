"""Database addresses and connections.

Here belongs how a user's URL is read, how the two databases (Hunter's and Dagster's) come to be, and how a connection
is made and its failure explained. SQL on tables belongs to the stages, the schema to `migrate`, and the life of the
embedded server to `embedded`. No text made here shows a password.
"""

import contextlib
import hashlib
import multiprocessing
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from hunter_pipeline.store.alive import look_before_use
from hunter_pipeline.store.embedded.server import is_embedded
from hunter_pipeline.store.embedded.users import EmbeddedError, start_embedded

HUNTER_SETTING = "HUNTER_DATABASE_URL"
DAGSTER_SETTING = "HUNTER_DAGSTER_DATABASE_URL"
READING_SETTING = "HUNTER_WEB_DATABASE_URL"

_DRIVER = "postgresql+psycopg2"
_DEFAULT_NAME = "hunter"
_EXAMPLE = "postgresql://user:password@host:5432/hunter"
_CONNECT_TIMEOUT_SECONDS = 10
# NAMEDATALEN - 1: PostgreSQL cuts longer names off without an error.
_NAME_LIMIT_BYTES = 63
_DUPLICATE_DATABASE, _UNIQUE_VIOLATION, _INSUFFICIENT_PRIVILEGE = "42P04", "23505", "42501"


_Parameters = ParamSpec("_Parameters")

_OURS = ("hunter", "-c")
_OF_DAGSTER: dict[tuple[str, ...], str] = {
    ("api", "grpc"): "code",
    ("api", "execute_run"): "run",
    ("api", "execute_step"): "run",
}

_DATA_EXCEPTION = "22"
_LOST = ("08", "53", "57P", "58")
"""Beginnings of the SQLSTATEs of a server that is lost, out of room, shut down or broken (PostgreSQL, appendix A)."""
_NO_ROOM = ("53", "58")

_FOUND_SECONDS = 5.0
"""For so long a database that could be connected to is not tried again: a run asks for the addresses five times."""


@dataclass(frozen=True)
class _Look:
    """What came of looking whether a database is there.

    :param began: when, by the clock that only goes forward.
    :param refused: why it cannot be used; None: it can.
    """

    began: float
    refused: str | None


_looks: dict[URL, _Look] = {}
"""The last look at each database."""

_looking = threading.Lock()
"""One thread of a process looks: a web server may be asked by forty at once, each of which would open a connection."""


class DatabaseUnavailable(RuntimeError):  # noqa: N818 - the name says what is the case
    """No connection to the database; the text is one line, names server and database, and says what to do."""


@dataclass(frozen=True)
class DatabaseUrls:
    """Addresses of the two databases, as SQLAlchemy with psycopg2 reads them. They may hold a password.

    :param hunter: Hunter's own tables.
    :param dagster: Dagster's storage.
    """

    hunter: str
    dagster: str

    def __repr__(self) -> str:
        return f"DatabaseUrls(hunter={describe(self.hunter)!r}, dagster={describe(self.dagster)!r})"


def normalize_url(url: str, setting: str = HUNTER_SETTING) -> str:
    """Return a PostgreSQL address in the form that names the driver.

    SQLAlchemy would read plain `postgresql://` as the driver psycopg 3, and knows no `postgres://`.

    :param url: what the user wrote; any of PostgreSQL's schemes, with or without a driver. An address without a
        database means the database `hunter`.
    :param setting: the variable that the error names.
    :raises ValueError: it is no PostgreSQL address.
    """
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError) as error:
        # The text may hold a password and is not repeated.
        raise ValueError(f"{setting} is not a database address. Write it like {_EXAMPLE}.") from error
    dialect = parsed.drivername.partition("+")[0]
    if dialect not in ("postgres", "postgresql"):
        raise ValueError(f"{setting} must name a PostgreSQL server, not {dialect}. Write it like {_EXAMPLE}.")
    return _render(parsed.set(drivername=_DRIVER, database=parsed.database or _DEFAULT_NAME))


def describe(url: str) -> str:
    """Return `host:port/database` of an address, for texts that people read."""
    parsed = make_url(url)
    hosts = parsed.query.get("host", parsed.host or "localhost")
    host = hosts if isinstance(hosts, str) else ",".join(hosts)
    # In a socket's path the port says nothing; one that stands in the list of hosts is shown there already.
    place = host if host.startswith("/") or "host" in parsed.query else f"{host}:{parsed.port or 5432}"
    return f"{place}/{parsed.database}"


def database_urls(database_url: str | None, dagster_database_url: str | None, home: Path) -> DatabaseUrls:
    """Return the addresses of both databases, which exist and can be connected to from then on.

    Several processes may call this at once. A database that is missing is created, empty.

    :param database_url: HUNTER_DATABASE_URL; None starts the embedded server, or joins the one that runs.
    :param dagster_database_url: HUNTER_DAGSTER_DATABASE_URL; None means a database on Hunter's server, called like
        Hunter's with `_dagster` added.
    :param home: HUNTER_HOME, where the embedded server lives.
    :raises ValueError: a setting is no PostgreSQL address, or both name the same database.
    :raises DatabaseUnavailable: a server cannot be reached, or a database is missing and may not be created.
    """
    if database_url is None:
        try:
            hunter = make_url(start_embedded(home)).set(database=_DEFAULT_NAME)
        except EmbeddedError as error:
            raise DatabaseUnavailable(str(error)) from error
    else:
        hunter = make_url(normalize_url(database_url))
    if dagster_database_url is None:
        dagster = hunter.set(database=f"{hunter.database}_dagster")
    else:
        dagster = make_url(normalize_url(dagster_database_url, DAGSTER_SETTING))
    if (hunter.host, hunter.port, hunter.database, hunter.query) == (
        dagster.host,
        dagster.port,
        dagster.database,
        dagster.query,
    ):
        raise ValueError(
            f"{DAGSTER_SETTING} and {HUNTER_SETTING} name the same database, and both keep their schema version in a "
            f"table of the same name. Give Dagster a database of its own, or unset {DAGSTER_SETTING}."
        )
    for url, setting in ((hunter, HUNTER_SETTING), (dagster, DAGSTER_SETTING)):
        _ensure_database(url, setting)
    return DatabaseUrls(_render(hunter), _render(dagster))


def make_engine(url: str, pool_size: int = 10) -> Engine:
    """Return an engine whose sessions run in UTC; nothing is connected yet.

    Values of a statement do not appear in its errors, because they are personal data: neither as its parameters nor in
    the server's words.

    :param url: an address as `database_urls` returns it.
    :param pool_size: connections that it opens at most, each when it is needed. They are kept: for a while the server
        still counts one that was closed, and in busy times that makes more of them than were ever held.
    """
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        use_native_hstore=False,  # else each connection asks first what the server calls that type
        connect_args=_connect_arguments(),
    )
    event.listen(engine, "connect", _use_utc)
    look_before_use(engine)
    keep_values_out(engine)
    return engine


def one_engine(make: Callable[_Parameters, Engine]) -> Callable[_Parameters, Engine]:
    """Have a process make one engine for the same parameters, also when several threads ask for the first time at once.

    `lru_cache` alone would give each of them one of its own, which may open connections up to the limit of a process.
    """
    kept = lru_cache(maxsize=4)(make)
    mutex = threading.Lock()

    @wraps(make)
    def made(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Engine:
        with mutex:
            return kept(*args, **kwargs)  # type: ignore[arg-type]

    return made


def keep_values_out(engine: Engine) -> None:
    """Shorten the texts of an engine's errors to what holds no value of a statement.

    The driver puts values into the statement itself, so the server repeats them: under `LINE 1:`, as the row in
    `DETAIL:`, and in quotes where a value has the wrong form.
    """
    event.listen(engine, "handle_error", _shorten)


def _shorten(context: ExceptionContext) -> None:
    shown, original = context.sqlalchemy_exception, context.original_exception
    if not isinstance(shown, DBAPIError) or not original.args:
        return
    full = str(original)
    brief = full.partition("\n")[0]
    if str(getattr(original, "pgcode", None) or "").startswith(_DATA_EXCEPTION):
        brief = re.sub(r'".*"', '"…"', brief)
    original.args = (brief,)
    shown.args = (str(shown.args[0]).replace(full, brief), *shown.args[1:])


def database_trouble(error: BaseException) -> str | None:
    """What to do about an error of a statement that is the server's trouble and not the statement's, in one line.

    :param error: as SQLAlchemy raised it.
    :returns: None when the server is well.
    """
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    code = getattr(error.orig, "pgcode", None) or ""
    if not (error.connection_invalidated or not code or code.startswith(_LOST)):
        return None
    reason = _reason(error)
    if code.startswith(_NO_ROOM):
        return f"The database cannot go on: {reason}. Free space on its server; the next run goes on from there."
    return (
        f"The database went away: {reason}. See that its server runs (the next command starts the embedded one); the "
        "next run goes on from there."
    )


def _reason(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines() or ["no reason given"]
    # psycopg2 puts the address in front, which the text has already.
    return lines[0].rpartition(" failed: ")[2].removeprefix("FATAL:").strip().rstrip(".")


@contextlib.contextmanager
def connect_or_explain(engine: Engine, setting: str = HUNTER_SETTING) -> Iterator[Connection]:
    """Yield a connection and close it after use, rolling back what was not committed.

    :param engine: as `make_engine` returns it.
    :param setting: the variable that the error names.
    :raises DatabaseUnavailable: the connection cannot be made, or the server went away while it was used. Other errors
        of statements (a lock time-out, a deadlock) are passed on as they are.
    """
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise DatabaseUnavailable(explain(engine.url, error, setting)) from error
    with connection:
        try:
            yield connection
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable(explain(engine.url, error, setting)) from error
            raise


def _render(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def application_name() -> str:
    """What PostgreSQL shows the sessions of this process as: `hunter` and what the process does, such as `hunter web`.

    It is told by the command: a run is a process of its own below the code server, with the code server's command.
    """
    words = tuple(sys.argv[1:3])
    if words[:1] == ("api",):  # Dagster's own command
        told = "run" if multiprocessing.parent_process() else _OF_DAGSTER.get(words)
    else:
        told = words[0] if words and Path(sys.argv[0]).name in _OURS and words[0].isalpha() else None
    return f"hunter {told}" if told else "hunter"


def _connect_arguments() -> dict[str, Any]:
    return {"application_name": application_name(), "connect_timeout": _CONNECT_TIMEOUT_SECONDS}


def _use_utc(connection: Any, _record: object) -> None:
    # A statement and no start-up option: connection poolers such as PgBouncer refuse sessions that come with options.
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def explain(url: URL, error: DBAPIError, setting: str) -> str:
    """Return what went wrong with a database and what to do, in one line without password or values of a statement.

    :param url: address of the database.
    :param error: what SQLAlchemy raised.
    :param setting: the variable that the address comes from.
    """
    reason = _reason(error)
    where = describe(_render(url))
    if is_embedded(str(url.query.get("host", ""))):
        return f"Cannot use the database {where}: {reason}. Run the command again: it starts the embedded server."
    if "certificate" in reason:
        return (
            f"Cannot use the database {where}: {reason}. Nothing was sent to it: correct sslrootcert (the file of the "
            f"CA), sslmode or the host name in {setting}."
        )
    without = f"reads over {HUNTER_SETTING}" if setting == READING_SETTING else "brings a server of its own"
    return (
        f"Cannot use the database {where}: {reason}. Start that server or correct {setting}; "
        f"without that setting Hunter {without}."
    )


# --- Databases that are missing


def _ensure_database(url: URL, setting: str) -> None:
    name = url.database or _DEFAULT_NAME
    if len(name.encode()) > _NAME_LIMIT_BYTES:
        raise DatabaseUnavailable(
            f"The database name {name} is longer than PostgreSQL's {_NAME_LIMIT_BYTES} bytes. "
            f"Give a shorter one in {setting}."
        )
    asked = time.monotonic()
    with _looking:
        look = _looks.get(url)
        # What was found is good for a while, and a refusal for those who have waited for it.
        if look is None or look.began < (asked if look.refused else asked - _FOUND_SECONDS):
            look = _looks[url] = _Look(time.monotonic(), _why_not(url, name, setting))
    if look.refused:
        raise DatabaseUnavailable(look.refused)


def _why_not(url: URL, name: str, setting: str) -> str | None:
    """Why a database cannot be used; None: it can, and was made if it was missing."""
    refused = _try_connect(url)
    if refused is None:
        return None
    # The refusal's text depends on the server's language, so the server's list of databases is asked.
    for maintenance in ("postgres", "template1"):
        administrative = url.set(database=maintenance)
        if _try_connect(administrative) is None:
            try:
                if _create_when_missing(administrative, name, setting):
                    refused = _try_connect(url)
            except DatabaseUnavailable as error:
                return str(error)
            break
    return None if refused is None else explain(url, refused, setting)


def _try_connect(url: URL) -> OperationalError | None:
    engine = _administrative_engine(url)
    try:
        with engine.connect():
            return None
    except OperationalError as error:
        return error
    finally:
        engine.dispose()


def _create_when_missing(administrative: URL, name: str, setting: str) -> bool:
    """Create the database unless it exists; whether it was missing."""
    engine = _administrative_engine(administrative)
    # template0 is never connected to, which would block the copy, and lets the encoding be chosen.
    statement = f"CREATE DATABASE {_quoted(name)} TEMPLATE template0 ENCODING 'UTF8'"
    try:
        with engine.connect() as connection:
            # One creator at a time, so that the others find the database instead of an error.
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            known = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": name}).first() is not None:
                return True
            connection.exec_driver_sql(statement.replace("%", "%%"))
            return True
    except DBAPIError as error:
        code = getattr(error.orig, "pgcode", None)
        if code in (_DUPLICATE_DATABASE, _UNIQUE_VIOLATION):
            return True
        if code == _INSUFFICIENT_PRIVILEGE:
            raise DatabaseUnavailable(
                f"The database {name} is missing on {describe(_render(administrative))} and may not be created. "
                f"Have an administrator run: {statement} OWNER {_quoted(administrative.username or 'role')};"
            ) from error
        raise DatabaseUnavailable(explain(administrative, error, setting)) from error
    finally:
        engine.dispose()


def _quoted(identifier: str) -> str:
    # Not the dialect's own quoting: that doubles percent signs, for statements with parameters.
    return '"' + identifier.replace('"', '""') + '"'


def _administrative_engine(url: URL) -> Engine:
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        use_native_hstore=False,
        pool_size=1,
        connect_args=_connect_arguments(),
    )
