"""What an operator sees of a first day, through GraphQL on the running product, as Dagster's UI asks for it.

Every button is pressed once, most of them at the same time (Dagster looks after backfills each 30 seconds only); the
tests read what is shown then, and none of them changes it for another.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from hunter_pipeline.pipeline.sync_runs import Window
from hunter_pipeline.quality.claims import CLAIMS
from hunter_pipeline.quality.gates import GATES
from hunter_pipeline.runs.sync_request import SYNC_JOB, queued_sync_tags
from hunter_pipeline.sandbox.samples import as_of
from hunter_pipeline.sandbox.sandbox import FIRST_START
from hunter_pipeline.store.embedded.users import release_embedded
from hunter_pipeline.store.engine import database_urls
from hunter_pipeline_tests.orchestration.dagster_ui import DRY_RUN, REPOSITORY, RUN_SECONDS, DagsterUi, wait_for
from hunter_pipeline_tests.personal_data import (
    MAY_HOLD_PERSONS,
    forms,
    in_bytes,
    in_files,
    in_process_arguments,
    in_tables,
    persons,
)

pytestmark = [pytest.mark.xdist_group("dagster-ui"), pytest.mark.processes, pytest.mark.timeout(1200)]

WITHOUT_DOMAIN = "FLAT-0105"
"""The referral of the last of the three days."""

PUBLISHED = 58
"""Referrals among the samples that have an id, and so a story."""


@dataclass(frozen=True)
class Pressed:
    """What became of each button.

    :param everything: runs of *Materialize all* over all partitions.
    :param range_: runs of the backfill of the fetched referrals over three days.
    :param without_channel: the run of a job that lacks a setting.
    :param quiet: the second sync.
    :param tick: what the schedule would have done while that one was under way.
    """

    everything: list[dict[str, Any]]
    range_: list[dict[str, Any]]
    without_channel: dict[str, Any]
    quiet: dict[str, Any]
    tick: dict[str, Any]


def days(product: DagsterUi) -> list[str]:
    """The three days up to the one of the referral without a domain, which the samples have on 3 October."""
    started = datetime.fromisoformat((product.home / "sandbox" / FIRST_START).read_text("utf-8").strip())
    last = started - (as_of() - datetime(2026, 10, 3, 8, 6, tzinfo=UTC))
    return [(last - timedelta(days=back)).date().isoformat() for back in (2, 1, 0)]


@pytest.fixture(scope="module")
def pressed(product: DagsterUi) -> Pressed:
    names = ["/".join(asset["assetKey"]["path"]) for asset in product.assets() if asset["isMaterializable"]]
    everything = product.launch_backfill(names)
    range_ = product.launch_backfill(["partner_center_referrals_raw"], days(product))
    without_channel = product.launch("digest_job")
    checks = product.launch("standing_checks_job")
    runs = product.backfilled(everything), product.backfilled(range_)
    assert product.ended(checks)["status"] == "SUCCESS"
    wait_for(lambda: len(product.partitions("referral_lineage")) == PUBLISHED, RUN_SECONDS)
    now = datetime.now(UTC)
    quiet = product.launch(SYNC_JOB, queued_sync_tags(Window(now.date(), now.date()), now, 3600))
    schedule = {**REPOSITORY, "scheduleName": "referral_sync_schedule"}
    tick = product.ask(DRY_RUN, schedule=schedule)["scheduleDryRun"]["evaluationResult"]
    return Pressed(*runs, product.ended(without_channel), product.ended(quiet), tick)


def numbers(shown: dict[str, Any]) -> dict[str, int]:
    return {entry["label"]: entry["intValue"] for entry in shown["metadataEntries"] if "intValue" in entry}


def test_materializing_all_succeeds_and_what_is_switched_off_skips_with_its_reason(
    product: DagsterUi, pressed: Pressed
):
    assert [run["status"] for run in pressed.everything] == ["SUCCESS", "SUCCESS"], "one for all days, one for the rest"
    assert not [step for run in pressed.everything for step in product.failed_steps(run["runId"])]
    for asset, setting in (
        ("domain_registrations", "HUNTER_REGISTRATION_ENABLED"),
        ("domain_tenants", "HUNTER_TENANT_DISCOVERY_ENABLED"),
    ):
        shown = product.materializations(asset)[0]["metadataEntries"]
        assert {entry["label"]: entry.get("text") for entry in shown}["skipped"] == f"switched_off: {setting} is false"


def test_a_backfill_of_three_days_is_one_run(product: DagsterUi, pressed: Pressed):
    [run] = pressed.range_
    assert run["status"] == "SUCCESS"
    first, _, last = days(product)
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]) == (first, last)


def test_each_day_shows_its_own_counts_and_an_empty_one_shows_zero(product: DagsterUi, pressed: Pressed):
    every = product.partitions("partner_center_referrals_raw")
    told = product.materializations("partner_center_referrals_raw", every, limit=1000)
    newest = {shown["partition"]: numbers(shown) for shown in reversed(told)}
    kept = {day: shown["dagster/partition_row_count"] for day, shown in newest.items()}
    assert set(kept) == set(every)
    assert kept[days(product)[-1]] >= 1
    assert 0 in kept.values()
    assert sum(kept.values()) == PUBLISHED, "no day shows the numbers of another"


def test_every_check_is_shown_as_evaluated_after_the_next_sync(product: DagsterUi, pressed: Pressed):
    assert pressed.quiet["status"] == "SUCCESS"
    shown = {
        name: status
        for asset in product.assets()
        for name, status in product.checks("/".join(asset["assetKey"]["path"])).items()
    }
    assert set(shown) == {*(gate.name for gate in GATES), *(claim.name for claim in CLAIMS)} | {
        "data_is_recent",
        "sign_in_is_good",
    }
    assert set(shown.values()) <= {"SUCCEEDED", "FAILED"}


def test_a_sync_with_nothing_new_leaves_nothing_unsynced(product: DagsterUi, pressed: Pressed):
    assets = {"/".join(asset["assetKey"]["path"]): asset for asset in product.assets()}
    assert not [name for name, asset in assets.items() if asset["staleStatus"] == "STALE"]
    for name, asset in assets.items():
        if asset["isPartitioned"]:
            assert product.partitions(name)
            assert product.unsynced(name) == {}, name


def test_a_tick_that_asks_for_nothing_says_why(product: DagsterUi, pressed: Pressed):
    reason = f"sync_under_way: run {pressed.quiet['runId']} is queued or running"
    assert pressed.tick == {"skipReason": reason, "runRequests": [], "error": None}


def test_a_step_that_fails_says_first_why_and_what_to_do_and_nothing_else(product: DagsterUi, pressed: Pressed):
    assert pressed.without_channel["status"] == "FAILURE"
    [step] = product.failed_steps(pressed.without_channel["runId"])
    assert step["error"] == {
        "message": "there is no channel to send to; set HUNTER_ALERT_WEBHOOK_URL",
        "stack": [],
        "causes": [],
    }
    assert step["failureMetadata"]["metadataEntries"] == [{"label": "transient", "boolValue": False}]


def test_one_referral_shows_its_story_as_a_partition(product: DagsterUi, pressed: Pressed):
    def told() -> str | None:
        for shown in product.materializations("referral_lineage", [WITHOUT_DOMAIN]):
            text = "\n".join(entry["mdStr"] for entry in shown["metadataEntries"] if "mdStr" in entry)
            if "normalized_domains" in text:
                return text
        return None

    # The first story may end where the range's run ended; the sensor tells it anew after the rest.
    assert "social_or_site_builder" in wait_for(told, RUN_SECONDS)
    again = product.launch("__ASSET_JOB", {"dagster/partition": WITHOUT_DOMAIN}, ["referral_lineage"])
    assert product.ended(again)["status"] == "SUCCESS", "one partition is rebuilt by hand"


def test_the_session_leaves_no_person_but_in_the_columns_that_are_meant_for_them(product: DagsterUi, pressed: Pressed):
    looked_for = forms(persons())
    assert len(looked_for) > 80
    assert in_files(product.home.parent, looked_for) == {}, "home and output"
    metrics = requests.get(f"{product.list_url}/metrics", timeout=60).content
    assert b"hunter_syncs" in metrics
    assert in_bytes(metrics, looked_for) == set()
    assert in_process_arguments(looked_for) == {}
    urls = database_urls(None, None, product.home)
    try:
        assert "raw_leads.email" in in_tables(urls.hunter, looked_for, {}), "looks"
        assert in_tables(urls.hunter, looked_for, MAY_HOLD_PERSONS) == {}
        assert in_tables(urls.dagster, looked_for, {}) == {}
    finally:
        release_embedded(product.home)
