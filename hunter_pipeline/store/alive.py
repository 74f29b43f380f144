"""Whether a connection out of a pool still leads to its server.

Belongs here: looking before a connection is used. Does not belong here: how connections are made (`engine`).
SQLAlchemy's own look asks the server each time, which was a third of all that a quiet sync sent. What a server says
when it goes, and that it is gone, is seen at the socket without a question; only the silence of a network is not.
"""

from __future__ import annotations

import select
import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

TRUSTED_SECONDS = 5.0
"""A connection that was used so recently is not asked about, unless something came in on it since."""

_USED = "hunter_used_at"


def look_before_use(engine: Engine) -> None:
    """Have an engine hand out no connection whose server went away since it was last used.

    One that leads nowhere is replaced, with all others of the pool, before the caller sees it.

    :param engine: made without `pool_pre_ping`; its driver is psycopg2.
    """

    @event.listens_for(engine, "checkin")
    def _checkin(_: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: Any, _: object) -> None:
        used = record.info.get(_USED)  # None: it was made just now
        if used is None or (time.monotonic() - used < TRUSTED_SECONDS and not _heard(connection)):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _heard(connection: Any) -> bool:
    """Whether the server sent something, or closed, while nothing was asked."""
    if connection.closed:
        return True
    # Not `select.select`, which takes no descriptor above 1,023.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
