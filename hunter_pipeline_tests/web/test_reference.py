"""The API's document: each call has a line for curl, and each body an example that is taken."""

import shlex
from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

pytestmark = pytest.mark.xdist_group("web")


def test_each_call_has_a_line_for_curl_and_each_body_an_example(make_test_app: Callable[..., FastAPI]):
    app = make_test_app(partner_center_write_enabled=True, web_public_url="https://leads.example/")
    with TestClient(app, base_url="http://127.0.0.1") as client:
        document = client.get("/openapi.json").json()
        page = client.get("/docs").text
    bodies = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (sample,) = operation["x-codeSamples"]
            words = shlex.split(sample["source"])
            assert words[0] == "curl"
            assert urlsplit(words[-1]).netloc == "leads.example"
            assert "{" not in words[-1]
            assert ("Authorization" in sample["source"]) is path.startswith("/api/")
            if method == "post":
                assert {"-d", "-X"} & set(words)
            if (body := operation.get("requestBody", {}).get("content", {}).get("application/json")) is not None:
                assert body["example"]
                bodies += 1
            assert sample["source"].split("?")[0][:20].replace('"', "&#34;").replace("'", "&#39;") in page
    assert bodies == 4


@pytest.mark.parametrize("path", ["/api/referrals/sync", "/api/referrals/{referral_id}/actions/preview"])
def test_the_example_of_a_body_is_one_that_is_taken(make_test_app: Callable[..., FastAPI], path: str):
    ids = {"partner_center_client_id": str(UUID(int=1)), "partner_center_tenant_id": str(UUID(int=2))}
    app = make_test_app(partner_center_write_enabled=True, **ids)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        operation = client.get("/openapi.json").json()["paths"][path]["post"]
        example = operation["requestBody"]["content"]["application/json"]["example"]
        answer = client.post(path.format(referral_id="a"), json=example)
        wrong = client.post(path.format(referral_id="a"), json={**example, "nonsense": 1})
    assert example
    assert answer.status_code != 422
    assert wrong.status_code == 422
