"""Pages, retries and where the token goes, over real HTTPS."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from hunter_pipeline.partner_center import client as client_module
from hunter_pipeline.partner_center.client import PartnerCenterClient
from hunter_pipeline.partner_center.errors import (
    ApiError,
    NetworkError,
    PartnerCenterError,
    ReadLimit,
    Throttled,
    UnreadablePage,
)
from hunter_pipeline.sandbox.https_server import Response, json_response
from hunter_pipeline_tests.integration.partner_center.scripted_server import Script

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN = "the-access-token"


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = START
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(script: Script, clock: Clock) -> PartnerCenterClient:
    return make(script.base_url, clock)


def make(
    base_url: str, clock: Clock, token: Callable[..., str] = lambda **_: TOKEN, **options: Any
) -> PartnerCenterClient:
    return PartnerCenterClient(base_url, token, **{"interval": 0, "sleep": clock.sleep, "now": clock.now, **options})


def item(name: str, updated: str | None = "2026-11-01T00:00:00Z") -> dict[str, Any]:
    return {"id": name, "updatedDateTime": updated} if updated else {"id": name}


def ids(client: PartnerCenterClient, since: datetime | None = None) -> list[list[str]]:
    return [[each.value["id"] for each in page.items] for page in client.iter_pages(since)]  # type: ignore[index]


# Paging


def test_the_list_is_asked_newest_change_first_as_documented(script: Script, client: PartnerCenterClient):
    script.page(item("1"))
    assert ids(client) == [["1"]]
    (request,) = script.requests
    assert request.target == "/v1.0/engagements/referrals?$orderby=updatedDateTime%20desc"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["MS-RequestId"] == request.headers["client-request-id"]
    assert len(request.headers["MS-CorrelationId"]) == 36


def test_one_read_has_one_correlation_id_and_every_request_its_own(script: Script, client: PartnerCenterClient):
    script.page(link=f"{script.base_url}/v1.0/engagements/referrals?$skiptoken=a")
    script.page()
    assert ids(client) == [[], []]
    assert len({request.headers["MS-CorrelationId"] for request in script.requests}) == 1
    assert len({request.headers["MS-RequestId"] for request in script.requests}) == 2


@pytest.mark.parametrize(
    "link",
    [
        "http://HOST/v1.0/referrals?$skiptoken=a%2Bb",
        "https://HOST/v1.0/referrals?$skiptoken=a%2Bb",
        "https://HOST/v1.0/engagements/referrals?$skiptoken=a%2Bb",
        "/v1.0/engagements/referrals?$skiptoken=a%2Bb",
        "?$skiptoken=a%2Bb",
        "https://HOST/v1.0/engagements/referrals?$skiptoken=a%2Bb#fragment",
    ],
)
def test_every_form_of_the_next_link_leads_to_the_next_page(script: Script, client: PartnerCenterClient, link: str):
    script.page(item("1"), link=link.replace("HOST", script.base_url.removeprefix("https://")))
    script.page(item("2"))
    assert ids(client) == [["1"], ["2"]]
    assert script.requests[1].target == "/v1.0/engagements/referrals?$skiptoken=a%2Bb"
    assert script.requests[1].secure


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/engagements/referrals?$skiptoken=a",
        "https://127.0.0.1.evil.example:PORT/v1.0/engagements/referrals",
        "https://127.0.0.1/v1.0/engagements/referrals?$skiptoken=a",
        "http://127.0.0.1/v1.0/engagements/referrals?$skiptoken=a",
        "https://localhost:PORT/v1.0/engagements/referrals",
        "//evil.example/v1.0/engagements/referrals",
        "https://127.0.0.1:PORT@evil.example/",
        "https://user@127.0.0.1:PORT/v1.0/engagements/referrals",
        "https://127.0.0.1:99999/",
        "https://[::1/",
        "ftp://127.0.0.1:PORT/v1.0/engagements/referrals",
        "file:///etc/passwd",
    ],
)
def test_the_token_goes_to_no_other_host_or_port(script: Script, client: PartnerCenterClient, link: str):
    script.page(item("1"), link=link.replace("PORT", script.base_url.rpartition(":")[2]))
    pages = client.iter_pages()
    assert next(pages).number == 1
    with pytest.raises(UnreadablePage, match="nextLink"):
        next(pages)
    assert len(script.requests) == 1


def test_a_link_to_a_page_that_was_read_is_an_error_and_no_endless_sync(script: Script, client: PartnerCenterClient):
    for token in ("a", "b", "a"):
        script.page(item("1"), link=f"http{script.base_url[5:]}/v1.0/referrals?$skiptoken={token}")
    with pytest.raises(UnreadablePage, match="leads back"):
        ids(client)
    assert len(script.requests) == 3


def test_an_empty_page_with_a_next_link_is_not_the_end(script: Script, client: PartnerCenterClient):
    script.page(link="?$skiptoken=a")
    script.page(item("2"))
    assert ids(client, since=START) == [[], ["2"]]


def test_there_is_no_limit_to_the_number_of_pages(script: Script, client: PartnerCenterClient):
    for number in range(120):
        script.page(item(str(number)), link=f"?$skiptoken={number}")
    script.page(item("last"))
    assert len(ids(client)) == 121


def test_reading_ends_after_a_page_that_is_older_than_the_window(script: Script, client: PartnerCenterClient):
    script.page(item("new", "2026-11-20T13:00:00.1234567Z"), item("old", "2026-11-01T00:00:00Z"), link="?$skiptoken=a")
    script.page(item("old"), item("offset", "2026-11-20T13:59:59+02:00"), item("undated", None), link="?$skiptoken=b")
    assert ids(client, since=START) == [["new", "old"], ["old", "offset", "undated"]]
    assert len(script.requests) == 2


@pytest.mark.parametrize("updated", [None, "yesterday", "", 5, "2026-11-20T12:00:00Z", "2026-11-20T12:00:00"])
def test_an_item_without_a_readable_date_or_at_the_very_start_ends_nothing(
    script: Script, client: PartnerCenterClient, updated: Any
):
    script.page({"id": "1", "updatedDateTime": updated}, link="?$skiptoken=a")
    script.page(item("2"))
    assert ids(client, since=START) == [["1"], ["2"]]


def test_one_referral_is_asked_by_its_quoted_id(script: Script, client: PartnerCenterClient):
    script.answers.append(json_response(200, {"id": "a/b?c"}))
    assert client.get_referral("a/b?c d").value == {"id": "a/b?c"}
    assert script.targets == ["/v1.0/engagements/referrals/a%2Fb%3Fc%20d"]


# Pacing and retries


def test_the_interval_lies_between_two_requests(script: Script, clock: Clock):
    client = make(script.base_url, clock, interval=1.0)
    script.page(item("1"), link="?$skiptoken=a")
    script.page(item("2"), link="?$skiptoken=b")
    script.page(item("3"))
    pages = client.iter_pages()
    next(pages)
    assert clock.slept == []
    next(pages)
    assert clock.slept == [1.0]
    clock.time += timedelta(seconds=0.4)
    next(pages)
    assert clock.slept == [1.0, pytest.approx(0.6)]


def test_a_clock_that_was_set_back_does_not_stop_the_sync(script: Script, clock: Clock):
    client = make(script.base_url, clock, interval=1.0)
    script.page(item("1"), link="?$skiptoken=a")
    script.page(item("2"))
    pages = client.iter_pages()
    next(pages)
    clock.time -= timedelta(days=1)
    next(pages)
    assert clock.slept == [1.0]


@pytest.mark.parametrize("fault", [408, 429, 500, 502, 503, 504, "closed"])
def test_a_passing_failure_is_tried_again(script: Script, client: PartnerCenterClient, clock: Clock, fault: int | str):
    script.answers.append(None if fault == "closed" else json_response(int(fault), {}))
    script.page(item("1"))
    assert ids(client) == [["1"]]
    assert len(clock.slept) == 1
    assert 0.5 <= clock.slept[0] <= 1.0


def test_a_log_line_about_one_referral_bears_its_id(script: Script, client: PartnerCenterClient):
    script.answers += [json_response(503, {}), json_response(200, item("1"))]
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        client.get_referral("1")
    assert [(line["event"], line["referral_id"]) for line in lines] == [("partner_center_retry", "1")]


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_no_more_attempts_are_made_than_configured(script: Script, clock: Clock, attempts: int):
    script.answers += [json_response(503, {"error": {"code": "serviceNotAvailable"}})] * 10
    with pytest.raises(ApiError, match="503 serviceNotAvailable") as caught:
        ids(make(script.base_url, clock, attempts=attempts))
    assert caught.value.transient
    assert len(script.requests) == attempts


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410])
def test_a_lasting_failure_is_not_tried_again(script: Script, client: PartnerCenterClient, status: int):
    script.answers.append(json_response(status, {"error": {"code": "someCode"}}, {"request-id": "the-request-id"}))
    with pytest.raises(ApiError) as caught:
        ids(client)
    error = caught.value
    assert (error.status, error.code, error.request_id, error.transient) == (
        status,
        "someCode",
        "the-request-id",
        False,
    )
    assert error.correlation_id == script.requests[0].headers["MS-CorrelationId"]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (format_datetime(START + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(START - timedelta(seconds=30), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_honoured(
    script: Script, client: PartnerCenterClient, clock: Clock, status: int, header: str, wait: float
):
    script.answers.append(json_response(status, {}, {"Retry-After": header}))
    script.page(item("1"))
    assert ids(client) == [["1"]]
    assert clock.slept == ([wait] if wait else [])


@pytest.mark.parametrize("header", ["soon", "-5", "1.5e3", "9" * 5000, "Fri, 99 Nov 2026"])
def test_an_unreadable_retry_after_counts_as_none(
    script: Script, client: PartnerCenterClient, clock: Clock, header: str
):
    script.answers.append(json_response(503, {}, {"Retry-After": header}))
    script.page(item("1"))
    assert ids(client) == [["1"]]
    assert 0.5 <= clock.slept[0] <= 1.0


def test_a_retry_after_beyond_two_minutes_is_left_to_a_later_sync(
    script: Script, client: PartnerCenterClient, clock: Clock
):
    script.answers.append(json_response(429, {}, {"Retry-After": "3600"}))
    with pytest.raises(ApiError, match="3600 seconds") as caught:
        ids(client)
    assert (caught.value.transient, caught.value.retry_after, clock.slept) == (True, 3600.0, [])


# The token


def test_a_refused_token_is_renewed_once_and_the_request_sent_again(script: Script, clock: Clock):
    forced: list[bool] = []

    def token(*, force_refresh: bool = False) -> str:
        forced.append(force_refresh)
        return "renewed" if force_refresh else "expired"

    script.answers.append(json_response(401, {}))
    script.page(item("1"))
    assert ids(make(script.base_url, clock, token)) == [["1"]]
    assert forced == [False, True]
    assert [request.headers["Authorization"] for request in script.requests] == ["Bearer expired", "Bearer renewed"]
    assert script.targets[0] == script.targets[1]


def test_a_token_that_stays_refused_is_an_error_that_names_the_fix(script: Script, client: PartnerCenterClient):
    script.answers += [json_response(401, {"error": {"code": "unauthenticated"}})] * 5
    with pytest.raises(ApiError, match=r"401 unauthenticated: .*HUNTER_PARTNER_CENTER_SCOPE.*hunter login"):
        ids(client)
    assert len(script.requests) == 2


def test_a_claims_challenge_asks_for_a_new_sign_in(script: Script, client: PartnerCenterClient):
    challenge = 'Bearer error="insufficient_claims", claims="eyJh"'
    script.answers.append(json_response(403, {}, {"WWW-Authenticate": challenge}))
    with pytest.raises(ApiError, match=r"conditional access.*hunter login"):
        ids(client)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(script: Script, client: PartnerCenterClient, status: int):
    script.answers.append(Response(status, headers={"Location": f"{script.base_url}/elsewhere"}))
    with pytest.raises(ApiError, match="redirects are not followed"):
        ids(client)
    assert len(script.requests) == 1


def test_a_netrc_file_does_not_replace_the_token(
    script: Script, client: PartnerCenterClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    script.page()
    ids(client)
    assert script.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


# What is no answer


def test_a_certificate_that_is_not_trusted_names_the_variable(
    script: Script, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(NetworkError, match="REQUESTS_CA_BUNDLE"):
        ids(make(script.base_url, clock))
    assert script.requests == []


def test_a_port_where_nobody_listens_is_a_network_error(clock: Clock):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkError, match=f"127.0.0.1:{port} cannot be reached"):
        ids(make(f"https://127.0.0.1:{port}", clock))
    assert len(clock.slept) == 1


def test_a_server_that_does_not_answer_is_given_up_after_the_time_out(clock: Clock):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(NetworkError, match=r"did not answer within 0\.2 seconds"):
            ids(make(f"https://127.0.0.1:{port}", clock, timeout=0.2))


def test_an_answer_that_cannot_be_unpacked_is_tried_again(script: Script, client: PartnerCenterClient):
    script.answers.append(Response(200, b'{"value": []}', headers={"Content-Encoding": "gzip"}))
    script.page(item("1"))
    assert ids(client) == [["1"]]


def test_an_answer_beyond_the_bound_is_refused(
    script: Script, client: PartnerCenterClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client_module, "LARGEST_ANSWER", 1000)
    script.page(item("x" * 2000))
    with pytest.raises(UnreadablePage, match="larger"):
        ids(client)


@pytest.mark.parametrize("body", [b"<html></html>", b"[]", b'{"value": [', b""])
def test_a_page_that_is_not_json_is_an_error_and_not_an_empty_list(
    script: Script, client: PartnerCenterClient, body: bytes
):
    script.answers += [Response(200, body)] * 2
    with pytest.raises(UnreadablePage, match="HUNTER_PARTNER_CENTER_BASE_URL"):
        ids(client)


@pytest.mark.parametrize("body", [b"<html></html>", b"[]", b'{"value": [', b"", b'{"value": null}'])
def test_a_broken_answer_gets_the_second_attempt_that_a_500_gets(
    script: Script, client: PartnerCenterClient, body: bytes
):
    script.answers.append(Response(200, body))
    script.page(item("1"))
    assert ids(client) == [["1"]]


@pytest.mark.parametrize("broken", ["reset", "cut"])
def test_a_connection_that_breaks_gets_a_second_attempt(script: Script, client: PartnerCenterClient, broken: Any):
    script.answers.append(Response(200, b'{"value": []}', broken=broken))
    script.page(item("1"))
    assert ids(client) == [["1"]]


@pytest.mark.parametrize("broken", ["drip", "stall"])
def test_a_body_that_never_ends_is_given_up(script: Script, clock: Clock, broken: Any):
    script.answers += [Response(200, b"x" * 10_000, broken=broken)] * 2
    with pytest.raises(NetworkError, match=r"within 0\.[25] seconds"):
        ids(make(script.base_url, clock, timeout=0.5, body_timeout=0.2))
    assert len(script.requests) == 2


def test_a_list_without_end_is_ended_by_the_page_limit(script: Script, clock: Clock):
    for number in range(9):
        script.page(item(str(number)), link=f"?$skiptoken={number}")
    with pytest.raises(ReadLimit, match=r"after 4 pages.*HUNTER_PARTNER_CENTER_PAGE_LIMIT"):
        ids(make(script.base_url, clock, page_limit=4))
    assert len(script.requests) == 4


def test_one_sync_asks_no_longer_than_its_budget(script: Script, clock: Clock):
    for number in range(9):
        script.page(item(str(number)), link=f"?$skiptoken={number}")
    with pytest.raises(ReadLimit, match="HUNTER_PARTNER_CENTER_SYNC_BUDGET"):
        ids(make(script.base_url, clock, interval=10, budget=35))
    assert len(script.requests) == 4


def test_nothing_is_asked_before_the_pause_is_over(script: Script, clock: Clock):
    client = make(script.base_url, clock, attempts=1)
    script.answers.append(json_response(429, {}, {"Retry-After": "60"}))
    with pytest.raises(ApiError):
        client.get_referral("1")
    script.answers.append(json_response(200, {"id": "2"}))
    client.get_referral("2")
    assert clock.slept == [60.0]


def test_a_pause_beyond_the_budget_is_not_waited_for(script: Script, clock: Clock):
    script.answers.append(json_response(429, {}, {"Retry-After": "60"}))
    with pytest.raises(Throttled) as caught:
        ids(make(script.base_url, clock, budget=50))
    assert caught.value.until == START + timedelta(seconds=60)
    assert clock.slept == []


def test_a_renewal_that_fails_in_passing_gets_a_second_attempt(script: Script, clock: Clock):
    answers: list[Exception | str] = [NetworkError("Microsoft's identity service is in trouble"), "good"]

    def token(*, force_refresh: bool = False) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    script.page(item("1"))
    assert ids(make(script.base_url, clock, token)) == [["1"]]


def counted(script: Script, count: int, *names: str, link: str | None = None) -> None:
    more = {"@odata.nextLink": link} if link else {}
    script.answers.append(json_response(200, {"@odata.count": count, "value": [item(name) for name in names], **more}))


def test_a_list_that_shrank_between_two_pages_is_read_once_more(script: Script, client: PartnerCenterClient):
    counted(script, 5, "1", "2", link="?$skiptoken=a")
    counted(script, 4, "4", "5")  # 1 was deleted, and 3 slipped onto the first page
    counted(script, 4, "2", "3", link="?$skiptoken=a")
    counted(script, 4, "4", "5")
    assert ids(client) == [["1", "2"], ["4", "5"], ["2", "3"], ["4", "5"]]


def test_a_list_that_keeps_shrinking_is_read_three_times_at_most(script: Script, client: PartnerCenterClient):
    for left in (9, 8, 7):
        counted(script, left, "1", "2", link="?$skiptoken=a")
        counted(script, left - 1, "3")
    assert len(ids(client)) == 6


def test_counts_of_single_pages_are_not_taken_for_a_list_that_shrinks(script: Script, client: PartnerCenterClient):
    counted(script, 2, "1", "2", link="?$skiptoken=a")
    counted(script, 1, "3")
    assert ids(client) == [["1", "2"], ["3"]]


def test_the_pages_before_a_failure_have_been_handed_out(script: Script, client: PartnerCenterClient):
    script.page(item("1"), link="?$skiptoken=a")
    script.answers.append(json_response(400, {}))
    pages = client.iter_pages()
    assert next(pages).number == 1
    with pytest.raises(ApiError):
        next(pages)


def test_no_error_and_no_log_line_holds_the_token_or_personal_data(script: Script, client: PartnerCenterClient):
    person = "sue.smith@contoso.com"
    bodies = [
        (200, {"value": [{"id": "1", "email": person}], "@odata.nextLink": f"https://evil.example/?{person}"}),
        (503, {"error": {"code": person, "message": person}}),
        (503, {"error": {"code": person, "message": person}}),
        (400, {"error": {"code": "x", "message": f"{person} {TOKEN}"}}),
        (401, {}),
        (401, {}),
    ]
    script.answers += [json_response(status, body, {"request-id": person}) for status, body in bodies]
    texts: list[str] = []
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            try:
                ids(client)
            except PartnerCenterError as error:
                texts.append(str(error))
    assert len(texts) == 4
    for text in [*texts, str(lines)]:
        assert "sue" not in text
        assert TOKEN not in text
        assert "\n" not in text
