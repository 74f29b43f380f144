"""The sandbox as one thing: starts the local services and tells the settings that point at them.

Here belongs the wiring: certificate, ports, which service answers which path, and the environment. What each service
does stands in its own module. Everything runs in threads of the calling process, on loopback only.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

import trustme

from hunter_pipeline.sandbox import samples
from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.sandbox.https_server import HttpsServer, Request, Response
from hunter_pipeline.sandbox.identity import CLIENT_ID, TENANT_ID, Identity
from hunter_pipeline.sandbox.partner_center import PartnerCenter


class Ports(NamedTuple):
    """Ports to listen on; 0 picks a free one."""

    https: int = 0
    dns: int = 0


ANY_PORTS: Final = Ports()
FIRST_START: Final = "first_start.txt"
"""File in a sandbox's folder: the moment from which the samples' dates are counted."""
AUTHORITY: Final = "authority.pem"
"""File in a sandbox's folder: key and certificate of its authority."""


class Sandbox:
    """A local Partner Center, identity provider and DNS server; use it in a `with` statement.

    `access_token_seconds`, `strict_rotation` and `client_secret` are described at `Identity`.

    :param directory: where the certificate authority is kept, its certificate as `ca.pem`, and the moment of the first
        start; None: a temporary one.
    :param first_start: the moment (aware UTC) from which the samples' dates are counted; None: the one that the
        directory keeps, else now.
    :param referrals: payloads of any shape; None: the samples.
    :param zone: names and their records as `ZoneServer` takes them; None: the samples' zone.
    :param approve: whether a device code is approved by itself.
    :param page_size: referrals on a page.
    :raises OSError: a port that was asked for is taken, or what the directory keeps cannot be read.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        first_start: datetime | None = None,
        referrals: Sequence[object] | None = None,
        zone: Mapping[str, Mapping[str, Any]] | None = None,
        ports: Ports = ANY_PORTS,
        approve: Literal["auto", "manual"] = "auto",
        page_size: int = 10,
        access_token_seconds: int = 3600,
        strict_rotation: bool = False,
        client_secret: str | None = None,
    ) -> None:
        self._stack = ExitStack()
        self._directory = directory
        self._ports = ports
        world = samples.load_world()
        self.identity = Identity(
            approve_mode=approve,
            access_token_seconds=access_token_seconds,
            strict_rotation=strict_rotation,
            client_secret=client_secret,
            tenants=world.tenants,
        )
        self.partner_center = PartnerCenter(self.identity.accepts, page_size=page_size)
        if referrals is None:
            for sample in samples.load_samples(first_start or _first_start(directory)):
                self.partner_center.referrals.add_text(sample.text, short_in_list=sample.short_in_list)
        else:
            for payload in referrals:
                self.partner_center.referrals.add(payload)
        self._answers = samples.load_zone() if zone is None else zone

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Write `ca.pem` and answer from now on."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        folder = self._directory or Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        authority = _authority(folder)
        if not self.ca_file.exists() or self.ca_file.read_bytes() != authority.cert_pem.bytes():
            authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        server = HttpsServer(self._answer, context, port=self._ports.https)
        self._stack.callback(server.stop)
        self.base_url = f"https://127.0.0.1:{server.port}"
        self.identity.base_url = self.partner_center.base_url = self.base_url
        server.start()
        self.dns = self._stack.enter_context(ZoneServer(self._answers, port=self._ports.dns))

    def stop(self) -> None:
        """Stop answering, and remove a temporary directory."""
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """Every environment variable that points the product at the running sandbox."""
        return {
            "HUNTER_PARTNER_CENTER_ENABLED": "true",
            "HUNTER_PARTNER_CENTER_BASE_URL": self.base_url,
            "HUNTER_PARTNER_CENTER_AUTHORITY": f"{self.base_url}/{{tenant_id}}",
            "HUNTER_PARTNER_CENTER_TENANT_ID": TENANT_ID,
            "HUNTER_PARTNER_CENTER_CLIENT_ID": CLIENT_ID,
            "HUNTER_PARTNER_CENTER_SCOPE": f"{self.base_url}/.default",
            "HUNTER_PARTNER_CENTER_REQUEST_INTERVAL": "0",
            "HUNTER_TENANT_DISCOVERY_URL": self.base_url,
            "HUNTER_DNS_SERVERS": self.dns.address,
            "HUNTER_DNS_QUERIES_PER_SECOND": "5000",
            "HUNTER_DNS_MOST_QUERIES_PER_SECOND": "5000",
            "HUNTER_DNS_TIMEOUT": "1",
            "HUNTER_DNS_ATTEMPTS": "2",
            "HUNTER_REGISTRATION_ENABLED": "false",
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
        }

    def _answer(self, request: Request) -> Response | None:
        if request.secure and not request.path.startswith("/v1.0/"):
            answer = self.identity.answer(request)
            if answer is not None:
                return answer
        return self.partner_center.answer(request)


def _first_start(directory: Path | None) -> datetime:
    """When a sandbox was first started in this directory; it begins now where none was."""
    now = datetime.now(UTC).replace(microsecond=0)
    if directory is None:
        return now
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / FIRST_START
    kept = _made_once(file, now.isoformat().encode).decode().strip()
    try:
        return datetime.fromisoformat(kept).astimezone(UTC)
    except ValueError:
        raise OSError(f"{file} should hold the date of the first start; remove the file to begin anew") from None


def _authority(directory: Path) -> trustme.CA:
    """The directory's certificate authority: one for all that start there, or a second sandbox would take the trust of
    the first one's clients away."""

    def make() -> bytes:
        made = trustme.CA()
        return made.private_key_pem.bytes() + made.cert_pem.bytes()

    file = directory / AUTHORITY
    kept = _made_once(file, make)
    try:
        return trustme.CA.from_pem(kept, kept)
    except ValueError:
        raise OSError(f"{file} should hold a key and its certificate; remove the file to begin anew") from None


def _made_once(file: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a file that is made where it is missing, readable by its owner alone."""
    if not file.exists():
        # Linked when it is whole, so that of two sandboxes that start at once both read what one has written.
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=file.name) as whole:
            whole.write(make())
            whole.flush()
            with contextlib.suppress(FileExistsError):
                os.link(whole.name, file)
    return file.read_bytes()
