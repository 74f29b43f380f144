"""Partner Center's events: are they Microsoft's, and which referral do they mean.

Belongs here: the check of the signature as documented (learn.microsoft.com, "Partner Center webhooks",
Authenticate the callback): certificate from the pinned place only, chain to a trusted root, RSA with SHA-256 over
the raw body. Does not belong here: what an event starts. From the body only the event's name, the referral's id
and the time of the change are taken.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import HTTPError

T = TypeVar("T")

ORGANIZATION = "Microsoft Corporation"
"""Organization in the subject of a certificate that signs events."""

REFERRAL_EVENTS = frozenset(
    {"referral-created", "referral-updated", "related-referral-created", "related-referral-updated"}
)

_FETCH_SECONDS = 10.0
_MAX_CERTIFICATE_BYTES = 64 * 1024
_FETCHES = 2
"""Certificates that are fetched at once."""

_KEPT_CERTIFICATES = 8
_REFUSED_FOR = timedelta(seconds=60)
"""How long an address that gave no good certificate is not asked again."""

_KEPT_REFUSALS = 64
_MIN_RSA_BITS = 2048
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class BadEvent(ValueError):  # noqa: N818 - the name says what is the case
    """An event that is not signed as Microsoft signs, or that is no event."""


class CertificateUnavailable(RuntimeError):  # noqa: N818 - the name says what is the case
    """The certificate's server gives no answer: the event may be genuine, and should be sent again."""


@dataclass(frozen=True)
class Event:
    """What is taken from an event.

    :param referral_id: None for an event about anything else.
    :param changed_at: when the referral changed; None when the event does not say.
    """

    name: str
    referral_id: str | None
    changed_at: datetime | None


class Verifier:
    """Checks events. Certificates that proved good are kept, so that a burst of events fetches one. Addresses that
    gave none are not asked again for a minute; no more than two are asked at once, and nobody waits for a
    place.

    :param certificate_url: what the certificate's address must begin with; https, ending with a slash.
    :param roots: certificates that a chain must lead to.
    :param clock: gives the present, aware UTC.
    :param ca_bundle: file of the roots for the HTTPS connection to the certificate's server; None: as `requests` does.
    """

    def __init__(
        self,
        certificate_url: str,
        roots: list[x509.Certificate],
        clock: Callable[[], datetime],
        *,
        ca_bundle: str | None = None,
    ) -> None:
        self._prefix = certificate_url
        self._store = Store(roots)
        self._clock = clock
        self._ca_bundle = ca_bundle
        self._lock = threading.Lock()
        self._fetches = threading.BoundedSemaphore(_FETCHES)
        self._kept: dict[str, x509.Certificate] = {}
        self._refused: dict[str, tuple[datetime, BadEvent | CertificateUnavailable]] = {}

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Make sure that Microsoft signed `body`.

        :param headers: of the request, names in lower case.
        :raises BadEvent: it did not, or not as documented.
        :raises CertificateUnavailable: the certificate cannot be fetched now.
        """
        algorithm = headers.get("x-ms-signature-algorithm", "").strip().lower()
        if algorithm != "rsa-sha256":
            raise BadEvent("X-MS-Signature-Algorithm is not rsa-sha256")
        signature = _signature(headers)
        certificate = self._certificate(headers.get("x-ms-certificate-url", "").strip())
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _MIN_RSA_BITS:
            raise BadEvent(f"the certificate holds no RSA key of at least {_MIN_RSA_BITS} bits")
        try:
            key.verify(signature, body, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise BadEvent("the signature is not that of the body") from None

    def _certificate(self, url: str) -> x509.Certificate:
        check_certificate_url(url, self._prefix)
        now = self._clock()
        with self._lock:
            known = self._kept.get(url)
            if known is not None and known.not_valid_before_utc <= now <= known.not_valid_after_utc:
                return known
            until, refusal = self._refused.get(url, (now, None))
            if refusal is not None and now < until:
                raise type(refusal)(str(refusal))
        # Never waited for: whoever sends events, genuine or not, must not hold the server's threads.
        if not self._fetches.acquire(blocking=False):
            raise CertificateUnavailable("other certificates are being fetched; send the event again")
        try:
            certificates = read_certificates(self._fetch(url))
            self._check_chain(certificates)
        except (BadEvent, CertificateUnavailable) as error:
            self._keep(self._refused, url, (now + _REFUSED_FOR, error.with_traceback(None)), _KEPT_REFUSALS)
            raise
        finally:
            self._fetches.release()
        self._keep(self._kept, url, certificates[0], _KEPT_CERTIFICATES)
        return certificates[0]

    def _keep(self, kept: dict[str, T], url: str, value: T, most: int) -> None:
        with self._lock:
            kept.pop(url, None)
            while len(kept) >= most:
                del kept[next(iter(kept))]
            kept[url] = value

    def _fetch(self, url: str) -> bytes:
        deadline = time.monotonic() + _FETCH_SECONDS
        content = b""
        try:
            with requests.get(
                url, timeout=_FETCH_SECONDS, allow_redirects=False, stream=True, verify=self._ca_bundle or True
            ) as response:
                if response.status_code >= 500 or response.status_code == 429:
                    raise CertificateUnavailable(f"the certificate's server answers {response.status_code}")
                if response.status_code != 200:
                    raise BadEvent(f"the certificate's address answers {response.status_code}")
                while len(content) <= _MAX_CERTIFICATE_BYTES:
                    piece = response.raw.read1(_MAX_CERTIFICATE_BYTES, decode_content=True)
                    if not piece:
                        break
                    content += piece
                    if time.monotonic() > deadline:  # a body that drips keeps every read within its time-out
                        raise CertificateUnavailable("the certificate's server is too slow")
        except (requests.RequestException, HTTPError) as error:
            raise CertificateUnavailable(f"the certificate cannot be fetched ({type(error).__name__})") from error
        if len(content) > _MAX_CERTIFICATE_BYTES:
            raise BadEvent("what stands at the certificate's address is too large")
        return content

    def _check_chain(self, certificates: list[x509.Certificate]) -> None:
        leaf, *intermediates = certificates
        # A signing certificate is for no host and need not be for TLS: names and usages of the leaf are not TLS's.
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(self._clock())
            .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all())
            .build_client_verifier()
        )
        try:
            verifier.verify(leaf, intermediates)
        except (VerificationError, ValueError, UnsupportedAlgorithm) as error:
            raise BadEvent("the certificate does not lead to a trusted root, or is not valid today") from error
        organizations = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if organizations != [ORGANIZATION]:
            raise BadEvent(f"the certificate is not one of {ORGANIZATION}")


def check_certificate_url(url: str, prefix: str) -> None:
    """Make sure that an address lies in the pinned place.

    The host is compared as parsed, and the path may not climb out: the server must not be made to ask others.

    :raises BadEvent: it does not.
    """
    refused = BadEvent("the certificate's address is not in the place that is set")
    if not url.isascii() or not url.isprintable() or "\\" in url:
        raise refused
    try:
        parts, pinned = urlsplit(url), urlsplit(prefix)
        port, pinned_port = parts.port or 443, pinned.port or 443
    except ValueError:
        raise refused from None
    climbs = ".." in unquote(unquote(parts.path)) or "//" in parts.path
    same = (parts.scheme, parts.hostname, port) == ("https", pinned.hostname, pinned_port)
    if not same or climbs or parts.username is not None or not parts.path.startswith(pinned.path):
        raise refused


def read_certificates(content: bytes) -> list[x509.Certificate]:
    """The certificates of a file, the signing one first: PEM (one or more) or DER (one).

    :raises BadEvent: it holds none.
    """
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError:
        raise BadEvent("what stands at the certificate's address is no certificate") from None


def trusted_roots(path: Path | None = None) -> list[x509.Certificate]:
    """Root certificates of a PEM file; None: the public ones that `requests` trusts.

    :raises OSError: there is no such file.
    :raises ValueError: the file holds no certificate.
    """
    if path is not None:
        return x509.load_pem_x509_certificates(path.read_bytes())
    roots = []
    for block in _PEM.findall(Path(DEFAULT_CA_BUNDLE_PATH).read_bytes()):
        # Some old public roots break today's rules; they go unused instead of keeping the server from starting.
        with warnings.catch_warnings(), contextlib.suppress(ValueError, CryptographyDeprecationWarning):
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            roots.append(x509.load_pem_x509_certificate(block))
    return roots


def read_event(body: bytes) -> Event:
    """The part of an event that is used.

    :raises BadEvent: it is no event.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise BadEvent("the body is no JSON") from None
    name = event.get("EventName") if isinstance(event, dict) else None
    if not isinstance(name, str):
        raise BadEvent("the body has no EventName")
    if name.lower() not in REFERRAL_EVENTS:
        return Event(name, None, None)
    # The host of the address differs from the API's: only the id is taken, and no address is ever followed.
    match = re.fullmatch(r".*/referrals/([A-Za-z0-9._~-]{1,255})/?", str(event.get("ResourceUri")))
    if match is None:
        raise BadEvent("ResourceUri names no referral")
    return Event(name, match[1], _moment(event.get("ResourceChangeUtcDate")))


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        # .NET writes seven digits of a second, and Python reads six.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _signature(headers: Mapping[str, str]) -> bytes:
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    given = value if scheme.lower() == "signature" else headers.get("x-ms-signature", "")
    given = given.strip().removeprefix("rsa-sha256=")
    try:
        signature = base64.b64decode(given, validate=True)
    except ValueError:
        raise BadEvent("the signature is no Base64") from None
    if not signature:
        raise BadEvent("there is no signature")
    return signature
