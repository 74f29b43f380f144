"""Full databases for tests of plans: one without statistics, one with those of empty tables, one that was looked over.

Rows are counted by PostgreSQL; no time is measured.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from benchmarks.filling import fill
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline_tests.databases import administer, fresh_database, url_of
from hunter_pipeline_tests.statement_costs import rows_looked_at

REFERRALS = 4000
COMPANIES = REFERRALS * 17 // 20
TABLES = (
    *("partner_center_referrals", "normalized_domains", "referral_failures"),
    *("companies", "raw_leads", "lead_scores", "lead_score_history"),
)


GROUP = pytest.mark.xdist_group("plans")
"""One worker runs all tests of these databases: each takes seconds to fill. None of the tests changes them."""


@pytest.fixture(scope="session")
def filled_without_statistics(pg_server_url: str, migrated_template: str) -> Iterator[str]:
    """Name of such a database."""
    with fresh_database(pg_server_url, migrated_template) as name:
        _fill(url_of(pg_server_url, name))
        yield name


@pytest.fixture(scope="session", params=["none", "of empty tables", "fresh"])
def filled(
    pg_server_url: str, migrated_template: str, filled_without_statistics: str, request: pytest.FixtureRequest
) -> Iterator[Engine]:
    of_empty = request.param == "of empty tables"
    with fresh_database(pg_server_url, migrated_template if of_empty else filled_without_statistics) as name:
        url = url_of(pg_server_url, name)
        if of_empty:
            _fill(url, "VACUUM ANALYZE")
        elif request.param == "fresh":
            administer(url, "VACUUM ANALYZE")
        engine = make_engine(url)
        yield engine
        engine.dispose()


def _fill(url: str, *before: str) -> None:
    """Load the referrals, with no look at them by autovacuum; execute statements before it."""
    administer(url, *(f"ALTER TABLE {table} SET (autovacuum_enabled = false)" for table in TABLES), *before)
    engine = make_engine(url)
    fill(engine, REFERRALS, COMPANIES)
    engine.dispose()


def looked_at(engine: Engine, work: Any) -> float:
    """The most rows that a statement of some work looked at."""
    with engine.connect() as connection, rows_looked_at(engine) as found:
        work(connection)
    return max(found.values())
