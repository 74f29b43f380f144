"""Tenant discovery: whether Microsoft knows an Entra tenant for a domain.

Here belongs one request for the public OpenID configuration of a domain (OpenID Connect Discovery 1.0). No user name
is ever sent. The answer is information: a tenant says nothing of where the mailboxes are, and it is not the tenant
that a referral declares. Whether to ask at all is the caller's decision.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

import requests

DEFAULT_BASE_URL: Final = "https://login.microsoftonline.com"

_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_OCTETS: Final = 1 << 16
# AADSTS90002 is the identity provider's code for a tenant that it does not have
_NO_TENANT: Final = re.compile(r"AADSTS90002\b")


@dataclass(frozen=True)
class TenantDiscovery:
    """What Microsoft tells the public of a domain's tenant.

    :param status: `found`: the domain is verified in the tenant `tenant_id`. `none`: in no tenant. `failed`: not known.
    :param region: Microsoft's name for the tenant's region, such as `EU`.
    :param reason: why it failed.
    """

    status: Literal["found", "none", "failed"]
    tenant_id: str | None = None
    region: str | None = None
    reason: str | None = None


def discover_tenant(
    domain: str, session: requests.Session, base_url: str = DEFAULT_BASE_URL, timeout: float = 10.0
) -> TenantDiscovery:
    """Ask for the tenant of a domain (A-labels). No failure raises.

    :param timeout: in seconds.
    """
    url = f"{base_url.rstrip('/')}/{quote(domain, safe='')}/v2.0/.well-known/openid-configuration"
    try:
        with session.get(url, timeout=timeout, allow_redirects=False, stream=True) as reply:
            status = reply.status_code
            data = _body(reply)
    except requests.RequestException as error:
        return TenantDiscovery("failed", reason=f"no reply: {type(error).__name__}")
    except ValueError:
        return TenantDiscovery("failed", reason=f"HTTP status {status}: the reply is no JSON object")
    if status == requests.codes.ok:
        return _found(data)
    if status == requests.codes.bad_request and _is_unknown_tenant(data):
        return TenantDiscovery("none")
    if status == requests.codes.too_many_requests:
        return TenantDiscovery("failed", reason="HTTP status 429: asked to wait")
    return TenantDiscovery("failed", reason=f"HTTP status {status}")


def _body(reply: requests.Response) -> dict[str, Any]:
    """The JSON object of a reply of bounded size.

    :raises ValueError: it is anything else.
    """
    octets = b""
    for chunk in reply.iter_content(1 << 13):
        octets += chunk
        if len(octets) > _MOST_OCTETS:
            raise ValueError("too large")
    data = json.loads(octets)
    if not isinstance(data, dict):
        raise ValueError("no object")  # noqa: TRY004 - one kind of error for every unusable body
    return data


def _found(data: dict[str, Any]) -> TenantDiscovery:
    issuer, region = data.get("issuer"), data.get("tenant_region_scope")
    tenant = _GUID.search(issuer.lower()) if isinstance(issuer, str) else None
    if tenant is None:
        return TenantDiscovery("failed", reason="the OpenID configuration names no tenant")
    plain = region if isinstance(region, str) and region.isascii() and region.isprintable() else None
    return TenantDiscovery("found", tenant[0], plain)


def _is_unknown_tenant(data: dict[str, Any]) -> bool:
    text = str(data.get("error_description", ""))
    return data.get("error") == "invalid_tenant" or _NO_TENANT.match(text) is not None
