"""Unknown values of a filter are refused with the list of valid ones, and case does not matter."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy import text as sql
from starlette.testclient import TestClient

from hunter_pipeline.scoring import rules as rules_module

pytestmark = pytest.mark.xdist_group("web")


@pytest.mark.parametrize(
    ("parameter", "wrong", "valid"),
    [
        ("segment", "Foo", "Existing, Migration, Cold, Skip"),
        ("category", "P7", "P6, unscored"),
        ("provider", "Hotmail", "M365, Google"),
        ("referral_type", "x", "co-sell, marketplace, solution-provider, none"),
        ("sort", "nothing", "rank, "),
    ],
)
def test_an_unknown_value_is_refused_with_the_list_of_valid_ones(
    client: TestClient, parameter: str, wrong: str, valid: str
):
    answer = client.get("/api/leads", params={parameter: wrong})
    assert answer.status_code == 422
    assert valid in answer.json()["detail"][0]["msg"]


ROUTES = [
    ("/api/leads", "segment"),
    ("/api/leads/contoso.com", "none"),
    ("/api/referrals", "is_open"),
    ("/api/referrals/queue", "skip_reason"),
    ("/api/referrals/none", "none"),
    ("/api/referrals/none/lineage", "none"),
    ("/api/referrals/sync/none", "none"),
]


@pytest.mark.parametrize(("path", "valid"), ROUTES)
def test_the_api_refuses_a_parameter_that_there_is_not_and_names_those_that_there_are(
    client: TestClient, path: str, valid: str
):
    answer = client.get(path, params={"segmnet": "Cold", "limit": "1"})
    assert answer.status_code == 422
    (problem, *_) = answer.json()["detail"]
    assert problem["loc"] == ["query", "segmnet"]
    assert problem["msg"].startswith("there is no parameter 'segmnet'; ")
    assert valid in problem["msg"]


def test_those_that_there_are_stand_in_the_document(make_test_app: Callable[..., FastAPI]):
    app = make_test_app()
    named, documented = {}, {}
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for path, calls in app.openapi()["paths"].items():
            for method, call in calls.items():
                answer = client.request(method, path, params={"segmnet": "Cold"})
                problem = answer.json().get("detail", "") if answer.status_code == 422 else ""
                if "there is no parameter" not in str(problem):
                    continue
                there_are = problem[0]["msg"].partition("; there are ")[2].replace("none here", "")
                named[method, path] = set(filter(None, there_are.split(", ")))
                documented[method, path] = {each["name"] for each in call["parameters"] if each["in"] == "query"}
    assert len(named) >= len(ROUTES)
    assert named == documented


def test_a_parameter_that_is_not_read_starts_no_sync(client: TestClient):
    answer = client.post("/api/referrals/sync", params={"force": "true"})
    assert answer.status_code == 422
    assert "'force'; there are wait" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("path", ["/", "/referrals", "/docs", "/metrics", "/healthz"])
def test_a_page_and_what_machines_watch_take_a_link_with_anything_added_to_it(client: TestClient, path: str):
    assert client.get(path, params={"utm_source": "mail", "fbclid": "1"}).status_code == 200


def test_a_status_that_no_referral_has_is_refused_with_those_that_there_are(client: TestClient, filled_engine: Engine):
    answer = client.get("/api/referrals", params={"status": "Actve"})
    assert answer.status_code == 422
    problem = answer.json()["detail"][0]
    assert problem["loc"] == ["query", "status"]
    assert problem["msg"].startswith("there is no status 'Actve'; use ")
    with filled_engine.connect() as connection:
        used = connection.execute(sql("SELECT DISTINCT status FROM partner_center_referrals")).scalars().all()
    for status in (*used, "None", "New", "Active", "Closed"):
        assert status in problem["msg"]
        found = client.get("/api/referrals", params={"status": status.upper(), "limit": 200})
        assert found.status_code == 200
        assert bool(found.json()["referrals"]) is (status in used)
        assert {each["status"] for each in found.json()["referrals"]} <= {status}


def test_case_does_not_matter(client: TestClient):
    expected = client.get("/api/leads", params={"segment": "Existing", "referral_type": "co-sell"}).json()
    assert expected["total"]
    assert client.get("/api/leads", params={"segment": "EXISTING", "referral_type": "Co-Sell"}).json() == expected


def test_the_queue_refuses_a_reason_that_there_is_not(client: TestClient):
    answer = client.get("/api/referrals/queue", params={"tab": "all", "skip_reason": "bad_mood"})
    assert answer.status_code == 422
    assert "no_candidate" in answer.json()["detail"][0]["msg"]
    page = client.get("/referrals", params={"tab": "all", "skip_reason": "bad_mood"})
    assert "Left out, since it cannot be read: reason (there are " in page.text


def test_a_legend_that_scoring_refuses_is_not_shown(make_test_app: Callable[..., FastAPI], tmp_path: Path):
    packaged = Path(rules_module.__file__).with_name("rules.yaml").read_text(encoding="utf-8")
    own = tmp_path / "rules.yaml"
    for shown, text in ((True, packaged), (False, packaged.replace("Yandex", "Yandeks"))):
        own.write_text(text, encoding="utf-8")
        with TestClient(make_test_app(scoring_rules=own), base_url="http://127.0.0.1") as client:
            assert ("What P1 to P6 mean" in client.get("/").text) is shown
        own.unlink()
