"""Unknown values of a filter are refused with the list of valid ones, and case does not matter."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
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
