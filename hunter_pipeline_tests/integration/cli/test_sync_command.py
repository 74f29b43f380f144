"""`hunter sync` where no sync can run: one line that says why, before any run is made."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hunter_pipeline_tests.integration.cli.command_line import CommandLine
from hunter_pipeline_tests.pipeline_runs import told_to_pause


@pytest.fixture
def hunter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database_url: str
) -> CommandLine:
    for name, value in {
        "HUNTER_ENV_FILE": os.devnull,
        "HUNTER_HOME": str(tmp_path / "home"),
        "HUNTER_DATABASE_URL": database_url,
        "HUNTER_PARTNER_CENTER_ENABLED": "true",
        "HUNTER_PARTNER_CENTER_CLIENT_ID": "11111111-1111-4111-8111-111111111111",
        "HUNTER_PARTNER_CENTER_TENANT_ID": "22222222-2222-4222-8222-222222222222",
    }.items():
        monkeypatch.setenv(name, value)
    return CommandLine(monkeypatch, capsys)


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--force",)])
def test_a_pause_that_partner_center_asked_for_is_named_in_one_line(
    hunter: CommandLine, engine: Engine, arguments: tuple[str, ...]
):
    until = told_to_pause(engine)
    done = hunter("sync", *arguments)
    assert done.status == 1
    text_ = " ".join(done.err.split())
    assert text_.startswith(f"hunter: Partner Center has asked for no request before {until:%Y-%m-%d %H:%M:%S} UTC")
    assert done.out == ""
