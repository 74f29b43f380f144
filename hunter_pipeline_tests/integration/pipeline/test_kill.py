"""SIGKILL in the middle of a sync: whatever the statement, the next plain sync ends in the content of an unkilled one.

Thirty-six points are spread over three kinds of sync; all of them would take minutes (`kill_points` has what it takes).
That a kill while Dagster makes its tables does no harm is held by `orchestration/test_storage_tables.py`.
"""

from collections.abc import Iterator

import pytest

from hunter_pipeline.store.engine import make_engine
from hunter_pipeline_tests.databases import fresh_database, url_of
from hunter_pipeline_tests.kill_points import SCENARIOS, Kill, kill_and_heal, killer, statements

pytestmark = [pytest.mark.xdist_group("kill"), pytest.mark.processes]

POINTS = 12


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    with killer() as made:
        yield made


@pytest.fixture(scope="module")
def synced_once(pg_server_url: str, migrated_template: str) -> Iterator[str]:
    """Name of a database that has seen the first sync, to copy from."""
    with fresh_database(pg_server_url, migrated_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        SCENARIOS["the first sync"].run(engine, "first")
        engine.dispose()
        yield name


@pytest.fixture(scope="module", params=SCENARIOS)
def whole(
    request: pytest.FixtureRequest, pg_server_url: str, migrated_template: str, synced_once: str, kill: Kill
) -> tuple[str, str, int, dict[str, list[str]]]:
    """A kind of sync, the database it begins on, its number of statements, and what an unkilled one leaves."""
    scenario = str(request.param)
    template = migrated_template if SCENARIOS[scenario].first else synced_once
    return scenario, template, *statements(kill, pg_server_url, template, scenario)


@pytest.mark.parametrize("point", range(POINTS))
def test_a_sync_that_is_killed_anywhere_is_made_up_for_by_the_next(
    pg_server_url: str, kill: Kill, whole: tuple[str, str, int, dict[str, list[str]]], point: int
):
    scenario, template, most, expected = whole
    assert most > POINTS
    number = 1 + point * (most - 1) // (POINTS - 1)
    assert kill_and_heal(kill, pg_server_url, template, scenario, number) == expected
