"""Erasing on request: nothing of a person or company is left in either database, and no sync brings it back."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import JSON, Column, Connection, Engine, String, make_url, text
from sqlalchemy.exc import DBAPIError

from hunter_pipeline.orchestration import sensors
from hunter_pipeline.orchestration.assets.lineage import REFERRALS, referral_lineage
from hunter_pipeline.orchestration.erase import Done, erase_everywhere
from hunter_pipeline.orchestration.published import partitions_of_closed, room_for
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.orchestration.sensors import referral_lineage_sensor
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.pipeline.erasures import ErasuresUnreadable
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.readers.lineage_story import Story, newest_lineage_id, read_stories
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.store.tables import metadata
from hunter_pipeline.upkeep.erase import WrongRequest, forget, forget_all, request_of
from hunter_pipeline_tests.databases import administer, fresh_database, url_of
from hunter_pipeline_tests.integration.cli.command_line import CommandLine
from hunter_pipeline_tests.pipeline_runs import NOW, Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

pytestmark = pytest.mark.xdist_group("erase")

ANNA = "anna.weber@berg-kurgu.com.tr"
PERSON = {"firstName": "Anneliese", "lastName": "Weberknecht", "phoneNumber": "+90 555 0102030", "email": ANNA}
TRACES = ("anna.weber", "Anneliese", "Weberknecht", "0102030")
BERG, SHORT, NOTES, SELLER, NUL, BROKEN, CHANGED, OTHER = (
    f"{number}0000000-0000-4000-8000-00000000000{number}" for number in range(1, 9)
)
KEY = Fernet.generate_key().decode()
NAMING = {BERG, SHORT, NOTES, NUL, BROKEN}


def shaped(referral_id: str, company: str, contact: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A referral in the documented shape."""
    return {
        "id": referral_id,
        "type": "Shared",
        "status": "Active",
        "updatedDateTime": "2026-10-01T08:00:00Z",
        "customerProfile": {"name": company, "team": [contact]},
        **fields,
    }


def person(mailbox: str) -> dict[str, Any]:
    return {"firstName": "Ben", "lastName": "Nobody", "email": mailbox}


def fill(sandbox: Sandbox, *, changed: bool) -> None:
    """Put referrals that name Anna in every way, and others, into a sandbox.

    :param changed: whether one that named her does so no more.
    """
    sandbox.partner_center.referrals.clear()
    add = sandbox.partner_center.referrals.add
    add(shaped(BERG, "Berg Erste", PERSON, updatedDateTime="2026-10-02T08:00:00Z"))
    add(shaped(SHORT, "Berg Kurgu", PERSON), short_in_list=True)
    add(
        shaped(NOTES, "Tal", person("x@tal-kurgu.com.tr"), details={"notes": f"Ask Weberknecht <{ANNA.title()}>, fast"})
    )
    add(shaped(SELLER, "Hof", person("x@hof-kurgu.com.tr"), team=[PERSON, person("s@microsoft.com")]))
    add(shaped(NUL, "Nul\0", {**PERSON, "title": "\0"}))
    add({**shaped(BROKEN, "Broken", PERSON), "customerProfile": [PERSON]})
    add(shaped(CHANGED, "Alt", person("x@alt-kurgu.com.tr") if changed else PERSON))
    add(flat(OTHER, website="https://www.other-kurgu.com.tr"))
    escaped = '{"name": "no id", "mail": "Anneliese \\u003canna.weber\\u0040berg-kurgu.com.tr\\u003e"}'
    sandbox.partner_center.add_raw_item(escaped, updated="2026-10-01T08:00:00Z")


@pytest.fixture(scope="module")
def synced_names(
    pg_server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Names of Hunter's and Dagster's databases after two syncs and the publication, to copy from."""
    folder = tmp_path_factory.mktemp("erase")
    with (
        fresh_database(pg_server_url, migrated_template) as hunter,
        fresh_database(pg_server_url, "template0") as dagster,
    ):
        with Sandbox(directory=folder / "sandbox", first_start=NOW) as sandbox, pytest.MonkeyPatch.context() as patch:
            set_environment(patch, sandbox, url_of(pg_server_url, hunter), url_of(pg_server_url, dagster), folder)
            engine = make_engine(os.environ["HUNTER_DATABASE_URL"])
            pipeline = Pipeline(engine, folder)
            sandbox.partner_center.clock = lambda: pipeline.now
            fill(sandbox, changed=False)
            pipeline.sync()
            fill(sandbox, changed=True)
            pipeline.sync()
            with make_instance(folder) as instance:
                publish(instance)
            engine.dispose()
            for url in (engine.url, os.environ["HUNTER_DAGSTER_DATABASE_URL"]):
                disconnect(pg_server_url, make_url(url).database)
        yield hunter, dagster


@pytest.fixture
def world(
    pg_server_url: str, synced_names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """Referrals that name Anna in every way, and others, synced and published; the sandbox still has them."""
    hunter, dagster = synced_names
    with (
        fresh_database(pg_server_url, hunter) as own,
        fresh_database(pg_server_url, dagster) as other,
        Sandbox(directory=tmp_path / "sandbox", first_start=NOW) as sandbox,
    ):
        set_environment(monkeypatch, sandbox, url_of(pg_server_url, own), url_of(pg_server_url, other), tmp_path)
        engine = make_engine(os.environ["HUNTER_DATABASE_URL"])
        pipeline = Pipeline(engine, tmp_path, runs=2, now=NOW + timedelta(minutes=2))
        sandbox.partner_center.clock = lambda: pipeline.now
        fill(sandbox, changed=True)
        pipeline.sandbox = sandbox  # type: ignore[attr-defined]
        yield pipeline
        engine.dispose()


@pytest.fixture
def instance(world: Pipeline, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with make_instance(tmp_path) as made:
        yield made


@pytest.fixture
def empty(world: Pipeline) -> Sandbox:
    """The sandbox of this test."""
    return world.sandbox  # type: ignore[attr-defined]


@pytest.fixture
def engine(world: Pipeline) -> Engine:
    return world.engine


def set_environment(patch: pytest.MonkeyPatch, sandbox: Sandbox, hunter: str, dagster: str, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HUNTER_")]:
        patch.delenv(name)
    more = {
        "HUNTER_HOME": str(home),
        "HUNTER_DATABASE_URL": hunter,
        "HUNTER_DAGSTER_DATABASE_URL": dagster,
        "HUNTER_TOKEN_CACHE_KEY": KEY,
        "HUNTER_DNS_TIMEOUT": "0.6",
        "HUNTER_DNS_ATTEMPTS": "1",
    }
    for name, value in {**sandbox.environment, **more}.items():
        patch.setenv(name, value)
    patch.chdir(home)


def make_instance(home: Path) -> dg.DagsterInstance:
    folder = home / "dagster"
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", folder)
    return dg.DagsterInstance.from_config(str(folder))


def disconnect(server: str, name: str | None) -> None:
    """End what is still connected, as a database can only be copied when nobody is."""
    administer(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def publish(instance: dg.DagsterInstance, cursor: str | None = None) -> str | None:
    """Let the sensor publish what there is, as its daemon does; its cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=make_resources()) as context:
        return referral_lineage_sensor.evaluate_tick(context).cursor


def all_stories(engine: Engine) -> tuple[dict[str, Story], str]:
    """What a tick is about to publish, and its cursor."""
    with engine.connect() as connection:
        ids = list(connection.execute(text("SELECT DISTINCT referral_id FROM referral_lineage")).scalars())
        return read_stories(connection, ids), str(newest_lineage_id(connection))


def erase(pipeline: Pipeline, *, dry_run: bool = False, **request: str) -> Done:
    asked = request_of(request.get("referral"), request.get("email"), request.get("domain"))
    return erase_everywhere(load_settings(), pipeline.engine, asked, dry_run=dry_run, progress=lambda _: None)


def lift(pipeline: Pipeline, **request: str) -> int:
    from hunter_pipeline.pipeline.erasures import read_key

    asked = request_of(request.get("referral"), request.get("email"), request.get("domain"))
    with pipeline.engine.begin() as connection:
        return forget(connection, asked, read_key(connection, pipeline.context().keys))


def dump(url: str) -> dict[str, str]:
    """Every row of every table as text, by table."""
    engine = make_engine(url)
    with engine.connect() as connection:
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        content = {
            name: "\n".join(connection.execute(text(f'SELECT t::text FROM "{name}" t ORDER BY 1')).scalars())
            for name in names
        }
    engine.dispose()
    return content


def both() -> dict[str, str]:
    return {**dump(os.environ["HUNTER_DATABASE_URL"]), **dump(os.environ["HUNTER_DAGSTER_DATABASE_URL"])}


def left(*traces: str) -> dict[str, list[str]]:
    """The tables of both databases in which a trace is found."""
    return {
        trace: found
        for trace in traces
        if (found := [name for name, content in both().items() if trace.lower() in content.lower()])
    }


def keys_of(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_dynamic_partitions(str(REFERRALS.name)))


def plant(connection: Connection) -> set[str]:
    """Write Anna's address into every column of every table that takes it, into keys too; the columns that took it."""
    planted = set()
    for table in metadata.sorted_tables:
        for column in table.columns:
            if table.name in ("token_cache", "erasures") or column.computed is not None:
                continue
            new = _planted(column)
            newest = column.name in {each.name for each in table.primary_key}
            order = "DESC" if newest else "ASC"
            where = f"ctid = (SELECT ctid FROM {table.name} ORDER BY ctid {order} LIMIT 1)"
            if new is None:
                continue
            try:
                with connection.begin_nested():
                    statement = text(f"UPDATE {table.name} SET {column.name} = {new} WHERE {where}")
                    if connection.execute(statement, {"address": ANNA}).rowcount:
                        planted.add(f"{table.name}.{column.name}")
            except DBAPIError:
                pass  # a closed list, or another column's rule
    return planted


def _planted(column: Column[Any]) -> str | None:
    kind: object = column.type
    if isinstance(kind, JSON):
        member = "jsonb_build_object('planted', CAST(:address AS text))"
        return (
            f"CASE jsonb_typeof({column.name}::jsonb) WHEN 'array' THEN {column.name}::jsonb"
            f" || to_jsonb(CAST(:address AS text)) ELSE coalesce({column.name}::jsonb, '{{}}') || {member} END"
        )
    return "CAST(:address AS text)" if isinstance(kind, String) else None


def test_nothing_of_a_person_is_left_in_any_column_of_either_database(world: Pipeline, instance: dg.DagsterInstance):
    resources = make_resources()
    assert dg.materialize([referral_lineage], instance=instance, partition_key=BERG, resources=resources).success
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("companies"),
            check_name="planted",
            passed=False,
            metadata={"examples": f"{BERG}, berg-kurgu.com.tr"},
            description=f"{ANNA} and {BERG}",
        )
    )
    with world.engine.begin() as connection:
        for referral_id in (BERG, OTHER):
            connection.execute(
                text(
                    "INSERT INTO referral_actions (referral_id, action, actor, channel, changes, etag, outcome, answer,"
                    " requested_at) VALUES (:id, 'won', :anna, 'web', '[]', 'e', 'done', :anna, now())"
                ),
                {"id": referral_id, "anna": ANNA},
            )
        connection.execute(text("INSERT INTO alerts VALUES ('a', 1, now(), now(), NULL)"))
        connection.execute(text("INSERT INTO stage_queue VALUES ('raw_leads', 'somebody')"))
        for columns, values in (
            ("domain_registrations (domain, status, run_id, looked_up_at)", "'a.de', 'found', 'r', now()"),
            ("domain_tenants (domain, status, run_id, looked_up_at)", "'a.de', 'found', 'r', now()"),
            ("scan_claims (domain, again, owner, run_id, claimed_until)", "'a.de', false, 'o', 'r', now()"),
            (
                "domain_signal_history (domain, field, old, new, run_id, changed_at)",
                "'a.de', 'mx', 'a', 'b', 'r', now()",
            ),
        ):
            connection.execute(text(f"INSERT INTO {columns} VALUES ({values})"))
    with world.engine.begin() as connection:
        planted = plant(connection)
    assert {name.partition(".")[0] for name in planted} >= set(metadata.tables) - {
        "token_cache", "erasures", "erasure_key", "stage_state"
    }  # fmt: skip
    assert {"alerts.fingerprint", "stage_queue.item", "domain_signals.replies", "raw_leads.email"} <= planted
    assert set(left(*TRACES)) == set(TRACES)

    done = erase(world, email=ANNA.upper())
    assert left(*TRACES, BERG, SHORT, "berg-kurgu") == {}
    assert done.referrals >= len(NAMING)
    assert done.dagster_removed["dynamic_partitions"] >= len(NAMING)
    assert not NAMING & keys_of(instance)


def test_a_seller_is_taken_out_of_the_team_and_the_referral_stays(world: Pipeline):
    erase(world, email=ANNA)
    kept = set(world.rows("SELECT referral_id FROM partner_center_referrals"))
    assert kept == {SELLER, CHANGED, OTHER}
    [team] = world.rows(f"SELECT payload->'team' FROM partner_center_referrals_raw WHERE referral_id = '{SELLER}'")
    assert [member["email"] for member in team] == ["s@microsoft.com"]
    versions = world.rows("SELECT referral_id, content_hash FROM partner_center_referrals_raw ORDER BY 1, 2")
    world.sync(force=True)
    assert world.rows("SELECT referral_id, content_hash FROM partner_center_referrals_raw ORDER BY 1, 2") == versions
    assert left(*TRACES) == {}


def test_the_next_sync_counts_what_was_erased_and_brings_nothing_back(world: Pipeline, empty: Sandbox):
    erase(world, email=ANNA)
    empty.partner_center.requests.clear()
    reports = world.sync()
    # One of the items has no id: six in all name her.
    assert reports["fetch"].counts["erased"] == len(NAMING) + 1
    [books] = world.rows(
        "SELECT status, fetched, succeeded, skipped, failed, erased FROM sync_runs ORDER BY started_at DESC LIMIT 1"
    )
    assert books == ("success", 3, 3, 0, 0, 6)
    assert world.rows("SELECT count(*) FROM referral_failures WHERE resolved_at IS NULL") == [0]
    assert not [each for each in empty.partner_center.requests if SHORT in each.target], "asked for again"
    assert left(*TRACES, BERG) == {}


def test_a_new_referral_of_an_erased_person_is_refused_by_its_list_form_or_by_its_contacts(
    world: Pipeline, empty: Sandbox, instance: dg.DagsterInstance
):
    erase(world, email=ANNA)
    new = [f"9000000{number}-0000-4000-8000-000000000001" for number in range(3)]
    empty.partner_center.referrals.add(shaped(new[0], "Berg", PERSON))
    empty.partner_center.referrals.add(shaped(new[1], "Berg", PERSON), short_in_list=True)
    empty.partner_center.referrals.update(OTHER, contact={"email": ANNA})
    reports = world.sync()
    assert reports["fetch"].counts["erased"] == len(NAMING) + 1 + 3
    assert world.rows("SELECT referral_id FROM partner_center_referrals_raw ORDER BY 1") == [SELLER, CHANGED]
    publish(instance)
    assert left(*TRACES, *new, OTHER) == {}
    [books] = world.rows(
        "SELECT fetched - succeeded - skipped - failed FROM sync_runs ORDER BY started_at DESC LIMIT 1"
    )
    assert books == 0


def test_lifting_an_erasure_lets_the_next_full_sync_bring_everything_back(world: Pipeline):
    before = set(world.rows("SELECT referral_id FROM partner_center_referrals"))
    erase(world, email=ANNA)
    assert lift(world, email=ANNA) == 1 + len(NAMING) + 1
    assert lift(world, email=ANNA) == 0
    world.sync()
    assert set(world.rows("SELECT referral_id FROM partner_center_referrals")) == before


def test_what_two_requests_erased_stays_erased_when_one_is_lifted(world: Pipeline):
    erase(world, referral=BERG)
    erase(world, email=ANNA)
    assert lift(world, email=ANNA)
    world.sync()
    assert left(BERG) == {}
    assert SHORT in world.rows("SELECT referral_id FROM partner_center_referrals")


def test_a_company_goes_with_all_that_is_known_of_its_domain(world: Pipeline, instance: dg.DagsterInstance):
    done = erase(world, domain="https://www.Berg-Kurgu.com.tr/")
    assert left("berg-kurgu", BERG, SHORT) == {}
    assert done.removed["companies"] == done.removed["lead_scores"] == done.removed["domain_signals"] == 2
    assert set(world.rows("SELECT domain FROM companies")) == {
        "hof-kurgu.com.tr", "alt-kurgu.com.tr", "other-kurgu.com.tr"
    }  # fmt: skip
    world.sync()
    assert left("berg-kurgu", BERG, SHORT) == {}


def test_one_referral_goes_and_its_company_stays_with_the_others(world: Pipeline, instance: dg.DagsterInstance):
    erase(world, referral=BERG)
    assert left(BERG, "Berg Erste") == {}
    assert SHORT in keys_of(instance)
    assert len(world.rows("SELECT canonical_name FROM companies WHERE domain = 'berg-kurgu.com.tr'")) == 1
    world.sync()
    assert left(BERG) == {}


def test_a_dry_run_counts_the_same_and_changes_nothing(world: Pipeline):
    before = both()
    would = erase(world, email=ANNA, dry_run=True)
    assert both() == before
    assert erase(world, email=ANNA) == would


def test_a_second_time_nothing_is_left_to_erase(world: Pipeline):
    erase(world, email=ANNA)
    held = world.rows("SELECT digest, request FROM erasures ORDER BY 1, 2")
    again = erase(world, email=ANNA)
    assert (again.referrals, again.removed.total(), again.altered.total()) == (0, 0, 0)
    assert (again.dagster_removed.total(), again.dagster_altered.total()) == (0, 0)
    assert world.rows("SELECT digest, request FROM erasures ORDER BY 1, 2") == held


def test_only_keyed_hashes_are_kept_and_the_key_is_encrypted(world: Pipeline):
    erase(world, email=ANNA)
    digests = world.rows("SELECT digest FROM erasures")
    assert all(len(digest) == 64 for digest in digests)
    [ciphertext] = world.rows("SELECT ciphertext FROM erasure_key")
    key = Fernet(os.environ["HUNTER_TOKEN_CACHE_KEY"]).decrypt(bytes(ciphertext))
    assert len(key) == 32


def test_a_new_key_takes_over_with_the_next_sync_and_a_lost_one_refuses_syncs_until_it_is_given_up(
    world: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    old, new = os.environ["HUNTER_TOKEN_CACHE_KEY"], Fernet.generate_key().decode()
    erase(world, email=ANNA)
    monkeypatch.setenv("HUNTER_TOKEN_CACHE_KEY", f"{new},{old}")
    world.sync()
    monkeypatch.setenv("HUNTER_TOKEN_CACHE_KEY", new)
    assert world.sync()["fetch"].counts["erased"] == len(NAMING) + 1
    monkeypatch.setenv("HUNTER_TOKEN_CACHE_KEY", old)
    with pytest.raises(ErasuresUnreadable, match="--forget-all"):
        world.sync()
    with world.engine.begin() as connection:
        forget_all(connection)
    world.sync()
    assert BERG in world.rows("SELECT referral_id FROM partner_center_referrals")


def test_erasing_between_two_pages_of_a_running_sync_holds(world: Pipeline, empty: Sandbox):
    empty.partner_center.page_size = 2
    done: list[Done] = []

    def erase_after_the_first_page(line: str) -> None:
        if line.startswith("page 1") and not done:
            done.append(erase(world, email=ANNA))

    world.tell = erase_after_the_first_page
    world.sync()
    assert done[0].referrals >= len(NAMING)
    assert left(*TRACES, BERG, SHORT, NUL) == {}


def test_erasing_while_the_referral_is_asked_for_one_by_one_holds(world: Pipeline):
    class Asked:
        """The client, in front of which the person is erased once a referral is asked for."""

        def __init__(self) -> None:
            self.client = world.signed_in_client()
            self.host, self.tenant = self.client.host, self.client.tenant

        def iter_pages(self, since: datetime | None) -> Any:
            return self.client.iter_pages(since)

        def get_referral(self, referral_id: str) -> RawItem:
            answer = self.client.get_referral(referral_id)
            erase(world, email=ANNA)
            return answer

    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE partner_center_referrals_raw SET payload_form = 'detail_pending' WHERE is_current")
        )
    fetch_referrals(world.context(force=True), Asked(), world.everything())
    assert left(*TRACES, BERG, SHORT) == {}


def test_a_story_that_was_being_published_meanwhile_goes_with_the_next_tick(
    world: Pipeline, instance: dg.DagsterInstance
):
    stories, cursor = all_stories(world.engine)
    erase(world, email=ANNA)
    sensors.publish(instance, list(stories.values()))
    assert left("Berg Kurgu", BERG)
    publish(instance, cursor)
    assert left("Berg Kurgu", BERG) == {}


def test_the_last_materialization_that_dagster_shows_is_one_that_stays(world: Pipeline, instance: dg.DagsterInstance):
    stories, _ = all_stories(world.engine)
    sensors.publish(instance, [stories[OTHER]])
    sensors.publish(instance, [stories[BERG]])
    erase(world, email=ANNA)
    [record] = instance.get_asset_records([referral_lineage.key])
    last = record.asset_entry.last_materialization_record
    assert last is not None
    assert last.partition_key in keys_of(instance)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"email": "anna"}, "no single e-mail address"),
        ({"domain": "gmail.com"}, "shared by many"),
        ({"domain": "not a domain"}, "no company's domain"),
        ({}, "one of"),
        ({"email": ANNA, "domain": "a.de"}, "one of"),
    ],
)
def test_what_cannot_be_erased_is_refused_with_the_fix(request_: dict[str, str], says: str):
    with pytest.raises(WrongRequest, match=says):
        request_of(request_.get("referral"), request_.get("email"), request_.get("domain"))


def test_the_command_shows_what_would_go_and_asks_before_it_erases(
    world: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    hunter = CommandLine(monkeypatch, capsys)
    refused = hunter("erase", "--email", ANNA, stdin="n\n")
    assert refused.status == 1
    assert "referrals would go" in refused.out
    assert "Dagster: dynamic_partitions" in refused.out
    assert left(*TRACES)
    done = hunter("erase", "--email", ANNA, "--yes", "--json")
    assert done.status == 0
    assert done.json()["referrals"] >= len(NAMING)
    assert ANNA not in refused.out + refused.err + done.out + done.err
    assert left(*TRACES) == {}
    world.signed_in_client()
    dry = hunter("sync", "--dry-run")
    assert f"{len(NAMING) + 1} are erased on request" in dry.out
    assert hunter("erase", "--email", ANNA, "--forget").out.startswith(f"{len(NAMING) + 2} hashes given up")
    assert hunter("erase", "--domain", "gmail.com").status == 2


@pytest.mark.processes
def test_a_killed_erasure_is_mended_by_doing_it_again(world: Pipeline):
    dagster = make_engine(os.environ["HUNTER_DAGSTER_DATABASE_URL"])
    with dagster.begin() as blocking:
        blocking.execute(text("LOCK TABLE dynamic_partitions"))
        process = subprocess.Popen(
            [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", "erase", "--email", "-", "--yes"],
            stdin=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(f"{ANNA}\n")
        process.stdin.close()
        while not blocking.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    dagster.dispose()
    assert world.rows("SELECT count(*) FROM erasures") == [0]
    assert left(*TRACES)
    erase(world, email=ANNA)
    assert left(*TRACES, BERG) == {}


def test_partitions_of_long_closed_referrals_go_and_one_that_changes_comes_back(
    world: Pipeline, instance: dg.DagsterInstance, engine: Engine
):
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE partner_center_referrals SET is_open = false, updated_at = '2026-01-01' WHERE referral_id = :id"
            ),
            {"id": OTHER},
        )
    from hunter_pipeline.orchestration.build import build_defs
    from hunter_pipeline.orchestration.upkeep import RetentionConfig

    cursor = publish(instance)
    job = build_defs(load_settings()).resolve_job_def("retention_job")
    instance.add_dynamic_partitions(str(REFERRALS.name), ["nobody"])
    before = keys_of(instance)
    config = dg.RunConfig(ops={"retention": RetentionConfig(dry_run=False)})
    assert job.execute_in_process(instance=instance, run_config=config).success
    assert before - keys_of(instance) == {OTHER, "nobody"}
    assert OTHER not in instance.get_materialized_partitions(referral_lineage.key)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO referral_lineage (referral_id, stage, decision, code_version, run_id, recorded_at)"
                " VALUES (:id, 'lead_scores', 'scored', '1', 'x', now())"
            ),
            {"id": OTHER},
        )
    publish(instance, cursor)
    assert OTHER in keys_of(instance)
    assert OTHER in instance.get_materialized_partitions(referral_lineage.key)


def test_there_are_never_more_partitions_than_dagster_takes(
    world: Pipeline, instance: dg.DagsterInstance, engine: Engine
):
    known = sorted(keys_of(instance))
    assert room_for(instance, [*known[:2], "new-1", "new-2"], most=len(known) + 1) == [*known[:2], "new-1"]
    assert room_for(instance, [*known[:2], "new-1"], most=len(known)) == known[:2]
    with engine.begin() as connection:
        connection.execute(text("UPDATE partner_center_referrals SET is_open = false"))
    with engine.connect() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=9999)
        assert partitions_of_closed(instance, connection, long_ago) == []
        assert len(partitions_of_closed(instance, connection, long_ago, most=len(known) - 2)) == 2
