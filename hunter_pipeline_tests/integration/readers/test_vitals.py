"""Since when the oldest referral waits: what the marks of the stages say is what all rows say, in whatever state."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.readers.vitals import OLDEST_OF_ALL, read_vitals
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld
from hunter_pipeline_tests.integration.readers.filled import GROUP, looked_at
from hunter_pipeline_tests.listed_sync import made_up, sync

UNREADABLE = made_up(range(7, 8), customerProfile=["no object"])
GONE = "UPDATE partner_center_referrals_raw SET gone_at = {} WHERE referral_id = 'R1' AND is_current"


def waits(engine: Engine) -> bool:
    """Whether any waits; what is told is that of all rows."""
    with engine.connect() as connection:
        of_all = connection.execute(text(OLDEST_OF_ALL)).scalar_one()
        assert read_vitals(connection, datetime.now(UTC)).oldest_unprocessed == of_all
    return of_all is not None


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    made = DomainWorld(engine)
    sync(engine, made.scan, "first", made_up(range(4)) + UNREADABLE, sweep=True)
    return made


def test_before_the_first_sync_and_while_it_is_under_way(engine: Engine):
    scan = DomainWorld(engine).scan
    assert not waits(engine)
    sync(engine, scan, "first", made_up(range(4)) + UNREADABLE, sweep=True, upto="fetch")
    assert waits(engine)
    sync(engine, scan, "first", made_up(range(4)) + UNREADABLE, sweep=True, upto="normalize")
    assert waits(engine)
    sync(engine, scan, "first", made_up(range(4)) + UNREADABLE, sweep=True, upto="track")
    assert not waits(engine), "what was refused does not wait"


@pytest.mark.parametrize("upto", ["fetch", "normalize"])
def test_what_a_run_that_ended_early_leaves_waits_until_the_next(world: DomainWorld, upto: str):
    assert not waits(world.engine)
    sync(world.engine, world.scan, "killed", made_up(range(3, 6)), upto=upto)
    assert waits(world.engine)
    sync(world.engine, world.scan, "next", [])
    assert not waits(world.engine)


@pytest.mark.parametrize(
    "plant",
    [
        "DELETE FROM normalized_domains; DELETE FROM partner_center_referrals WHERE referral_id = 'R1'",
        "DELETE FROM partner_center_referrals WHERE referral_id = 'R1'",
        "UPDATE partner_center_referrals SET raw_id = -1 WHERE referral_id = 'R1'",
        "DELETE FROM partner_center_referrals WHERE referral_id = 'R1'; DELETE FROM stage_state",
        "DELETE FROM referral_failures",
        "UPDATE referral_failures SET resolved_at = now()",
        f"{GONE.format('now()')}; DELETE FROM partner_center_referrals WHERE referral_id = 'R1'; {GONE.format('NULL')}",
    ],
)
def test_what_was_changed_by_hand_waits(world: DomainWorld, plant: str):
    world.execute(plant)
    assert waits(world.engine)
    sync(world.engine, world.scan, "next", [])
    assert not waits(world.engine)


def test_what_is_gone_does_not_wait_and_does_when_it_is_back(world: DomainWorld):
    world.execute(GONE.format("now()"))
    world.execute("DELETE FROM partner_center_referrals WHERE referral_id = 'R1'")
    assert not waits(world.engine)
    sync(world.engine, world.scan, "next", [])
    world.execute("DELETE FROM partner_center_referrals WHERE referral_id = 'R1'; DELETE FROM stage_queue")
    assert not waits(world.engine)
    world.execute(GONE.format("NULL"))
    assert waits(world.engine)


@GROUP
def test_it_looks_at_what_is_marked_and_not_at_all_rows(filled: Engine):
    with filled.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO stage_state (stage, version) VALUES ('normalized_domains', '1'),"
                " ('partner_center_referrals', '1') ON CONFLICT DO NOTHING"
            )
        )
        connection.execute(
            text(
                "INSERT INTO stage_queue SELECT 'normalized_domains', referral_id FROM partner_center_referrals_raw"
                " ORDER BY referral_id LIMIT 20 ON CONFLICT DO NOTHING"
            )
        )
    assert looked_at(filled, lambda each: read_vitals(each, datetime.now(UTC))) < 1000
