"""The webhook: what counts as signed by Microsoft, and what an event starts."""

import base64
import itertools
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.testclient import TestClient

from hunter_pipeline.sandbox.https_server import HttpsServer, Request, Response
from hunter_pipeline.web import webhook
from hunter_pipeline.web.app import create_app
from hunter_pipeline.web.webhook import (
    BadEvent,
    CertificateUnavailable,
    Event,
    Verifier,
    check_certificate_url,
    read_event,
    trusted_roots,
)
from hunter_pipeline_tests.web.serving import StubDagster, serving

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
BODY = json.dumps(
    {
        "EventName": "referral-updated",
        "ResourceUri": "https://api.partnercenter.microsoft.com/engagements/v1/referrals/hostile-1",
        "ResourceName": "referral",
        "AuditUri": None,
        "ResourceChangeUtcDate": "2026-11-24T08:59:39.5485487+00:00",
    }
).encode()

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

pytestmark = pytest.mark.xdist_group("web")


def _name(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: x509.Name, key: Key, issuer: x509.Name, issuer_key: Key, *, ca: bool, until: datetime
) -> x509.Certificate:
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@dataclass
class Microsoft:
    """A stand-in for the signer: root, intermediate, and an HTTPS server that hands certificates out."""

    root_key: Key = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    middle_key: Key = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    served: dict[str, Response] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    ca_bundle: str = ""

    def __post_init__(self) -> None:
        root, middle = _name("Root Org", "Test Root"), _name("Middle Org", "Test Middle")
        later = NOW + timedelta(days=300)
        self.root = _certificate(root, self.root_key, root, self.root_key, ca=True, until=later)
        self.middle = _certificate(middle, self.middle_key, root, self.root_key, ca=True, until=later)

    def leaf(
        self,
        organization: str = "Microsoft Corporation",
        *,
        until: datetime = NOW + timedelta(days=30),
        key: Key | None = None,
    ) -> x509.Certificate:
        subject = _name(organization, "Partner Center events")
        return _certificate(subject, key or self.key, self.middle.subject, self.middle_key, ca=False, until=until)

    def serve(self, name: str, *certificates: x509.Certificate, der: bool = False) -> str:
        encoding = serialization.Encoding.DER if der else serialization.Encoding.PEM
        content = b"".join(each.public_bytes(encoding) for each in certificates)
        self.served[f"/cert/{name}"] = Response(200, content)
        return f"{self.url}/cert/{name}"

    def headers(self, certificate_url: str, body: bytes = BODY, **changes: str) -> dict[str, str]:
        signature = base64.b64encode(self.key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()
        return {
            "authorization": f"Signature {signature}",
            "x-ms-certificate-url": certificate_url,
            "x-ms-signature-algorithm": "rsa-sha256",
            **changes,
        }

    def verifier(self) -> Verifier:
        return Verifier(f"{self.url}/cert/", [self.root], lambda: NOW, ca_bundle=self.ca_bundle)


@pytest.fixture(scope="module")
def microsoft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Microsoft]:
    signer = Microsoft()
    authority = trustme.CA()
    bundle = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def answer(request: Request) -> Response | None:
        signer.requests.append(request.path)
        return signer.served.get(request.path)

    server = HttpsServer(answer, context, port=0)
    server.start()
    signer.url, signer.ca_bundle = f"https://127.0.0.1:{server.port}", str(bundle)
    yield signer
    server.stop()


@pytest.mark.parametrize("der", [False, True])
def test_a_genuine_event_is_taken(microsoft: Microsoft, der: bool):
    chain = [microsoft.leaf()] if der else [microsoft.leaf(), microsoft.middle]
    url = microsoft.serve("good", *chain, der=der)
    verifier = Verifier(
        f"{microsoft.url}/cert/",
        [microsoft.middle if der else microsoft.root],
        lambda: NOW,
        ca_bundle=microsoft.ca_bundle,
    )
    verifier.verify(microsoft.headers(url), BODY)


def test_the_signature_may_stand_in_its_own_header(microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    headers = microsoft.headers(url)
    headers["x-ms-signature"] = headers.pop("authorization").removeprefix("Signature ")
    microsoft.verifier().verify(headers, BODY)


def test_a_good_certificate_is_fetched_once(microsoft: Microsoft):
    url = microsoft.serve("once", microsoft.leaf(), microsoft.middle)
    verifier = microsoft.verifier()
    for _ in range(3):
        verifier.verify(microsoft.headers(url), BODY)
    assert microsoft.requests.count("/cert/once") == 1


def test_another_body_is_refused(microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    with pytest.raises(BadEvent, match="not that of the body"):
        microsoft.verifier().verify(microsoft.headers(url), BODY + b" ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"x-ms-signature-algorithm": "rsa-sha1"}, "rsa-sha256"),
        ({"x-ms-signature-algorithm": "none"}, "rsa-sha256"),
        ({"authorization": "Signature "}, "no signature"),
        ({"authorization": "Signature ???"}, "Base64"),
        ({"authorization": "Bearer abc"}, "no signature"),
    ],
)
def test_a_signature_of_another_kind_is_refused(microsoft: Microsoft, changes: dict[str, str], reason: str):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    with pytest.raises(BadEvent, match=reason):
        microsoft.verifier().verify(microsoft.headers(url, **changes), BODY)


def test_a_certificate_of_another_organization_is_refused(microsoft: Microsoft):
    url = microsoft.serve("other", microsoft.leaf("Contoso"), microsoft.middle)
    with pytest.raises(BadEvent, match="Microsoft Corporation"):
        microsoft.verifier().verify(microsoft.headers(url), BODY)


def test_a_certificate_that_is_over_is_refused(microsoft: Microsoft):
    url = microsoft.serve("old", microsoft.leaf(until=NOW - timedelta(days=1)), microsoft.middle)
    with pytest.raises(BadEvent, match="not valid today"):
        microsoft.verifier().verify(microsoft.headers(url), BODY)


def test_a_kept_certificate_is_not_used_past_its_end(microsoft: Microsoft):
    url = microsoft.serve("ending", microsoft.leaf(until=NOW + timedelta(days=1)), microsoft.middle)
    moment = [NOW]
    verifier = Verifier(f"{microsoft.url}/cert/", [microsoft.root], lambda: moment[0], ca_bundle=microsoft.ca_bundle)
    verifier.verify(microsoft.headers(url), BODY)
    moment[0] += timedelta(days=2)
    with pytest.raises(BadEvent, match="not valid today"):
        verifier.verify(microsoft.headers(url), BODY)


def test_a_chain_to_another_root_is_refused(microsoft: Microsoft):
    stranger = Microsoft()
    url = microsoft.serve("stranger", stranger.leaf(key=microsoft.key), stranger.middle)
    with pytest.raises(BadEvent, match="trusted root"):
        microsoft.verifier().verify(microsoft.headers(url), BODY)


def test_a_chain_with_a_missing_link_is_refused(microsoft: Microsoft):
    url = microsoft.serve("alone", microsoft.leaf())
    with pytest.raises(BadEvent, match="trusted root"):
        microsoft.verifier().verify(microsoft.headers(url), BODY)


def test_a_certificate_without_an_rsa_key_is_refused(microsoft: Microsoft):
    key = ec.generate_private_key(ec.SECP256R1())
    url = microsoft.serve("curve", microsoft.leaf(key=key), microsoft.middle)
    with pytest.raises(BadEvent, match="RSA"):
        microsoft.verifier().verify(microsoft.headers(url), BODY)


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"x" * 70_000])
def test_what_is_no_certificate_is_refused(microsoft: Microsoft, content: bytes):
    microsoft.served["/cert/junk"] = Response(200, content)
    with pytest.raises(BadEvent):
        microsoft.verifier().verify(microsoft.headers(f"{microsoft.url}/cert/junk"), BODY)


def test_a_redirect_is_not_followed(microsoft: Microsoft):
    microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    microsoft.served["/cert/moved"] = Response(302, headers={"location": f"{microsoft.url}/cert/good"})
    with pytest.raises(BadEvent, match="answers 302"):
        microsoft.verifier().verify(microsoft.headers(f"{microsoft.url}/cert/moved"), BODY)


def test_a_certificate_server_in_trouble_asks_for_another_delivery(microsoft: Microsoft):
    microsoft.served["/cert/down"] = Response(503)
    with pytest.raises(CertificateUnavailable):
        microsoft.verifier().verify(microsoft.headers(f"{microsoft.url}/cert/down"), BODY)
    nobody = Verifier("https://127.0.0.1:1/cert/", [microsoft.root], lambda: NOW)
    with pytest.raises(CertificateUnavailable):
        nobody.verify(microsoft.headers("https://127.0.0.1:1/cert/x"), BODY)


PINNED = "https://store.example.net/cert/"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://store.example.net/cert/a",
        "https://store.example.net/other/a",
        "https://store.example.net/cert",
        "https://store.example.net.evil.example/cert/a",
        "https://evil.example/cert/a",
        "https://store.example.net@evil.example/cert/a",
        "https://user@store.example.net/cert/a",
        "https://store.example.net:8443/cert/a",
        "https://store.example.net:abc/cert/a",
        "https://store.example.net/cert/../private/a",
        "https://store.example.net/cert/%2e%2e/private/a",
        "https://store.example.net/cert/%252e%252e/private/a",
        "https://store.example.net\\@evil.example/cert/a",
        "https://store.example.net/cert/a\n",
        "https://[::1/cert/a",
        "file:///cert/a",
        "https://169.254.169.254/cert/a",
    ],
)
def test_an_address_outside_the_pinned_place_is_never_asked(url: str):
    with pytest.raises(BadEvent, match="not in the place"):
        check_certificate_url(url, PINNED)


@pytest.mark.parametrize("url", ["https://store.example.net/cert/a.cer", "https://STORE.example.net:443/cert/a/b"])
def test_an_address_in_the_pinned_place_is_asked(url: str):
    check_certificate_url(url, PINNED)


def test_only_name_id_and_time_are_taken_from_an_event():
    moment = datetime(2026, 11, 24, 8, 59, 39, 548548, tzinfo=UTC)
    assert read_event(BODY) == Event("referral-updated", "hostile-1", moment)


@pytest.mark.parametrize("name", ["test-created", "subscription-updated"])
def test_an_event_about_something_else_names_no_referral(name: str):
    assert read_event(json.dumps({"EventName": name}).encode()) == Event(name, None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"EventName": 1}',
        b'{"EventName": "referral-created"}',
        b'{"EventName": "referral-created", "ResourceUri": "https://x/referrals/"}',
        b'{"EventName": "referral-created", "ResourceUri": "https://x/referrals/a?b"}',
        b'{"EventName": "referral-created", "ResourceUri": "https://x/other/a"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_event_is_refused(body: bytes):
    with pytest.raises(BadEvent):
        read_event(body)


@pytest.mark.parametrize("date", [None, 5, "yesterday", "9999-99-99T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_left_out(date: object):
    event = {**json.loads(BODY), "ResourceChangeUtcDate": date}
    assert read_event(json.dumps(event).encode()).changed_at is None


@pytest.fixture
def hook(microsoft: Microsoft, make_settings: Callable[..., Any], filled_engine: Engine) -> Callable[..., TestClient]:
    def make(**values: Any) -> TestClient:
        app = create_app(
            make_settings(webhook_enabled=True, **values),
            filled_engine,
            clock=lambda: NOW,
            verifier=microsoft.verifier(),
        )
        return TestClient(app, base_url="https://hooks.example.com")

    return make


def test_a_signed_event_needs_no_token_and_asks_dagster_for_a_sync(
    hook: Callable[..., TestClient], microsoft: Microsoft
):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    answer = hook(web_token="a-token-of-some-length").post(
        "/ingest/partnercenter", content=BODY, headers=microsoft.headers(url)
    )
    # There is no Dagster here: the sender is asked to try again.
    assert answer.status_code == 503
    assert "Dagster does not answer" in answer.json()["detail"]


def test_a_signed_event_starts_a_sync_and_a_second_one_joins_it(hook: Callable[..., TestClient], microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    dagster = StubDagster("STARTED")
    with serving(dagster.app) as address:
        client = hook(dagster_url=address)
        answers = [client.post("/ingest/partnercenter", content=BODY, headers=microsoft.headers(url)) for _ in "12"]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (202, {"sync": "started", "run_id": "stub-1"}),
        (202, {"sync": "under way", "run_id": "stub-1"}),
    ]
    assert [tags["hunter/trigger"] for tags in dagster.launched] == ["webhook"]


def test_a_forged_event_is_refused(hook: Callable[..., TestClient], microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    answer = hook().post("/ingest/partnercenter", content=b"{}", headers=microsoft.headers(url))
    assert answer.status_code == 401
    assert hook().post("/ingest/partnercenter", content=BODY).status_code == 401


def test_a_change_that_is_known_already_starts_nothing(hook: Callable[..., TestClient], microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    body = json.dumps({**json.loads(BODY), "ResourceChangeUtcDate": "2026-11-20T07:00:00Z"}).encode()
    answer = hook().post("/ingest/partnercenter", content=body, headers=microsoft.headers(url, body))
    assert (answer.status_code, answer.json()["sync"]) == (202, "not needed")


def test_a_test_event_is_taken_and_starts_nothing(hook: Callable[..., TestClient], microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    body = b'{"EventName": "test-created"}'
    answer = hook().post("/ingest/partnercenter", content=body, headers=microsoft.headers(url, body))
    assert (answer.status_code, answer.json()["sync"]) == (202, "ignored")


def test_a_signed_body_that_is_no_event_is_a_bad_request(hook: Callable[..., TestClient], microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    answer = hook().post("/ingest/partnercenter", content=b"{}", headers=microsoft.headers(url, b"{}"))
    assert answer.status_code == 400


def test_an_event_with_the_flag_off_is_refused(hook: Callable[..., TestClient], microsoft: Microsoft):
    url = microsoft.serve("good", microsoft.leaf(), microsoft.middle)
    client = hook(partner_center_enabled=False)
    answer = client.post("/ingest/partnercenter", content=BODY, headers=microsoft.headers(url))
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Partner Center integration is disabled"


def test_the_webhook_is_off_unless_switched_on(make_test_app: Callable[..., FastAPI]):
    with TestClient(make_test_app(), base_url="http://localhost") as client:
        assert client.post("/ingest/partnercenter", content=BODY).status_code == 404


def test_the_public_roots_are_trusted_by_default_and_a_file_stands_in_for_them(microsoft: Microsoft, tmp_path: Path):
    assert len(trusted_roots()) > 50
    file = tmp_path / "roots.pem"
    file.write_bytes(microsoft.root.public_bytes(serialization.Encoding.PEM))
    assert trusted_roots(file) == [microsoft.root]


def test_root_certificates_that_cannot_be_read_are_told_at_the_start(
    make_test_app: Callable[..., FastAPI], tmp_path: Path
):
    (tmp_path / "empty.pem").write_text("nothing")
    for file in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match="HUNTER_WEBHOOK_CA_FILE"):
            make_test_app(webhook_enabled=True, webhook_ca_file=tmp_path / file)


def test_while_the_certificates_server_is_silent_two_wait_for_it_and_nobody_else(
    microsoft: Microsoft,
    make_settings: Callable[..., Any],
    filled_engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(webhook, "_FETCH_SECONDS", 300)
    asked, speak = [], threading.Event()

    def silent(request: Request) -> Response | None:
        asked.append(request.path)
        speak.wait(300)
        return Response(404)

    context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = HttpsServer(silent, context, port=0)
    server.start()
    prefix = f"https://127.0.0.1:{server.port}/cert/"
    verifier = Verifier(prefix, [microsoft.root], lambda: NOW, ca_bundle=str(tmp_path / "ca.pem"))
    app = create_app(make_settings(webhook_enabled=True), filled_engine, clock=lambda: NOW, verifier=verifier)
    with serving(app) as url, ThreadPoolExecutor(60) as many:

        def post(number: int) -> int:
            headers = microsoft.headers(f"{prefix}{number}")
            return requests.post(f"{url}/ingest/partnercenter", BODY, headers=headers, timeout=300).status_code

        try:
            sent = [many.submit(post, number) for number in range(60)]
            answers = list(itertools.islice(as_completed(sent, timeout=60), 58))
            assert {each.result() for each in answers} == {503}
            assert requests.get(f"{url}/healthz", timeout=60).status_code == 200
            assert len(asked) == 2
        finally:
            speak.set()
            server.stop()


def test_a_certificate_that_proved_bad_is_not_fetched_again_at_once(microsoft: Microsoft):
    now = [NOW]
    verifier = Verifier(f"{microsoft.url}/cert/", [microsoft.root], lambda: now[0], ca_bundle=microsoft.ca_bundle)
    headers = microsoft.headers(f"{microsoft.url}/cert/late")
    microsoft.served["/cert/late"] = Response(404)
    for _ in range(3):
        with pytest.raises(BadEvent):
            verifier.verify(headers, BODY)
    assert microsoft.requests.count("/cert/late") == 1
    microsoft.serve("late", microsoft.leaf(), microsoft.middle)
    now[0] += timedelta(minutes=2)
    verifier.verify(headers, BODY)
    assert microsoft.requests.count("/cert/late") == 2
    verifier.verify(headers, BODY)
    assert microsoft.requests.count("/cert/late") == 2
