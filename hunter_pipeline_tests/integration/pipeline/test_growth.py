"""How the work grows with the number of referrals, counted in rows that statements look at, never in time."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.quality.gates import GATES
from hunter_pipeline.readers.glances import open_lookups
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.store.tables import metadata
from hunter_pipeline_tests.databases import fresh_database, url_of
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld
from hunter_pipeline_tests.listed_sync import judge, made_up, sync
from hunter_pipeline_tests.statement_costs import rows_looked_at

MANY = 1000
EACH = 60
"""Rows that one statement may look at for each referral; one that compares all with all needs thousands."""

QUIET = 60
"""Rows that a statement of a sync with nothing new may look at, however many referrals there are."""


pytestmark = pytest.mark.xdist_group("growth")


@pytest.fixture
def stale(engine: Engine) -> Engine:
    """A database whose statistics are from before the rows came, and stay so."""
    let_statistics_age(engine)
    return engine


@pytest.fixture(scope="module")
def loaded_template(pg_server_url: str, migrated_template: str) -> Iterator[str]:
    """Name of a database like `stale` into which many referrals were loaded, to copy from."""
    with fresh_database(pg_server_url, migrated_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        let_statistics_age(engine)
        sync(engine, DomainWorld(engine).scan, "load", made_up(range(MANY)), sweep=True)
        engine.dispose()
        yield name


@pytest.fixture
def loaded(pg_server_url: str, loaded_template: str) -> Iterator[Engine]:
    """Such a database for one test."""
    with fresh_database(pg_server_url, loaded_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        yield engine
        engine.dispose()


def let_statistics_age(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
    sync(engine, DomainWorld(engine).scan, "before", made_up(range(20)), sweep=True)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM referral_lineage WHERE stage IN ('domain_signals', 'lead_scores')"))
        connection.execute(text("ANALYZE"))


def dear(looked: dict[str, float], limit: float) -> dict[str, int]:
    return {statement[:200]: round(rows) for statement, rows in looked.items() if rows > limit}


def test_no_statement_of_the_first_day_compares_all_rows_with_all_without_statistics(engine: Engine):
    with engine.begin() as connection:
        for table in metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
    with rows_looked_at(engine) as looked:
        reports = sync(engine, DomainWorld(engine).scan, "load", made_up(range(MANY)), sweep=True)
        with engine.connect() as connection:
            assert all(verdict.holds for verdict in judge(connection, "load", reports).values())
    assert dear(looked, EACH * MANY) == {}


@pytest.mark.parametrize("sweep", [True, False])
def test_no_statement_compares_all_rows_with_all_whatever_the_statistics_say(stale: Engine, sweep: bool):
    scan = DomainWorld(stale).scan
    with rows_looked_at(stale) as looked:
        sync(stale, scan, "load", made_up(range(MANY)), sweep=sweep)
        sync(stale, scan, "again", made_up(range(MANY)), sweep=sweep)
    assert dear(looked, EACH * MANY) == {}


def test_a_sync_with_nothing_new_looks_at_no_more_rows_when_there_are_many(loaded: Engine):
    scan = DomainWorld(loaded).scan
    with rows_looked_at(loaded) as looked:
        sync(loaded, scan, "quiet", [])
    assert looked
    assert dear(looked, QUIET) == {}


def test_a_sync_with_one_change_looks_at_few_rows_when_there_are_many(loaded: Engine):
    scan = DomainWorld(loaded).scan
    with loaded.begin() as connection:
        connection.execute(text("ANALYZE"))
    with rows_looked_at(loaded) as looked:
        sync(loaded, scan, "one", made_up(range(1), status="Active"))
    totals = {statement for statement in looked if "GROUP BY" in statement or "SELECT count(*)" in statement[:16]}
    assert dear({statement: rows for statement, rows in looked.items() if statement not in totals}, QUIET) == {}


@pytest.mark.parametrize(("run_id", "changed"), [("quiet", 0), ("one", 1)])
def test_the_gates_of_a_small_sync_look_at_few_rows_when_there_are_many(loaded: Engine, run_id: str, changed: int):
    scan = DomainWorld(loaded).scan
    reports = sync(loaded, scan, run_id, made_up(range(changed), status="Active"))
    counted = {}
    with rows_looked_at(loaded) as looked, loaded.connect() as connection:
        for gate, verdict in judge(connection, run_id, reports).items():
            assert verdict.holds, gate.name
            counted[gate.name] = verdict.counts[gate.total]
        assert open_lookups(connection) == 0
    assert dear(looked, QUIET) == {}
    assert counted == dict.fromkeys(counted, changed)
    assert len(counted) == len(GATES)
