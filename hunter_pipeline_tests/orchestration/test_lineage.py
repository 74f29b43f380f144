"""Stories of referrals in Dagster: published by the sensor when they change, told again by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration import sensors
from hunter_pipeline.orchestration.assets.lineage import REFERRALS, referral_lineage
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.orchestration.sensors import is_partition_key, referral_lineage_sensor
from hunter_pipeline.store import tables

PUBLISHED = 58
"""Referrals among the samples that have an id, and so a story."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory: nothing here rests on its storage."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@dataclass(frozen=True)
class Tick:
    """What a tick published, and what it answered."""

    asset_events: list[dg.AssetMaterialization]
    cursor: str | None
    skip_message: str | None
    acted_on: list[str]


def published(instance: dg.DagsterInstance) -> list[dg.EventLogRecord]:
    return list(instance.fetch_materializations(referral_lineage.key, limit=10_000, ascending=True).records)


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> Tick:
    """What the sensor does now."""
    before = len(published(instance))
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=make_resources()) as context:
        answer = referral_lineage_sensor.evaluate_tick(context)
    told = [record.asset_materialization for record in published(instance)[before:] if record.asset_materialization]
    runs = [reaction.dagster_run.run_id for reaction in answer.dagster_run_reactions or [] if reaction.dagster_run]
    return Tick(told, answer.cursor, answer.skip_message, runs)


def keys(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_dynamic_partitions(str(REFERRALS.name)))


def add_steps(engine: Engine, referral_ids: list[str], run_id: str = "another-run") -> None:
    with engine.begin() as connection:
        connection.execute(
            tables.referral_lineage.insert(),
            [
                {
                    "referral_id": referral_id,
                    "stage": "lead_scores",
                    "decision": "scored anew",
                    "code_version": "1",
                    "run_id": run_id,
                    "recorded_at": datetime.now(UTC),
                }
                for referral_id in referral_ids
            ],
        )


def last_id(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT max(id) FROM referral_lineage")).scalar_one())


def materialize(instance: dg.DagsterInstance, **how: object) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [referral_lineage], instance=instance, resources=make_resources(), raise_on_error=False, **how
    )


def test_each_referral_is_published_once_with_its_story_and_becomes_a_partition(
    synced: Engine, instance: dg.DagsterInstance
):
    first = tick(instance)
    assert len(first.asset_events) == PUBLISHED
    assert {event.partition for event in first.asset_events} == keys(instance)
    assert {event.asset_key for event in first.asset_events} == {referral_lineage.key}
    assert first.cursor == last_id(synced)
    second = tick(instance, first.cursor)
    assert second.asset_events == []
    assert second.skip_message == "nothing_new"


def test_a_story_reads_from_payload_to_score_with_a_link_to_each_run(synced: Engine, instance: dg.DagsterInstance):
    scored = next(event for event in tick(instance).asset_events if "score" in event.metadata)
    story = str(scored.metadata["story"].value)
    with synced.connect() as connection:
        company, domain, score = connection.execute(
            text(
                "SELECT t.company_name, domain, s.score"
                " FROM partner_center_referrals t JOIN lead_scores s USING (domain) WHERE referral_id = :id"
            ),
            {"id": scored.partition},
        ).one()
    assert story.startswith(f"### {company}: score {score}, ")
    assert scored.metadata["score"].value == score
    line = str(scored.metadata["in_short"].value)
    assert line.startswith(f"{company}: ")
    assert f"score {score}, " in line
    assert "\n" not in line
    assert scored.metadata["domain"].value == domain
    told = [line.split("**")[1] for line in story.splitlines() if line[:1].isdigit()]
    assert told == [
        "partner_center_referrals_raw", "normalized_domains", "partner_center_referrals", "raw_leads", "companies",
        "domain_signals", "lead_scores",
    ]  # fmt: skip
    assert story.count("(/runs/run-1)") == 7


def test_a_tick_is_bounded_and_the_next_goes_on_where_it_ended(
    synced: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sensors, "STORIES_PER_TICK", 100)
    monkeypatch.setattr(sensors, "AT_ONCE", 30)
    add_steps(synced, [f"r-{number}" for number in range(150)])
    told: list[str | None] = []
    cursor = None
    sizes = []
    while events := (answer := tick(instance, cursor)).asset_events:
        sizes.append(len(events))
        told += [event.partition for event in events]
        cursor = answer.cursor
    assert sizes == [100, 100, PUBLISHED + 150 - 200]
    assert len(set(told)) == len(told)
    assert cursor == last_id(synced)


def test_only_the_referral_that_changed_is_published_again(synced: Engine, instance: dg.DagsterInstance):
    first = tick(instance)
    changed = str(first.asset_events[7].partition)
    add_steps(synced, [changed])
    again = tick(instance, first.cursor)
    assert [event.partition for event in again.asset_events] == [changed]
    assert "scored anew" in str(again.asset_events[0].metadata["story"].value)


def test_what_a_run_under_way_has_written_waits_for_its_end(synced: Engine, instance: dg.DagsterInstance):
    cursor = tick(instance).cursor
    run = create_run_for_test(instance, job_name="referral_sync_job", status=dg.DagsterRunStatus.STARTED)
    add_steps(synced, ["done"], "finished-run")
    add_steps(synced, ["half"], run.run_id)
    first = tick(instance, cursor)
    assert [event.partition for event in first.asset_events] == ["done"]
    waiting = tick(instance, first.cursor)
    assert waiting.asset_events == []
    assert str(waiting.skip_message).startswith("run_under_way")
    instance.report_run_failed(run)
    ended = tick(instance, first.cursor)
    assert [event.partition for event in ended.asset_events] == ["half"]
    assert (ended.acted_on, ended.skip_message) == ([run.run_id], None), "a tick that publishes is none that is skipped"


def test_a_run_that_never_ends_holds_its_stories_back_for_an_hour_only(synced: Engine, instance: dg.DagsterInstance):
    cursor = tick(instance).cursor
    run = create_run_for_test(instance, job_name="referral_sync_job", status=dg.DagsterRunStatus.STARTED)
    add_steps(synced, ["half"], run.run_id)
    with synced.begin() as connection:
        connection.execute(
            text("UPDATE referral_lineage SET recorded_at = now() - interval '61 minutes' WHERE referral_id = 'half'")
        )
    assert [event.partition for event in tick(instance, cursor).asset_events] == ["half"]


def test_a_refused_referral_says_which_stage_refused_it_and_why(synced: Engine, instance: dg.DagsterInstance):
    with synced.connect() as connection:
        refused, error = connection.execute(
            text("SELECT item_key, error FROM referral_failures WHERE stage = 'normalized_domains'")
        ).one()
    (told,) = [event for event in tick(instance).asset_events if event.partition == refused]
    assert f"2. **normalized_domains**: refused: {error}\n" in str(told.metadata["story"].value)


def test_a_referral_that_is_fetched_and_not_yet_decided_waits_for_its_decision(
    synced: Engine, instance: dg.DagsterInstance
):
    first = tick(instance)
    with synced.begin() as connection:
        decided = set(connection.execute(text("SELECT referral_id FROM normalized_domains")).scalars())
        waiting = next(str(event.partition) for event in first.asset_events if event.partition in decided)
        connection.execute(text("UPDATE normalized_domains SET raw_id = -1 WHERE referral_id = :id"), {"id": waiting})
    add_steps(synced, [waiting], "fetching-run")
    assert tick(instance, first.cursor).asset_events == []
    add_steps(synced, ["other"], "fetching-run")
    second = tick(instance, first.cursor)
    assert [event.partition for event in second.asset_events] == ["other"]
    with synced.begin() as connection:
        connection.execute(
            text(
                "UPDATE normalized_domains d SET raw_id = r.id FROM partner_center_referrals_raw r"
                " WHERE r.referral_id = d.referral_id AND r.is_current AND d.referral_id = :id"
            ),
            {"id": waiting},
        )
    add_steps(synced, [waiting], "deciding-run")
    assert [event.partition for event in tick(instance, second.cursor).asset_events] == [waiting]


def test_an_id_that_dagster_would_misread_is_left_out_and_holds_nothing_up(
    synced: Engine, instance: dg.DagsterInstance
):
    cursor = tick(instance).cursor
    add_steps(synced, ["a,b", "good", "a...b"])
    answer = tick(instance, cursor)
    assert [event.partition for event in answer.asset_events] == ["good"]
    assert answer.cursor == last_id(synced)
    assert "good" in keys(instance)
    assert not {"a,b", "a...b"} & keys(instance)
    assert tick(instance, answer.cursor).asset_events == []


def test_a_tick_with_nothing_but_unfit_ids_still_moves_on(synced: Engine, instance: dg.DagsterInstance):
    cursor = tick(instance).cursor
    add_steps(synced, ["a,b"])
    assert tick(instance, cursor).cursor == last_id(synced)


def test_after_the_database_was_made_anew_everything_is_published_again(synced: Engine, instance: dg.DagsterInstance):
    assert len(tick(instance, "999999").asset_events) == PUBLISHED


def test_without_any_referral_there_is_nothing_to_publish(
    database_url: str, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    assert tick(instance).skip_message == "nothing_new"


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("5a4db0c5-0000-4000-8000-0000000000f1", True),
        ("no spaces at the ends", True),
        ("çığ-42", True),
        ("x" * 255, True),
        ("x" * 256, False),
        ("", False),
        (" a", False),
        ("a,b", False),
        ("a...b", False),
        ("a\nb", False),
        ("a\u2028b", False),
        ("a\x00b", False),
    ],
)
def test_which_ids_can_be_partition_keys(instance: dg.DagsterInstance, key: str, fits: bool):
    assert is_partition_key(key) is fits
    if fits:
        instance.add_dynamic_partitions(str(REFERRALS.name), [key])
        assert keys(instance) == {key}


def test_one_partition_by_hand_tells_the_same_story_from_the_table(synced: Engine, instance: dg.DagsterInstance):
    one = tick(instance).asset_events[5]
    result = materialize(instance, partition_key=one.partition)
    assert result.success
    (told,) = result.asset_materializations_for_node("referral_lineage")
    assert told.partition == one.partition
    assert told.metadata == one.metadata


def test_a_range_of_partitions_is_one_run_with_a_story_for_each(synced: Engine, instance: dg.DagsterInstance):
    ticked = {event.partition: event for event in tick(instance).asset_events}
    in_order = list(instance.get_dynamic_partitions(str(REFERRALS.name)))
    result = materialize(
        instance,
        tags={
            "dagster/asset_partition_range_start": in_order[10],
            "dagster/asset_partition_range_end": in_order[13],
        },
    )
    assert result.success
    told = {each.partition: each for each in result.asset_materializations_for_node("referral_lineage")}
    assert set(told) == set(in_order[10:14])
    for key, each in told.items():
        assert each.metadata["story"] == ticked[key].metadata["story"]


def test_a_partition_that_no_stage_has_taken_fails_and_says_what_to_do(synced: Engine, instance: dg.DagsterInstance):
    instance.add_dynamic_partitions(str(REFERRALS.name), ["nobody"])
    result = materialize(instance, partition_key="nobody")
    assert not result.success
    failure = result.failure_data_for_node("referral_lineage")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "no stage has taken referral nobody" in str(failure.user_failure_data.description)


def test_no_story_holds_an_address_of_a_person(synced: Engine, instance: dg.DagsterInstance):
    with synced.connect() as connection:
        addresses = set(
            connection.execute(
                text(
                    "SELECT DISTINCT value #>> '{}' FROM partner_center_referrals_raw,"
                    " jsonb_path_query(payload, 'lax $.**.*') value"
                    " WHERE jsonb_typeof(value) = 'string' AND value #>> '{}' LIKE '%_@_%'"
                )
            ).scalars()
        )
        names = set(
            connection.execute(
                text(
                    "SELECT DISTINCT concat_ws(' ', m->>'firstName', m->>'lastName') FROM partner_center_referrals_raw,"
                    " jsonb_path_query(payload, 'lax $.**.team[*]') m WHERE m->>'lastName' <> ''"
                )
            ).scalars()
        )
    assert len(addresses) > 20
    assert len(names) > 20
    told = "\n".join(
        str(event.metadata[name].value) for event in tick(instance).asset_events for name in ("story", "in_short")
    )
    assert not [secret for secret in addresses | names if secret in told]
