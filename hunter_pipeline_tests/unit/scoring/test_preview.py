"""The comparison of two scorings."""

from pathlib import Path

import pytest

from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.facts import ScoreInputs
from hunter_pipeline.scoring.preview import Change, compare
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import Score, score

RULES = load_rules()
PACKAGED = Path(rules_module.__file__).with_name("rules.yaml")
GOOGLE = ScoreInputs(provider="Google", mx="present", spf="ok", dkim="none", dmarc="missing")  # 45, Cold, P5
ZOHO = ScoreInputs(provider="Zoho", mx="present", spf="ok", dkim="found", dmarc="reject")  # 70, Migration, P2
LOCAL = ScoreInputs(provider="Local", mx="present", spf="ok", dkim="found", dmarc="missing")  # 30, Cold, P1


def edited(folder: Path, old: str, new: str) -> Rules:
    text = PACKAGED.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file = folder / "rules.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    return load_rules(file)


def scored(leads: dict[str, ScoreInputs], rules: Rules) -> list[tuple[str, Score]]:
    return [
        (domain, score(inputs, rules, tenant_score=55, cosell_bonus=15)) for domain, inputs in sorted(leads.items())
    ]


def test_equal_rules_change_nothing():
    leads = {"a.example": GOOGLE, "b.example": ZOHO}
    preview = compare(scored(leads, RULES), scored(leads, RULES))
    assert (preview.total, preview.changed) == (2, 0)
    assert (preview.segments, preview.categories, preview.movers) == ((), (), ())


def test_a_changed_number_shows_counts_and_movers(tmp_path: Path):
    # Google falls from 45 to 35, below the Cold threshold; the others keep their points.
    rules = edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40")
    leads = {"a.example": GOOGLE, "b.example": ZOHO, "c.example": LOCAL, "d.example": GOOGLE}
    preview = compare(scored(leads, RULES), list(reversed(scored(leads, rules))))
    assert (preview.total, preview.changed) == (4, 2)
    assert preview.segments == (Change("Cold", "Skip", 2),)
    assert preview.categories == (Change("P5", "P6", 2),)
    assert [(mover.domain, mover.points) for mover in preview.movers] == [("a.example", -10), ("d.example", -10)]


def test_a_moved_threshold_shows_leads_that_keep_their_score(tmp_path: Path):
    rules = edited(tmp_path, "{segment: Cold, when: {score: [40, 100]}}", "{segment: Cold, when: {score: [46, 100]}}")
    preview = compare(scored({"a.example": GOOGLE}, RULES), scored({"a.example": GOOGLE}, rules))
    assert [(mover.domain, mover.points, mover.after.segment) for mover in preview.movers] == [("a.example", 0, "Skip")]


def test_only_the_twenty_biggest_movers_are_named_but_all_are_counted(tmp_path: Path):
    rules = edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40")
    rules_both = edited(tmp_path, "Zoho:     {points: 30", "Zoho:     {points: 10")
    leads = {f"g{number:02}.example": GOOGLE for number in range(25)}
    preview = compare(scored(leads, RULES), scored(leads, rules))
    assert (preview.changed, len(preview.movers)) == (25, 20)
    assert preview.segments == (Change("Cold", "Skip", 25),)
    leads = {"a.example": GOOGLE, "z.example": ZOHO}
    assert compare(scored(leads, RULES), scored(leads, rules_both)).movers[0].domain == "z.example"


def test_the_biggest_change_of_points_comes_first(tmp_path: Path):
    rules = edited(tmp_path, "{name: dmarc_reject, points: 20", "{name: dmarc_reject, points: 5")
    rules_small = edited(tmp_path, "{name: spf_present, points: 10", "{name: spf_present, points: 12")
    leads = {"a.example": GOOGLE, "z.example": ZOHO}
    new = [scored(leads, rules_small)[0], scored(leads, rules)[1]]
    assert [(mover.domain, mover.points) for mover in compare(scored(leads, RULES), new).movers] == [
        ("z.example", -15),
        ("a.example", 2),
    ]


def test_among_equal_points_the_widest_change_of_category_comes_first(tmp_path: Path):
    google = edited(tmp_path, "{segment: Cold, when: {score: [40, 100]}}", "{segment: Cold, when: {score: [46, 100]}}")
    local = edited(tmp_path, "{score: [5, 59], provider: Local}", "{score: [31, 59], provider: Local}")
    leads = {"a.example": GOOGLE, "z.example": LOCAL}
    new = [scored(leads, google)[0], scored(leads, local)[1]]
    movers = compare(scored(leads, RULES), new).movers
    assert [(mover.domain, mover.before.category, mover.after.category) for mover in movers] == [
        ("z.example", "P1", "P6"),
        ("a.example", "P5", "P6"),
    ]


def test_the_most_frequent_change_comes_first(tmp_path: Path):
    google = edited(tmp_path, "{segment: Cold, when: {score: [40, 100]}}", "{segment: Cold, when: {score: [46, 100]}}")
    local = edited(tmp_path, "{score: [5, 59], provider: Local}", "{score: [31, 59], provider: Local}")
    leads = {"a.example": GOOGLE, "b.example": GOOGLE, "z.example": LOCAL}
    new = scored(leads, google)[:2] + scored(leads, local)[2:]
    assert compare(scored(leads, RULES), new).categories == (Change("P5", "P6", 2), Change("P1", "P6", 1))


def test_a_domain_in_one_scoring_only_is_refused():
    with pytest.raises(ValueError, match="not of the same domains"):
        compare(scored({"a.example": GOOGLE}, RULES), scored({"b.example": GOOGLE}, RULES))


def test_a_domain_that_stands_twice_is_refused():
    twice = scored({"a.example": GOOGLE}, RULES) * 2
    with pytest.raises(ValueError, match="stands twice"):
        compare(twice, twice)
