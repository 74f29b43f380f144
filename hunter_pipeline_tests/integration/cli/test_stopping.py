"""Servers and long commands that are stopped: what they say, how they end, and that nothing of them is left."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hunter_pipeline.store.embedded.users import embedded_status

pytestmark = pytest.mark.processes

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="hunter-stop-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts `hunter` as a terminal does: in a process group of its own, which gets what is typed."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("HUNTER_", "DAGSTER_"))}
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", "from hunter_pipeline.cli import main; main()", *arguments],
            env={**bare, "HUNTER_HOME": str(home), "HUNTER_ENV_FILE": os.devnull, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A runner in the background ignores it, and children take that over.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
    pytest.fail(f"{words!r} never came: {''.join(said)}")


def states_of(session: int) -> list[str]:
    listed = subprocess.run(["ps", "-o", "stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    return listed.stdout.split()


def nothing_is_left(process: subprocess.Popen[str], home: Path) -> None:
    # Helpers end by themselves a moment after the server that started them; dead ones may wait to be collected.
    while any(not state.startswith("Z") for state in states_of(process.pid)):
        time.sleep(0.1)
    assert not embedded_status(home).running


SERVERS = [
    (("web", "--port"), "Lead list: http"),
    (("ui", "--port"), "Dagster UI: http"),
    (("daemon",), "Daemon: schedules, sensors and the queue of runs"),
]


@pytest.mark.parametrize(("command", "ready"), SERVERS, ids=["web", "ui", "daemon"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["ctrl-c", "told"])
def test_a_server_that_is_stopped_ends_in_order(
    start: Start, home: Path, command: tuple[str, ...], ready: str, number: int, status: int
):
    server = start(*command, *([free_port()] if command[-1] == "--port" else []))
    read_until(server, ready)
    if number == signal.SIGINT:
        os.killpg(server.pid, number)  # as a terminal does
    else:
        server.send_signal(number)  # as a service manager does
    rest, _ = server.communicate()
    assert server.returncode == status, rest
    assert "Traceback" not in rest
    assert (rest.splitlines()[-1:] == ["hunter: stopped"]) == (status == 130)
    nothing_is_left(server, home)


@pytest.mark.parametrize("words", ["Signing in", "partner_center_referrals_raw: "])
def test_a_demo_that_is_stopped_says_so_in_one_line(start: Start, home: Path, words: str):
    demo = start("demo")
    read_until(demo, words)
    os.killpg(demo.pid, signal.SIGINT)
    rest, _ = demo.communicate()
    assert demo.returncode == 130
    assert [line for line in rest.splitlines() if line.startswith("hunter:")] == ["hunter: stopped"]
    assert "Traceback" not in rest
    nothing_is_left(demo, home)


def test_a_server_waits_for_its_database_and_says_which(start: Start, tmp_path: Path):
    port = free_port()
    server = start(
        "web", "--port", free_port(), "--wait", "600", HUNTER_DATABASE_URL=f"postgresql://u:s3cret@127.0.0.1:{port}/x"
    )
    read_until(server, f"waiting up to 600 s: Cannot use the database 127.0.0.1:{port}/x")
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 0


@pytest.mark.parametrize("command", ["daemon", "ui", "web", "worker"])
def test_a_server_refuses_tables_that_are_behind(start: Start, command: str, empty_database_url: str):
    server = start(
        command,
        *(["--port", free_port()] if command in {"ui", "web"} else []),
        HUNTER_DATABASE_URL=empty_database_url,
        HUNTER_CELERY_URL="redis://127.0.0.1:1",
    )
    said, _ = server.communicate()
    assert server.returncode == 1
    [line] = said.splitlines()
    assert line.startswith("hunter: the tables are at revision none")
    assert line.endswith("run `hunter db upgrade`")
