"""Who looks up which domain, when shards of a scan work side by side, and at what part of the pace.

Belongs here: the line of domains in `scan_claims`, the claims of shards with their expiry, and the shares of the pace.
Does not belong here: look-ups and their writing (`upkeep.shards`). Times are the database server's, so that the clocks
of machines may differ. A claim is given up in the transaction that writes its look-up: a shard whose claim went to
another one writes nothing, however late it comes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

Result = TypeVar("Result")

AT_ONCE = 200
"""Domains that are claimed in one statement."""

SHARE_LOCK = 0x48554E53  # "HUNS"
"""First half of the keys of the advisory locks that shares are; the second is the share's number."""

SHARE_POLL = 0.5
"""Seconds between two looks for a free share."""

_FREE = "(owner IS NULL OR claimed_until < clock_timestamp())"

AT_WORK = "SELECT EXISTS(SELECT FROM scan_claims WHERE claimed_until > clock_timestamp())"

OFFER = """
INSERT INTO scan_claims (domain, again)
SELECT domain, :again FROM unnest(CAST(:domains AS text[])) WITH ORDINALITY AS d(domain, place) ORDER BY place
ON CONFLICT DO NOTHING
"""

CLAIM = """
UPDATE scan_claims SET owner = :owner, run_id = :run, claimed_until = clock_timestamp() + :seconds * interval '1 s'
WHERE domain = ANY(ARRAY(
    SELECT domain FROM scan_claims WHERE {which} ORDER BY again, position LIMIT :limit FOR UPDATE SKIP LOCKED
))
RETURNING domain, again, position
"""

RENEW = """
UPDATE scan_claims SET claimed_until = clock_timestamp() + :seconds * interval '1 s'
WHERE domain = ANY(:domains) AND owner = :owner
"""

FINISH = "DELETE FROM scan_claims WHERE domain = ANY(:domains) AND owner = :owner RETURNING domain"

RELEASE = """
UPDATE scan_claims SET owner = NULL, run_id = NULL, claimed_until = NULL WHERE domain = ANY(:domains) AND owner = :owner
"""


def offer(connection: Connection, domains: Sequence[str], *, again: bool) -> None:
    """Put domains into the line, unless they stand in it; the caller commits.

    :param again: they have been looked up before and have grown old.
    """
    connection.execute(text(OFFER), {"domains": list(domains), "again": again})


def waiting(connection: Connection) -> int:
    """How many domains nobody looks up now."""
    number: int = connection.execute(text(f"SELECT count(*) FROM scan_claims WHERE {_FREE}")).scalar_one()  # noqa: S608
    return number


def at_work(connection: Connection) -> bool:
    """Whether some shard has given a sign within the time for which a claim holds."""
    return bool(connection.execute(text(AT_WORK)).scalar_one())


def withdraw_again(connection: Connection) -> None:
    """Take the domains out of the line that are to be looked up again and that nobody looks up now."""
    connection.execute(text(f"DELETE FROM scan_claims WHERE again AND {_FREE}"))  # noqa: S608 - a constant


@dataclass
class Claims:
    """The domains of one shard.

    :param connection: where claims are made; nothing else may use it meanwhile.
    :param run_id: the Dagster run.
    :param most: domains that the shard claims in all; None: all that there are.
    :param seconds: how long a claim holds without another sign.
    :param left_by_run: claim what the shards of the run have left, whoever seems to look it up.
    """

    connection: Connection
    run_id: str
    most: int | None
    seconds: float
    left_by_run: bool = False
    owner: str = field(default_factory=lambda: str(uuid4()))
    """Made for each attempt: a shard that is run again is another one."""
    _held: dict[str, bool] = field(default_factory=dict)
    _signed_at: float = field(default_factory=time.monotonic)
    """As old as the oldest claim can be."""

    def domains(self) -> Iterator[str]:
        """Claim domains as they are asked for."""
        left = self.most
        which = "run_id = :run AND owner <> :owner" if self.left_by_run else _FREE
        while left is None or left > 0:
            number = AT_ONCE if left is None else min(AT_ONCE, left)
            parameters = {"limit": number, "owner": self.owner, "run": self.run_id, "seconds": self.seconds}
            found = self.connection.execute(text(CLAIM.format(which=which)), parameters).all()
            self.connection.commit()
            if not found:
                return
            self._held.update((row.domain, row.again) for row in found)
            if left is not None:
                left -= len(found)
            yield from (row.domain for row in sorted(found, key=lambda row: (row.again, row.position)))

    def is_again(self, domain: str) -> bool:
        """Whether a domain of this shard was looked up before."""
        return self._held[domain]

    def finish(self, connection: Connection, domains: Collection[str]) -> set[str]:
        """Give domains up whose look-ups are written in the transaction of `connection`.

        :returns: those that were still this shard's; the others are another's to write, or erased.
        """
        mine = {"domains": list(domains), "owner": self.owner}
        found = set(connection.execute(text(FINISH), mine).scalars())
        for domain in domains:
            self._held.pop(domain, None)
        return found

    def renew_in_time(self, results: Iterable[Result]) -> Iterator[Result]:
        """Pass results on, and give a sign in between when a third of the time for which claims hold is over.

        At a slow pace a batch takes longer than a claim holds, and would be looked up by another shard as well.
        """
        for result in results:
            if time.monotonic() - self._signed_at > self.seconds / 3:
                self.renew()
            yield result

    def renew(self) -> None:
        """Give a sign, so that the claims hold on.

        :raises DBAPIError: the session is gone, and with it the share: the shard has to end.
        """
        self._signed_at = time.monotonic()
        held = {"domains": list(self._held), "owner": self.owner, "seconds": self.seconds}
        self.connection.execute(text(RENEW), held)
        self.connection.commit()

    def release(self) -> None:
        """Let others have what this shard has not looked up; where that fails, the claims expire."""
        with suppress(DBAPIError):
            self.connection.rollback()
            self.connection.execute(text(RELEASE), {"domains": list(self._held), "owner": self.owner})
            self.connection.commit()


@contextmanager
def share(engine: Engine, shares: int, wait: float) -> Iterator[Connection | None]:
    """A connection that holds one of so many shares of the pace until the block ends; None: all are taken.

    A share is an advisory lock of the session: it is free again when the process or its machine dies.

    :param wait: seconds to wait for one.
    """
    deadline = time.monotonic() + wait
    with engine.connect() as connection:
        while (number := _take_share(connection, shares)) is None and time.monotonic() < deadline:
            time.sleep(SHARE_POLL)
        try:
            yield None if number is None else connection
        finally:
            # Not handed back to the pool: that frees the lock also when the session is broken.
            connection.invalidate()


def _take_share(connection: Connection, shares: int) -> int | None:
    try_lock = text("SELECT pg_try_advisory_lock(:key, :number)")
    for number in range(shares):
        if connection.execute(try_lock, {"key": SHARE_LOCK, "number": number}).scalar_one():
            connection.commit()
            return number
    connection.rollback()
    return None
