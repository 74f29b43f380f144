"""Gates count what a run looked at; what is broken is found all the same, and stays found until it is mended."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from hunter_pipeline.quality.claims import CLAIMS
from hunter_pipeline.quality.gates import judge_stage
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google
from hunter_pipeline_tests.listed_sync import GATED, judge, made_up, sync


@pytest.fixture
def listed() -> list[dict[str, Any]]:
    return made_up(range(3))


@pytest.fixture
def world(engine: Engine, listed: list[dict[str, Any]]) -> DomainWorld:
    made = DomainWorld(engine)
    for number in range(3):
        made.zone |= google(f"firm{number}.com.tr")
    sync(engine, made.scan, "first", listed, sweep=True)
    return made


def broken_by(world: DomainWorld, run_id: str, referrals: Sequence[dict[str, Any]] = ()) -> set[str]:
    """Run a sync stage by stage, each with its gates; the gates that do not hold."""
    reports = sync(world.engine, world.scan, run_id, referrals)
    with world.engine.begin() as connection:
        return {gate.name for gate, verdict in judge(connection, run_id, reports).items() if not verdict.holds}


def holds_for_all(world: DomainWorld) -> bool:
    claim = next(claim for claim in CLAIMS if claim.name == "all_books_hold")
    with world.engine.connect() as connection:
        return claim.check(connection, datetime.now(UTC) + timedelta(hours=2)).holds


FAULTS = {
    "scores_within_range_and_explained": (
        "UPDATE lead_scores SET breakdown = '[]' WHERE domain = 'firm1.com.tr'",
        "UPDATE lead_scores SET rules_hash = 'older' WHERE domain = 'firm1.com.tr'",
    ),
    "one_company_per_domain": (
        "INSERT INTO companies (domain, run_id) VALUES ('FIRM1.com.tr', 'x')",
        "DELETE FROM companies WHERE domain = 'FIRM1.com.tr'",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_each_sync_that_fetches_nothing_until_it_is_mended(world: DomainWorld, name: str):
    fault, mend = FAULTS[name]
    assert broken_by(world, "good") == set()
    world.execute(fault)
    assert not holds_for_all(world)
    assert name in broken_by(world, "found")
    assert name in broken_by(world, "found again")
    world.execute(mend)
    assert broken_by(world, "mended") == set()
    assert holds_for_all(world)


def test_a_fault_whose_mark_got_lost_is_found_over_all_rows(world: DomainWorld, listed: list[dict[str, Any]]):
    world.execute(FAULTS["scores_within_range_and_explained"][0])
    world.execute("DELETE FROM stage_queue")
    assert broken_by(world, "quiet") == set()
    assert not holds_for_all(world)
    reports = sync(world.engine, world.scan, "sweep", listed, sweep=True)
    assert {name: reports[name].seen for name in GATED} == dict.fromkeys(GATED)


def test_a_referral_that_was_fetched_and_never_marked_is_found_by_the_run_that_fetched_it(
    world: DomainWorld, listed: list[dict[str, Any]]
):
    world.execute("DELETE FROM normalized_domains WHERE referral_id = 'R1'")
    world.execute("DELETE FROM stage_queue")
    assert "fetched_equals_decided_plus_failed" in broken_by(world, "fetched", listed)
    assert broken_by(world, "healed") == set(), "what is broken is looked at again"


def test_what_stays_failed_is_in_the_books_of_a_run_that_did_not_look_at_it(
    world: DomainWorld, listed: list[dict[str, Any]]
):
    unreadable = listed[0] | {"customerProfile": {"team": "none"}}
    sync(world.engine, world.scan, "fails", [unreadable])
    reports = sync(world.engine, world.scan, "quiet", [])
    assert reports["normalize"].seen == []
    with world.engine.begin() as connection:
        before = datetime.now(UTC) + timedelta(seconds=1)
        verdicts = judge_stage(connection, "normalized_domains", before, "quiet", reports["normalize"].seen)
    (counts,) = [verdict.counts for verdict in verdicts.values()]
    assert (counts["fetched"], counts["failed"], counts["missing"]) == (1, 1, 0)
