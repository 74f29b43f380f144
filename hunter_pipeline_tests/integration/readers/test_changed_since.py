"""What counts as new or changed since a moment, in the list, the queue and the digest: what became another, by its
content, and not what was merely read again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.readers.digest import read_digest
from hunter_pipeline.readers.lead_list import LeadFilter, get_lead, list_leads
from hunter_pipeline.readers.referral_queue import QueueFilter, list_queue
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld
from hunter_pipeline_tests.listed_sync import made_up, sync

GONE = 404
UNDATED: dict[str, Any] = {"updatedDateTime": None}


class Life:
    """Syncs one after the other, and what is told of the time since a moment."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.world = DomainWorld(engine)
        self.runs = 0

    def sync(self, *referrals: dict[str, Any], **options: Any) -> datetime:
        """Sync, and return a moment after it."""
        self.runs += 1
        sync(self.engine, self.world.scan, f"run-{self.runs}", referrals, sweep=True, **options)
        return datetime.now(UTC)

    def changed(self, since: datetime) -> tuple[list[str], list[str]]:
        """Referrals and leads that are new or changed, as the queue and the list filter them and mark them."""
        with self.engine.connect() as connection:
            now = datetime.now(UTC)
            queue = list_queue(connection, QueueFilter("all", since=since), now).referrals
            marked = list_queue(connection, QueueFilter("all"), now).referrals
            leads = list_leads(connection, LeadFilter(since=since)).leads
            shown = [each for each in list_leads(connection).leads if (each.last_synced_at or since) > since]
        found = sorted(each.referral_id for each in queue)
        assert found == sorted(each.referral_id for each in marked if each.changed_at > since)
        assert {each.domain for each in shown} <= {each.domain for each in leads}
        return found, sorted(each.domain for each in leads)

    def domain_of(self, referral_id: str) -> str:
        with self.engine.connect() as connection:
            query = text("SELECT domain FROM partner_center_referrals WHERE referral_id = :id")
            return str(connection.execute(query, {"id": referral_id}).scalar_one())


@pytest.fixture
def life(engine: Engine) -> Life:
    return Life(engine)


def one(number: int, **fields: Any) -> dict[str, Any]:
    return made_up(range(number, number + 1), **UNDATED, **fields)[0]


def test_a_forced_sync_changes_nothing_for_anybody(life: Life):
    started = datetime.now(UTC)
    visited = life.sync(one(0), one(1))
    assert life.changed(started) == (["R0", "R1"], ["firm0.com.tr", "firm1.com.tr"])
    with life.engine.connect() as connection:
        received = get_lead(connection, "firm0.com.tr")
    life.sync(one(0), one(1), force=True)
    assert life.changed(visited) == ([], [])
    with life.engine.connect() as connection:
        assert get_lead(connection, "firm0.com.tr") == received
        digest = read_digest(connection, visited, datetime.now(UTC) + timedelta(minutes=1))
        rewritten = connection.execute(
            text("SELECT count(*) FROM partner_center_referrals WHERE synced_at > :visited"), {"visited": visited}
        ).scalar_one()
    assert rewritten == 2  # it was no idle sync
    assert (digest.received, digest.new, digest.moved) == (0, [], [])


@pytest.mark.parametrize(
    ("listed", "options"),
    [
        ([one(0, status="Active"), one(1)], {}),
        ([one(0, notes="call me"), one(1)], {}),
        ([one(0, website="https://firm7.com.tr"), one(1)], {}),
        ([one(1)], {"missing": GONE}),
    ],
    ids=["its status", "what only its story shows", "its domain", "it is gone"],
)
def test_what_became_another_is_changed_and_the_rest_is_not(
    life: Life, listed: list[dict[str, Any]], options: dict[str, Any]
):
    visited = life.sync(one(0), one(1))
    looked_again = life.sync(*listed, **options)
    referrals, domains = life.changed(visited)
    assert referrals == ["R0"]
    assert life.domain_of("R0") in domains
    assert "firm1.com.tr" not in domains
    life.sync(*listed, **options, force=True)
    assert life.changed(looked_again) == ([], [])


def test_an_old_content_that_is_back_is_a_change_though_its_version_is_old(life: Life):
    life.sync(one(0), one(1))
    visited = life.sync(one(0, status="Active"), one(1))
    life.sync(one(0), one(1))
    assert life.changed(visited) == (["R0"], ["firm0.com.tr"])


def test_one_that_comes_back_is_a_change(life: Life):
    life.sync(one(0), one(1))
    visited = life.sync(one(1), missing=GONE)
    life.sync(one(0), one(1))
    assert life.changed(visited) == (["R0"], ["firm0.com.tr"])


def test_other_rules_that_read_the_same_are_no_change(life: Life):
    visited = life.sync(one(0))
    with life.engine.begin() as connection:
        connection.execute(text("UPDATE normalized_domains SET code_version = ''"))
        connection.execute(text("UPDATE partner_center_referrals SET code_version = ''"))
    life.sync(one(0))
    with life.engine.connect() as connection:
        again = connection.execute(text("SELECT synced_at > :at FROM partner_center_referrals"), {"at": visited})
        assert again.scalar_one() is True
    assert life.changed(visited) == ([], [])
