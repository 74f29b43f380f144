"""A whole sync, stage by stage, over real HTTPS, PostgreSQL and DNS: what it keeps, decides and writes."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from hunter_pipeline.domains.normalize import SkipReason
from hunter_pipeline.partner_center.errors import ApiError, NetworkError
from hunter_pipeline.pipeline.sync_runs import SourceMismatch, Window, last_success
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.store.tables import metadata
from hunter_pipeline_tests.pipeline_runs import Pipeline, day
from hunter_pipeline_tests.sandbox_fixtures import flat

CHANGES_EACH_TIME = {
    "last_seen_at",
    "last_seen_run_id",
    "occurrences",
    "run_id",
}
"""Columns that say when something was last seen, not what it is."""


def everything(pipeline: Pipeline) -> dict[str, list[Any]]:
    """All rows of all tables that a sync must leave alone the second time."""
    tables = [table for table in metadata.sorted_tables if not table.name.startswith(("sync_run", "token_cache"))]
    content = {}
    for table in tables:
        columns = [column.name for column in table.columns if column.name not in CHANGES_EACH_TIME]
        query = f"SELECT row_to_json(t)::text FROM (SELECT {', '.join(columns)} FROM {table.name}) t"
        content[table.name] = sorted(pipeline.rows(query))
    return content


def test_the_samples_reach_every_kind_of_outcome(pipeline: Pipeline):
    pipeline.sync()
    assert set(pipeline.rows("SELECT DISTINCT referral_type FROM partner_center_referrals")) == {
        "co-sell",
        "marketplace",
        "solution-provider",
        None,
    }
    assert set(pipeline.rows("SELECT DISTINCT skip_reason FROM normalized_domains WHERE skip_reason IS NOT NULL")) == {
        reason.value for reason in SkipReason
    }
    assert set(pipeline.rows("SELECT DISTINCT segment FROM lead_scores")) == {"Existing", "Migration", "Cold", "Skip"}
    assert set(pipeline.rows("SELECT DISTINCT category FROM lead_scores")) == {"P1", "P2", "P3", "P4", "P5", "P6"}
    assert set(pipeline.rows("SELECT DISTINCT status FROM domain_signals")) == {"complete", "partial"}
    tenants = pipeline.rows(
        "SELECT s.score, s.segment, s.reason, c.provider FROM lead_scores s JOIN companies c USING (domain)"
        " WHERE c.azure_tenant_id IS NOT NULL ORDER BY s.score"
    )
    assert tenants == [
        (55, "Existing", "M365 existing customer (Azure Tenant ID)", "M365"),
        (70, "Existing", "M365 existing customer (Azure Tenant ID)", "M365"),
    ]


def test_the_books_of_a_sync_add_up(pipeline: Pipeline):
    reports = pipeline.sync()
    status, fetched, succeeded, skipped, failed = pipeline.rows(
        "SELECT status, fetched, succeeded, skipped, failed FROM sync_runs"
    )[0]
    assert status == "partial"
    assert fetched == reports["fetch"].counts["fetched"] == 59
    assert fetched == succeeded + skipped + failed
    assert failed == len(pipeline.rows("SELECT 1 FROM referral_failures WHERE resolved_at IS NULL")) == 2
    tracked = pipeline.rows("SELECT count(*) FROM partner_center_referrals")[0]
    assert tracked == fetched - failed
    assert succeeded == pipeline.rows("SELECT count(*) FROM raw_leads")[0]


def test_what_breaks_is_recorded_with_stage_and_error_and_the_rest_goes_through(pipeline: Pipeline):
    pipeline.sync()
    failures = dict(pipeline.rows("SELECT stage, error FROM referral_failures"))
    assert failures == {
        "partner_center_referrals_raw": "id is missing",
        "normalized_domains": "customerProfile must be an object, found a list",
    }
    payload = pipeline.rows("SELECT payload FROM referral_failures WHERE stage = 'partner_center_referrals_raw'")[0]
    assert "id" not in json.loads(payload)


def test_the_same_sync_twice_leaves_the_same_rows_and_asks_no_dns(pipeline: Pipeline, sandbox: Sandbox):
    pipeline.sync()
    before = everything(pipeline)
    asked = sum(sandbox.dns.questions.values())
    reports = pipeline.sync()
    assert everything(pipeline) == before
    assert sum(sandbox.dns.questions.values()) == asked
    assert reports["fetch"].counts["new_versions"] == 0
    assert [reports[name].counts["processed"] for name in ("normalize",)] == [0]
    assert reports["scores"].counts["scored"] == 0


def test_a_forced_sync_processes_again_and_still_adds_no_row(pipeline: Pipeline, sandbox: Sandbox):
    pipeline.sync()
    counts = {table.name: pipeline.rows(f"SELECT count(*) FROM {table.name}") for table in metadata.sorted_tables}
    asked = sum(sandbox.dns.questions.values())
    reports = pipeline.sync(force=True)
    assert reports["normalize"].counts["processed"] == 58
    after = {table.name: pipeline.rows(f"SELECT count(*) FROM {table.name}") for table in metadata.sorted_tables}
    grown = {name for name in counts if after[name] != counts[name]}
    assert grown == {"sync_runs", "sync_run_items", "referral_lineage"}
    assert sum(sandbox.dns.questions.values()) == asked


def test_three_referrals_of_one_company_make_three_leads_one_company_and_one_scan(pipeline: Pipeline, sandbox: Sandbox):
    pipeline.sync()
    domain = "hayali-anadolu-tekstil.com.tr"
    assert pipeline.rows("SELECT count(*) FROM raw_leads WHERE domain = :d", d=domain) == [3]
    assert pipeline.rows("SELECT canonical_name FROM companies WHERE domain = :d", d=domain) == [
        "Hayali Anadolu Tekstil A.Ş."
    ]
    assert sandbox.dns.questions[domain, "MX"] == 1
    stories = pipeline.rows(
        "SELECT referral_id, array_agg(stage ORDER BY id) FROM referral_lineage WHERE referral_id IN"
        " (SELECT external_id FROM raw_leads WHERE domain = :d) GROUP BY 1",
        d=domain,
    )
    assert len(stories) == 3
    for _, stages in stories:
        assert stages == [
            "partner_center_referrals_raw",
            "normalized_domains",
            "partner_center_referrals",
            "raw_leads",
            "companies",
            "domain_signals",
            "lead_scores",
        ]


def test_a_payload_that_jsonb_cannot_hold_is_kept_without_loss_and_says_so(pipeline: Pipeline, empty: Sandbox):
    item = json.dumps(flat("NUL", notes="a\0b \ud800 c", companyName="Ka\0rtal"))
    empty.partner_center.add_raw_item(item)
    pipeline.sync()
    payload, original = pipeline.rows("SELECT payload, payload_original FROM partner_center_referrals_raw")[0]
    assert json.loads(original) == json.loads(item)
    assert payload["notes"] == "a�b � c"
    assert pipeline.rows("SELECT company_name FROM partner_center_referrals") == ["Ka�rtal"]
    decision = pipeline.rows("SELECT decision FROM referral_lineage WHERE stage = 'partner_center_referrals_raw'")[0]
    assert "exact text kept" in decision


HOSTILE = {
    "no object": "17",
    "null": "null",
    "a list": '["id", "x"]',
    "no id": '{"status": "New"}',
    "an empty id": '{"id": " "}',
    "an endless id": json.dumps({"id": "x" * 300}),
    "a nested id": '{"id": {"x": 1}}',
    "too deep": '{"id": "deep", "x": ' + "[" * 5000 + "]" * 5000 + "}",
    "a number beyond measure": '{"id": "num", "customerProfile": {"team": 7}, "x": 1e999, "y": ' + "9" * 5000 + "}",
    "teams of strings": '{"id": "team", "customerProfile": {"team": ["a@b.com"]}}',
    "a profile list": '{"id": "profile", "customerProfile": []}',
}


@pytest.mark.parametrize("item", HOSTILE.values(), ids=HOSTILE.keys())
def test_one_item_that_breaks_costs_only_itself(pipeline: Pipeline, empty: Sandbox, item: str):
    for number in range(3):
        empty.partner_center.referrals.add(flat(f"A{number}"))
    empty.partner_center.add_raw_item(item, updated="2026-10-01T08:00:00Z", referral_id="hostile")
    pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [3]
    assert len(pipeline.rows("SELECT error FROM referral_failures WHERE resolved_at IS NULL AND error <> ''")) == 1
    assert pipeline.rows("SELECT fetched, succeeded, skipped, failed FROM sync_runs") == [(4, 3, 0, 1)]


def test_a_failure_is_resolved_when_the_referral_is_mended(pipeline: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.add(flat("A1", customerProfile=[]))
    pipeline.sync()
    assert pipeline.rows("SELECT occurrences, resolved_at IS NULL FROM referral_failures") == [(1, True)]
    pipeline.sync()
    assert pipeline.rows("SELECT occurrences FROM referral_failures") == [1], "not tried again while unchanged"
    pipeline.sync(force=True)
    assert pipeline.rows("SELECT occurrences FROM referral_failures") == [2], "force tries again"
    empty.partner_center.referrals.update("A1", customerProfile={})
    pipeline.sync()
    assert pipeline.rows("SELECT resolved_at IS NULL FROM referral_failures") == [False]
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [1]
    assert pipeline.rows("SELECT status FROM sync_runs ORDER BY started_at DESC LIMIT 1") == ["success"]


def test_a_changed_referral_updates_its_lead_and_adds_none(pipeline: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.add(flat("A1"))
    pipeline.sync()
    empty.partner_center.referrals.update("A1", companyName="New name", status="Active")
    pipeline.sync()
    assert pipeline.rows("SELECT company_name FROM raw_leads") == ["New name"]
    assert pipeline.rows("SELECT canonical_name FROM companies") == ["New name"]
    assert pipeline.rows("SELECT status FROM partner_center_referrals") == ["Active"]
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw") == [2], "every version is kept"


def test_a_skipped_referral_is_kept_and_picked_up_when_it_gets_a_domain_and_withdrawn_when_it_loses_it(
    pipeline: Pipeline, empty: Sandbox
):
    empty.partner_center.referrals.add(flat("A1", website="https://facebook.com/acme"))
    pipeline.sync()
    assert pipeline.rows("SELECT domain, status FROM partner_center_referrals") == [(None, "New")]
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [0]
    empty.partner_center.referrals.update("A1", website="https://acme-kurgu.com.tr")
    pipeline.sync()
    assert pipeline.rows("SELECT domain FROM raw_leads") == ["acme-kurgu.com.tr"]
    empty.partner_center.referrals.update("A1", website="")
    reports = pipeline.sync()
    assert reports["leads"].counts["withdrawn"] == 1
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [0]
    assert pipeline.rows("SELECT domain FROM partner_center_referrals") == [None]


def test_a_content_that_comes_back_is_current_again(pipeline: Pipeline, empty: Sandbox):
    first = flat("A1", companyName="First", updatedDateTime=None)
    empty.partner_center.referrals.add(first)
    pipeline.sync()
    empty.partner_center.referrals.remove("A1")
    empty.partner_center.referrals.add(first | {"companyName": "Second"})
    pipeline.sync()
    assert pipeline.rows("SELECT company_name FROM partner_center_referrals") == ["Second"]
    empty.partner_center.referrals.remove("A1")
    empty.partner_center.referrals.add(first)
    pipeline.sync()
    assert pipeline.rows("SELECT company_name FROM partner_center_referrals") == ["First"]


def test_an_older_version_that_shows_up_later_does_not_win(pipeline: Pipeline, empty: Sandbox):
    empty.partner_center.referrals.add(flat("A1", companyName="New", updatedDateTime="2026-10-05T08:00:00Z"))
    pipeline.sync()
    empty.partner_center.referrals.add(flat("A1", companyName="Old", updatedDateTime="2026-10-02T08:00:00Z"))
    pipeline.sync()
    assert pipeline.rows("SELECT company_name FROM partner_center_referrals") == ["New"]


def test_the_same_referral_twice_in_a_page_and_across_pages_is_harmless(pipeline: Pipeline, empty: Sandbox):
    for _ in range(25):
        empty.partner_center.add_raw_item(json.dumps(flat("A1")))
    pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw") == [1]
    assert pipeline.rows("SELECT fetched, new_versions, succeeded FROM sync_runs") == [(1, 1, 1)]


def test_a_fetch_that_breaks_off_keeps_what_it_had_and_does_not_move_the_watermark(
    pipeline: Pipeline, sandbox: Sandbox
):
    pipeline.signed_in_client()
    original = pipeline.client.iter_pages  # type: ignore[union-attr]

    def break_off(since: Any) -> Any:
        pages = original(since)
        yield next(pages)
        yield next(pages)
        sandbox.partner_center.fail_next(2, 500)
        yield from pages

    pipeline.client.iter_pages = break_off  # type: ignore[method-assign, union-attr]
    with pytest.raises(ApiError):
        pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw")[0] >= 15
    assert pipeline.rows("SELECT status FROM sync_runs") == ["failed"]
    with pipeline.engine.connect() as connection:
        assert last_success(connection) is None
    pipeline.client.iter_pages = original  # type: ignore[method-assign, union-attr]
    pipeline.sync()
    assert pipeline.rows("SELECT status, fetched FROM sync_runs ORDER BY started_at") == [
        ("failed", 0),
        ("partial", 59),
    ]


@pytest.mark.parametrize("stage", ["fetch", "normalize", "track", "leads", "companies", "signals"])
def test_a_run_that_died_after_any_stage_is_healed_by_the_next(pipeline: Pipeline, stage: str):
    pipeline.sync(upto=stage)
    pipeline.sync()
    healed = {name: rows for name, rows in everything(pipeline).items() if name != "referral_lineage"}
    assert len(healed["raw_leads"]) == 46
    assert len(healed["lead_scores"]) == 33
    # What fails is new to the sync that fetched it; to the one after only where no stage had met it yet.
    second = "partial" if stage == "fetch" else "success"
    assert pipeline.rows("SELECT status FROM sync_runs ORDER BY started_at") == ["partial", second]
    assert pipeline.rows("SELECT count(*) FROM sync_runs WHERE finished_at IS NULL") == [0]


def test_a_run_killed_while_fetching_is_closed_by_the_next(pipeline: Pipeline):
    with pipeline.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sync_runs (run_id, status, source, forced, window_end, covers_to_now, started_at)"
                " VALUES ('dead', 'running', '127.0.0.1', false, '2026-11-24', true, '2026-11-24')"
            )
        )
    pipeline.sync()
    assert pipeline.rows("SELECT status FROM sync_runs WHERE run_id = 'dead'") == ["failed"]


def test_contacts_that_the_list_lacks_are_fetched_one_by_one_and_only_once(pipeline: Pipeline, sandbox: Sandbox):
    pipeline.sync()
    details = [each for each in sandbox.partner_center.requests if "/referrals/" in each.target]
    forms = dict(pipeline.rows("SELECT payload_form, count(*) FROM partner_center_referrals_raw GROUP BY 1"))
    assert forms["detail"] == len(details) >= 2
    pipeline.sync()
    assert len([each for each in sandbox.partner_center.requests if "/referrals/" in each.target]) == len(details)


def test_a_single_referral_that_cannot_be_fetched_now_is_kept_as_listed_and_asked_for_again(
    pipeline: Pipeline, empty: Sandbox
):
    payload = {
        "id": "short-1",
        "status": "New",
        "updatedDateTime": "2026-10-01T08:00:00Z",
        "customerProfile": {"name": "Short", "team": [{"email": "a@kisa-kurgu.com.tr"}]},
    }
    empty.partner_center.referrals.add(payload, short_in_list=True)
    empty.partner_center.fail_next(2, 503, path="/referrals/short-1")
    pipeline.sync()
    assert pipeline.rows("SELECT payload_form FROM partner_center_referrals_raw") == ["detail_pending"]
    assert pipeline.rows("SELECT domain FROM partner_center_referrals") == [None]
    pipeline.sync()
    assert pipeline.rows("SELECT payload_form FROM partner_center_referrals_raw") == ["detail"]
    assert pipeline.rows("SELECT domain FROM raw_leads") == ["kisa-kurgu.com.tr"]


def test_a_window_takes_only_its_days_and_the_first_day_stands_for_all_before(pipeline: Pipeline, empty: Sandbox):
    for name, updated in (
        ("ancient", "2018-01-01T00:00:00Z"),
        ("early", "2026-10-01T23:59:59.9999999Z"),
        ("inside", "2026-10-02T00:00:00Z"),
        ("late", "2026-10-04T00:00:00Z"),
        ("future", "2031-01-01T00:00:00Z"),
        ("undated", None),
    ):
        empty.partner_center.referrals.add(flat(name, updatedDateTime=updated))
    pipeline.sync(Window(day("2026-10-02"), day("2026-10-03")))
    assert pipeline.rows("SELECT referral_id FROM partner_center_referrals_raw") == ["inside"]
    assert pipeline.rows("SELECT covers_to_now FROM sync_runs") == [False]
    pipeline.sync()
    days = dict(pipeline.rows("SELECT referral_id, partition_day::text FROM partner_center_referrals_raw"))
    assert days == {
        "ancient": "2026-01-01",
        "early": "2026-10-01",
        "inside": "2026-10-02",
        "late": "2026-10-04",
        "future": "2026-11-24",
        "undated": "2026-11-24",
    }


def test_a_database_never_mixes_two_sources(pipeline: Pipeline):
    pipeline.sync()
    with pipeline.engine.begin() as connection:
        connection.execute(text("UPDATE sync_runs SET source = 'api.partner.microsoft.com'"))
    with pytest.raises(SourceMismatch, match="HUNTER_HOME"):
        pipeline.sync()


def test_the_api_being_down_is_a_network_error_and_nothing_is_lost(pipeline: Pipeline, sandbox: Sandbox):
    pipeline.sync()
    before = everything(pipeline)
    sandbox.stop()
    with pytest.raises(NetworkError):
        pipeline.sync()
    assert everything(pipeline) == before
