"""`hunter score` and `hunter rules`: explanations and previews as a person and a program read them."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline_tests.integration.cli.command_line import CommandLine
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google, m365

PACKAGED = Path(rules_module.__file__).with_name("rules.yaml")
SCORES = "SELECT t::text FROM lead_scores t ORDER BY 1"


@pytest.fixture
def hunter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database_url: str
) -> CommandLine:
    monkeypatch.setenv("HUNTER_ENV_FILE", os.devnull)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    """Two scored companies at Google and Microsoft, and one whose DNS does not answer."""
    world = DomainWorld(engine)
    world.zone |= google("g.com") | m365("m.com")
    world.zone |= {
        (name, "TXT"): ("v=spf1 ip4:192.0.2.0/24 -all",) for name in ("_spf.google.com", "spf.protection.outlook.com")
    }
    world.companies("g.com", "m.com")
    scan_domains(world.context(), world.scan)
    world.companies("down.com")
    world.down = True
    scan_domains(world.context(), world.scan)
    score_leads(world.context(), load_rules(), tenant_score=55, cosell_bonus=15)
    return world


def edited(folder: Path, old: str, new: str) -> str:
    content = PACKAGED.read_text(encoding="utf-8")
    assert content.count(old) == 1
    file = folder / "edited.yaml"
    file.write_text(content.replace(old, new), encoding="utf-8")
    return str(file)


@pytest.fixture
def poorer_google(tmp_path: Path) -> str:
    """A rules file that differs in one number: Google gives 40 points in place of 50."""
    return edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40")


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_score_prints_parts_that_add_up_facts_and_history(hunter: CommandLine, world: DomainWorld):
    ended = hunter("score", "g.com")
    assert ended.status == 0
    lines = squeezed(ended.out)
    assert "Score 45 Cold P5 Low Intent / Long Nurturing priority 5 (1 best, 7 last)" in lines
    assert "Google Workspace with SPF, without DKIM or DMARC: long-term lead" in lines
    assert "+50 Provider: Google Workspace provider" in lines
    start, end = lines.index("Points Why Rule"), lines.index("45 the score")
    assert sum(int(line.split()[0]) for line in lines[start + 1 : end]) == 45
    assert "SPF ok" in lines
    assert "SPF includes 1" in lines
    assert "Declared Azure tenant no" in lines
    assert any("45 Cold P5 first scored" in line for line in lines)
    assert "next sync" not in ended.out


def test_score_takes_a_website_or_an_address_for_the_domain(hunter: CommandLine, world: DomainWorld):
    for name in ("https://www.g.com/contact", "someone@G.com"):
        assert hunter("score", name, "--json").json()["domain"] == "g.com"


def test_score_as_json_holds_everything(hunter: CommandLine, world: DomainWorld):
    content = hunter("score", "m.com", "--json").json()
    assert content["score"]["score"] == sum(part["points"] for part in content["score"]["breakdown"]) == 65
    assert (content["facts"]["provider"], content["facts"]["dmarc_policy"]) == ("M365", "reject")
    assert [change["cause"] for change in content["history"]] == ["first"]
    assert content["up_to_date"] is True


def test_score_names_look_ups_that_failed(hunter: CommandLine, world: DomainWorld):
    lines = squeezed(hunter("score", "down.com").out)
    assert "0 MX could not be determined mx_unknown" in lines
    assert "SPF unknown: the look-up failed" in lines


def test_score_names_values_that_are_kept_from_an_earlier_scan(hunter: CommandLine, world: DomainWorld):
    world.execute("UPDATE domain_signals SET kept = '{\"spf\": \"2026-11-20T08:00:00+00:00\"}' WHERE domain = 'g.com'")
    lines = squeezed(hunter("score", "g.com").out)
    assert "SPF ok (the last look-up failed; this is from the scan of 2026-11-20T08:00)" in lines


def test_score_of_an_unknown_domain_fails_and_says_what_to_do(hunter: CommandLine, world: DomainWorld):
    ended = hunter("score", "unknown-company.com")
    assert (ended.status, ended.out) == (1, "")
    assert "no referral of unknown-company.com is known" in ended.err
    assert "hunter sync" in ended.err


def test_score_of_a_company_that_was_not_scanned_fails_and_says_so(hunter: CommandLine, world: DomainWorld):
    world.companies("new.com")
    ended = hunter("score", "new.com")
    assert ended.status == 1
    assert "new.com has no signals yet" in ended.err


def test_score_of_a_company_that_was_scanned_but_not_scored_fails_and_says_so(hunter: CommandLine, world: DomainWorld):
    world.execute("DELETE FROM lead_scores WHERE domain = 'g.com'")
    ended = hunter("score", "g.com", "--json")
    assert (ended.status, ended.out) == (1, "")
    assert "g.com was looked up but is not scored yet" in ended.err


def test_score_of_what_names_no_company_is_wrong_usage(hunter: CommandLine):
    ended = hunter("score", "192.0.2.1")
    assert ended.status == 2
    assert "IP address" in ended.err


def test_score_says_when_the_rules_have_changed_since(
    hunter: CommandLine, world: DomainWorld, poorer_google: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCORING_RULES", poorer_google)
    assert "the next sync scores this domain again" in hunter("score", "g.com").out
    assert hunter("score", "g.com", "--json").json()["up_to_date"] is False


def test_score_explains_also_when_the_rules_file_is_broken(
    hunter: CommandLine, world: DomainWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCORING_RULES", edited(tmp_path, "base: 0", "base: zero"))
    ended = hunter("score", "g.com")
    assert ended.status == 0
    assert "Score 45" in ended.out
    assert "hunter rules check" in ended.out


def test_company_names_are_shown_as_text(hunter: CommandLine, world: DomainWorld):
    world.execute("UPDATE companies SET canonical_name = '[red]Acme[/red] [/]' WHERE domain = 'g.com'")
    assert "[red]Acme[/red] [/]" in hunter("score", "g.com").out


def test_check_finds_no_fault_in_the_packaged_rules_without_a_database(
    hunter: CommandLine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    ended = hunter("rules", "check")
    assert ended.status == 0
    assert f"no fault in 29 rules (version {load_rules().hash[:12]})" in ended.out


def test_check_names_every_fault_with_file_line_and_fix(hunter: CommandLine, tmp_path: Path):
    file = edited(tmp_path, "{name: spf_present, points: 10", "{name: spf_present, points: ten")
    content = Path(file).read_text().replace("Zoho:     {points: 30", "Zoho:     {points: 1000")
    Path(file).write_text(content)
    ended = hunter("rules", "check", file)
    assert ended.status == 1
    zoho, spf = (
        next(number for number, line in enumerate(content.splitlines(), 1) if part in line)
        for part in ("points: 1000", "points: ten")
    )
    first, second = ended.out.splitlines()
    assert first.startswith(f"{file}:{zoho}: points of Zoho is 1000; write a number from")
    assert second.startswith(f"{file}:{spf}: points of spf_present must be a whole number")
    assert f"2 faults in {file}" in ended.err.replace("\n", "")


def test_check_as_json_lists_the_faults(hunter: CommandLine, tmp_path: Path, poorer_google: str):
    assert hunter("rules", "check", poorer_google, "--json").json()["valid"] is True
    ended = hunter("rules", "check", str(tmp_path / "missing.yaml"), "--json")
    assert ended.status == 1
    content = ended.json()
    assert (content["valid"], content["hash"], len(content["problems"])) == (False, None, 1)
    assert content["problems"][0].keys() == {"line", "problem", "fix"}


def test_check_reads_the_file_in_use_when_none_is_named(
    hunter: CommandLine, poorer_google: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCORING_RULES", poorer_google)
    assert poorer_google in hunter("rules", "check").out


def test_preview_counts_changes_names_movers_with_their_rules_and_writes_nothing(
    hunter: CommandLine, world: DomainWorld, poorer_google: str
):
    before = world.rows(SCORES)
    ended = hunter("rules", "preview", poorer_google)
    assert ended.status == 0
    lines = squeezed(ended.out)
    assert f"{poorer_google}: 1 of 3 leads would change" in ended.out.replace("\n", "")
    assert lines[lines.index("1 would change segment") + 1] == "1 Cold -> Skip"
    assert lines[lines.index("1 would change category") + 1] == "1 P5 -> P6"
    assert "│ g.com │ 45 -> 35 │ -10 │ Cold -> Skip │ P5 -> P6 │ provider +50 -> +40 │" in lines
    assert world.rows(SCORES) == before


def test_preview_compares_with_the_list_also_when_the_file_in_use_was_edited_in_place(
    hunter: CommandLine, world: DomainWorld, poorer_google: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_SCORING_RULES", poorer_google)
    assert hunter("rules", "preview", poorer_google, "--json").json()["changed"] == 1


def test_preview_tells_a_moved_threshold_from_changed_points(hunter: CommandLine, world: DomainWorld, tmp_path: Path):
    row = "{segment: Cold, when: {score: [40, 100]}}"
    file = edited(tmp_path, row, row.replace("40", "46"))
    assert "│ a threshold" in hunter("rules", "preview", file).out


def test_preview_takes_other_settings(hunter: CommandLine, world: DomainWorld):
    world.execute("UPDATE companies SET azure_tenant_id = 'tenant' WHERE domain = 'down.com'")
    score_leads(world.context(), load_rules(), tenant_score=55, cosell_bonus=15)
    content = hunter("rules", "preview", str(PACKAGED), "--tenant-score", "75", "--json").json()
    assert (content["total"], content["changed"]) == (3, 1)
    (mover,) = content["movers"]
    assert (mover["domain"], mover["points"], mover["after"]["category"]) == ("down.com", 20, "P4")


def test_preview_of_a_broken_file_names_the_line(hunter: CommandLine, world: DomainWorld, tmp_path: Path):
    ended = hunter("rules", "preview", edited(tmp_path, "base: 0", "base: zero"))
    assert ended.status == 1
    assert "base must be a whole number" in ended.err.replace("\n", " ")


def test_preview_of_an_empty_list_says_so(hunter: CommandLine):
    ended = hunter("rules", "preview", str(PACKAGED))
    assert ended.status == 0
    assert "nothing to compare" in ended.out
