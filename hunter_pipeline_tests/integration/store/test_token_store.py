"""The token cache's row: whole or not at all, and for one process at a time."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from hunter_pipeline.store.engine import DatabaseUnavailable, make_engine
from hunter_pipeline.store.tables import token_cache
from hunter_pipeline.store.token_store import DatabaseBlobStore


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    token_cache.create(engine)
    yield engine
    engine.dispose()


def test_the_bytes_are_written_replaced_and_removed(engine: Engine):
    store = DatabaseBlobStore(engine)
    assert store.read() is None
    for data in (b"first", b"\x00\xff second"):
        with store.locked() as row:
            row.write(data)
            assert row.read() == data
        assert store.read() == data
    with store.locked() as row:
        row.delete()
        row.delete()
    assert store.read() is None


def test_rows_of_different_names_do_not_touch_each_other(engine: Engine):
    first, second = DatabaseBlobStore(engine, name="a"), DatabaseBlobStore(engine, name="b", lock_seconds=0.1)
    with first.locked() as row:
        row.write(b"a")
        with second.locked() as other:
            other.write(b"b")
    assert (first.read(), second.read()) == (b"a", b"b")


def test_what_is_written_before_a_failure_is_undone_and_the_lock_freed(engine: Engine):
    store = DatabaseBlobStore(engine, lock_seconds=0.1)
    with store.locked() as row:
        row.write(b"good")

    def fail_halfway() -> None:
        with store.locked() as row:
            row.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    with store.locked() as row:
        assert row.read() == b"good"


def test_reading_does_not_wait_for_the_lock_and_sees_what_was_committed(engine: Engine):
    store = DatabaseBlobStore(engine)
    with store.locked() as row:
        row.write(b"new")
        assert store.read() is None
    assert store.read() == b"new"


def test_a_lock_is_held_even_when_there_is_no_row_yet(engine: Engine):
    store, impatient = DatabaseBlobStore(engine), DatabaseBlobStore(engine, lock_seconds=0.1)
    problems: list[Exception] = []

    def wait() -> None:
        try:
            with impatient.locked():
                pass
        except TimeoutError as error:
            problems.append(error)

    with store.locked():
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join()
    assert len(problems) == 1


def test_a_database_that_is_down_is_explained():
    engine = make_engine("postgresql+psycopg2://hunter:secret@127.0.0.1:1/hunter")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/hunter") as caught:
        DatabaseBlobStore(engine).read()
    assert "secret" not in str(caught.value)
    engine.dispose()
