"""A first start that dies while Dagster's tables are made, at every stage of it, and the start after it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import create_engine, text

from hunter_pipeline.orchestration.storage_tables import describe_tables, ensure_tables, tables_state
from hunter_pipeline_tests.databases import fresh_database, url_of

# For each line "ADDRESS N" opens the storage at that address, in a process of its own, as each Dagster process does; it
# is killed before its Nth statement. Answers with how many statements it made, or how it ended.
STARTS = """
import os, signal, sys
from sqlalchemy import Engine, event
from hunter_pipeline.orchestration.storage import HunterStorage

for line in sys.stdin:
    url, dies_at = line.split()
    if os.fork() == 0:
        os.environ["HUNTER_DAGSTER_DATABASE_URL"] = url
        made = 0

        def count(*_):
            global made
            made += 1
            if made == int(dies_at):
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", count)
        HunterStorage.from_config_value(None, {})
        print("made", made, flush=True)
        os._exit(0)
    status = os.wait()[1]
    if status:
        print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""
NEVER = 10**6


@pytest.fixture
def open_storage(place: None) -> Iterator[Callable[[str, int], tuple[str, int]]]:
    """Opens the storage at an address in another process, which dies before a statement of a given number."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", STARTS],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as starts:  # fmt: skip
        assert starts.stdin is not None
        assert starts.stdout is not None
        pipes = starts.stdin, starts.stdout

        def start(url: str, dies_at: int) -> tuple[str, int]:
            pipes[0].write(f"{url} {dies_at}\n")
            pipes[0].flush()
            kind, number = pipes[1].readline().split()
            return kind, int(number)

        yield start


@pytest.fixture
def place(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path))
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)


def schema_of(url: str) -> list[tuple[str, ...]]:
    """Every column and index of a database, and which of Dagster's own data migrations it counts as done."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [
                tuple(map(str, row))
                for query in (
                    "SELECT table_name, column_name, data_type FROM information_schema.columns"
                    " WHERE table_schema = 'public' ORDER BY 1, 2",
                    "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
                    "SELECT name FROM secondary_indexes WHERE migration_completed IS NOT NULL ORDER BY 1",
                    "SELECT version_num FROM alembic_version",
                )
                for row in connection.execute(text(query))
            ]
    finally:
        engine.dispose()


@pytest.mark.processes
def test_a_first_start_that_is_killed_anywhere_is_made_good_by_the_next(
    pg_server_url: str, empty_database_url: str, open_storage: Callable[[str, int], tuple[str, int]]
):
    kind, statements = open_storage(empty_database_url, NEVER)
    assert kind == "made"
    expected = schema_of(empty_database_url)
    assert statements > 100
    for share in (0.05, 0.2, 0.4, 0.6, 0.8, 0.95):
        with fresh_database(pg_server_url, "template0") as name:
            url = url_of(pg_server_url, name)
            assert open_storage(url, int(statements * share)) == ("ended", -9)
            assert open_storage(url, NEVER)[0] == "made", f"killed at {share:.0%}"
            assert schema_of(url) == expected, f"killed at {share:.0%}"
            assert tables_state(url) == "complete"


@pytest.mark.usefixtures("place")
def test_first_starts_at_once_make_the_tables_once(empty_database_url: str):
    failed: list[BaseException] = []

    def start() -> None:
        try:
            ensure_tables(empty_database_url)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    starts = [threading.Thread(target=start) for _ in range(4)]
    for each in starts:
        each.start()
    for each in starts:
        each.join()
    assert failed == []
    assert tables_state(empty_database_url) == "complete"


def test_tables_without_a_mark_that_hold_a_run_are_kept(instance: dg.DagsterInstance, dagster_database_url: str):
    run = create_run_for_test(instance)
    engine = create_engine(dagster_database_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM kvs"))
    engine.dispose()
    ensure_tables(dagster_database_url)
    assert instance.get_run_by_id(run.run_id) is not None


def test_the_state_of_the_tables_is_told_and_nothing_is_made(empty_database_url: str):
    assert tables_state(empty_database_url) == "none"
    assert tables_state(empty_database_url) == "none"
    assert "next" in describe_tables(empty_database_url, "none")


def test_values_of_statements_stand_in_no_error_of_the_storage(instance: dg.DagsterInstance):
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    for _ in range(2):
        with pytest.raises(Exception, match="division by zero") as caught, storage.connect() as connection:
            connection.execute(text("SELECT :value, 1 / 0"), {"value": "ada@customer.example"})
        assert "ada@" not in str(caught.value)
        # The web server's storage makes a connection of its own kind.
        instance.optimize_for_webserver(5000, -1, 5)
