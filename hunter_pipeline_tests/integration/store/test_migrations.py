"""Migrations on a real PostgreSQL: up, down with rows in the tables, and no drift from `store.tables`."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.leads import upsert_companies
from hunter_pipeline.settings import Settings
from hunter_pipeline.store import database, migrate
from hunter_pipeline.store.database import SchemaOutdated, open_database
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.store.migrate import STAGE_LOCK
from hunter_pipeline.store.tables import metadata
from hunter_pipeline_tests.integration.cli.command_line import CommandLine
from hunter_pipeline_tests.pipeline_runs import Pipeline

REVISIONS = [
    script.revision for script in reversed(list(ScriptDirectory.from_config(migrate.alembic_config()).walk_revisions()))
]


@pytest.fixture
def bare(empty_database_url: str) -> Iterator[Engine]:
    """A database without any table."""
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def tables_of(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_upgrade_makes_just_the_tables_of_the_code(bare: Engine, empty_database_url: str):
    state = migrate.upgrade(empty_database_url)
    assert state.up_to_date
    assert tables_of(bare) == set(metadata.tables)
    with bare.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_every_revision_goes_down_and_up_again(bare: Engine, empty_database_url: str):
    migrate.upgrade(empty_database_url)
    for revision in reversed(["base", *REVISIONS[:-1]]):
        migrate.downgrade(empty_database_url, revision)
    assert tables_of(bare) == set()
    for revision in REVISIONS:
        assert migrate.upgrade(empty_database_url, revision).current == revision
    assert tables_of(bare) == set(metadata.tables)


def test_rows_of_older_tables_survive_going_down_and_up(pipeline: Pipeline, database_url: str):
    pipeline.sync()
    kept = ("partner_center_referrals_raw", "partner_center_referrals", "raw_leads", "lead_scores")
    before = {name: pipeline.rows(f"SELECT count(*) FROM {name}") for name in kept}
    migrate.downgrade(database_url, REVISIONS[0])
    migrate.upgrade(database_url)
    assert {name: pipeline.rows(f"SELECT count(*) FROM {name}") for name in kept} == before
    pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == before["raw_leads"]


def test_all_the_way_down_with_rows_leaves_nothing(pipeline: Pipeline, database_url: str):
    pipeline.sync()
    migrate.downgrade(database_url, "base")
    assert tables_of(pipeline.engine) == set()


def test_two_upgrades_at_once_make_the_tables_once(bare: Engine, empty_database_url: str):
    errors: list[BaseException] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(empty_database_url)
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert tables_of(bare) == set(metadata.tables)


def test_a_server_of_ones_own_is_never_upgraded_by_itself(empty_database_url: str, database_url: str):
    with pytest.raises(SchemaOutdated, match="hunter db upgrade"):
        open_database(Settings(_env_file=None, database_url=empty_database_url))
    with open_database(Settings(_env_file=None, database_url=database_url)).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM companies")).scalar_one() == 0


def test_the_names_that_the_requirements_fix_are_there(engine: Engine):
    inspector = inspect(engine)
    columns = {column["name"]: column for column in inspector.get_columns("partner_center_referrals")}
    assert {
        "referral_id",
        "referral_type",
        "company_name",
        "domain",
        "azure_tenant_id",
        "status",
        "raw_data",
        "synced_at",
        "created_at",
        "updated_at",
    } <= set(columns)
    assert columns["status"]["nullable"] is False
    indexed = {tuple(index["column_names"]) for index in inspector.get_indexes("partner_center_referrals")}
    assert {("domain",), ("status",), ("synced_at",), ("referral_type",), ("azure_tenant_id",)} <= indexed
    unique = {tuple(each["column_names"]) for each in inspector.get_unique_constraints("partner_center_referrals")}
    assert ("referral_id",) in unique
    assert ("source", "external_id") in {
        tuple(each["column_names"]) for each in inspector.get_unique_constraints("raw_leads")
    }


@pytest.mark.parametrize("embedded", [True, False])
def test_tables_of_a_newer_version_are_left_alone_and_the_way_back_is_named(
    database_url: str,
    engine: Engine,
    embedded: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    fix = rf"at revision 9999, .* install the newer version again, or run `hunter db downgrade {REVISIONS[-1]}` with it"
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    with pytest.raises(migrate.SchemaNewer, match=fix):
        database._open(database_url, embedded)
    hunter = CommandLine(monkeypatch, capsys)
    for command in (("db", "status"), ("db", "upgrade"), ("db", "downgrade", "0001", "--yes"), ("leads",)):
        ended = hunter(*command)
        assert ended.status == 1
        assert "hunter db downgrade" in " ".join(ended.err.split()), ended
    assert migrate.status(database_url).current == "9999"


def test_a_revision_that_does_not_exist_is_told_in_one_line(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    hunter = CommandLine(monkeypatch, capsys)
    for command in (("db", "upgrade", "nonsense"), ("db", "downgrade", "nonsense", "--yes")):
        ended = hunter(*command)
        assert (ended.status, "nonsense" in ended.err, "Traceback" in ended.err) == (1, True, False)


@pytest.mark.parametrize("moved", ["9999", REVISIONS[-2]], ids=["upgraded", "taken back"])
def test_a_run_that_began_before_writes_nothing_once_the_tables_are_of_another_version(pipeline: Pipeline, moved: str):
    pipeline.sync()
    before = pipeline.rows("SELECT count(*), max(updated_at) FROM companies")
    with pipeline.engine.begin() as other:
        other.execute(text("INSERT INTO stage_queue SELECT 'companies', domain FROM companies"))
        other.execute(text("UPDATE alembic_version SET version_num = :moved"), {"moved": moved})
    with pytest.raises(migrate.SchemaMoved, match=f"revision {moved}.*this process.*{REVISIONS[-1]}"):
        upsert_companies(StageContext(pipeline.engine, "began before"))
    assert pipeline.rows("SELECT count(*), max(updated_at) FROM companies") == before
    assert pipeline.rows("SELECT count(*) FROM stage_queue WHERE stage = 'companies'")[0] == before[0][0], "still to do"
    with pipeline.engine.connect() as another:
        free = text("SELECT pg_try_advisory_lock(:key)")
        assert another.execute(free, {"key": STAGE_LOCK}).scalar_one(), "the lock was let go of"


def test_an_upgrade_waits_for_the_stage_that_writes_and_one_that_has_nothing_to_do_for_none(
    pipeline: Pipeline, database_url: str
):
    migrate.downgrade(database_url, REVISIONS[-2])
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'")
    with pipeline.engine.connect() as stage, ThreadPoolExecutor(1) as pool:
        stage.execute(text("SELECT pg_advisory_lock(:key)"), {"key": STAGE_LOCK})
        stage.commit()
        upgraded = pool.submit(migrate.upgrade, database_url)
        with pipeline.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
            while not looking.execute(waiting).first():
                assert not upgraded.done(), "it changed tables under a stage that was writing"
        stage.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": STAGE_LOCK})
        stage.commit()
        assert upgraded.result().up_to_date
        stage.execute(text("SELECT pg_advisory_lock(:key)"), {"key": STAGE_LOCK})
        stage.commit()
        assert pool.submit(migrate.upgrade, database_url).result(60).up_to_date
        stage.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": STAGE_LOCK})


def test_the_revision_of_this_version_is_that_of_its_newest_file():
    assert REVISIONS[-1] == migrate.REVISION
