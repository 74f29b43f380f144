"""Refusals are told in the lineage of their referral: once for a version and reason, however often they repeat."""

from typing import Any

from hunter_pipeline.pipeline.failures import Failure, item_key_of_text, record_failures, resolve_failures
from hunter_pipeline_tests.pipeline_runs import Pipeline


def refuse(pipeline: Pipeline, *failures: Failure) -> None:
    with pipeline.engine.begin() as connection:
        record_failures(connection, pipeline.context(), "normalized_domains", "1", failures)


def told(pipeline: Pipeline) -> list[Any]:
    return pipeline.rows("SELECT decision FROM referral_lineage WHERE referral_id = 'r' ORDER BY id")


def test_a_refusal_that_repeats_is_counted_and_told_once(pipeline: Pipeline):
    for _ in range(3):
        refuse(pipeline, Failure("r", "is a list", raw_id=1))
    assert pipeline.rows("SELECT occurrences FROM referral_failures") == [3]
    assert told(pipeline) == ["refused: is a list"]


def test_another_version_another_reason_and_a_refusal_after_success_are_told_again(pipeline: Pipeline):
    refuse(pipeline, Failure("r", "is a list", raw_id=1))
    refuse(pipeline, Failure("r", "is a list", raw_id=2))
    refuse(pipeline, Failure("r", "is a text", raw_id=2))
    with pipeline.engine.begin() as connection:
        resolve_failures(connection, pipeline.context(), "normalized_domains", ["r"])
    refuse(pipeline, Failure("r", "is a text", raw_id=2))
    assert told(pipeline) == ["refused: is a list", "refused: is a list", "refused: is a text", "refused: is a text"]


def test_an_item_without_an_id_has_no_lineage(pipeline: Pipeline):
    refuse(pipeline, Failure(item_key_of_text("{}"), "id is missing", "{}"))
    assert pipeline.rows("SELECT count(*) FROM referral_lineage") == [0]
