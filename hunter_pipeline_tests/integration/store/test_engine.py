"""Databases that come to be, and connections and their failures, on a real server."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, MetaData, Table, Text, create_engine, event, make_url, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.pool import Pool

from hunter_pipeline.store.engine import DatabaseUnavailable, connect_or_explain, database_urls, make_engine
from hunter_pipeline.store.jsonb import to_jsonb

NOWHERE = Path("/nonexistent")


@pytest.fixture
def administrator(pg_server_url: str) -> Iterator[Engine]:
    engine = create_engine(pg_server_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def plain_engine(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def with_database(url: str, name: str, **parts: str) -> str:
    return make_url(url).set(database=name, **parts).render_as_string(hide_password=False)


def current_database(url: str) -> object:
    engine = make_engine(url)
    try:
        with connect_or_explain(engine) as connection:
            return connection.execute(text("SELECT current_database()")).scalar()
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("folder", "fix"),
    [
        ("run/postgresql", "Start that server or correct HUNTER_DATABASE_URL"),
        ("home/postgres/data", "Run the command again: it starts the embedded server"),
    ],
)
def test_a_socket_that_is_not_there_is_told_with_the_fix_for_whose_it_is(tmp_path: Path, folder: str, fix: str):
    with pytest.raises(DatabaseUnavailable, match=fix):
        current_database(f"postgresql+psycopg2://u@/x?host={tmp_path / folder}")


@pytest.mark.parametrize("kind", ["new_", 'Odd "name" %s '])
def test_both_databases_are_made_when_they_are_missing(pg_server_url: str, kind: str):
    name = kind + uuid4().hex
    url = with_database(pg_server_url, name).replace("postgresql+psycopg2", "postgres")
    made = database_urls(url, None, NOWHERE)
    assert current_database(made.hunter) == name
    assert current_database(made.dagster) == f"{name}_dagster"
    assert database_urls(url, None, NOWHERE) == made


def test_a_database_of_its_own_choice_for_dagster_is_taken(pg_server_url: str):
    name = f"own_{uuid4().hex}"
    urls = database_urls(with_database(pg_server_url, name), with_database(pg_server_url, "elsewhere_" + name), NOWHERE)
    assert current_database(urls.dagster) == "elsewhere_" + name


def test_one_database_for_both_is_refused(pg_server_url: str):
    url = with_database(pg_server_url, "same")
    with pytest.raises(ValueError, match="name the same database"):
        database_urls(url, url.replace("postgresql+psycopg2", "postgres"), NOWHERE)


def test_first_starts_at_the_same_time_all_succeed(pg_server_url: str):
    url = with_database(pg_server_url, f"race_{uuid4().hex}")
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: database_urls(url, None, NOWHERE), range(6)))
    assert len({result.hunter for result in results}) == 1


@contextmanager
def heard(target: Any, name: str) -> Iterator[list[object]]:
    """What SQLAlchemy told by an event while the block runs."""
    told: list[object] = []

    def listen(*what: object) -> None:
        told.append(what)

    event.listen(target, name, listen)
    try:
        yield told
    finally:
        event.remove(target, name, listen)


def ask_at_once(url: str, times: int = 12) -> list[str]:
    """The outcome of as many threads of one process that ask for the same databases at the same moment."""
    together = threading.Barrier(times)

    def ask(_: int) -> str:
        together.wait()
        try:
            return repr(database_urls(url, None, NOWHERE))
        except DatabaseUnavailable as error:
            return str(error)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(ask, range(times)))


def test_threads_that_ask_at_once_connect_once_to_see_whether_the_databases_are_there(pg_server_url: str):
    url = with_database(pg_server_url, f"looked_{uuid4().hex}")
    database_urls(url, None, NOWHERE)
    # Other spelling, same databases: nobody has looked yet.
    other = make_url(url).update_query_dict({"keepalives": "1"}).render_as_string(hide_password=False)
    with heard(Pool, "connect") as opened:
        outcomes = ask_at_once(other)
    assert len({*outcomes}) == 1
    assert len(opened) == 2, "one for each database"


def test_threads_that_wait_for_a_server_that_answers_badly_share_what_is_found():
    with socket.socket() as server, heard(Engine, "do_connect") as tried:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(1)  # the first look is under way: give the others time to come
                    threading.Event().wait(0.2)
                    connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        outcomes = ask_at_once(f"postgresql://u@127.0.0.1:{server.getsockname()[1]}/x")
        server.shutdown(socket.SHUT_RDWR)
    assert len({*outcomes}) == 1
    assert "Start that server or correct HUNTER_DATABASE_URL" in outcomes[0]
    assert len(tried) < 3 * len(outcomes), "a look tries the database and the two from which it could be made"


def test_a_role_that_may_not_create_is_told_the_statement_to_run(pg_server_url: str, administrator: Engine):
    role, name = f"role_{uuid4().hex[:8]}", f"missing_{uuid4().hex[:8]}"
    with administrator.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'geheim'"))
    url = with_database(pg_server_url, name, username=role, password="geheim")
    with pytest.raises(DatabaseUnavailable, match=rf"{name} is missing on .* may not be created") as caught:
        database_urls(url, None, NOWHERE)
    assert "geheim" not in str(caught.value)
    # What the text says to run makes it work.
    for missing in (name, f"{name}_dagster"):
        with pytest.raises(DatabaseUnavailable) as caught:
            database_urls(url, None, NOWHERE)
        statement = str(caught.value).partition("administrator run: ")[2]
        assert f'"{missing}"' in statement
        with administrator.connect() as connection:
            connection.exec_driver_sql(statement)
    assert current_database(database_urls(url, None, NOWHERE).hunter) == name


def test_a_role_that_may_not_connect_is_told_so_and_nothing_is_made(pg_server_url: str, administrator: Engine):
    role, name = f"role_{uuid4().hex[:8]}", f"closed_{uuid4().hex[:8]}"
    with administrator.connect() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"CREATE DATABASE {name}"))
        connection.execute(text(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"))
    with pytest.raises(DatabaseUnavailable, match="permission denied for database"):
        database_urls(with_database(pg_server_url, name, username=role), None, NOWHERE)


def test_a_name_that_postgresql_would_cut_off_is_refused(pg_server_url: str):
    with pytest.raises(DatabaseUnavailable, match="longer than PostgreSQL's 63 bytes"):
        database_urls(with_database(pg_server_url, "x" * 60), None, NOWHERE)


def test_a_server_that_is_down_is_named_without_the_password():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DatabaseUnavailable) as caught:
            database_urls(f"postgresql://u:geheim@127.0.0.1:{port}/leads", None, NOWHERE)
    message = str(caught.value)
    assert message.startswith(f"Cannot use the database 127.0.0.1:{port}/leads: Connection refused.")
    assert "HUNTER_DATABASE_URL" in message
    assert "geheim" not in message
    assert "\n" not in message


@pytest.fixture
def tls_address(tmp_path: Path) -> Iterator[int]:
    """The port of what begins TLS as PostgreSQL does and then closes; its CA is right.pem, another one other.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "right.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                taken, _ = listening.accept()
                with taken, suppress(OSError):
                    taken.recv(8)  # SSLRequest
                    taken.sendall(b"S")
                    context.wrap_socket(taken, server_side=True).close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    server.join()


@pytest.mark.parametrize(
    ("host", "ca", "told"),
    [
        ("localhost", "other.pem", "certificate verify failed. .* correct sslrootcert .* HUNTER_DATABASE_URL"),
        ("127.0.0.1", "right.pem", "does not match host name .127.0.0.1.. .* the host name in HUNTER_DATABASE_URL"),
        ("localhost", "none.pem", "none.pem. does not exist. .* correct sslrootcert"),
        ("localhost", "right.pem", "(EOF detected|closed the connection).* Start that server"),
    ],
)
def test_a_server_is_trusted_by_the_ca_file_and_the_host_name_of_the_address_alone(
    tls_address: int, tmp_path: Path, host: str, ca: str, told: str
):
    url = f"postgresql://u:geheim@{host}:{tls_address}/x?sslmode=verify-full&sslrootcert={tmp_path / ca}"
    with pytest.raises(DatabaseUnavailable, match=told) as raised:
        database_urls(url, None, NOWHERE)
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_embedded_server_that_cannot_start_is_a_database_that_is_unavailable(tmp_path: Path):
    (tmp_path / "home").write_text("not a directory")
    with pytest.raises(DatabaseUnavailable, match="HUNTER_HOME"):
        database_urls(None, None, tmp_path / "home")


def test_sessions_are_named_and_run_in_utc(plain_engine: Engine):
    with connect_or_explain(plain_engine) as connection:
        shown = connection.execute(
            text("SELECT current_setting('timezone'), current_setting('application_name')")
        ).one()
        connection.rollback()
        assert tuple(shown) == ("UTC", "hunter")
        assert connection.execute(text("SHOW timezone")).scalar() == "UTC"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("hunter web --port 8000", "hunter web"),
        ("/opt/hunter/bin/hunter daemon", "hunter daemon"),
        ("hunter --version", "hunter"),
        ("/opt/hunter/bin/dagster api grpc -p 4000", "hunter code"),
        ("dagster/__main__.py api execute_run {}", "hunter run"),
        ("dagster api execute_step {}", "hunter run"),
        ("pytest tests", "hunter"),
        ("", "hunter"),
    ],
)
def test_a_session_is_named_after_what_its_process_does(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, command: str, name: str
):
    monkeypatch.setattr("sys.argv", command.split(" "))
    engine = make_engine(empty_database_url)
    try:
        with connect_or_explain(engine) as connection:
            assert connection.execute(text("SHOW application_name")).scalar() == name
    finally:
        engine.dispose()


def test_what_was_not_committed_is_rolled_back(plain_engine: Engine):
    with connect_or_explain(plain_engine) as connection:
        connection.execute(text("CREATE TABLE lost (n int)"))
    with connect_or_explain(plain_engine) as connection:
        assert connection.execute(text("SELECT to_regclass('lost')")).scalar() is None


def test_a_server_that_goes_away_in_use_is_explained_and_the_next_connection_works(
    plain_engine: Engine, administrator: Engine
):
    def use_beyond_its_end() -> None:
        with connect_or_explain(plain_engine) as mine:
            pid = mine.execute(text("SELECT pg_backend_pid()")).scalar()
            with administrator.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            mine.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable, match="Cannot use the database"):
        use_beyond_its_end()
    with connect_or_explain(plain_engine) as again:
        assert again.execute(text("SELECT 1")).scalar() == 1


def test_a_lock_timeout_is_not_taken_for_a_server_that_is_away(plain_engine: Engine):
    with connect_or_explain(plain_engine) as first, connect_or_explain(plain_engine) as second:
        first.execute(text("CREATE TABLE held (n int)"))
        first.commit()
        first.execute(text("LOCK TABLE held"))
        second.execute(text("SET lock_timeout = 10"))
        with pytest.raises(OperationalError, match="lock timeout"):
            second.execute(text("SELECT * FROM held"))


def test_values_of_a_statement_are_not_in_its_error(plain_engine: Engine):
    with connect_or_explain(plain_engine) as connection:
        connection.execute(text("CREATE TABLE people (id int CHECK (id > 0), email text)"))
        with pytest.raises(IntegrityError) as caught:
            connection.execute(text("INSERT INTO people VALUES (:id, :email)"), {"id": 0, "email": "ada@c.example"})
    assert "[SQL parameters hidden" in str(caught.value)
    assert "ada@" not in str(caught.value).partition("[SQL")[2]


documents = Table("documents", MetaData(), Column("payload", JSONB), Column("original", Text))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=8,
)


def in_decimals(value: object) -> object:
    # PostgreSQL keeps numbers in decimal and writes 1e+16 as an integer, which Python reads as another type.
    return json.loads(json.dumps(value), parse_int=Decimal, parse_float=Decimal)


def test_postgresql_takes_every_value_and_gives_the_exact_text_back(plain_engine: Engine):
    with connect_or_explain(plain_engine) as connection:
        documents.create(connection)

        @given(values)
        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        def check(value: object) -> None:
            stored = to_jsonb(value)
            connection.execute(documents.delete())
            connection.execute(documents.insert(), [{"payload": stored.payload, "original": stored.original}])
            payload, original = connection.execute(select(documents)).one()
            if stored.original is None:
                assert in_decimals(payload) == in_decimals(value)
            else:
                assert original == json.dumps(value)

        check()


def test_postgresql_takes_and_gives_back_the_deepest_nesting_that_is_allowed(plain_engine: Engine):
    value: object = {"name": "\0"}
    for _ in range(499):
        value = [value]
    stored = to_jsonb(value)
    with connect_or_explain(plain_engine) as connection:
        documents.create(connection)
        connection.execute(documents.insert(), [{"payload": stored.payload, "original": stored.original}])
        payload, original = connection.execute(select(documents)).one()
    assert payload == stored.payload
    assert json.loads(original) == value
