"""Cases that the packaged numbers never meet, but that a changed rules file can."""

from pathlib import Path
from typing import Any

from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.facts import ScoreInputs
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import Part, Score, score

PACKAGED = Path(rules_module.__file__).with_name("rules.yaml").read_text(encoding="utf-8")
CO_SELL = frozenset({"co-sell"})


def scored_with(folder: Path, old: str, new: str, **facts: Any) -> Score:
    assert PACKAGED.count(old) == 1
    file = folder / "rules.yaml"
    file.write_text(PACKAGED.replace(old, new), encoding="utf-8")
    return score(ScoreInputs(**facts), load_rules(file), tenant_score=55, cosell_bonus=15)


def test_base_points_are_a_part_of_their_own(tmp_path: Path):
    result = scored_with(tmp_path, "base: 0\n", "base: 7\n", provider="Local", mx="present")
    assert result.score == 17
    assert result.breakdown[0] == Part("base", 7, "Base points")


def test_the_bonus_keeps_the_better_priority_score(tmp_path: Path):
    old, new = "{score: [70, 100], priority: 3}", "{score: [70, 100], priority: 6}"
    result = scored_with(tmp_path, old, new, azure_tenant=True, open_referral_types=CO_SELL)
    assert (result.score, result.priority_score) == (70, 4)


def test_the_bonus_keeps_the_higher_commercial_heat_within_a_category(tmp_path: Path):
    old = "- {score: [50, 100], heat: HIGH}"
    new = "- {score: [61, 100], heat: MEDIUM}\n    - {score: [50, 60], heat: HIGH}"
    facts = {"provider": "M365", "mx": "present", "open_referral_types": CO_SELL}
    result = scored_with(tmp_path, old, new, **facts)
    assert (result.score, result.category, result.commercial_heat) == (65, "P3", "HIGH")
    assert result.breakdown[-1].detail == "Priority model stays P3, HIGH: the bonus would make it P3, MEDIUM"


def test_a_hard_fail_takes_its_priority_from_the_rules(tmp_path: Path):
    old, new = "{score: [0, 100], priority: 7}", "{score: [0, 100], priority: 6}"
    assert scored_with(tmp_path, old, new, mx="none").priority_score == 6


def test_a_rule_on_includes_alone_does_not_count_for_a_domain_that_was_never_scanned(tmp_path: Path):
    old, new = "{spf: ok, spf_includes_over: 3}", "{spf_includes_over: 3}"
    facts = {"azure_tenant": True, "spf_includes": 9}
    names = [part.rule for part in scored_with(tmp_path, old, new, has_signals=False, **facts).breakdown]
    assert "spf_many_includes" not in names
    names = [part.rule for part in scored_with(tmp_path, old, new, has_signals=True, **facts).breakdown]
    assert "spf_many_includes" in names


def test_a_lower_migration_threshold_brings_priority_four(tmp_path: Path):
    old, new = "{segment: Migration, when: {score: [60, 100],", "{segment: Migration, when: {score: [45, 100],"
    result = scored_with(tmp_path, old, new, provider="Google", mx="present")
    assert (result.score, result.segment, result.priority_score) == (50, "Migration", 4)
