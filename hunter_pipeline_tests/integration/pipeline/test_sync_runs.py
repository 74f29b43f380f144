"""The books of syncs that overlap with other runs, and the age of the last sweep."""

from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.sync_runs import Window, last_success, last_sweep
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline_tests.pipeline_runs import NOW, Pipeline, day

BOOKS = "SELECT run_id, status, fetched = succeeded + skipped + failed FROM sync_runs ORDER BY started_at"


def score(pipeline: Pipeline) -> None:
    """What a rescan does at its end, in a run of its own."""
    score_leads(pipeline.context(), load_rules(), tenant_score=55, cosell_bonus=15)


def test_scoring_in_another_run_leaves_a_sync_between_two_stages_open(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    score(pipeline)
    assert pipeline.rows(BOOKS) == [("run-1", "fetched", False)]


def test_the_last_stage_settles_what_another_run_fetched_and_later_runs_took_on(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    pipeline.sync()
    assert pipeline.rows(BOOKS) == [("run-1", "partial", True), ("run-2", "partial", True)]


def test_only_a_sync_of_everything_counts_as_a_sweep(pipeline: Pipeline):
    with pipeline.engine.connect() as connection:
        assert last_sweep(connection) is None
    pipeline.sync(Window(day("2026-10-01"), NOW.date()), upto="fetch")
    with pipeline.engine.connect() as connection:
        assert last_success(connection) is None  # it left a gap before its first day
        assert last_sweep(connection) is None
    pipeline.sync(upto="fetch")
    with pipeline.engine.connect() as connection:
        assert last_sweep(connection) == pipeline.now
