"""Who may see what: the token, the session, other sites, headers."""

import time
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.web.app import create_app
from hunter_pipeline.web.security import (
    COOKIE,
    MAX_BODY_BYTES,
    SESSION_SECONDS,
    Sessions,
    check_exposure,
    is_local_path,
    is_loopback,
)
from hunter_pipeline_tests.web.conftest import TOKEN

BEARER = {"authorization": f"Bearer {TOKEN}"}
OPEN = {"/healthz", "/healthz/live", "/healthz/ready", "/sign-in", "/static", "/ingest/partnercenter"}

pytestmark = pytest.mark.xdist_group("web")


@pytest.fixture
def guarded(make_test_app: Callable[..., FastAPI]) -> Iterator[TestClient]:
    app = make_test_app(web_token=TOKEN)
    with TestClient(app, base_url="https://leads.example.com", follow_redirects=False) as client:
        yield client


def _sign_in(client: TestClient) -> str:
    """Sign in, and return the CSRF token of the page that follows."""
    answer = client.post("/sign-in", data={"token": TOKEN}, headers={"origin": "https://leads.example.com"})
    assert answer.status_code == 303
    return client.get("/").text.split('name="csrf-token" content="')[1].split('"')[0]


def _every_route(app: FastAPI) -> list[tuple[str, str]]:
    found = []
    for route in app.openapi()["paths"].items():
        found += [(method.upper(), route[0]) for method in route[1]]
    pages = [("GET", "/"), ("GET", "/leads/x.com"), ("GET", "/referrals/x"), ("GET", "/docs"), ("POST", "/sign-out")]
    return [*found, *pages, ("GET", "/openapi.json"), ("GET", "/no/such/page")]


@pytest.mark.parametrize("given", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}])
def test_every_route_without_the_token_is_refused(guarded: TestClient, given: dict[str, str]):
    refused = []
    for method, path in _every_route(guarded.app):
        if path not in OPEN:
            answer = guarded.request(method, path.replace("{", "").replace("}", ""), headers=given)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            refused.append(path)
    assert {"/api/leads", "/api/referrals/sync", "/metrics", "/openapi.json", "/"} <= set(refused)


def test_no_route_is_missing_from_the_list_of_the_test_above(guarded: TestClient):
    known = {path for _, path in _every_route(guarded.app)} | OPEN
    routes = {route.path.replace(":path", "") for route in guarded.app.routes if isinstance(route, APIRoute)}
    assert {path for path in routes if path.count("{") == 0} <= known


@pytest.mark.parametrize("given", [{}, {"cookie": f"{COOKIE}=forged.cookie.value"}])
def test_a_browser_without_a_session_is_sent_to_the_form_and_back(guarded: TestClient, given: dict[str, str]):
    answer = guarded.get("/leads/a.com?x=1&y=2", headers={"accept": "text/html", **given})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/leads/a.com%3Fx%3D1%26y%3D2"
    form = guarded.get(answer.headers["location"])
    assert 'value="/leads/a.com?x=1&amp;y=2"' in form.text
    back = guarded.post("/sign-in", data={"token": TOKEN, "next": "/leads/a.com?x=1&y=2"})
    assert back.headers["location"] == "/leads/a.com?x=1&y=2"


def test_the_token_opens_the_api(guarded: TestClient):
    assert guarded.get("/api/leads", headers=BEARER).status_code == 200


def test_a_wrong_token_in_the_form_is_told_and_sets_no_cookie(guarded: TestClient):
    answer = guarded.post("/sign-in", data={"token": "wrong"})
    assert answer.status_code == 401
    assert "This is not the token" in answer.text
    assert "set-cookie" not in answer.headers


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(guarded: TestClient):
    answer = guarded.post("/sign-in", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "secure"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie


def test_a_session_reads_and_with_the_csrf_token_also_writes(guarded: TestClient):
    csrf = _sign_in(guarded)
    assert guarded.get("/api/leads").status_code == 200
    assert guarded.post("/api/referrals/sync").status_code == 403
    assert guarded.post("/api/referrals/sync", headers={"x-csrf-token": "wrong"}).status_code == 403
    # Past the guard: there is no Dagster here.
    assert guarded.post("/api/referrals/sync", headers={"x-csrf-token": csrf}).status_code == 503


def test_sign_out_needs_the_csrf_token_and_ends_the_session(guarded: TestClient):
    csrf = _sign_in(guarded)
    assert guarded.post("/sign-out", data={"csrf": "wrong"}).status_code == 403
    assert guarded.get("/api/leads").status_code == 200
    assert guarded.post("/sign-out", data={"csrf": csrf}).headers["location"] == "/sign-in"
    assert guarded.get("/api/leads").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://leads.example.com.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_write_that_another_site_causes_is_refused(guarded: TestClient, client: TestClient, headers: dict[str, str]):
    csrf = _sign_in(guarded)
    assert guarded.post("/api/referrals/sync", headers={**headers, "x-csrf-token": csrf}).status_code == 403
    assert guarded.post("/sign-in", data={"token": TOKEN}, headers=headers).status_code == 403
    assert client.post("/api/referrals/sync", headers=headers).status_code == 403
    # A proxy may put the token on everything that a browser sends.
    assert guarded.post("/api/referrals/sync", headers={**headers, **BEARER}).status_code == 403


def test_a_program_with_the_token_writes_without_origin_and_csrf_token(guarded: TestClient):
    assert guarded.post("/api/referrals/sync", headers=BEARER).status_code == 503


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8000", "", "[", "localhost.evil"])
def test_without_a_token_only_this_machines_own_name_is_answered(client: TestClient, host: str):
    assert client.get("/api/leads", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "127.0.0.2:1"])
def test_without_a_token_this_machine_needs_none(client: TestClient, host: str):
    assert client.get("/api/leads", headers={"host": host}).status_code == 200


def test_the_name_of_the_reverse_proxy_is_one_of_our_own(make_test_app: Callable[..., FastAPI]):
    app = make_test_app(web_public_url="https://leads.example.com")
    with TestClient(app, base_url="http://leads.example.com") as client:
        assert client.get("/api/leads").status_code == 200
        through = {"host": "127.0.0.1:8000", "origin": "https://leads.example.com"}
        assert client.post("/api/referrals/sync", headers=through).status_code == 503
        assert client.get("/api/leads", headers={"host": "other.example.com"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/leads", "/sign-in", "/no/such/page", "/static/hunter.css", "/healthz"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str):
    headers = client.get(path, headers={"accept": "text/html"}).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert ("max-age" if path.startswith("/static") else "no-store") in headers["cache-control"]


def test_a_refusal_carries_the_security_headers_too(guarded: TestClient):
    assert "content-security-policy" in guarded.get("/api/leads").headers


@pytest.mark.parametrize("path", ["/sign-in", "/ingest/partnercenter", "/api/referrals/sync"])
def test_a_large_body_is_refused(make_test_app: Callable[..., FastAPI], path: str):
    with TestClient(make_test_app(webhook_enabled=True), base_url="http://localhost") as client:
        assert client.post(path, content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413


@pytest.mark.parametrize("path", ["/ingest/partnercenter", "/api/referrals/sync"])
def test_a_large_body_of_unknown_length_is_refused_while_it_is_read(make_test_app: Callable[..., FastAPI], path: str):
    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY_BYTES // 2)

    with TestClient(make_test_app(webhook_enabled=True), base_url="http://localhost") as client:
        headers = {"content-type": "application/json"}
        assert client.post(path, content=pieces(), headers=headers).status_code == 413


def test_a_server_open_to_others_without_a_token_is_refused_at_the_start(
    make_settings: Callable[..., Settings], make_test_app: Callable[..., FastAPI]
):
    with pytest.raises(SettingsError, match="HUNTER_WEB_TOKEN is not set"):
        make_test_app(web_host="0.0.0.0")
    check_exposure(make_settings(web_token=TOKEN), "0.0.0.0")
    check_exposure(make_settings(), "::1")


@pytest.mark.parametrize("token", ["short", "with a space in the middle", "ünïcödé-tökèn-öf-lèngth"])
def test_a_token_that_is_weak_or_cannot_travel_is_refused(make_settings: Callable[..., Settings], token: str):
    with pytest.raises(ValueError, match="at least 16 characters"):
        make_settings(web_token=token)


def test_a_session_ends_after_its_time_and_with_its_token():
    sessions = Sessions(TOKEN)
    now = time.time()
    cookie = sessions.cookie(now)
    assert sessions.read(cookie, now + SESSION_SECONDS - 1) is not None
    assert sessions.read(cookie, now + SESSION_SECONDS + 1) is None
    assert Sessions(TOKEN + "x").read(cookie, now) is None


@pytest.mark.parametrize("cookie", ["", ".", "..", "9999999999.x.", "ü.ü.ü", "1.2.3", "9999999999." + "a" * 64])
def test_a_cookie_that_was_not_signed_here_is_no_session(cookie: str):
    assert Sessions(TOKEN).read(cookie, 0) is None


def test_two_sessions_have_different_csrf_tokens():
    sessions = Sessions(TOKEN)
    first, second = (sessions.read(sessions.cookie(0), 0) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.csrf != second.csrf


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\nb", ""])
def test_sign_in_never_leads_to_another_site(path: str, guarded: TestClient):
    assert not is_local_path(path)
    answer = guarded.post("/sign-in", data={"token": TOKEN, "next": path})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(("host", "local"), [("localhost", True), ("::1", True), ("0.0.0.0", False), ("host", False)])
def test_loopback_is_told_from_the_rest(host: str, local: bool):
    assert is_loopback(host) is local


def test_the_application_asks_nothing_while_it_is_made(make_settings: Callable[..., Settings]):
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    app = create_app(make_settings(), engine)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/healthz/live").json() == {"live": True, "ready": None, "problem": None}
        assert client.get("/healthz").status_code == 503
        assert client.get("/api/leads").json()["detail"].startswith("The database does not answer")
        assert "hunter_database_up 0.0" in client.get("/metrics").text
