"""Registration data of a domain over RDAP (RFC 9082, RFC 9083): registrar, dates, name servers.

Here belongs one look-up at the registry, paced for each registry, with a typed outcome. When to look up and what to
keep is the pipeline's; a score never waits for it. The registry is found in a bootstrap file (RFC 9224) that ships
with the package, so that nothing is fetched to start with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import requests
import whoisit
import whoisit.errors

RegistrationStatus = Literal["found", "unregistered", "unsupported", "rate_limited", "failed"]

BOOTSTRAP_PATH: Final = Path(__file__).with_name("rdap_bootstrap.json")

_PAUSE_AFTER_429: Final = 60.0

# whoisit wants the files for numbers and networks too, none of them empty; a domain never leads to these
_NO_NUMBERS: Final = {
    "asn": {"services": [[["64496-64496"], ["https://rdap.invalid/"]]]},
    "ipv4": {"services": [[["192.0.2.0/24"], ["https://rdap.invalid/"]]]},
    "ipv6": {"services": [[["2001:db8::/32"], ["https://rdap.invalid/"]]]},
    "object": {"services": [[["x"], ["x"], ["https://rdap.invalid/"]]]},
}


class BootstrapError(ValueError):
    """The bootstrap file cannot be used; the text names the file and the fix."""


@dataclass(frozen=True)
class Registration:
    """The outcome of one look-up.

    Dates are in UTC and None where the registry gives none.

    :param status: `found`: the registry has the domain. `unregistered`: it says that it has not. `unsupported`: the
        top-level domain has no RDAP server in the bootstrap file. `rate_limited`: the registry asked to wait. `failed`:
        anything else.
    :param reason: why there is no data.
    """

    domain: str
    status: RegistrationStatus
    fetched_at: datetime
    registrar: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    name_servers: tuple[str, ...] = ()
    reason: str | None = None


class RegistrationClient:
    """Asks registries. Use it from one thread.

    :param session: makes the requests (TLS settings, proxies); without one, a plain one is made.
    :param bootstrap: a file in the form of IANA's `dns.json`. whoisit keeps its bootstrap for the whole process: the
        client made last decides.
    :param interval: seconds between two questions to one registry.
    :raises BootstrapError: the file cannot be used.
    """

    def __init__(
        self,
        session: requests.Session | None = None,
        bootstrap: Path = BOOTSTRAP_PATH,
        *,
        interval: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session or requests.Session()
        self._interval = interval
        self._sleep = sleep
        self._next: dict[str, float] = {}
        self._blocked_until: dict[str, float] = {}
        _load(bootstrap)

    def lookup(self, domain: str, now: datetime) -> Registration:
        """Look a registrable domain up (A-labels), and stamp the outcome with `now`. No failure raises."""
        try:
            _, url, _ = whoisit.build_query(query_type="domain", query_value=domain)
        except whoisit.errors.UnsupportedError:
            suffix = domain.rpartition(".")[2]
            return Registration(
                domain, "unsupported", now, reason=f".{suffix} has no RDAP server in the bootstrap file"
            )
        except whoisit.errors.WhoisItError:
            return Registration(domain, "failed", now, reason="is no domain that a registry can be asked for")
        registry = urlsplit(url).netloc
        if self._blocked_until.get(registry, 0.0) > time.monotonic():
            return Registration(domain, "rate_limited", now, reason=f"{registry} asked to wait a minute")
        self._wait(registry)
        try:
            # the registrar's own server, to which the reply may point, has nothing more of what is read here
            return _read(domain, now, whoisit.domain(domain, session=self._session, follow_related=False))
        except whoisit.errors.ResourceDoesNotExist:
            return Registration(domain, "unregistered", now, reason=f"{registry} does not know the domain")
        except whoisit.errors.RateLimitedError:
            self._blocked_until[registry] = time.monotonic() + _PAUSE_AFTER_429
            return Registration(domain, "rate_limited", now, reason=f"{registry} asked to wait")
        except whoisit.errors.QueryError as error:
            # the error's own text holds the reply, and with it names and addresses
            what = f"HTTP status {error.status_code}" if error.status_code else "no usable reply"
            return Registration(domain, "failed", now, reason=f"{registry}: {what}")
        except (whoisit.errors.WhoisItError, ValueError, TypeError, AttributeError, LookupError, OverflowError):
            return Registration(domain, "failed", now, reason=f"{registry}: the reply is no RDAP domain")

    def _wait(self, registry: str) -> None:
        wait = self._next.get(registry, 0.0) - time.monotonic()
        if wait > 0:
            self._sleep(wait)
        self._next[registry] = time.monotonic() + self._interval


def _load(path: Path) -> None:
    try:
        data = {"timestamp": 0, "dns": json.loads(path.read_text(encoding="utf-8")), **_NO_NUMBERS}
        whoisit.clear_bootstrapping()
        # the overrides name servers that IANA's file lacks or has wrong
        whoisit.load_bootstrap_data(data, overrides=True, from_json=False)
    except (OSError, ValueError, TypeError, AttributeError, whoisit.errors.WhoisItError) as error:
        raise BootstrapError(
            f"{path}: is no RDAP bootstrap file ({type(error).__name__}); take https://data.iana.org/rdap/dns.json"
        ) from error


def _read(domain: str, now: datetime, data: dict[str, Any]) -> Registration:
    registrars = data["entities"].get("registrar", [])
    return Registration(
        domain,
        "found",
        now,
        registrar=next((_clean(entity["name"]) for entity in registrars if entity.get("name")), None),
        created_at=_utc(data["registration_date"]),
        expires_at=_utc(data["expiration_date"]),
        name_servers=tuple(sorted({_clean(name).rstrip(".").lower() for name in data["nameservers"]})),
    )


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _clean(text: str) -> str:
    """Text that a database takes: no NUL, no lone surrogate, as JSON may hold them."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
