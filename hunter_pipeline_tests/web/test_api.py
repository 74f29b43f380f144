"""The JSON API on a database that the pipeline filled."""

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
import requests
from fastapi import FastAPI
from sqlalchemy import Engine, create_engine, text
from starlette.testclient import TestClient

from hunter_pipeline.web.dagster_client import DagsterClient, DagsterUnavailable
from hunter_pipeline_tests.pipeline_runs import NOW
from hunter_pipeline_tests.web.serving import FORMULA, HOSTILE, StubDagster, serving

pytestmark = pytest.mark.xdist_group("web")


def test_leads_come_ranked_with_type_score_and_reason(client: TestClient, filled_engine: Engine):
    body = client.get("/api/leads", params={"limit": 200}).json()
    leads = body["leads"]
    ranks = [(lead["category"] or "~", -(lead["score"] or 0), lead["domain"]) for lead in leads]
    assert ranks == sorted(ranks)
    assert body["total"] == len(leads) > 20
    assert body["next"] is body["previous"] is None
    with filled_engine.connect() as connection:
        rows = connection.execute(text("SELECT domain, referral_type FROM lead_scores")).all()
    types = {row.domain: row.referral_type for row in rows}
    assert {lead["domain"]: lead["referral_type"] for lead in leads} == types
    assert {"co-sell", "marketplace", "solution-provider"} <= set(types.values())


@pytest.mark.parametrize("path", ["/api/leads", "/api/referrals/queue"])
def test_a_csv_begins_with_exactly_one_byte_order_mark(client: TestClient, path: str):
    content = client.get(path, params={"format": "csv"}).content
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\xef\xbb\xbf") == 1


def test_pages_join_to_the_whole_list(client: TestClient):
    whole = [lead["domain"] for lead in client.get("/api/leads", params={"limit": 200}).json()["leads"]]
    found: list[str] = []
    after = None
    while True:
        page = client.get("/api/leads", params={"limit": 7, **({"after": after} if after else {})}).json()
        found += [lead["domain"] for lead in page["leads"]]
        after = page["next"]
        if after is None:
            break
    assert found == whole


@pytest.mark.parametrize(
    ("parameters", "test"),
    [
        ({"referral_type": "co-sell"}, lambda lead: lead["referral_type"] == "co-sell"),
        ({"referral_type": "none"}, lambda lead: lead["referral_type"] is None),
        ({"segment": "Existing"}, lambda lead: lead["segment"] == "Existing"),
        ({"provider": "Google"}, lambda lead: lead["provider"] == "Google"),
        ({"category": "P1"}, lambda lead: lead["category"] == "P1"),
        ({"min_score": 50, "max_score": 80}, lambda lead: 50 <= lead["score"] <= 80),
        ({"q": "HAYALI"}, lambda lead: "hayali" in lead["domain"]),
    ],
)
def test_a_filter_keeps_exactly_what_it_names(
    client: TestClient, parameters: dict[str, Any], test: Callable[[dict[str, Any]], bool]
):
    everything = client.get("/api/leads", params={"limit": 200}).json()["leads"]
    body = client.get("/api/leads", params={"limit": 200, **parameters}).json()
    assert body["leads"] == [lead for lead in everything if test(lead)]
    assert body["total"] == len(body["leads"])


@pytest.mark.parametrize(
    "parameters",
    [{"min_score": 101}, {"sort": "nothing"}, {"limit": 0}, {"limit": 201}, {"referral_type": "x"}, {"format": "pdf"}],
)
def test_a_parameter_that_is_wrong_is_told(client: TestClient, parameters: dict[str, Any]):
    assert client.get("/api/leads", params=parameters).status_code == 422


@pytest.mark.parametrize("path", ["/api/leads?after=x", "/api/leads?before=x", "/api/referrals?after=x"])
def test_a_cursor_that_is_wrong_is_told(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 400
    assert "cursor" in answer.json()["detail"]


def test_the_csv_holds_every_lead_of_the_filter_and_runs_no_formula(client: TestClient):
    answer = client.get("/api/leads", params={"format": "csv", "limit": 1})
    assert answer.headers["content-disposition"] == 'attachment; filename="leads.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert len(rows) == client.get("/api/leads").json()["total"]
    names = {row["domain"]: row["company_name"] for row in rows}
    assert names["formula-example.com"] == "'" + FORMULA["customerProfile"]["name"]


def test_the_workbook_holds_every_lead_of_the_filter(client: TestClient):
    answer = client.get("/api/leads", params={"format": "xlsx", "category": "P1"})
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    expected = client.get("/api/leads", params={"category": "P1"}).json()["leads"]
    assert [row[0] for row in sheet.iter_rows(min_row=2, values_only=True)] == [lead["domain"] for lead in expected]


def test_a_score_is_explained_point_by_point(client: TestClient):
    for lead in client.get("/api/leads", params={"limit": 200}).json()["leads"]:
        detail = client.get(f"/api/leads/{lead['domain']}").json()
        assert sum(part["points"] for part in detail["breakdown"]) == detail["score"]
        assert {key: detail[key] for key in lead} == lead
        assert len(detail["referral_list"]) == detail["referrals"]
        assert detail["history"][-1]["cause"] == "first"


def test_a_domain_is_found_in_any_case_and_a_stranger_is_not(client: TestClient):
    assert client.get("/api/leads/HOSTILE-example.com").json()["company_name"] == HOSTILE["customerProfile"]["name"]
    for path in ("/api/leads/nobody.example", "/api/leads/%00", "/api/referrals/nobody", "/api/referrals/%00/lineage"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"]


def test_referrals_are_listed_page_by_page_each_once(client: TestClient, filled_engine: Engine):
    found: list[str] = []
    after = None
    while True:
        page = client.get("/api/referrals", params={"limit": 9, **({"after": after} if after else {})}).json()
        found += [referral["referral_id"] for referral in page["referrals"]]
        after = page["next"]
        if after is None:
            break
    with filled_engine.connect() as connection:
        known = connection.execute(text("SELECT referral_id FROM partner_center_referrals")).scalars().all()
    assert sorted(found) == sorted(known)


@pytest.mark.parametrize(
    ("parameters", "test"),
    [
        ({"referral_type": "marketplace"}, lambda referral: referral["referral_type"] == "marketplace"),
        ({"referral_type": "none"}, lambda referral: referral["referral_type"] is None),
        ({"status": "New"}, lambda referral: referral["status"] == "New"),
        ({"is_open": "false"}, lambda referral: not referral["is_open"]),
        ({"domain": "hostile-example.com"}, lambda referral: referral["domain"] == "hostile-example.com"),
    ],
)
def test_referrals_are_filtered(client: TestClient, parameters: dict[str, str], test: Callable[[dict[str, Any]], bool]):
    everything = client.get("/api/referrals", params={"limit": 200}).json()["referrals"]
    found = client.get("/api/referrals", params={"limit": 200, **parameters}).json()["referrals"]
    assert found == [referral for referral in everything if test(referral)]
    assert found


def test_a_referral_shows_its_payload_and_how_its_domain_was_decided(client: TestClient):
    body = client.get("/api/referrals/hostile-1").json()
    assert body["payload"]["customerProfile"] == HOSTILE["customerProfile"]
    assert body["referral"]["domain"] == body["decision"]["domain"] == "hostile-example.com"
    assert body["failures"] == []


def test_a_referral_that_failed_is_found_with_its_error(client: TestClient, filled_engine: Engine):
    with filled_engine.connect() as connection:
        key = connection.execute(text("SELECT item_key FROM referral_failures ORDER BY id LIMIT 1")).scalar_one()
    body = client.get(f"/api/referrals/{key}").json()
    assert body["referral"] is None
    assert body["failures"][0]["error"]
    assert client.get(f"/referrals/{key}").status_code == 200


def test_the_lineage_goes_from_payload_to_score_with_links_into_dagster(client: TestClient):
    body = client.get("/api/referrals/hostile-1/lineage").json()
    stages = [step["stage"] for step in body["current"]]
    assert stages[0] == "partner_center_referrals_raw"
    assert stages[-1] == "lead_scores"
    first = body["steps"][0]
    assert first["run_url"].endswith(f"/runs/{first['run_id']}")
    assert first["asset_url"].endswith("/assets/partner_center_referrals_raw")


def test_links_lead_to_the_public_address_of_dagster(make_test_app: Callable[..., FastAPI]):
    app = make_test_app(dagster_public_url="https://dagster.example.com/")
    with TestClient(app, base_url="http://localhost") as client:
        step = client.get("/api/referrals/hostile-1/lineage").json()["steps"][0]
    assert step["run_url"].startswith("https://dagster.example.com/runs/")


def test_a_sync_with_the_flag_off_is_refused_in_the_agreed_words(make_test_app: Callable[..., FastAPI]):
    with TestClient(make_test_app(partner_center_enabled=False), base_url="http://localhost") as client:
        answer = client.post("/api/referrals/sync", json={"force": False})
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Partner Center integration is disabled"}


@pytest.mark.parametrize("body", ["[]", '{"force": "yes"}', '{"force": 1}', '{"other": true}', "{"])
def test_a_sync_with_a_body_of_another_shape_is_refused(client: TestClient, body: str):
    answer = client.post("/api/referrals/sync", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_a_dagster_that_does_not_answer_is_a_503_with_the_fix(client: TestClient):
    for answer in (client.post("/api/referrals/sync"), client.get("/api/referrals/sync/some-run")):
        assert answer.status_code == 503
        assert "HUNTER_DAGSTER_URL" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "30"


def test_something_else_at_dagsters_address_is_a_502(make_test_app: Callable[..., FastAPI]):
    with serving(FastAPI()) as address:
        client = TestClient(make_test_app(dagster_url=address), base_url="http://localhost")
        answer = client.post("/api/referrals/sync")
    assert answer.status_code == 502
    assert "no Dagster web server" in answer.json()["detail"]


def test_a_refusal_of_dagster_is_a_502_in_its_own_words(make_test_app: Callable[..., FastAPI]):
    other = FastAPI()

    @other.post("/graphql")
    def answer() -> dict[str, Any]:
        problem = {"__typename": "PythonError", "message": "out of order"}
        return {"data": {"runsOrError": problem, "launchRun": problem, "runOrError": problem}}

    with serving(other) as address:
        client = TestClient(make_test_app(dagster_url=address), base_url="http://localhost")
        refused = client.post("/api/referrals/sync")
    assert refused.status_code == 502
    assert refused.json()["detail"] == "Dagster refuses: out of order"


def test_a_sync_asks_for_the_days_since_the_last_one_and_force_for_all(make_test_app: Callable[..., FastAPI]):
    dagster = StubDagster()
    with serving(dagster.app) as address:
        client = TestClient(make_test_app(dagster_url=address), base_url="http://localhost")
        assert client.post("/api/referrals/sync").status_code == 202
        assert client.post("/api/referrals/sync", json={"force": True}).status_code == 202
    normal, forced = dagster.launched
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert (normal[start], normal[end]) == ("2026-11-24", "2026-11-24")
    assert (forced[start], forced[end], forced["hunter/force"]) == ("2026-01-01", "2026-11-24", "true")
    assert "hunter/force" not in normal


def test_while_partner_center_asks_for_a_pause_no_sync_is_started(
    make_test_app: Callable[..., FastAPI], filled_engine: Engine
):
    dagster = StubDagster()
    with serving(dagster.app) as address:
        client = TestClient(make_test_app(dagster_url=address), base_url="http://localhost")
        try:
            with filled_engine.begin() as connection:
                until = NOW + timedelta(minutes=90)
                connection.execute(text("UPDATE sync_runs SET retry_at = :until"), {"until": until})
            answer = client.post("/api/referrals/sync")
        finally:
            with filled_engine.begin() as connection:
                connection.execute(text("UPDATE sync_runs SET retry_at = NULL"))
        assert client.post("/api/referrals/sync").status_code == 202
    assert answer.status_code == 503
    assert "asked for no request before" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "5400"
    assert len(dagster.launched) == 1


def test_many_clicks_at_once_start_one_run(make_test_app: Callable[..., FastAPI]):
    dagster = StubDagster("QUEUED")
    with (
        serving(dagster.app) as address,
        serving(make_test_app(dagster_url=address)) as url,
        ThreadPoolExecutor(4) as pool,
    ):
        clicks = [pool.submit(requests.post, f"{url}/api/referrals/sync", timeout=30) for _ in range(4)]
        codes = sorted(click.result().status_code for click in clicks)
    assert codes == [202, 409, 409, 409]
    assert len(dagster.launched) == 1


def test_a_run_that_was_canceled_is_a_failed_sync(make_test_app: Callable[..., FastAPI]):
    with serving(StubDagster("CANCELED").app) as address:
        client = TestClient(make_test_app(dagster_url=address), base_url="http://localhost")
        # The queue cancels a sync right away when another began first.
        refused = client.post("/api/referrals/sync", params={"wait": 30})
        assert refused.status_code == 409
        body = client.get(f"/api/referrals/sync/{refused.json()['run_id']}").json()
    assert (body["status"], body["errors"]) == ("failed", ["the run was canceled in Dagster"])


def test_the_result_of_a_settled_sync_can_be_read_without_dagster(client: TestClient, filled_engine: Engine):
    body = client.get("/api/referrals/sync/run-1").json()
    with filled_engine.connect() as connection:
        books = connection.execute(text("SELECT * FROM sync_runs WHERE run_id = 'run-1'")).mappings().one()
    assert (body["status"], body["total"]) == ("partial", books["fetched"])
    assert body["total"] == body["succeeded"] + body["failed"] + body["skipped"]


def test_a_database_that_is_down_is_a_503_without_its_address(make_test_app: Callable[..., FastAPI]):
    engine = create_engine("postgresql+psycopg2://secret-user@127.0.0.1:1/secret-name")
    with TestClient(make_test_app(engine=engine), base_url="http://localhost") as client:
        for path in ("/api/leads", "/api/leads?format=csv", "/api/leads/a.com", "/api/referrals", "/healthz", "/"):
            answer = client.get(path, headers={"accept": "text/html" if path == "/" else "application/json"})
            assert answer.status_code == 503, path
            assert "secret" not in answer.text


def test_a_database_without_tables_names_the_command(make_test_app: Callable[..., FastAPI], empty_database_url: str):
    engine = create_engine(empty_database_url)
    with TestClient(make_test_app(engine=engine), base_url="http://localhost") as client:
        assert "hunter db upgrade" in client.get("/api/leads").json()["detail"]
        assert client.get("/healthz/ready").status_code == 503
    engine.dispose()


def test_health_is_open_and_says_ready(make_test_app: Callable[..., FastAPI]):
    with TestClient(make_test_app(web_token="x" * 20), base_url="http://10.0.0.5") as client:
        assert client.get("/healthz").json() == {"live": True, "ready": True, "problem": None}


def test_metrics_count_leads_and_requests_by_route(client: TestClient):
    client.get("/api/leads/nobody.example")
    figures = client.get("/metrics").text
    for tab, name in (("answer", "to_answer"), ("expiring", "expiring")):
        total = client.get("/api/referrals/queue", params={"tab": tab}).json()["total"]
        assert f"hunter_referrals_{name} {float(total)}" in figures
    assert "hunter_partial_lookups " in figures
    assert "hunter_last_sync_duration_seconds " in figures
    assert 'hunter_syncs{result="failed"} 0.0' in figures
    assert "hunter_oldest_unprocessed_timestamp_seconds" not in figures, "nothing waits"
    assert "hunter_sign_in_expires_timestamp_seconds" not in figures, "nobody is signed in here"
    assert 'hunter_http_requests_total{method="GET",route="/api/leads/{domain}",status="404"} 1.0' in figures
    assert "nobody.example" not in figures
    total = sum(float(line.rsplit(" ", 1)[1]) for line in figures.splitlines() if line.startswith("hunter_leads{"))
    assert total == client.get("/api/leads").json()["total"]
    assert "hunter_last_sync_timestamp_seconds" in figures


def test_the_client_does_not_wait_for_ever():
    with pytest.raises(DagsterUnavailable, match="hunter dev"):
        DagsterClient("http://127.0.0.1:1").sync_under_way()
