"""When a browser last looked at the list, so that what is new or changed since then can be marked.

Belongs here: the cookie that remembers it. Does not belong here: what counts as a change (`readers.lead_list`). The
cookie holds two times and nothing of a person; a browser that deletes it starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response

COOKIE = "hunter_visit"
PAUSE = timedelta(minutes=30)
"""Away for longer than this, one comes back for another visit."""

_KEPT_SECONDS = 400 * 86_400
"""As long as browsers keep a cookie at most."""


@dataclass(frozen=True)
class Visit:
    """A browser's visit.

    :param since: when its last visit ended; for the first visit, when that began: then nothing is new.
    :param first: whether it was never here before.
    """

    since: datetime
    first: bool


def read_visit(request: Request, now: datetime) -> Visit:
    """The visit that a request belongs to."""
    try:
        since, last = (datetime.fromtimestamp(int(part), UTC) for part in request.cookies.get(COOKIE, "").split("."))
    except (ValueError, OverflowError, OSError):
        return Visit(now, first=True)
    if last > now or since > last:
        return Visit(now, first=True)
    return Visit(last if now - last > PAUSE else since, first=False)


def remember_visit(response: Response, visit: Visit, now: datetime, *, secure: bool) -> None:
    """Have the browser remember its visit."""
    # Rounded up: what came in within this very second has been seen.
    value = f"{int(visit.since.timestamp() + 0.999999)}.{int(now.timestamp() + 0.999999)}"
    response.set_cookie(COOKIE, value, max_age=_KEPT_SECONDS, httponly=True, samesite="lax", secure=secure, path="/")
