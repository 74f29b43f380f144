"""The wheel in an environment that has no clone, for a user without rights, without a home, a locale and a short path.

The folder has a space and letters beyond ASCII in its path. When root runs the tests, all of it runs under the account
that the embedded database has; otherwise as whoever runs them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from hunter_pipeline.store.embedded.account import Account, account_for, let_through, take_ownership
from hunter_pipeline.store.embedded.users import embedded_status
from hunter_pipeline_tests.web.serving import free_port

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.xdist_group("wheel"),
    pytest.mark.processes,
    pytest.mark.timeout(900),  # an environment is made and every server started, on whichever machine
]


@dataclass(frozen=True)
class Installed:
    """The environment's folder, and who uses it."""

    folder: Path
    user: Account | None

    @property
    def work(self) -> Path:
        return self.folder / "iş yeri"

    def command(self, *arguments: str) -> list[str]:
        line = [str(self.folder / "venv" / "bin" / "hunter"), *arguments]
        return line if self.user is None else self.user.command(line)

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        # Neither HOME nor a locale; and a folder for temporary files that no path of a socket fits below.
        return {"PATH": os.defpath, "TMPDIR": str(self.folder / f"geçici {'x' * 80}"), **settings}

    def hunter(self, *arguments: str, **settings: str) -> str:
        """What a command prints; its errors may be no trace, and it succeeds."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.work,
            env=self.environment(settings),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """It borrows all packages but Hunter from the environment that runs the tests."""
    above = Path(tempfile.mkdtemp(prefix="hunter-wheel-", dir="/tmp"))
    folder = above / "Müşteri Hunter"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], cwd=ROOT, check=True
    )
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    [wheel] = (folder / "dist").glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    [own] = (folder / "venv").glob("lib/python*/site-packages")
    # A plain path file: what is installed here stands before it, so the wheel's Hunter is the one that is found.
    (own / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    found = Installed(folder, account_for(folder / "none"))
    found.work.mkdir()
    Path(found.environment({})["TMPDIR"]).mkdir()
    if found.user is not None:
        above.chmod(0o755)
        # Where root's own Python and packages are, as the product does it for its database.
        let_through(Path(sys.executable).resolve().parent, found.user)
        let_through(Path(sysconfig.get_path("purelib")), found.user)
        take_ownership(folder, found.user)
    yield found
    shutil.rmtree(above)


def test_the_wheel_gives_what_a_clone_has_as_files(installed: Installed):
    assert installed.hunter("--version").startswith("hunter ")
    assert installed.hunter("settings") == (ROOT / ".env.example").read_text("utf-8")
    installed.hunter("rules", "export", "own.yaml")
    assert (installed.work / "own.yaml").read_bytes() == (ROOT / "hunter_pipeline/scoring/rules.yaml").read_bytes()
    assert "no fault" in installed.hunter("rules", "check", "own.yaml")


@dataclass(frozen=True)
class Server:
    """A command that serves until it is stopped, with what it says in a file."""

    process: subprocess.Popen[bytes]
    said: Path

    def stop(self, number: int, status: int) -> None:
        self.process.send_signal(number)
        assert self.process.wait() == status, self.said.read_text("utf-8")
        text = self.said.read_text("utf-8")
        assert "Traceback" not in text
        assert "\x1b" not in text  # colours are for terminals

    def wait_for(self, ready: Callable[[], bool]) -> None:
        while not ready():
            assert self.process.poll() is None, self.said.read_text("utf-8")
            time.sleep(0.2)


def serve(stack: ExitStack, installed: Installed, settings: dict[str, str], *arguments: str) -> Server:
    said = installed.folder / f"{'-'.join(arguments)}.txt"
    with said.open("wb") as file:
        process = subprocess.Popen(
            installed.command(*arguments),
            cwd=installed.work,
            env=installed.environment(settings),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Told and not killed, also after a failure: those that it started are in sessions of their own.
    stack.callback(lambda: (process.terminate(), process.wait()))
    return Server(process, said)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=30).ok
    except requests.ConnectionError:
        return False


def definitions(port: int) -> list[str]:
    """The names of the jobs that a Dagster UI has loaded; one whose code server did not start has none."""
    query = "{repositoriesOrError{... on RepositoryConnection{nodes{jobs{name}}}}}"
    done = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=60)
    return [job["name"] for each in done.json()["data"]["repositoriesOrError"]["nodes"] for job in each["jobs"]]


def test_a_demo_is_shown_and_then_served(installed: Installed):
    said = installed.hunter("demo")
    assert "10 of 33 leads" in said
    with ExitStack() as stack:
        ui, pages = free_port(), free_port()
        dev = serve(stack, installed, {}, "dev", "--sandbox", "--port", str(ui), "--web-port", str(pages))
        for address in (f"http://127.0.0.1:{pages}/healthz", f"http://127.0.0.1:{ui}/server_info"):
            dev.wait_for(lambda address=address: answers(address))  # type: ignore[misc]
        leads = requests.get(f"http://127.0.0.1:{pages}/api/leads?limit=100", timeout=30).json()["leads"]
        assert len(leads) == 33
        dev.stop(signal.SIGINT, 130)
    assert not embedded_status(installed.work / ".hunter").running


def test_an_account_is_set_up_and_then_served(installed: Installed):
    with ExitStack() as stack:
        sandbox = serve(stack, installed, {}, "sandbox", "--port", "0", "--dns-port", "0", "--json")
        sandbox.wait_for(lambda: "Serving" in sandbox.said.read_text("utf-8"))
        settings = json.loads(sandbox.said.read_text("utf-8").partition("Serving")[0])
        settings["HUNTER_HOME"] = "ikinci ev"
        client = settings.pop("HUNTER_PARTNER_CENTER_CLIENT_ID")
        tenant = settings.pop("HUNTER_PARTNER_CENTER_TENANT_ID")
        del settings["HUNTER_PARTNER_CENTER_ENABLED"]
        said = installed.hunter("init", "--yes", "--client-id", client, "--tenant-id", tenant, **settings)
        assert said.splitlines()[-1] == "next: hunter sync"
        ui, pages = free_port(), free_port()
        daemon = serve(stack, installed, settings, "daemon")
        dagster = serve(stack, installed, settings, "ui", "--port", str(ui))
        lists = serve(stack, installed, settings, "web", "--port", str(pages))
        lists.wait_for(lambda: answers(f"http://127.0.0.1:{pages}/healthz"))
        dagster.wait_for(lambda: answers(f"http://127.0.0.1:{ui}/server_info"))
        assert "referral_sync_job" in definitions(ui)
        daemon.wait_for(lambda: "Daemon: " in daemon.said.read_text("utf-8"))
        for each in (daemon, dagster, lists, sandbox):
            each.stop(signal.SIGTERM, 0)
    assert not embedded_status(installed.work / "ikinci ev").running
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (installed.work / "ikinci ev" / "dagster" / name).read_bytes() == (ROOT / name).read_bytes()
