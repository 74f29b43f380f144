"""The rules in words: they say what the rules in use say, and follow an edited file."""

from pathlib import Path

import pytest

from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.facts import ScoreInputs
from hunter_pipeline.scoring.rules import CATEGORIES
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import Score, score
from hunter_pipeline.scoring.words import legend, why_category

RULES = load_rules()
PACKAGED = Path(rules_module.__file__).with_name("rules.yaml")
GOOGLE = {"provider": "Google", "mx": "present", "spf": "ok"}


def scored(**facts: object) -> tuple[Score, dict[str, object], list[dict[str, object]]]:
    found = score(ScoreInputs(**facts), RULES, tenant_score=55, cosell_bonus=15)  # type: ignore[arg-type]
    standing = {**vars(found), "provider": facts.get("provider", "Unknown")}
    return found, standing, [vars(part) for part in found.breakdown]


def test_the_legend_has_every_category_once_best_first_and_says_how_to_get_there():
    lines = legend(RULES)
    assert [line.category for line in lines] == list(CATEGORIES)
    assert all(line.label == RULES.category_labels[line.category] and line.when for line in lines)
    assert not [way for line in lines for way in line.when if "_" in way or "range(" in way or "frozenset" in way]


def test_an_edited_label_is_said_as_it_was_edited(tmp_path: Path):
    text = PACKAGED.read_text(encoding="utf-8")
    before = " ".join(way for line in legend(RULES) for way in line.when)
    label = RULES.provider_labels["Google"]
    file = tmp_path / "rules.yaml"
    file.write_text(text.replace(f"label: {label}", "label: Mail of G"), encoding="utf-8")
    after = " ".join(way for line in legend(load_rules(file)) for way in line.when)
    assert label in before
    assert label not in after
    assert "Mail of G" in after


@pytest.mark.parametrize(
    "facts",
    [
        {**GOOGLE, "dkim": "none", "dmarc": "missing"},
        {**GOOGLE, "dkim": "found", "dmarc": "reject"},
        {"provider": "M365", "mx": "present", "spf": "ok", "dkim": "found", "dmarc": "reject"},
        {"provider": "Local", "mx": "present", "spf": "ok", "dkim": "found", "dmarc": "missing"},
        {"provider": "Unknown", "mx": "none", "spf": "none", "dkim": "none", "dmarc": "missing"},
    ],
    ids=["cold", "migration", "existing", "own server", "nothing"],
)
def test_why_names_segment_score_and_category_of_the_lead_itself(facts: dict[str, object]):
    found, standing, breakdown = scored(**facts)
    first, second, *_ = why_category(RULES, standing, breakdown)
    assert f"Segment {found.segment} with mail at " in first
    assert f"score {found.score}" in first
    assert second.endswith(f"category {found.category}, {RULES.category_labels[found.category]}")


def test_a_category_that_a_bonus_may_not_worsen_is_explained_by_the_score_without_it():
    cases = [
        (
            scored(
                provider=provider,
                mx="present",
                spf="ok",
                dkim=dkim,
                dmarc=dmarc,
                open_referral_types=frozenset({"co-sell"}),
            )
        )
        for provider in RULES.provider_labels
        for dkim in ("found", "none")
        for dmarc in ("missing", "reject")
    ]
    held = [case for case in cases if any(part["rule"] == "best_category" for part in case[2])]
    assert held
    for found, standing, breakdown in held:
        sentences = why_category(RULES, standing, breakdown)
        assert "before the co-sell bonus" in sentences[0]
        assert f"score {found.score}," not in sentences[0]
        assert len(sentences) == 3


def test_a_provider_that_the_rules_know_no_more_is_said_as_unknown():
    _, standing, breakdown = scored(**GOOGLE, dkim="none", dmarc="missing")
    first, *_ = why_category(RULES, {**standing, "provider": "Lotus"}, breakdown)
    assert RULES.provider_labels["Unknown"] in first
