"""`hunter init`: the file that it writes, what it asks, and a machine that is signed in at its end."""

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from hunter_pipeline.cli.setting_up import CLIENT, DATABASE, QUESTIONS, SECRET, TENANT, write_env
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.settings import Settings, load_settings, variable_name
from hunter_pipeline_tests.integration.cli.command_line import CommandLine

NAMES = ("HUNTER_PARTNER_CENTER_CLIENT_ID", "HUNTER_PARTNER_CENTER_TENANT_ID", "HUNTER_PARTNER_CENTER_ENABLED")


@pytest.fixture
def bare(sandbox: Sandbox, tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A folder without settings; only the way to the sandbox is in the environment. The three that init asks for."""
    folder = tmp_path / "mein hünter"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HUNTER_HOME", str(folder / "home"))
    monkeypatch.delenv("HUNTER_ENV_FILE", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "")
    values = {name: sandbox.environment[name] for name in NAMES[:2]}
    for name in NAMES:
        monkeypatch.delenv(name)
    return values | {"HUNTER_DATABASE_URL": empty_database_url}


def test_a_machine_is_set_up_by_options(
    bare: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    hunter = CommandLine(monkeypatch, capsys)
    options = [f"--{name[len('HUNTER_') :].removeprefix('PARTNER_CENTER_').lower().replace('_', '-')}" for name in bare]
    line = [part for pair in zip(options, bare.values(), strict=True) for part in pair]
    done = hunter("init", "--yes", *line)
    assert done.status == 0, done.out + done.err
    assert "Signed in as" in done.out
    assert done.out.splitlines()[-1] == "next: hunter sync"
    file = Path(".env")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dotenv_values(file) == bare | {"HUNTER_PARTNER_CENTER_ENABLED": "true"}
    text = file.read_text("utf-8")
    assert all(f"{variable_name(field)}=" in text for field in Settings.model_fields)
    # A second time nothing is overwritten unasked, and what was there is kept.
    refused = hunter("init", *line)
    assert refused.status == 2
    assert "--yes" in refused.err
    assert file.read_text("utf-8") == text
    assert hunter("init", "--yes", "--no-login", *line).status == 0
    assert Path(".env.before").read_text("utf-8") == text


@pytest.mark.processes
def test_a_machine_is_set_up_by_answers(bare: dict[str, str]):
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", "init", "--no-login"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    client, tenant, database = bare.values()
    said = ""
    for field, answer in ((CLIENT, "my-app"), (CLIENT, client), (TENANT, tenant), (SECRET, ""), (DATABASE, database)):
        # Each when it is asked for: the question for a secret throws away what was typed before.
        asked = ""
        while not asked.endswith(f"{QUESTIONS[field]}: "):
            read = process.stdout.read(1)
            assert read, said + asked
            asked += read
        said += asked
        os.write(mine, f"{answer}\n".encode())
    said += process.communicate()[0]
    os.close(mine)
    os.close(theirs)
    assert "is no GUID" in said
    assert said.splitlines()[-1] == "next: hunter login"
    assert dotenv_values(".env") == bare | {"HUNTER_PARTNER_CENTER_ENABLED": "true"}


@pytest.mark.parametrize(
    "value", ["plain", "two words", "it's", 'a "quoted" one', "#1", "back\\slash", "ünïcode", "a=b&c"]
)
def test_a_value_is_read_as_it_was_written(tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_ENV_FILE", str(tmp_path / "own.env"))
    write_env(tmp_path / "own.env", {"HUNTER_PARTNER_CENTER_CLIENT_SECRET": value})
    secret = load_settings().partner_center_client_secret
    assert secret is not None
    assert secret.get_secret_value() == value
