"""The code version of `lead_scores`: it moves with the rules, and a broken rules file stops the run, not the UI."""

import os
from pathlib import Path

import dagster as dg
import pytest

from hunter_pipeline.orchestration.assets.scoring import lead_scores_for
from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.settings import Settings

LEAD_SCORES = dg.AssetKey("lead_scores")
PACKAGED = Path(rules_module.__file__).with_name("rules.yaml")


def version(settings: Settings) -> str | None:
    return build_defs(settings).resolve_asset_graph().get(LEAD_SCORES).code_version


def edited(folder: Path, new_base: str) -> Path:
    file = folder / f"base-{new_base}.yaml"
    file.write_text(PACKAGED.read_text(encoding="utf-8").replace("\nbase: 0", f"\nbase: {new_base}"), encoding="utf-8")
    return file


def test_the_version_changes_with_a_number_in_the_rules_and_with_the_two_settings(tmp_path: Path):
    versions = {
        version(Settings()),
        version(Settings(scoring_rules=edited(tmp_path, "5"))),
        version(Settings(partner_center_cosell_bonus=20)),
        version(Settings(partner_center_azure_tenant_score=60)),
    }
    assert len(versions) == 4


def test_a_comment_in_the_rules_does_not_change_the_version(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    file.write_text(PACKAGED.read_text(encoding="utf-8") + "\n# a remark\n", encoding="utf-8")
    assert version(Settings(scoring_rules=file)) == version(Settings())


@pytest.mark.parametrize("base", ["zero", None])
def test_definitions_load_with_a_broken_or_missing_rules_file_and_the_run_names_the_fault(
    base: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
):
    file = tmp_path / "missing.yaml" if base is None else edited(tmp_path, base)
    assert str(version(Settings(scoring_rules=file))).endswith("-unreadable")
    monkeypatch.setenv("HUNTER_ENV_FILE", os.devnull)
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    monkeypatch.setenv("HUNTER_SCORING_RULES", str(file))
    result = dg.materialize(
        [lead_scores_for(Settings(scoring_rules=file))], resources=make_resources(), raise_on_error=False
    )
    (failure,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    description = str(failure.step_failure_data.user_failure_data.description)
    assert description.startswith(f"{file}:")


def test_a_run_records_the_version_of_the_rules_it_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
):
    file = edited(tmp_path, "5")
    monkeypatch.setenv("HUNTER_ENV_FILE", os.devnull)
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    monkeypatch.setenv("HUNTER_SCORING_RULES", str(file))
    settings = Settings(scoring_rules=file)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([lead_scores_for(settings)], resources=make_resources(), instance=instance)
        assert result.success
        event = instance.get_latest_materialization_event(LEAD_SCORES)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.tags is not None
    assert event.asset_materialization.tags["dagster/code_version"] == version(settings)
