"""The scoring stage on a real database: what makes a domain be scored again, and what is written about it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.readers.explanation import explain_score
from hunter_pipeline.readers.rules_preview import preview_rules
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.scoring import rules as rules_module
from hunter_pipeline.scoring.preview import Change
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google, m365
from hunter_pipeline_tests.pipeline_runs import Pipeline

INCLUDED = {
    ("_spf.google.com", "TXT"): ("v=spf1 ip4:192.0.2.0/24 -all",),
    ("spf.protection.outlook.com", "TXT"): ("v=spf1 ip4:192.0.2.0/24 -all",),
}
"""What the domains' SPF records include; without it they would be broken."""
PACKAGED = Path(rules_module.__file__).with_name("rules.yaml")


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    return DomainWorld(engine, zone=dict(INCLUDED))


def edited(folder: Path, old: str, new: str) -> Rules:
    content = PACKAGED.read_text(encoding="utf-8")
    assert content.count(old) == 1
    file = folder / "edited.yaml"
    file.write_text(content.replace(old, new), encoding="utf-8")
    return load_rules(file)


def score_all(world: DomainWorld, rules: Rules | None = None, *, tenant: int = 55, bonus: int = 15) -> StageReport:
    return score_leads(world.context(), rules or load_rules(), tenant_score=tenant, cosell_bonus=bonus)


def scanned(world: DomainWorld, *domains: str) -> None:
    world.companies(*domains)
    scan_domains(world.context(), world.scan)


def refer(world: DomainWorld, domain: str, kind: str, *, is_open: bool = True) -> None:
    world.execute(
        "INSERT INTO partner_center_referrals"
        " (referral_id, raw_id, referral_type, domain, status, is_open, code_version, run_id)"
        f" VALUES ('R-{kind}-{domain}', 1, '{kind}', '{domain}', 'Active', {is_open}, '1', 'made')"
    )


def test_a_domain_gets_the_points_of_its_signals_and_they_add_up(world: DomainWorld):
    world.zone |= m365("m.com")
    scanned(world, "m.com")
    report = score_all(world)
    assert report.counts == {"scored": 1, "changed": 1, "total": 1}
    # M365 50, SPF 10, no DKIM -15, DMARC reject 20
    assert world.rows("SELECT score, segment, category FROM lead_scores") == [(65, "Existing", "P3")]
    assert world.rows("SELECT sum((part->>'points')::int) FROM lead_scores, jsonb_array_elements(breakdown) part") == [
        65
    ]


def test_a_declared_tenant_is_scored_without_signals_and_overrides_what_a_scan_finds(world: DomainWorld):
    world.companies("unscanned.com", "nomail.com")
    world.execute("UPDATE companies SET azure_tenant_id = 'tenant'")
    world.execute("INSERT INTO companies (domain, run_id) VALUES ('plain-nomail.com', 'made'), ('waiting.com', 'made')")
    score_all(world)
    tenant = ("Existing", 55, "P3", "M365 existing customer (Azure Tenant ID)")
    query = "SELECT domain, segment, score, category, reason FROM lead_scores ORDER BY domain"
    assert world.rows(query) == [("nomail.com", *tenant), ("unscanned.com", *tenant)]
    world.execute("DELETE FROM companies WHERE domain = 'waiting.com'")
    scan_domains(world.context(), world.scan)  # no domain has a zone: none receives mail
    score_all(world)
    assert world.rows(query) == [
        ("nomail.com", *tenant),
        ("plain-nomail.com", "Skip", 0, "P6", "No MX record: the domain receives no e-mail"),
        ("unscanned.com", *tenant),
    ]


def test_an_open_co_sell_referral_adds_its_bonus_and_keeps_the_better_category(world: DomainWorld):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    world.companies("tenant.com")
    world.execute("UPDATE companies SET azure_tenant_id = 'tenant' WHERE domain = 'tenant.com'")
    refer(world, "g.com", "marketplace")
    for domain in ("g.com", "tenant.com"):
        refer(world, domain, "co-sell")
    score_all(world)
    # Google 50, SPF 10, no DKIM -15, bonus 15: the bonus makes it a migration candidate
    assert world.rows("SELECT domain, score, segment, category, referral_type FROM lead_scores ORDER BY 1") == [
        ("g.com", 60, "Migration", "P2", "co-sell"),
        ("tenant.com", 70, "Existing", "P3", "co-sell"),
    ]


def test_only_open_referrals_give_the_bonus_and_the_type_of_an_open_one_is_shown(world: DomainWorld):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    refer(world, "g.com", "co-sell", is_open=False)
    refer(world, "g.com", "solution-provider")
    score_all(world)
    assert world.rows("SELECT score, referral_type FROM lead_scores") == [(45, "solution-provider")]


def test_scoring_again_changes_no_row(world: DomainWorld):
    world.zone |= google("g.com") | m365("m.com")
    scanned(world, "g.com", "m.com")
    score_all(world)
    tables = ("lead_scores", "lead_score_history", "referral_lineage")
    before = {table: world.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables}
    assert score_all(world).counts == {"scored": 0, "changed": 0, "total": 2}
    assert {table: world.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables} == before


def test_changed_rules_score_every_domain_again_without_a_look_up(world: DomainWorld, tmp_path: Path):
    names = [f"g{number}.com" for number in range(30)] + ["m.com"]
    for name in names:
        world.zone |= m365(name) if name == "m.com" else google(name)
    scanned(world, *names)
    score_all(world)
    asked = len(world.asked)
    report = score_all(world, edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40"))
    assert report.counts == {"scored": 31, "changed": 30, "total": 31}
    assert len(world.asked) == asked
    assert set(world.rows("SELECT domain, score FROM lead_scores")) == {("m.com", 65)} | {
        (name, 35) for name in names if name != "m.com"
    }
    assert world.rows("SELECT DISTINCT cause, old_score, new_score, old_segment, new_segment FROM lead_score_history"
                      " WHERE cause <> 'first'") == [("rules", 45, 35, "Cold", "Skip")]  # fmt: skip
    assert world.rows("SELECT count(DISTINCT rules_hash) FROM lead_scores") == [1]


def test_changed_settings_score_every_domain_again(world: DomainWorld):
    world.companies("tenant.com")
    world.execute("UPDATE companies SET azure_tenant_id = 'tenant'")
    score_all(world)
    assert score_all(world, tenant=60).counts["changed"] == 1
    assert world.rows("SELECT score FROM lead_scores") == [60]
    assert score_all(world, tenant=60, bonus=20).counts == {"scored": 1, "changed": 0, "total": 1}


def test_the_history_names_the_cause_and_the_run_of_every_change(world: DomainWorld, tmp_path: Path):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    score_all(world)
    refer(world, "g.com", "co-sell")
    score_all(world)
    world.execute("UPDATE domain_signals SET dkim_state = 'found'")
    score_all(world)
    score_all(world, edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40"))
    query = "SELECT cause, old_score, new_score, old_category, new_category, run_id FROM lead_score_history ORDER BY id"
    assert world.rows(query) == [
        ("first", None, 45, None, "P5", "run-2"),
        ("referral", 45, 60, "P5", "P2", "run-3"),
        ("signals", 60, 85, "P2", "P2", "run-4"),
        ("rules", 85, 75, "P2", "P2", "run-5"),
    ]


def test_a_fact_that_only_this_release_knows_is_no_new_signal(world: DomainWorld, tmp_path: Path):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    score_all(world)
    world.execute(
        "UPDATE lead_scores SET inputs = inputs - 'spf_includes', inputs_hash = md5((inputs - 'spf_includes')::text)"
    )
    newer = edited(tmp_path, "{spf: ok, spf_includes_over: 3}", "{spf: ok, spf_includes_over: 0}")
    preview = preview_rules(world.engine, newer, tenant_score=55, cosell_bonus=15)
    assert (preview.total, preview.changed) == (1, 0), "what is not stored is not known"
    score_all(world, newer)
    changes = world.rows("SELECT cause, old_score, new_score FROM lead_score_history ORDER BY id")
    assert changes == [("first", None, 45), ("rules", 45, 40)]


def test_a_change_that_leaves_the_score_writes_no_history(world: DomainWorld):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    score_all(world)
    refer(world, "g.com", "marketplace")
    assert score_all(world).counts == {"scored": 1, "changed": 0, "total": 1}
    assert world.rows("SELECT count(*) FROM lead_score_history") == [1]
    assert world.rows("SELECT referral_type FROM lead_scores") == ["marketplace"]


def test_a_closed_referral_scores_its_domain_again_without_a_scan(pipeline: Pipeline, sandbox: Sandbox):
    pipeline.sync()
    before = pipeline.rows("SELECT score, category FROM lead_scores WHERE domain = 'contoso.com'")
    co_sell = pipeline.rows(
        "SELECT referral_id FROM partner_center_referrals"
        " WHERE domain = 'contoso.com' AND is_open AND referral_type = 'co-sell'"
    )
    asked = sandbox.dns.questions.total()
    for referral_id in co_sell:
        sandbox.partner_center.referrals.update(referral_id, status="Closed", substatus="Lost")
    report = pipeline.sync()["scores"]
    assert sandbox.dns.questions.total() == asked
    assert before == [(100, "P4")]
    assert pipeline.rows("SELECT score, category FROM lead_scores WHERE domain = 'contoso.com'") == [(90, "P4")]
    assert report.counts["scored"] == report.counts["changed"] == 1
    change = (
        "SELECT cause, old_score, new_score, run_id FROM lead_score_history WHERE domain = 'contoso.com' ORDER BY id"
    )
    assert pipeline.rows(change)[-1] == ("referral", 100, 90, "run-2")


def test_a_preview_tells_what_the_next_scoring_would_do_and_writes_nothing(world: DomainWorld, tmp_path: Path):
    world.zone |= google("g.com") | google("h.com") | m365("m.com")
    scanned(world, "g.com", "h.com", "m.com")
    score_all(world)
    rules = edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40")
    before = world.rows("SELECT t::text FROM lead_scores t ORDER BY 1")
    preview = preview_rules(world.engine, rules, tenant_score=55, cosell_bonus=15)
    assert world.rows("SELECT t::text FROM lead_scores t ORDER BY 1") == before
    assert (preview.total, preview.changed, preview.segments) == (3, 2, (Change("Cold", "Skip", 2),))
    assert score_all(world, rules).counts["changed"] == preview.changed
    promised = {mover.domain: (mover.after.score, mover.after.segment, mover.after.reason) for mover in preview.movers}
    query = "SELECT domain, score, segment, reason FROM lead_scores WHERE domain <> 'm.com'"
    assert {row[0]: row[1:] for row in world.rows(query)} == promised


def test_a_preview_compares_with_the_stored_scores_also_when_the_facts_have_moved_on(world: DomainWorld):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    score_all(world)
    world.execute("UPDATE domain_signals SET dkim_state = 'found'")  # scored by the next sync
    preview = preview_rules(world.engine, load_rules(), tenant_score=55, cosell_bonus=15)
    assert (preview.total, preview.changed) == (1, 0)


def test_a_preview_of_an_empty_database_counts_nothing(world: DomainWorld):
    assert preview_rules(world.engine, load_rules(), tenant_score=55, cosell_bonus=15).total == 0


def test_an_explanation_holds_parts_facts_and_history(world: DomainWorld, tmp_path: Path):
    world.zone |= google("g.com")
    scanned(world, "g.com")
    score_all(world)
    score_all(world, edited(tmp_path, "Google:   {points: 50", "Google:   {points: 40"))
    world.companies("new.com")
    with world.engine.connect() as connection:
        found = explain_score(connection, "g.com")
        unscored = explain_score(connection, "new.com")
        assert explain_score(connection, "unknown.com") is None
    assert found is not None
    assert found.score is not None
    assert found.score.score == sum(part.points for part in found.score.breakdown) == 35
    assert (found.facts["provider"], found.facts["spf"], found.facts["dkim"]) == ("Google", "ok", "none")
    assert [(change.cause, change.new_score) for change in found.history] == [("rules", 35), ("first", 45)]
    assert unscored is not None
    assert (unscored.score, unscored.scanned_at, unscored.history) == (None, None, ())


def test_a_stored_hard_fail_is_read_back_as_one(world: DomainWorld):
    world.companies("nomail.com")
    scan_domains(world.context(), world.scan)
    score_all(world)
    with world.engine.connect() as connection:
        found = explain_score(connection, "nomail.com")
    assert found is not None
    assert found.score is not None
    assert found.score.hard_fail
