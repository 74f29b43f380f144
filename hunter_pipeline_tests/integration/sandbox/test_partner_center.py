"""A plain HTTP client pages through the local Partner Center and meets its documented answers and its faults."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msal
import pytest
import requests

from hunter_pipeline.sandbox.identity import CLIENT_ID, TENANT_ID
from hunter_pipeline.sandbox.sandbox import Sandbox

LIST = "/v1.0/engagements/referrals"


class Client:
    """A signed-in `requests` session for one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(sandbox.ca_file)
        app = msal.PublicClientApplication(
            CLIENT_ID,
            authority=f"{sandbox.base_url}/{TENANT_ID}",
            instance_discovery=False,
            http_client=self.session,
        )
        flow = app.initiate_device_flow([f"{sandbox.base_url}/.default"])
        self.session.headers["Authorization"] = f"Bearer {app.acquire_token_by_device_flow(flow)['access_token']}"

    def get(self, path: str = LIST, **query: str) -> requests.Response:
        params = {f"${name}": value for name, value in query.items()}
        return self.session.get(self.sandbox.base_url + path, params=params)

    def pages(self, **query: str) -> list[dict[str, object]]:
        """Every page, following the next link as a careful client does: over TLS, on the right path."""
        found = [self.get(**query).json()]
        while link := found[-1].get("@odata.nextLink"):
            parts = urlsplit(link)
            assert (parts.scheme, parts.path) == ("http", "/v1.0/referrals")
            assert parts.netloc == urlsplit(self.sandbox.base_url).netloc
            found.append(self.session.get(f"{self.sandbox.base_url}{LIST}?{parts.query}").json())
        return found

    def ids(self, **query: str) -> list[object]:
        return [item["id"] for page in self.pages(**query) for item in page["value"]]  # type: ignore[attr-defined]


def referral(number: int, **changes: object) -> dict[str, object]:
    day = f"2026-10-{number:02}T08:00:00.0000000Z"
    return {"id": f"r{number:02}", "createdDateTime": day, "updatedDateTime": day, "status": "New", **changes}


@pytest.fixture
def five(tmp_path: Path) -> Iterator[Client]:
    payloads = [
        referral(1, engagementId="aaaaaaaa-0000-4000-8000-000000000001"),
        referral(2, status="Active"),
        referral(3, updatedDateTime="2026-11-20T08:00:00Z"),
        referral(4, engagementId="aaaaaaaa-0000-4000-8000-000000000001", eTag='"first"'),
        referral(5, status="Active"),
    ]
    with Sandbox(referrals=payloads, page_size=2, directory=tmp_path) as running:
        client = Client(running)
        yield client
        client.session.close()


def test_the_list_comes_in_pages_newest_first(five: Client) -> None:
    pages = five.pages(orderby="updatedDateTime desc")
    assert [[item["id"] for item in page["value"]] for page in pages] == [["r03", "r05"], ["r04", "r02"], ["r01"]]  # type: ignore[attr-defined]
    assert {page["@odata.count"] for page in pages} == {5}
    assert str(pages[0]["@odata.context"]).endswith("/v1.0/$metadata#Referrals")


def test_the_list_can_be_ordered_both_ways_by_both_times(five: Client) -> None:
    assert five.ids(orderby="createdDateTime asc") == ["r01", "r02", "r03", "r04", "r05"]
    assert five.ids(orderby="createdDateTime desc") == ["r05", "r04", "r03", "r02", "r01"]
    assert five.ids(orderby="updatedDateTime") == ["r01", "r02", "r04", "r05", "r03"]


def test_top_ends_the_list(five: Client) -> None:
    assert five.ids(orderby="createdDateTime asc", top="3") == ["r01", "r02", "r03"]
    assert five.ids(top="0") == []


def test_the_list_can_be_filtered_with_and_without_quotes(five: Client) -> None:
    engagement = "aaaaaaaa-0000-4000-8000-000000000001"
    assert five.ids(filter=f"engagementId eq '{engagement}'", orderby="createdDateTime") == ["r01", "r04"]
    assert five.ids(filter=f"engagementId eq {engagement}", orderby="createdDateTime") == ["r01", "r04"]
    assert five.ids(filter="status eq 'Active' and engagementId eq 'x'") == []
    assert five.ids(filter="status eq 'Active'", orderby="createdDateTime") == ["r02", "r05"]


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "updatedDateTime ge 2026-10-01"},
        {"orderby": "name"},
        {"top": "-1"},
        {"skiptoken": "bogus"},
        {"expand": "team"},
    ],
)
def test_an_option_that_is_not_documented_is_an_invalid_request(query: dict[str, str], five: Client) -> None:
    answer = five.get(**query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalidRequest")


def test_rows_that_move_between_two_pages_can_repeat(five: Client) -> None:
    first = five.get(orderby="updatedDateTime desc").json()
    five.sandbox.partner_center.referrals.update("r01", status="Closed")
    query = urlsplit(first["@odata.nextLink"]).query
    second = five.session.get(f"{five.sandbox.base_url}{LIST}?{query}").json()
    assert [item["id"] for item in second["value"]] == ["r05", "r04"]


def test_one_referral_comes_with_its_etag(five: Client) -> None:
    answer = five.get(f"{LIST}/r04")
    assert (answer.json()["id"], answer.headers["ETag"]) == ("r04", '"first"')
    assert five.get(f"{LIST}/r01").headers["ETag"].startswith('"')


def test_an_update_moves_the_time_and_the_etag(five: Client) -> None:
    before = five.get(f"{LIST}/r04").json()
    five.sandbox.partner_center.referrals.update("r04", status="Closed", substatus="Lost")
    after = five.get(f"{LIST}/r04").json()
    assert (after["status"], after["substatus"]) == ("Closed", "Lost")
    assert after["updatedDateTime"] > before["updatedDateTime"]
    assert after["eTag"] != before["eTag"]
    assert five.ids(orderby="updatedDateTime desc")[0] == "r04"


def test_referrals_can_be_added_and_removed(five: Client) -> None:
    store = five.sandbox.partner_center.referrals
    store.remove("r01")
    store.add(referral(6))
    assert five.ids(orderby="createdDateTime") == ["r02", "r03", "r04", "r05", "r06"]
    assert len(store) == 5
    with pytest.raises(KeyError, match="r01"):
        store.remove("r01")


def test_a_short_list_item_shows_its_contacts_only_alone(five: Client) -> None:
    full = referral(
        7, customerProfile={"name": "X", "team": [{"email": "a@x.example"}], "ids": []}, consent={}, team=[]
    )
    five.sandbox.partner_center.referrals.add(full, short_in_list=True)
    listed = next(item for page in five.pages() for item in page["value"] if item["id"] == "r07")  # type: ignore[attr-defined]
    assert listed == referral(7, customerProfile={"name": "X"})
    assert five.get(f"{LIST}/r07").json() == full


def test_raw_items_are_served_as_they_are_written(five: Client) -> None:
    text = '{"id":"raw","n":1e400,"big":' + "9" * 5000 + ',"n":2}'
    five.sandbox.partner_center.add_raw_item(text, updated="2026-12-01T00:00:00Z", referral_id="raw")
    five.sandbox.partner_center.add_raw_item("[" * 3000 + "]" * 3000, updated="2026-12-02T00:00:00Z")
    body = five.get(orderby="updatedDateTime desc").text
    assert text in body
    assert body.index("[[[") < body.index(text)
    assert five.get(f"{LIST}/raw").text == text


@pytest.mark.parametrize("header", [None, "Bearer made-up", "Basic eDp5"])
def test_without_a_good_token_the_answer_is_401(header: str | None, sandbox: Sandbox) -> None:
    headers = {"Authorization": header} if header else {}
    answer = requests.get(sandbox.base_url + LIST, headers=headers, verify=str(sandbox.ca_file))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    logged = sandbox.partner_center.requests[-1]
    assert (logged.authorized, logged.token_sent, logged.status) == (False, header is not None, 401)


def test_an_unknown_referral_or_path_is_not_found(five: Client) -> None:
    for path in (f"{LIST}/nobody", "/v1.0/referrals", "/favicon.ico"):
        answer = five.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "itemNotFound")


def test_creating_replacing_and_deleting_are_not_offered(five: Client) -> None:
    assert five.session.post(f"{five.sandbox.base_url}{LIST}", json={}).status_code == 405
    assert five.session.put(f"{five.sandbox.base_url}{LIST}/r01", json={}).status_code == 405
    assert five.session.delete(f"{five.sandbox.base_url}{LIST}/r01").status_code == 405
    assert five.session.patch(f"{five.sandbox.base_url}{LIST}/r01", json=[]).status_code == 400


def test_answers_carry_a_request_id_and_give_the_callers_back(five: Client) -> None:
    headers = {"client-request-id": "c-1", "MS-CorrelationId": "m-1"}
    answer = five.session.get(five.sandbox.base_url + LIST, headers=headers)
    assert (answer.headers["client-request-id"], answer.headers["MS-CorrelationId"]) == ("c-1", "m-1")
    assert answer.headers["request-id"]


def test_faults_come_as_often_as_ordered_and_in_order(five: Client) -> None:
    center = five.sandbox.partner_center
    center.fail_next(2, 429, {"Retry-After": "7"})
    center.fail_next(1, 200, body="<html>")
    center.fail_next(1, 500, body={"own": "form"})
    answers = [five.get() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 429, 200, 500, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert "error" in answers[0].json()
    assert (answers[2].text, answers[3].json()) == ("<html>", {"own": "form"})
    assert len(answers[4].json()["value"]) == 2


def test_a_fault_can_wait_for_its_path(five: Client) -> None:
    five.sandbox.partner_center.fail_next(1, 503, path="r03")
    assert [five.get(f"{LIST}/{name}").status_code for name in ("r02", "r03", "r03")] == [200, 503, 200]


def test_a_connection_can_break_without_an_answer(five: Client) -> None:
    five.sandbox.partner_center.close_connection_next(1)
    with pytest.raises(requests.ConnectionError):
        five.get()
    assert five.get().status_code == 200
    assert [logged.status for logged in five.sandbox.partner_center.requests[-2:]] == [0, 200]


def test_a_token_sent_over_plain_http_is_noticed_and_never_accepted(five: Client) -> None:
    plain = five.sandbox.base_url.replace("https", "http", 1)
    answer = five.session.get(plain + LIST)
    assert answer.status_code == 400
    logged = five.sandbox.partner_center.requests[-1]
    assert (logged.secure, logged.token_sent, logged.authorized, logged.status) == (False, True, False, 400)


def test_the_log_keeps_no_token(five: Client) -> None:
    five.get(orderby="updatedDateTime desc")
    logged = five.sandbox.partner_center.requests[-1]
    assert (logged.method, logged.authorized, logged.secure, logged.status) == ("GET", True, True, 200)
    assert logged.target.startswith(f"{LIST}?")
    assert str(five.session.headers["Authorization"]).removeprefix("Bearer ") not in repr(logged)


def test_a_client_that_does_not_know_the_authority_is_turned_away_and_others_go_on(
    five: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(five.sandbox.base_url + LIST)
    with socket.create_connection(("127.0.0.1", urlsplit(five.sandbox.base_url).port or 0)):
        assert five.get().status_code == 200
    assert capfd.readouterr().err == ""


def test_stopping_breaks_kept_connections_and_frees_the_port(five: Client) -> None:
    assert five.get().status_code == 200
    five.sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        five.get()


def test_a_page_of_the_samples_is_ascii_json(sandbox: Sandbox) -> None:
    client = Client(sandbox)
    raw = client.get(orderby="updatedDateTime desc").content
    client.session.close()
    assert raw.isascii()
    assert len(json.loads(raw)["value"]) == 10
