"""The `hunter` command as a person types it: the demo twice, a day's work, and one line for every mistake.

Real processes where it matters that they are: for the demo, for syncs at once, for a port. The rest runs in this one,
which spares each command the imports and the start of the database.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.store.embedded.users import release_embedded
from hunter_pipeline.store.engine import database_urls
from hunter_pipeline_tests.integration.cli.command_line import CommandLine, Ended
from hunter_pipeline_tests.personal_data import MAY_HOLD_PERSONS, forms, in_bytes, in_files, in_tables, persons
from hunter_pipeline_tests.pipeline_runs import NOW

# They share a home with a server of its own.
pytestmark = [pytest.mark.xdist_group("commands"), pytest.mark.processes]

Hunter = Callable[..., Ended]

EVALUATED = """
import dagster as dg
from hunter_pipeline.orchestration.checks import STANDING_CHECKS
with dg.DagsterInstance.get() as instance:
    keys = [key for check in STANDING_CHECKS for key in check.check_keys]
    found = [instance.event_log_storage.get_asset_check_execution_history(key, limit=1) for key in keys]
    print(len([each for each in found if each and each[0].status.value in ("SUCCEEDED", "FAILED")]), len(keys))
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A HUNTER_HOME that lives as long as the module; outside pytest's folders, which close themselves to others."""
    with TemporaryDirectory(prefix="hunter-cli-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"
        release_embedded(Path(folder) / "home")


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an environment that holds nothing of the developer's."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("HUNTER_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", *arguments],
        env={**bare, "HUNTER_HOME": str(home), "HUNTER_ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def world(home: Path) -> Iterator[Sandbox]:
    """A sandbox for the module; one page tells less than all, so its pages hold twenty."""
    with Sandbox(directory=home / "sandbox", page_size=20, first_start=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def hunter(home: Path, world: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hunter:
    """Runs `hunter` against the sandbox in this process; keyword arguments change its environment."""
    for name in [name for name in os.environ if name.startswith(("HUNTER_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    for name, value in {**world.environment, "HUNTER_HOME": str(home), "HUNTER_ENV_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, **changes: str) -> Ended:
        with pytest.MonkeyPatch.context() as changed:
            for name, value in changes.items():
                changed.setenv(name, value)
            return CommandLine(changed, capsys)(*arguments)

    return call


def ended(done: subprocess.CompletedProcess[str]) -> Ended:
    return Ended(done.returncode, done.stdout, done.stderr)


def one_line(done: Ended) -> str:
    """The error of a command that failed as it should: one line, no stack trace."""
    assert done.status not in (0, None)
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("hunter:") or "Error" in line or "Invalid" in line]
    assert errors, done.err
    return errors[-1]


def test_the_demo_ends_well_twice_and_the_second_time_nothing_is_new():
    with TemporaryDirectory(prefix="hunter-demo-", ignore_cleanup_errors=True) as folder:
        first = run(Path(folder), "demo")
        assert first.returncode == 0, first.stderr
        for column in ("Company", "Domain", "Provider", "Segment", "Score", "Category", "Referral"):
            assert column in first.stdout
        assert "10 of 33 leads" in first.stdout
        assert "59  fetched (58 new or changed)" in first.stdout
        assert "46  = with a lead" in first.stdout
        assert "11  + skipped" in first.stdout
        assert " 2  + failed" in first.stdout
        assert "Next, try" in first.stdout
        second = run(Path(folder), "demo")
        assert second.returncode == 0, second.stderr
        assert "59  fetched (0 new or changed)" in second.stdout
        assert "DNS was not asked" in second.stdout
        leads = json.loads(run(Path(folder), "leads", "--format", "json").stdout)
        assert len(leads) == len({lead["domain"] for lead in leads}) == 33
        shown = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", EVALUATED],
            env={**os.environ, "HUNTER_HOME": folder, "HUNTER_ENV_FILE": os.devnull,
                 "DAGSTER_HOME": f"{folder}/dagster"},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        evaluated, standing = map(int, shown.split())
        assert evaluated == standing > 5, "the standing checks"
        looked_for = forms(persons())
        assert len(looked_for) > 80
        said = (first.stdout + first.stderr + second.stdout + second.stderr).encode()
        assert in_bytes(said, looked_for) == set()
        assert in_files(Path(folder), looked_for) == {}
        urls = database_urls(None, None, Path(folder))
        try:
            assert set(in_tables(urls.hunter, looked_for, {})) >= {"raw_leads.email", "raw_leads.payload"}, "looks"
            assert in_tables(urls.hunter, looked_for, MAY_HOLD_PERSONS) == {}
            assert in_tables(urls.dagster, looked_for, {}) == {}
        finally:
            release_embedded(Path(folder))


def test_login_sync_leads_lineage_logout(hunter: Hunter):
    done = hunter("login")
    assert done.status == 0, done.err
    assert "Signed in as r…@sandbox-partner.example" in done.out
    assert "enter the code" in done.err
    done = hunter("sync", "--force", "--json")
    assert done.status == 0, done.err
    books = json.loads(done.out)
    assert books["total"] == books["succeeded"] + books["skipped"] + books["failed"] == 59
    rows = hunter("leads", "--format", "csv").out.splitlines()
    assert rows[0].startswith("\ufeffdomain,company_name,")
    assert len(rows) == 34
    story = json.loads(hunter("lineage", "FLAT-0002", "--json").out)
    assert [step["stage"] for step in story["steps"]][-1] == "lead_scores"
    assert "score 70" in story["steps"][-1]["decision"]
    failures = json.loads(hunter("failures", "--json").out)
    assert {failure["stage"] for failure in failures} == {"partner_center_referrals_raw", "normalized_domains"}
    assert hunter("logout").status == 0
    assert "hunter login" in one_line(hunter("sync"))


def test_of_syncs_that_begin_at_once_one_runs_and_the_others_name_it(hunter: Hunter, home: Path, world: Sandbox):
    hunter("login")
    with ThreadPoolExecutor(3) as at_once:
        all_three = list(at_once.map(lambda _: ended(run(home, "sync", **world.environment)), range(3)))
    ran = [done for done in all_three if done.status == 0]
    assert len(ran) >= 1
    for done in all_three:
        assert done in ran or "A sync is under way (run" in one_line(done)
    books = json.loads(hunter("leads", "--format", "json").out)
    assert len(books) == 33
    assert all(len(lead["referral_ids"]) == lead["referrals"] > 0 for lead in books)


def test_a_day_range_is_a_backfill(hunter: Hunter):
    hunter("login")
    done = hunter("sync", "--since", "2026-10-01", "--until", "2026-10-31", "--json")
    assert done.status == 0, done.err
    books = json.loads(done.out)
    assert 0 < books["total"] < 59
    assert books["covers_to_now"] is False


def test_an_excel_file_is_written(hunter: Hunter, tmp_path: Path):
    target = tmp_path / "leads.xlsx"
    assert hunter("leads", "-f", "xlsx", "-o", str(target)).status == 0
    assert target.read_bytes().startswith(b"PK")
    assert "--output" in one_line(hunter("leads", "-f", "xlsx"))


def test_a_token_cache_with_another_key_says_so_and_is_kept(hunter: Hunter):
    hunter("login")
    done = hunter("sync", HUNTER_TOKEN_CACHE_KEY="MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=")
    assert "HUNTER_TOKEN_CACHE_KEY" in one_line(done)
    assert hunter("sync").status == 0, "the cache is still there for the right key"


def test_an_api_that_is_down_fails_the_sync_and_loses_nothing(hunter: Hunter, world: Sandbox):
    hunter("login")
    before = hunter("leads", "--format", "csv").out
    world.partner_center.fail_next(2, 503)
    assert "503" in one_line(hunter("sync"))
    world.partner_center.fail_next(2, 200, body="<html>sign in</html>")
    assert "JSON" in one_line(hunter("sync"))
    world.partner_center.fail_next(2, 401)
    assert "401" in one_line(hunter("sync"))
    assert hunter("leads", "--format", "csv").out == before
    assert hunter("sync").status == 0


def test_a_port_that_is_taken_is_named(hunter: Hunter, home: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port}" in one_line(ended(run(home, "dev", "--port", port)))
        assert f"port {port}" in one_line(hunter("sandbox", "--port", port, "--dns-port", "0"))


def test_help_teaches(hunter: Hunter):
    for command in ("demo", "dev", "login", "logout", "sync", "leads", "lineage", "failures", "db", "sandbox", "ui"):
        done = hunter(command, "--help")
        assert done.status == 0
        assert len(done.out.split()) > 30, command
