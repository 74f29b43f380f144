"""How fast tokens may be tried.

Belongs here: what a wrong token costs. Does not belong here: what a token opens. Nobody is locked out: whoever
guesses may share an address with the rightful user, behind a proxy. Instead only a few tokens are looked at together,
and a wrong one keeps its place for a while. Who comes last is looked at next, so that a user does not wait behind a
row of guesses.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Collection

log = logging.getLogger(__name__)

PLACES = 10
"""How many tokens are looked at together; with `WRONG_SECONDS` the most guesses a second."""

WRONG_SECONDS = 1.0
WAITING = 500
"""How many may wait for a place; when one more comes, who has waited longest is turned away."""


class TooManyGuesses(RuntimeError):  # noqa: N818 - the name says what is the case
    """So many tokens wait to be looked at that this one was not."""


class TokenGate:
    """Compares candidates with the tokens that open the server.

    :param tokens: any of these opens.
    :param wrong_seconds: how long a wrong one keeps its place.
    """

    def __init__(self, tokens: Collection[str], wrong_seconds: float = WRONG_SECONDS) -> None:
        self._tokens = [token.encode() for token in tokens]
        self._wrong_seconds = wrong_seconds
        self._taken = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    async def opens(self, candidate: str, client: str) -> bool:
        """Whether this is one of the tokens. The comparison takes the same time whatever is wrong with it.

        :param client: address of who sends it, for the log.
        :raises TooManyGuesses: it was not looked at.
        """
        await self._take_place()
        try:
            given = candidate.encode("utf-8", "replace")
            if sum(hmac.compare_digest(given, token) for token in self._tokens):
                return True
            log.warning("a wrong token from %s", client)
            await asyncio.sleep(self._wrong_seconds)
            return False
        finally:
            self._leave_place()

    async def _take_place(self) -> None:
        if self._taken < PLACES:
            self._taken += 1
            return
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if len(self._waiting) > WAITING:
            longest = self._waiting.popleft()
            if not longest.done():
                longest.set_result(False)
        try:
            got = await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self._leave_place()
            raise
        if not got:
            raise TooManyGuesses("Too many tokens are tried at once; try again in a moment")

    def _leave_place(self) -> None:
        while self._waiting:
            last = self._waiting.pop()
            if not last.done():
                last.set_result(True)
                return
        self._taken -= 1
