"""A dry run: says what a sync would find, and writes nothing."""

from dataclasses import asdict

import pytest

from hunter_pipeline.pipeline.fetch_preview import DayCount, Preview, preview_fetch
from hunter_pipeline.pipeline.sync_runs import SourceMismatch, Window
from hunter_pipeline.store.tables import metadata
from hunter_pipeline_tests.pipeline_runs import Pipeline, day


def preview(pipeline: Pipeline, window: Window | None = None) -> Preview:
    return preview_fetch(pipeline.context(), pipeline.signed_in_client(), window or pipeline.everything())


def total(found: Preview) -> dict[str, int]:
    return {kind: sum(asdict(count)[kind] for count in found.days.values()) for kind in asdict(DayCount())}


def test_a_preview_counts_what_the_sync_then_finds_and_writes_no_row(pipeline: Pipeline):
    found = preview(pipeline)
    tables = [name for name in metadata.tables if name != "token_cache"]
    assert [pipeline.rows(f"SELECT count(*) FROM {name}") for name in tables] == [[0]] * len(tables)
    report = pipeline.sync(upto="fetch")["fetch"]
    assert total(found)["new"] == report.counts["new_versions"] > 40
    assert found.unreadable == report.counts["failed"] > 0
    assert {day: count.new for day, count in found.days.items()} == dict(
        pipeline.rows("SELECT partition_day, count(*) FROM partner_center_referrals_raw GROUP BY 1")
    )


def test_a_changed_referral_is_told_from_a_new_and_a_known_one(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    known = total(preview(pipeline))
    assert (known["new"], known["changed"]) == (0, 0)
    with pipeline.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE partner_center_referrals_raw SET content_hash = 'an older version'"
            " WHERE id = (SELECT min(id) FROM partner_center_referrals_raw)"
        )
        connection.exec_driver_sql(
            "DELETE FROM partner_center_referrals_raw WHERE referral_id ="
            " (SELECT referral_id FROM partner_center_referrals_raw ORDER BY id DESC LIMIT 1)"
        )
    later = total(preview(pipeline))
    assert (later["new"], later["changed"], later["unchanged"]) == (1, 1, known["unchanged"] - 2)


def test_a_preview_keeps_to_its_window(pipeline: Pipeline):
    window = Window(day("2026-10-01"), day("2026-10-31"))
    found = preview(pipeline, window)
    assert found.days
    assert all(window.holds(day) for day in found.days)


def test_a_preview_of_another_source_is_refused_as_a_sync_is(pipeline: Pipeline):
    pipeline.sync(upto="fetch")
    with pipeline.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sync_runs SET source = 'api.partner.microsoft.com'")
    with pytest.raises(SourceMismatch, match="HUNTER_HOME"):
        preview(pipeline)
