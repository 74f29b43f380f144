"""What takes long to count, kept as long as nothing was written since.

Belongs here: telling that from the database itself. Does not belong here: what is counted, and any age after which it
is counted anew: what is kept is never other than what would be counted now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar

from sqlalchemy import Connection, text

SNAPSHOT = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_snapshot() || ' ' || pg_postmaster_start_time() END
"""
"""What names all that can be seen: two statements with the same snapshot of the same server see the same rows. That of
a standby does not tell which transactions are under way."""

MOST_KEPT = 100
"""Results that are kept of one count, of different arguments."""

Asked = ParamSpec("Asked")
Counted = TypeVar("Counted")


class Known(Generic[Asked, Counted]):
    """The results of a count, for one database.

    :param count: counts, by statements that depend on nothing but rows and its arguments, which can be hashed: not on
        the time, nor on a setting.
    """

    def __init__(self, count: Callable[Concatenate[Connection, Asked], Counted]) -> None:
        self._count = count
        self._known: tuple[str, dict[object, Counted]] | None = None

    def read(self, connection: Connection, *arguments: Asked.args, **named: Asked.kwargs) -> Counted:
        """What is counted now."""
        asked = (arguments, *sorted(named.items()))
        seen = connection.execute(text(SNAPSHOT)).scalar_one()
        known = self._known
        if known is not None and known[0] == seen and asked in known[1]:
            return known[1][asked]
        counted = self._count(connection, *arguments, **named)
        # Each statement sees what was committed before it: a result that lies between two states is not kept.
        if seen is not None and connection.execute(text(SNAPSHOT)).scalar_one() == seen:
            known = self._known
            if known is None or known[0] != seen or len(known[1]) >= MOST_KEPT:
                known = seen, {}
            known[1][asked] = counted
            self._known = known
        return counted
