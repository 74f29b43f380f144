"""Who is asking: the person whom a proxy names, else that the token was given.

Belongs here: reading the header of HUNTER_WEB_USER_HEADER, and whom it is believed from. Does not belong here:
whether a request is let in (`security`). Anybody can send a header, so it counts only from a proxy that is named.
"""

from __future__ import annotations

import ipaddress

from starlette.requests import Request

from hunter_pipeline.settings import Settings

LONGEST_NAME = 200


def actor_of(request: Request, settings: Settings) -> str:
    """The person for the book of attempts.

    :returns: the proxy's word for the person; else `token`, or `this machine` where no token is asked for.
    """
    header = settings.web_user_header
    if header is not None and _is_proxy(request, settings):
        name = "".join(letter for letter in _text(request.headers.get(header, "")) if letter.isprintable()).strip()
        if name:
            return name[:LONGEST_NAME]
    return "token" if settings.web_token is not None else "this machine"


def _text(value: str) -> str:
    """A header's text: proxies send UTF-8, and the framework reads every header as Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _is_proxy(request: Request, settings: Settings) -> bool:
    try:
        peer = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return any(peer in ipaddress.ip_network(proxy) for proxy in settings.web_trusted_proxies)
