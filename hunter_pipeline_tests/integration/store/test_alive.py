"""A pool hands out no connection whose server let go of it, and asks no server that nobody heard of."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.store import alive
from hunter_pipeline.store.engine import make_engine

ALL_OF_THIS_POOL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(:pids)"


@pytest.fixture
def pool(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


def backends(pool: Engine, count: int) -> list[int]:
    """The server's processes behind as many connections at once."""
    connections = [pool.connect() for _ in range(count)]
    pids = [connection.execute(text("SELECT pg_backend_pid()")).scalar_one() for connection in connections]
    for connection in connections:
        connection.close()
    return pids


@pytest.mark.parametrize("trusted", [60.0, 0.0], ids=["just used", "long ago"])
def test_connections_that_the_server_closed_are_replaced_before_they_are_used(
    pool: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch, trusted: float
):
    monkeypatch.setattr(alive, "TRUSTED_SECONDS", trusted)
    lost = backends(pool, 3)
    # What the server tells of its sessions stays the same within a transaction.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as administrator:
        administrator.execute(text(ALL_OF_THIS_POOL), {"pids": lost})
        while administrator.execute(
            text("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(:pids)"), {"pids": lost}
        ).first():
            pass
    found = backends(pool, 3)
    assert len(set(found)) == 3
    assert not set(found) & set(lost)


@pytest.mark.parametrize(("trusted", "asks"), [(60.0, 0), (0.0, 1)], ids=["just used", "long ago"])
def test_a_server_is_asked_only_after_a_while(pool: Engine, monkeypatch: pytest.MonkeyPatch, trusted: float, asks: int):
    monkeypatch.setattr(alive, "TRUSTED_SECONDS", trusted)
    asked: list[object] = []
    ping = pool.dialect.do_ping
    monkeypatch.setattr(pool.dialect, "do_ping", lambda connection: (asked.append(connection), ping(connection))[1])
    (first,) = backends(pool, 1)
    (second,) = backends(pool, 1)
    assert first == second
    assert len(asked) == asks


def test_a_pool_keeps_what_it_opened_as_the_server_goes_on_counting_what_was_closed(pool: Engine):
    busiest = backends(pool, 10)
    assert set(backends(pool, 10)) == set(busiest)
