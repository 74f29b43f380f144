"""The guard in front of Dagster: names, sites, methods, the token; with the lead list as its client."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from hunter_pipeline.settings import Settings
from hunter_pipeline.web.dagster_client import DagsterClient, DagsterRefused
from hunter_pipeline.web.dagster_guard import DagsterGuard
from hunter_pipeline.web.security import Sessions
from hunter_pipeline_tests.web.conftest import TOKEN
from hunter_pipeline_tests.web.serving import StubDagster, free_port, serving

pytestmark = pytest.mark.xdist_group("web")

BEARER = {"authorization": f"Bearer {TOKEN}"}


def _dagster() -> Starlette:
    """Answers as Dagster's web server does: to everybody, and GraphQL over GET and plain forms."""

    async def everything(request: Request) -> Response:
        return JSONResponse({"path": request.url.path, "commanded": request.url.path == "/graphql"})

    async def listen(socket: WebSocket) -> None:
        await socket.accept(subprotocol="graphql-ws")
        await socket.send_json({"type": "connection_ack"})
        await socket.close()

    every = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]
    return Starlette(routes=[WebSocketRoute("/graphql", listen), Route("/{path:path}", everything, methods=every)])


def _client(settings: Settings, base_url: str = "http://127.0.0.1:3000") -> TestClient:
    guard = DagsterGuard(_dagster(), settings, wrong_token_seconds=0)
    return TestClient(guard, base_url=base_url, follow_redirects=False)


@pytest.fixture
def open_guard(make_settings: Callable[..., Settings]) -> Iterator[TestClient]:
    with _client(make_settings(dagster_public_url="https://dagster.example.com")) as client:
        yield client


@pytest.fixture
def closed_guard(make_settings: Callable[..., Settings]) -> Iterator[TestClient]:
    settings = make_settings(web_token=TOKEN, dagster_public_url="https://dagster.example.com")
    with _client(settings, "https://dagster.example.com") as client:
        yield client


def test_a_page_of_the_ui_asks_and_changes(open_guard: TestClient):
    headers = {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin"}
    assert open_guard.post("/graphql", json={}, headers=headers).json()["commanded"]
    assert open_guard.get("/runs", headers={"accept": "text/html"}).json()["path"] == "/runs"
    assert open_guard.get("/graphql", headers={"accept": "text/html"}).status_code == 200, "the playground"
    with open_guard.websocket_connect(
        "ws://127.0.0.1:3000/graphql", subprotocols=["graphql-ws"], headers=headers
    ) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/graphql?query=mutation", {"accept": "image/*"}, 405),
        ("GET", "/graphql?query=mutation", {"accept": "text/html"}, 405),
        ("GET", "/graphql", {}, 405),
        ("HEAD", "/graphql?query=mutation", {}, 405),
        ("POST", "/graphql?query=mutation", {}, 415),
        ("POST", "/graphql", {"content-type": "text/plain; x=application/json"}, 415),
        ("POST", "/graphql", {"content-type": "application/json", "origin": "https://evil.example"}, 403),
        ("POST", "/graphql", {"content-type": "application/json", "origin": "http://127.0.0.1:8000"}, 403),
        ("POST", "/graphql", {"content-type": "application/json", "sec-fetch-site": "same-site"}, 403),
        ("POST", "/report_asset_check/x", {"origin": "null"}, 403),
        ("DELETE", "/x", {"sec-fetch-site": "cross-site"}, 403),
        ("GET", "/runs", {"host": "evil.example"}, 403),
        ("POST", "/graphql", {"content-type": "application/json", "host": "rebound.example:3000"}, 403),
    ],
)
def test_what_another_site_can_cause_is_refused(
    open_guard: TestClient, method: str, path: str, headers: dict[str, str], status: int
):
    assert open_guard.request(method, path, headers=headers).status_code == status


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}])
def test_another_site_cannot_listen(open_guard: TestClient, headers: dict[str, str]):
    with (
        pytest.raises(WebSocketDisconnect),
        open_guard.websocket_connect("ws://127.0.0.1:3000/graphql", headers=headers),
    ):
        pass


def test_behind_a_proxy_the_public_name_is_an_own_one(open_guard: TestClient):
    passed_on = {"host": "dagster.example.com", "origin": "https://dagster.example.com"}
    rewritten = {"host": "127.0.0.1:3000", "origin": "https://dagster.example.com"}
    for headers in (passed_on, rewritten):
        assert open_guard.post("/graphql", json={}, headers=headers).status_code == 200


def test_no_answer_can_be_framed_or_read_by_another_site(open_guard: TestClient):
    for path in ("/runs", "/graphql?query=x"):
        headers = open_guard.get(path).headers
        assert headers["x-frame-options"] in {"SAMEORIGIN", "DENY"}
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_probe_learns_the_version_under_any_name(closed_guard: TestClient):
    assert closed_guard.get("/server_info", headers={"host": "10.0.0.7:3000"}).status_code == 200


@pytest.mark.parametrize("given", [{}, {"authorization": "Bearer wrong"}, {"cookie": "hunter_session=1.2.3"}])
def test_with_a_token_set_nothing_answers_without_it(closed_guard: TestClient, given: dict[str, str]):
    for method, path in (("GET", "/runs"), ("POST", "/graphql"), ("GET", "/logs/x"), ("GET", "/download_debug/x")):
        assert closed_guard.request(method, path, headers=given).status_code == 401, path
    with (
        pytest.raises(WebSocketDisconnect),
        closed_guard.websocket_connect("wss://dagster.example.com/graphql", headers=given),
    ):
        pass


def test_a_person_signs_in_once_and_the_ui_works(closed_guard: TestClient):
    sent = closed_guard.get("/runs/x?tab=logs", headers={"accept": "text/html"})
    assert sent.headers["location"] == "/sign-in?next=/runs/x%3Ftab%3Dlogs"
    form = closed_guard.get(sent.headers["location"])
    assert 'value="/runs/x?tab=logs"' in form.text
    assert "default-src 'none'" in form.headers["content-security-policy"]
    assert closed_guard.get("/static/hunter.css").status_code == 200
    wrong = closed_guard.post("/sign-in", data={"token": "wrong", "next": "/runs/x"})
    assert wrong.status_code == 401
    assert "This is not the token" in wrong.text
    right = closed_guard.post("/sign-in", data={"token": TOKEN, "next": "/runs/x?tab=logs"})
    assert right.headers["location"] == "/runs/x?tab=logs"
    assert {"httponly", "secure", "samesite=lax"} <= {
        part.strip().lower() for part in right.headers["set-cookie"].split(";")
    }
    assert closed_guard.post("/graphql", json={}).status_code == 200
    with closed_guard.websocket_connect(
        "wss://dagster.example.com/graphql", headers={"origin": "https://dagster.example.com"}
    ) as socket:
        assert socket.receive_json() == {"type": "connection_ack"}
    # The session does not excuse what another site causes.
    assert closed_guard.post("/graphql", json={}, headers={"origin": "https://evil.example"}).status_code == 403
    assert closed_guard.get("/graphql?query=mutation").status_code == 405


def test_sign_in_leads_to_no_other_site_and_comes_from_none(closed_guard: TestClient):
    answer = closed_guard.post("/sign-in", data={"token": TOKEN, "next": "//evil.example"})
    assert answer.headers["location"] == "/"
    foreign = closed_guard.post("/sign-in", data={"token": TOKEN}, headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403


def test_a_session_of_the_lead_list_is_one_here_too(closed_guard: TestClient):
    cookie = Sessions(TOKEN).cookie(4_000_000_000)
    assert closed_guard.get("/runs", headers={"cookie": f"hunter_session={cookie}"}).status_code == 200


@pytest.mark.parametrize("token", [None, TOKEN])
def test_the_lead_list_gets_through_with_a_key_that_opens_nothing_else(
    make_settings: Callable[..., Settings], token: str | None
):
    port = free_port()
    dagster, settings = StubDagster(), make_settings(web_token=token, dagster_url=f"http://127.0.0.1:{port}")
    key = Sessions(token).dagster_key if token else None
    with serving(DagsterGuard(dagster.app, settings, wrong_token_seconds=0), port) as url:
        assert DagsterClient(url, key).launch_sync({"a": "b"}) == "stub-1"
        if token:
            assert token not in str(key)
            for wrong in (None, "wrong"):
                with pytest.raises(DagsterRefused, match="HUNTER_WEB_TOKEN"):
                    DagsterClient(url, wrong).launch_sync({})
    assert dagster.launched == [{"a": "b"}]


def test_the_key_for_dagster_does_not_open_the_lead_list(make_test_app: Callable[..., Any]):
    key = Sessions(TOKEN).dagster_key
    with TestClient(make_test_app(web_token=TOKEN), base_url="http://127.0.0.1") as client:
        assert client.get("/api/leads", headers={"authorization": f"Bearer {key}"}).status_code == 401
        assert client.get("/api/leads", headers=BEARER).status_code == 200


def test_a_refusal_names_the_setting(open_guard: TestClient):
    answer = open_guard.get("/runs", headers={"host": "dagster.internal"})
    assert "HUNTER_DAGSTER_PUBLIC_URL" in json.loads(answer.text)["detail"]
