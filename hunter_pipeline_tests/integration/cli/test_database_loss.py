"""A database that dies or is full in the middle: started again where it is ours, one line where a run ends by it."""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import typer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hunter_pipeline.cli import servers
from hunter_pipeline.sandbox.https_server import Request
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.store.embedded.users import embedded_status, release_embedded, start_embedded
from hunter_pipeline.store.engine import DatabaseUnavailable, database_trouble, make_engine

pytestmark = pytest.mark.processes

SOURCES = str(Path(__file__).parents[3])

VICTIM = """
import os, pathlib, signal, sys, time
from sqlalchemy.exc import DBAPIError
from hunter_pipeline.store.embedded.users import embedded_status
from hunter_pipeline.store.engine import make_engine
home, url, answer, hurt = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4]
engine = make_engine(url)
engine.connect().close()
first = embedded_status(home).pid
if hurt:
    (home / hurt).rename(home / (hurt + ".away"))
os.kill(first, signal.SIGKILL)
while True:
    try:
        engine.connect().close()
        if embedded_status(home).pid not in (None, first):
            break
    except DBAPIError:
        pass
    time.sleep(0.1)
answer.write_text("found again")
"""
"""Uses the embedded server, kills it, and ends when it finds it again under the address that it knows."""


@pytest.fixture(params=["", "a-folder-whose-name-is-so-long-that-no-socket-fits-into-it-" * 3], ids=["short", "long"])
def home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A HUNTER_HOME outside pytest's folders, which close themselves to others."""
    with TemporaryDirectory(prefix="hunter-loss-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "home" / str(request.param)
        yield made
        release_embedded(made)


def kill_server(home: Path) -> None:
    """End the embedded server as the kernel does when memory is short, and wait until it is dead."""
    pid = embedded_status(home).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while embedded_status(home).running:
        time.sleep(0.02)


def supervised(home: Path, answer: Path, hurt: str = "") -> None:
    url = start_embedded(home)
    watch = servers.DatabaseWatch(home)
    servers._run([[sys.executable, "-c", VICTIM, str(home), url, str(answer), hurt]], watch)


def test_the_supervisor_starts_a_killed_server_again_and_its_users_find_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    with pytest.raises(typer.Exit):
        supervised(home, tmp_path / "answer")
    assert (tmp_path / "answer").read_text() == "found again"


@pytest.mark.parametrize("home", [""], indirect=True)
def test_a_server_that_does_not_start_any_more_ends_the_supervisor_with_an_error(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    with pytest.raises(DatabaseUnavailable, match=r"did not start .*server\.log"):
        supervised(home, tmp_path / "answer", "postgres/data/global/pg_control")
    assert not (tmp_path / "answer").exists()


@pytest.mark.parametrize("home", [""], indirect=True)
def test_a_server_that_dies_again_and_again_is_given_up(home: Path):
    start_embedded(home)
    watch = servers.DatabaseWatch(home)
    watch()
    for _ in range(servers.MOST_DEATHS - 1):
        kill_server(home)
        watch()
    kill_server(home)
    with pytest.raises(DatabaseUnavailable, match="died 3 times within 10 minutes"):
        watch()


@pytest.mark.parametrize("home", [""], indirect=True)
def test_a_sync_whose_database_dies_says_so_in_one_line_and_the_next_goes_on(home: Path):
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("HUNTER_", "DAGSTER_"))}

    def hunter(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", *arguments],
            env={**bare, **sandbox.environment, "HUNTER_HOME": str(home), "HUNTER_ENV_FILE": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )

    def kill(request: Request) -> None:
        sandbox.partner_center.before_answer = None
        kill_server(home)

    with Sandbox(directory=home / "sandbox") as sandbox:
        assert hunter("login").returncode == 0
        sandbox.partner_center.before_answer = kill
        lost = hunter("sync")
        after = hunter("sync")
    assert lost.returncode == 1
    (line,) = [line for line in lost.stderr.splitlines() if "referrals of about" not in line]
    assert line.startswith("hunter: The database went away: ")
    assert lost.stdout == ""
    assert after.returncode == 0, after.stderr
    assert "59  fetched" in after.stdout


VALUE = "secret-value-of-a-person"

REFUSED = {
    "a wrong form": "SELECT CAST(:value AS integer)",
    "a wrong form within quotes": "SELECT CAST(CAST(:value AS text) || '\"' || :value AS json)",
    "a row in the detail": "INSERT INTO companies (domain, run_id, created_at) VALUES (:value, 'x', NULL)",
    "a key in the detail": "INSERT INTO companies (domain, run_id) VALUES (:value, 'x'), (:value, 'y')",
    "the statement itself": "SELECT :value, nothing FROM companies",
    "a function that is not there": "SELECT nothing(:value)",
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_no_error_of_a_statement_repeats_a_value(database_url: str, statement: str):
    engine = make_engine(database_url)
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement), {"value": VALUE})
    engine.dispose()
    shown = "".join(traceback.format_exception(caught.value, chain=True)).replace(statement, "")
    assert VALUE not in shown
    assert "LINE 1" not in shown
    assert caught.value.orig is not None
    assert str(caught.value.orig)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("53100", "The database cannot go on: no more. Free space on its server"),
        ("57P01", "The database went away: no more. See that its server runs"),
        ("58030", "The database cannot go on: no more."),
        ("55P03", None),
        ("57014", None),
        ("23505", None),
        ("22P02", None),
    ],
)
def test_trouble_of_the_server_is_told_from_trouble_of_a_statement(database_url: str, code: str, said: str | None):
    engine = make_engine(database_url)
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'no more' USING ERRCODE = '{code}', DETAIL = '{VALUE}'; END $$"
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql(statement)
    engine.dispose()
    line = database_trouble(caught.value)
    assert line is None if said is None else line is not None and line.startswith(said)
    assert VALUE not in str(caught.value.orig)
