"""What a sync finds that is no full sweep: everything that anything changed, however it came to be changed.

Each test makes a change that no stage of the run itself makes, and runs a sync that fetches nothing.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google
from hunter_pipeline_tests.listed_sync import STAGES, made_up, sync

SHOWN = {
    "normalized_domains": "referral_id, raw_id, domain, skip_reason, code_version",
    "partner_center_referrals": "referral_id, raw_id, domain, status, azure_tenant_id, is_open, code_version",
    "raw_leads": "external_id, domain, company_name, raw_id",
    "companies": "domain, canonical_name, provider, azure_tenant_id",
    "domain_signals": "domain, provider, status, code_version",
    "lead_scores": "domain, score, category, rules_hash, inputs",
    "stage_queue": "stage, item",
    "referral_failures": "item_key, stage, resolved_at IS NULL",
}
TENANT = "0e1c6a3e-6a6c-4b6e-8a51-6f1f5e3c2b11"


def rows(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table: sorted(map(repr, connection.execute(text(f"SELECT {columns} FROM {table}")).all()))
            for table, columns in SHOWN.items()
        }


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    made = DomainWorld(engine)
    for number in range(6):
        made.zone |= google(f"firm{number}.com.tr")
    referrals = made_up(range(4)) + made_up(range(4, 5), azureTenantId=TENANT) + made_up(range(5, 6), website="")
    sync(engine, made.scan, "first", referrals, sweep=True)
    return made


PLANTS = {
    "a decision by older rules": "UPDATE normalized_domains SET code_version = 'older', domain = 'x.example'"
    " WHERE referral_id = 'R1'",
    "a lost decision": "DELETE FROM normalized_domains WHERE referral_id = 'R1'",
    "a referral read by older rules": "UPDATE partner_center_referrals SET code_version = 'older', status = 'x'"
    " WHERE referral_id = 'R1'",
    "a referral without its domain": "UPDATE partner_center_referrals SET domain = NULL WHERE referral_id = 'R1'",
    "a lost referral": "DELETE FROM partner_center_referrals WHERE referral_id = 'R1'",
    "a lost lead": "DELETE FROM raw_leads WHERE external_id = 'R1'",
    "a lead of another version": "UPDATE raw_leads SET raw_id = -1, company_name = 'x' WHERE external_id = 'R1'",
    "a lead of a skipped referral": "INSERT INTO raw_leads (source, external_id, domain, payload, raw_id, run_id)"
    " SELECT 'partnercenter', 'R5', 'firm1.com.tr', '{}', raw_id, 'x' FROM partner_center_referrals"
    " WHERE referral_id = 'R5'",
    "a lost company": "DELETE FROM companies WHERE domain = 'firm1.com.tr'",
    "a company that lost its tenant": "UPDATE companies SET azure_tenant_id = NULL, provider = 'Google'"
    " WHERE domain = 'firm4.com.tr'",
    "a company with another name": "UPDATE companies SET canonical_name = 'x' WHERE domain = 'firm1.com.tr'",
    "a company with another provider": "UPDATE companies SET provider = 'Zoho' WHERE domain = 'firm1.com.tr'",
    "lost signals": "DELETE FROM domain_signals WHERE domain = 'firm1.com.tr'",
    "signals by older rules": "UPDATE domain_signals SET code_version = 'older', provider = 'Zoho'"
    " WHERE domain = 'firm1.com.tr'",
    "a lost score": "DELETE FROM lead_scores WHERE domain = 'firm1.com.tr'",
    "a score by older rules": "UPDATE lead_scores SET rules_hash = 'older', score = 1 WHERE domain = 'firm1.com.tr'",
    "a score of other facts": "UPDATE lead_scores SET inputs_hash = 'x', inputs = '{}' WHERE domain = 'firm1.com.tr'",
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
def test_what_was_changed_by_others_is_found_by_a_sync_that_fetches_nothing(world: DomainWorld, plant: str):
    before = rows(world.engine)
    assert before["stage_queue"] == []
    world.execute(plant)
    assert rows(world.engine) != before
    sync(world.engine, world.scan, "next", [])
    # The company of a declared tenant has no other trace of its signals, so a second sync finds nothing more.
    assert rows(world.engine) == before
    with world.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM stage_queue")).scalar_one() == 0


def changed() -> Sequence[dict[str, Any]]:
    """A new company, a changed referral, one that loses its domain, one that loses its tenant."""
    return [
        *made_up(range(7, 8)),
        *made_up(range(1), status="Active", companyName="Another"),
        *made_up(range(1, 2), website="", companyName="Without a site"),
        *made_up(range(4, 5)),
    ]


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_a_sync_that_was_killed_after_any_stage_is_finished_by_one_that_fetches_nothing(world: DomainWorld, stage: str):
    changes = changed()
    sync(world.engine, world.scan, "killed", changes, upto=stage)
    sync(world.engine, world.scan, "next", [])
    found = rows(world.engine)
    assert found["stage_queue"] == []
    assert len(found["raw_leads"]) == 5
    assert not any("'R1'" in row for row in found["raw_leads"]), "a withdrawn lead is found"
    assert any("'Another'" in row for row in found["companies"])
    assert not any(TENANT in row for row in found["companies"]), "a withdrawn tenant is found"
    assert any("firm7.com.tr" in row for row in found["lead_scores"])
    sync(world.engine, world.scan, "whole", changes, sweep=True)
    assert rows(world.engine) == found, "a full sweep finds nothing more"


def test_a_new_lead_of_a_known_company_has_its_whole_story(world: DomainWorld):
    again = [made_up(range(1))[0] | {"id": "R-second"}]
    sync(world.engine, world.scan, "second", again)
    with world.engine.connect() as connection:
        told = connection.execute(text("SELECT stage FROM referral_lineage WHERE referral_id = 'R-second' ORDER BY id"))
        assert len(list(told.scalars())) == 7


def test_totals_are_counted_anew_after_a_change_and_after_a_killed_run(world: DomainWorld):
    from hunter_pipeline.pipeline.leads import make_leads

    world.execute("DELETE FROM raw_leads WHERE external_id IN ('R1', 'R2')")
    world.execute("UPDATE partner_center_referrals SET domain = NULL WHERE referral_id = 'R1'")
    assert make_leads(world.context()).counts["total"] == 4
    assert make_leads(world.context()).counts["total"] == 4
