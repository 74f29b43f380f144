"""`hunter failures`: the list, dismissing by the first characters of an id, and undoing it."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.failures import Failure, record_failures
from hunter_pipeline_tests.integration.cli.command_line import CommandLine, Ended


@pytest.fixture
def hunter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, engine: Engine
) -> CommandLine:
    monkeypatch.setenv("HUNTER_ENV_FILE", os.devnull)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HUNTER_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        for stage, keys in (
            ("normalized_domains", ("0a1b-first", "0a1b-second")),
            ("referral_details", ("0a1b-first",)),
        ):
            refused = [Failure(key, "is a list", "{}") for key in keys]
            record_failures(connection, StageContext(engine, "run"), stage, "1", refused)
    return CommandLine(monkeypatch, capsys)


def states(hunter: CommandLine) -> dict[str, set[bool]]:
    """The items with an open failure, and whether their failures are dismissed."""
    found: dict[str, set[bool]] = {}
    for failure in hunter("failures", "--json").json():
        found.setdefault(failure["referral_id"], set()).add(failure["dismissed_at"] is not None)
    return found


def refused(done: Ended) -> str:
    assert done.status == 2
    return " ".join(done.err.replace("│", " ").split())


def test_all_failures_of_a_referral_are_dismissed_by_its_first_characters_and_stay_in_the_list(hunter: CommandLine):
    done = hunter("failures", "--dismiss", "0a1b-f")
    assert (done.status, done.err.strip()) == (0, "2 failures of 0a1b-first dismissed")
    assert states(hunter) == {"0a1b-first": {True}, "0a1b-second": {False}}
    lines = hunter("failures").out.splitlines()
    assert sum("dismissed 20" in line for line in lines) == 2
    assert sum(" open " in line for line in lines) == 1
    assert "nothing to do" in hunter("failures", "--dismiss", "0a1b-first").err


def test_it_can_be_undone(hunter: CommandLine):
    hunter("failures", "--dismiss", "0a1b-first")
    done = hunter("failures", "--undo-dismiss", "0a1b-first")
    assert (done.status, done.err.strip()) == (0, "2 failures of 0a1b-first no longer dismissed")
    assert states(hunter) == {"0a1b-first": {False}, "0a1b-second": {False}}


def test_an_id_that_is_unknown_or_stands_for_several_is_refused_and_changes_nothing(hunter: CommandLine):
    assert "no open failure is of a referral that starts with 'x'" in refused(hunter("failures", "--dismiss", "x"))
    assert "0a1b-first, 0a1b-second" in refused(hunter("failures", "--dismiss", "0a1b"))
    assert "give one of the two" in refused(hunter("failures", "--dismiss", "0a1b-f", "--undo-dismiss", "0a1b-s"))
    assert states(hunter) == {"0a1b-first": {False}, "0a1b-second": {False}}
