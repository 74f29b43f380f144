"""What an answer of Partner Center says beside its body: the link to the next page, dates, pauses, codes.

Belongs here: reading them, so that nothing in them is believed blindly. Does not belong here: requests (client.py)
and bodies (pages.py).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from hunter_pipeline.partner_center.errors import UnreadablePage

REFERRALS = "/v1.0/engagements/referrals"
"""Path of the list."""


def next_url(link: str, page_url: str, list_url: str) -> str:
    """The address of the next page, on the configured host over TLS or not at all.

    Microsoft's samples show the link with plain http and without `/engagements`
    (learn.microsoft.com/partner-center/developer/get-a-list-of-referrals).

    :param link: what the page says, which may be relative to `page_url`.
    :param list_url: the configured address of the list, whose host alone gets the token.
    :raises UnreadablePage: the link is no address, or leads elsewhere.
    """
    configured = urlsplit(list_url)
    try:
        parts = urlsplit(urljoin(page_url, link))
        trusted = _origin(parts) == _origin(configured) and parts.username is None
    except ValueError:
        raise UnreadablePage(
            "The page's @odata.nextLink is no address: the pages after it cannot be read", transient=False
        ) from None
    if not trusted:
        raise UnreadablePage(
            f"The page's @odata.nextLink leads to {parts.hostname or 'no host'}, which does not get the token; "
            "check HUNTER_PARTNER_CENTER_BASE_URL",
            transient=False,
        )
    path = re.sub(r"/v1\.0/referrals(?=/|$)", REFERRALS, parts.path)
    return urlunsplit(("https", configured.netloc, path, parts.query, ""))


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds to wait (RFC 9110, section 10.2.3: seconds or an HTTP date); None when the header is not readable."""
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    date = http_date(value)
    return None if date is None else max(0.0, (date - now).total_seconds())


def http_date(value: str) -> datetime | None:
    """The moment of an HTTP date (RFC 9110, section 5.6.7); None when it is not readable."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def token_like(value: str | None) -> str | None:
    """The value if it can stand in an error text: short, and nothing in it that a name or address could be."""
    return value if value and re.fullmatch(r"[A-Za-z0-9-]{1,64}", value) else None


def _origin(parts: SplitResult) -> tuple[str | None, int | None]:
    """Host and TLS port that an http or https address leads to once it is upgraded."""
    if parts.scheme == "https" or (parts.scheme == "http" and parts.port not in (None, 80)):
        return parts.hostname, parts.port or 443
    return (parts.hostname, 443) if parts.scheme == "http" else (None, None)
