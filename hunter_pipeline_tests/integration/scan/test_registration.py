"""RDAP look-ups against a real HTTPS server that stands in for a registry."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hunter_pipeline.scan.registration import BOOTSTRAP_PATH, BootstrapError, Registration, RegistrationClient

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def domain_object(**more: Any) -> dict[str, Any]:
    """An RDAP domain in the shape of RFC 9083 section 5.3."""
    return {
        "objectClassName": "domain",
        "handle": "2138514_DOMAIN_COM-VRSN",
        "ldhName": "ACME.COM",
        "status": ["client transfer prohibited"],
        "events": [
            {"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"},
            {"eventAction": "expiration", "eventDate": "2027-08-13T06:00:00+02:00"},
        ],
        "nameservers": [
            {"objectClassName": "nameserver", "ldhName": "NS2.ACME.COM"},
            {"objectClassName": "nameserver", "ldhName": "ns1.acme.com."},
        ],
        "entities": [
            {
                "objectClassName": "entity",
                "handle": "376",
                "roles": ["registrar"],
                "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Example Registrar Ltd"]]],
                "entities": [
                    {
                        "objectClassName": "entity",
                        "roles": ["abuse"],
                        "vcardArray": ["vcard", [["fn", {}, "text", "Jane Roe"], ["email", {}, "text", "jane@x.test"]]],
                    }
                ],
            }
        ],
        "links": [
            {
                "rel": "related",
                "href": "https://registrar.invalid/rdap/domain/ACME.COM",
                "type": "application/rdap+json",
            }
        ],
    } | more


@pytest.fixture
def client(https_server: Any, tmp_path: Path) -> RegistrationClient:
    bootstrap = tmp_path / "dns.json"
    bootstrap.write_text(json.dumps({"services": [[["com"], [f"{https_server.url}/rdap/"]]]}), encoding="utf-8")
    return RegistrationClient(https_server.session, bootstrap, interval=0)


def answer(https_server: Any, status: int, body: Any) -> None:
    https_server.answers["/rdap/domain/acme.com"] = (status, body)


def test_a_registered_domain(https_server: Any, client: RegistrationClient):
    answer(https_server, 200, domain_object())
    assert client.lookup("acme.com", NOW) == Registration(
        domain="acme.com",
        status="found",
        fetched_at=NOW,
        registrar="Example Registrar Ltd",
        created_at=datetime(1995, 8, 14, 4, tzinfo=UTC),
        expires_at=datetime(2027, 8, 13, 4, tzinfo=UTC),
        name_servers=("ns1.acme.com", "ns2.acme.com"),
    )
    assert https_server.asked == ["/rdap/domain/acme.com"]


def test_a_reply_without_dates_or_registrar_is_still_found(https_server: Any, client: RegistrationClient):
    answer(https_server, 200, domain_object(events=[], entities=[], nameservers=[]))
    found = client.lookup("acme.com", NOW)
    assert (found.status, found.registrar, found.expires_at, found.name_servers) == ("found", None, None, ())


def test_text_that_no_database_takes_is_cleaned(https_server: Any, client: RegistrationClient):
    card = ["vcard", [["fn", {}, "text", "Bad\0 \ud800Name"]]]
    answer(https_server, 200, domain_object(entities=[{"handle": "1", "roles": ["registrar"], "vcardArray": card}]))
    assert client.lookup("acme.com", NOW).registrar == "Bad ?Name"


def test_an_unregistered_domain(https_server: Any, client: RegistrationClient):
    answer(https_server, 404, {"errorCode": 404})
    result = client.lookup("acme.com", NOW)
    assert result.status == "unregistered"
    assert "does not know the domain" in (result.reason or "")


def test_a_top_level_domain_without_a_server_is_unsupported(https_server: Any, client: RegistrationClient):
    result = client.lookup("acme.com.tr", NOW)
    assert (result.status, result.reason) == ("unsupported", ".tr has no RDAP server in the bootstrap file")
    assert https_server.asked == []


def test_a_registry_that_asks_to_wait_is_not_asked_again(https_server: Any, client: RegistrationClient):
    answer(https_server, 429, {})
    assert client.lookup("acme.com", NOW).status == "rate_limited"
    answer(https_server, 200, domain_object())
    assert client.lookup("acme.com", NOW).status == "rate_limited"
    assert len(https_server.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, {}, "HTTP status 500"),
        (503, {}, "HTTP status 503"),
        (403, {}, "HTTP status 403"),
        (200, b"<html>jane@x.test</html>", "no usable reply"),
        (200, [], "the reply is no RDAP domain"),
        (200, {"objectClassName": "entity", "handle": "jane@x.test"}, "the reply is no RDAP domain"),
        (200, {"handle": "x", "objectClassName": "domain", "events": [1]}, "the reply is no RDAP domain"),
        (
            200,
            domain_object(events=[{"eventAction": "expiration", "eventDate": "never"}]),
            "the reply is no RDAP domain",
        ),
    ],
)
def test_anything_else_failed_with_a_reason_that_holds_no_personal_data(
    https_server: Any, client: RegistrationClient, status: int, body: Any, reason: str
):
    answer(https_server, status, body)
    result = client.lookup("acme.com", NOW)
    assert result.status == "failed"
    assert reason in (result.reason or "")
    assert "jane" not in (result.reason or "")


def test_a_registry_that_is_not_there_failed(tmp_path: Path):
    bootstrap = tmp_path / "dns.json"
    bootstrap.write_text('{"services": [[["com"], ["https://localhost:1/"]]]}', encoding="utf-8")
    result = RegistrationClient(bootstrap=bootstrap).lookup("acme.com", NOW)
    assert (result.status, result.reason) == ("failed", "localhost:1: no usable reply")


@pytest.mark.parametrize("domain", ["", "com", "a b"])
def test_what_is_no_domain_is_not_found(client: RegistrationClient, domain: str):
    assert client.lookup(domain, NOW).status in ("failed", "unsupported", "unregistered")


def test_each_registry_is_asked_at_the_set_pace(https_server: Any, tmp_path: Path):
    bootstrap = tmp_path / "dns.json"
    services = [[["com"], [f"{https_server.url}/rdap/"]], [["net"], ["https://localhost:1/"]]]
    bootstrap.write_text(json.dumps({"services": services}), encoding="utf-8")
    slept: list[float] = []
    client = RegistrationClient(https_server.session, bootstrap, interval=30, sleep=slept.append)
    for domain in ("acme.com", "acme.net", "other.com"):
        client.lookup(domain, NOW)
    assert len(slept) == 1
    assert 0 < slept[0] <= 30


def test_the_shipped_bootstrap_file_is_usable_and_names_its_date():
    data = json.loads(BOOTSTRAP_PATH.read_text(encoding="utf-8"))
    assert datetime.fromisoformat(data["publication"]).year >= 2026
    assert all(url.startswith("https://") and url.endswith("/") for _, urls in data["services"] for url in urls)
    suffixes = [suffix for each, _ in data["services"] for suffix in each]
    assert len(suffixes) == len(set(suffixes))
    RegistrationClient()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"services": []}', '{"services": 1}'])
def test_an_unusable_bootstrap_file_is_refused_with_the_fix(tmp_path: Path, content: str):
    bootstrap = tmp_path / "dns.json"
    bootstrap.write_text(content, encoding="utf-8")
    with pytest.raises(BootstrapError, match=r"dns\.json: is no RDAP bootstrap file .*data\.iana\.org"):
        RegistrationClient(bootstrap=bootstrap)
