"""Retention: old rows go within bounds, and nothing that the present rests on."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.sync_runs import last_success, last_sweep
from hunter_pipeline.upkeep.retention import _OLD, Ages, prune
from hunter_pipeline_tests.pipeline_runs import Pipeline

NAMES = list(asdict(Ages()))
YEARS = timedelta(days=2000)


def later(pipeline: Pipeline, by: timedelta = YEARS) -> StageContext:
    moment = pipeline.now + by
    return StageContext(pipeline.engine, "retention", clock=lambda: moment)


def pruned(pipeline: Pipeline, *, most_rows: int = 100_000, dry_run: bool = False) -> dict[str, int]:
    return dict(prune(later(pipeline), Ages(), most_rows=most_rows, dry_run=dry_run).counts)


def execute(pipeline: Pipeline, statement: str) -> None:
    with pipeline.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def aged(synced: Engine, tmp_path: Path) -> Pipeline:
    """A sync and a forced one after it, a replaced version, a resolved failure and an alert."""
    pipeline = Pipeline(synced, tmp_path, now=datetime.now(UTC))
    execute(
        pipeline,
        "CREATE TEMPORARY TABLE again ON COMMIT DROP AS SELECT * FROM sync_runs;"
        " UPDATE again SET run_id = 'run-2', started_at = started_at + interval '1 minute',"
        "   window_end = window_end + interval '1 minute';"
        " INSERT INTO sync_runs SELECT * FROM again;"
        " INSERT INTO sync_run_items SELECT 'run-2', item_key FROM sync_run_items;"
        " INSERT INTO referral_lineage"
        " (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)"
        " SELECT referral_id, stage, input, decision, row_key, code_version, 'run-2', recorded_at + interval '1 minute'"
        " FROM referral_lineage",
    )
    execute(
        pipeline,
        "INSERT INTO partner_center_referrals_raw (referral_id, content_hash, partition_day, payload, payload_form,"
        " fetched_at, last_seen_at, is_current, run_id)"
        " SELECT referral_id, 'older', partition_day, payload, 'list', fetched_at, last_seen_at, false, 'run-0'"
        " FROM partner_center_referrals_raw WHERE is_current ORDER BY id LIMIT 3",
    )
    execute(
        pipeline,
        "UPDATE referral_failures SET resolved_at = last_seen_at WHERE id = (SELECT min(id) FROM referral_failures)",
    )
    execute(pipeline, "INSERT INTO alerts VALUES ('a', 1, '2026-01-01', '2026-01-01', NULL)")
    return pipeline


def test_what_is_young_stays(aged: Pipeline):
    counts = prune(later(aged, timedelta(days=6)), Ages(), most_rows=100, dry_run=False).counts
    assert counts == dict.fromkeys(NAMES, 0) | {"alerts": 1}


def test_a_dry_run_counts_what_would_go_and_deletes_nothing(aged: Pipeline):
    tables = [table for table, _ in _OLD.values()]
    before = [aged.rows(f"SELECT count(*) FROM {table}") for table in tables]
    counts = pruned(aged, dry_run=True)
    assert [aged.rows(f"SELECT count(*) FROM {table}") for table in tables] == before
    real = pruned(aged)
    # the books of a sync go after their items, which the dry run still sees
    assert counts | {"sync_runs": 1} == real
    assert all(real.values()), real


def test_the_current_state_and_what_it_rests_on_stay_however_old(aged: Pipeline):
    kept = (
        "SELECT count(*) FROM partner_center_referrals_raw WHERE is_current",
        "SELECT count(*) FROM normalized_domains",
        "SELECT count(*) FROM partner_center_referrals",
        "SELECT count(*) FROM raw_leads",
        "SELECT count(*) FROM lead_scores",
        "SELECT count(*) FROM lead_score_history",
        "SELECT count(DISTINCT (referral_id, stage)) FROM referral_lineage",
        "SELECT count(*) FROM referral_failures WHERE resolved_at IS NULL",
    )
    before = [aged.rows(query) for query in kept]
    pruned(aged)
    assert [aged.rows(query) for query in kept] == before
    assert aged.rows("SELECT count(*) FROM partner_center_referrals_raw WHERE NOT is_current") == [0]


def test_a_replaced_version_stays_while_anything_points_at_it(aged: Pipeline):
    execute(
        aged,
        "UPDATE normalized_domains d SET raw_id = r.id FROM partner_center_referrals_raw r"
        " WHERE r.content_hash = 'older' AND d.referral_id = r.referral_id",
    )
    assert pruned(aged)["raw_versions"] == 0


def test_the_version_of_an_open_failure_stays(aged: Pipeline):
    execute(
        aged,
        "INSERT INTO referral_failures (item_key, stage, error, raw_id, code_version, run_id, first_seen_at,"
        " last_seen_at) SELECT referral_id, 'normalized_domains', 'refused', id, '1', 'run-0', now(), now()"
        " FROM partner_center_referrals_raw WHERE content_hash = 'older'",
    )
    assert pruned(aged)["raw_versions"] == 0


def test_the_newest_step_of_each_stage_stays_and_the_story_is_still_whole(aged: Pipeline):
    pruned(aged)
    steps = "SELECT count(*) AS n FROM referral_lineage GROUP BY referral_id, stage"
    assert aged.rows(f"SELECT max(n) FROM ({steps}) q") == [1]
    assert aged.rows("SELECT count(*) FROM referral_lineage WHERE run_id = 'run-1' AND stage = 'raw_leads'") == [0]


def test_the_watermark_and_the_last_sweep_are_the_same_after(aged: Pipeline):
    def marks() -> tuple[object, object]:
        with aged.engine.connect() as connection:
            return last_success(connection), last_sweep(connection)

    before = marks()
    pruned(aged)
    assert marks() == before
    assert aged.rows("SELECT run_id FROM sync_runs") == ["run-2"]


def test_a_sync_that_is_still_open_keeps_its_books(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    counts = pruned(pipeline)
    assert (counts["sync_items"], counts["sync_runs"]) == (0, 0)


def test_no_more_rows_go_than_allowed_and_the_rest_goes_next_time(aged: Pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hunter_pipeline.upkeep.retention.BATCH_ROWS", 7)
    everything = pruned(aged, dry_run=True)["sync_items"]
    assert everything > 20
    assert pruned(aged, most_rows=20)["sync_items"] == 20
    assert pruned(aged)["sync_items"] == everything - 20


def test_a_sync_after_it_works_as_before(pipeline: Pipeline):
    pipeline.sync()
    pipeline.sync(force=True)
    assert pruned(pipeline)["lineage"] > 100
    reports = pipeline.sync()
    assert reports["fetch"].counts["new_versions"] == 0
    assert reports["leads"].counts["added"] == 0
