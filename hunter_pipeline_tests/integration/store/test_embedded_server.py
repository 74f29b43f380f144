"""The life of the embedded server, with real processes that come, go and are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, text

import hunter_pipeline
from hunter_pipeline.store.embedded.users import (
    EmbeddedError,
    embedded_status,
    release_embedded,
    start_embedded,
    stop_if_unused,
)

pytestmark = pytest.mark.processes

REPOSITORY = Path(hunter_pipeline.__file__).parents[1]

# Starts the server, says its URL, and uses it until its standard input ends.
USER = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from hunter_pipeline.store.embedded.users import start_embedded
print(start_embedded(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class User:
    """Another process that uses the server of a home directory."""

    def __init__(self, home: Path, **popen_arguments: object) -> None:
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", USER, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            **popen_arguments,  # type: ignore[call-overload]
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def user(home: Path) -> Iterator[User]:
    started = User(home)
    try:
        yield started
    finally:
        started.kill()
        assert started.process.stdin is not None
        assert started.process.stdout is not None
        started.process.stdin.close()
        started.process.stdout.close()


@pytest.fixture(scope="module")
def shared_directory() -> Iterator[Path]:
    # Not below pytest's own directory: every pytest that starts closes that one to other accounts again, and the server
    # of a root user runs under another account.
    with TemporaryDirectory(prefix="hunter-test-") as directory:
        yield Path(directory)


@pytest.fixture
def home(shared_directory: Path) -> Iterator[Path]:
    """A home with data in it, made by the first test that needs one; no server runs before or after a test."""
    directory = shared_directory / "home"
    yield directory
    release_embedded(directory)
    assert not embedded_status(directory).running


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A home that does not exist yet."""
    with TemporaryDirectory(prefix="hunter-test-") as parent:
        directory = Path(parent) / "home"
        yield directory
        if directory.is_dir():
            release_embedded(directory)


def answer(url: str, statement: str = "SELECT 1") -> object:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(statement)).scalar()
    finally:
        engine.dispose()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def server_pid(home: Path) -> int:
    pid = embedded_status(home).pid
    assert pid is not None
    return pid


def test_processes_share_one_server_and_the_last_one_stops_it(new_home: Path):
    with user(new_home) as first, user(new_home) as second:
        # Both began at once, on a home that did not exist.
        assert first.url() == second.url()
        status = embedded_status(new_home)
        assert status.running
        assert status.users == tuple(sorted([first.process.pid, second.process.pid]))
        assert first.leave() == 0
        assert server_pid(new_home) == status.pid
        assert second.leave() == 0
    assert embedded_status(new_home).running is False
    assert embedded_status(new_home).users == ()


def test_data_stays_when_the_server_is_stopped_and_started(home: Path):
    url = start_embedded(home)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 42 AS n"))
    engine.dispose()
    release_embedded(home)
    assert not embedded_status(home).running
    assert answer(start_embedded(home), "SELECT n FROM kept") == 42


def test_starting_twice_in_one_process_is_one_user_of_one_server(home: Path):
    assert start_embedded(home) == start_embedded(home)
    assert embedded_status(home).users == (os.getpid(),)


def test_a_user_that_is_killed_leaves_the_server_to_the_next_one(home: Path):
    with user(home) as victim:
        victim.url()
        pid = server_pid(home)
        victim.kill()
        assert embedded_status(home).users == ()
        start_embedded(home)
        assert server_pid(home) == pid
        # The dead one does not count: this process is the last to leave.
        release_embedded(home)
        assert not embedded_status(home).running


def test_a_server_left_by_killed_users_can_be_stopped_and_one_in_use_is_not(home: Path):
    with user(home) as victim:
        victim.url()
        assert stop_if_unused(home) is False
        victim.kill()
        assert stop_if_unused(home) is True
        assert stop_if_unused(home) is False


def test_a_server_that_was_killed_is_started_again(home: Path):
    url = start_embedded(home)
    first = server_pid(home)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not embedded_status(home).running)
    assert answer(start_embedded(home)) == 1
    assert server_pid(home) != first
    assert start_embedded(home) == url


def test_a_stale_process_id_that_now_belongs_to_another_process_does_no_harm(home: Path):
    start_embedded(home)
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    release_embedded(home)
    # As after a crash and a restart of the container: the number is in use again.
    with subprocess.Popen(["sleep", "60"], cwd="/") as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert embedded_status(home).running is False
        assert answer(start_embedded(home)) == 1
        release_embedded(home)
        assert stranger.poll() is None
        stranger.kill()


def test_a_start_that_was_killed_half_way_is_made_good(new_home: Path):
    half = new_home / "postgres" / "init-dead"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    (new_home / "postgres" / "data").mkdir()
    assert answer(start_embedded(new_home)) == 1
    assert not half.exists()


def test_a_path_that_no_socket_may_have_works_and_leaves_nothing_behind(new_home: Path):
    deep = new_home / ("d" * 120) / "with space, comma and ö"
    url = start_embedded(deep)
    try:
        assert answer(url) == 1
        socket_directory = Path(url.partition("host=")[2].partition("&")[0])
        assert len(str(socket_directory)) < 80
        assert socket_directory.stat().st_mode & 0o077 == 0
    finally:
        release_embedded(deep)
    assert not socket_directory.exists()


def test_variables_of_postgresql_in_the_environment_do_not_mislead(home: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"PGPORT": "1", "PGHOST": "nowhere.invalid", "PGDATA": "/nowhere", "LC_ALL": "xx_YY"}.items():
        monkeypatch.setenv(name, value)
    assert answer(start_embedded(home)) == 1


def test_refused_values_do_not_reach_the_log(home: Path):
    engine = create_engine(start_embedded(home))
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE people (email text PRIMARY KEY)"))
        insert = text("INSERT INTO people VALUES ('ada@customer.example')")
        connection.execute(insert)
        with pytest.raises(Exception, match="duplicate key"):
            connection.execute(insert)
    engine.dispose()
    log = (home / "postgres" / "data" / "server.log").read_text()
    assert "duplicate key" in log
    assert "ada@" not in log


def test_data_of_another_version_is_left_alone_and_named(new_home: Path):
    data = new_home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 16 and Hunter brings 18\. Move"):
        start_embedded(new_home)
    assert [file.name for file in data.iterdir()] == ["PG_VERSION"]


def test_files_that_are_no_database_are_left_alone_and_named(new_home: Path):
    data = new_home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "notes.txt").write_text("mine")
    with pytest.raises(EmbeddedError, match="holds files but no PostgreSQL data"):
        start_embedded(new_home)
    assert (data / "notes.txt").read_text() == "mine"


def test_a_broken_configuration_is_told_with_the_place_of_the_reason(home: Path):
    start_embedded(home)
    release_embedded(home)
    configuration = home / "postgres" / "data" / "postgresql.conf"
    right = configuration.read_text()
    configuration.write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match=r"did not start \(.+\)\. The reason is in .*server\.log") as caught:
        start_embedded(home)
    configuration.write_text(right)
    assert "\n" not in str(caught.value)
    assert embedded_status(home).running is False


def test_asking_for_the_status_makes_nothing(tmp_path: Path):
    status = embedded_status(tmp_path / "none")
    assert (status.running, status.pid, status.version, status.users) == (False, None, None, ())
    assert stop_if_unused(tmp_path / "none") is False
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_a_file_is_told(tmp_path: Path):
    (tmp_path / "home").write_text("")
    with pytest.raises(EmbeddedError, match="set HUNTER_HOME to another directory"):
        start_embedded(tmp_path / "home")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")


@as_root
def test_root_below_a_closed_directory_works_and_opens_it_to_nobody_else(new_home: Path):
    closed = new_home
    closed.mkdir(mode=0o700)
    home = closed / "home"
    try:
        assert answer(start_embedded(home)) == 1
        assert Path(f"/proc/{server_pid(home)}").stat().st_uid != 0
        stranger = subprocess.run(["test", "-x", str(closed)], check=False, cwd="/", user=65534, extra_groups=[])
        assert stranger.returncode == 1
    finally:
        release_embedded(home)


@as_root
def test_data_that_was_copied_by_root_is_given_back_to_the_server(home: Path):
    start_embedded(home)
    release_embedded(home)
    data = home / "postgres" / "data"
    owner = data.stat().st_uid
    subprocess.run(["chown", "-R", "0:0", str(data)], check=True)
    assert answer(start_embedded(home)) == 1
    assert data.stat().st_uid == owner


@as_root
def test_another_user_is_told_whose_files_they_are(home: Path):
    start_embedded(home)
    code = USER.replace("print(", "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); print(")
    done = subprocess.run(
        [sys.executable, "-c", code, str(home)], check=False, capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode != 0
    assert "EmbeddedError: No permission for" in done.stderr
    assert "Run Hunter as the owner of" in done.stderr
