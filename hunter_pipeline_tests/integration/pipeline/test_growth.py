"""How the work grows with the number of referrals, counted in rows that statements look at, never in time."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.partner_center.client import Page
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.pipeline.leads import make_leads, upsert_companies
from hunter_pipeline.pipeline.normalize import normalize_domains
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.settle import settle_syncs
from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.pipeline.track import track_referrals
from hunter_pipeline.scoring.rules import load_rules
from hunter_pipeline.store.tables import metadata
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld
from hunter_pipeline_tests.statement_costs import rows_looked_at

MANY = 2000
PAGE = 100
EACH = 60
"""Rows that one statement may look at for each referral; one that compares all with all needs thousands."""


@dataclass
class Listed:
    """A `ReferralSource` that lists what it is given."""

    referrals: Sequence[dict[str, Any]]
    host: str = "listed.example"

    def iter_pages(self, since: datetime | None) -> Iterator[Page]:  # noqa: ARG002 - all of it is asked for
        for start in range(0, len(self.referrals), PAGE):
            items = tuple(RawItem(json.dumps(each), each) for each in self.referrals[start : start + PAGE])
            yield Page(items, start // PAGE + 1, None)

    def get_referral(self, referral_id: str) -> RawItem:
        raise AssertionError(f"{referral_id} was listed in full")


def made_up(numbers: range) -> list[dict[str, Any]]:
    return [
        {
            "id": f"R{number}",
            "status": "New",
            "type": "marketplace",
            "companyName": f"Company {number}",
            "website": f"https://firm{number}.com.tr",
            "contact": {"email": None},
            "updatedDateTime": "2026-10-01T08:00:00Z",
        }
        for number in numbers
    ]


def sync(engine: Engine, world: DomainWorld, run_id: str, referrals: Sequence[dict[str, Any]]) -> None:
    context = StageContext(engine, run_id)
    fetch_referrals(context, Listed(referrals), Window(FIRST_DAY, datetime.now(UTC).date()))
    normalize_domains(context)
    track_referrals(context)
    make_leads(context)
    upsert_companies(context)
    scan_domains(context, world.scan)
    score_leads(context, load_rules(), tenant_score=55, cosell_bonus=15)
    settle_syncs(context)


@pytest.fixture
def stale(engine: Engine) -> Engine:
    """A database whose statistics are from before the rows came, and stay so."""
    with engine.begin() as connection:
        for table in metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
    sync(engine, DomainWorld(engine), "before", made_up(range(20)))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM referral_lineage WHERE stage IN ('domain_signals', 'lead_scores')"))
        connection.execute(text("ANALYZE"))
    return engine


def test_no_statement_compares_all_rows_with_all_whatever_the_statistics_say(stale: Engine):
    with rows_looked_at(stale) as looked:
        sync(stale, DomainWorld(stale), "load", made_up(range(MANY)))
        sync(stale, DomainWorld(stale), "quiet", [])
    dear = {statement[:200]: round(rows) for statement, rows in looked.items() if rows > EACH * MANY}
    assert dear == {}
