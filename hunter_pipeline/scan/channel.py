"""aiodns made cheap enough for hundreds of questions at once.

Here belongs where c-ares runs, how a question times out, and how many are under way. Which server is asked, its pace,
retries and what a reply means are in ``dns``. What stands here costs each question a few microseconds, and the
plain ways (a thread, a timer and a semaphore) cost more than the rest of a scan.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections import deque
from typing import Any, Final

import aiodns
import pycares

_RECEIVE_BUFFER: Final = 1 << 20  # octets; replies that come together must not be lost while others are read


class Resolver:
    """Asks one server. ``timeout`` is in seconds, ``resend_after`` too; after ``tries`` no packet is sent again.

    Raises ``pycares.AresError`` for a server that is no address.
    """

    def __init__(self, address: str, timeout: float, resend_after: float, tries: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._sent: deque[tuple[float, asyncio.Future[pycares.DNSResult]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._resolver = _InLoop(
            [address],
            # without NOCHECKRESP c-ares asks again by itself after a SERVFAIL or REFUSED, unpaced
            flags=pycares.ARES_FLAG_EDNS | pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOCHECKRESP,
            timeout=resend_after,
            tries=tries,
            socket_receive_buffer_size=_RECEIVE_BUFFER,
        )

    def ask(self, name: str, rtype: str) -> asyncio.Future[pycares.DNSResult]:
        """Send a question. The future is cancelled when the time is up, and holds a ``DNSError`` for an error."""
        future = self._resolver.query_dns(name, rtype)
        self._sent.append((self._loop.time() + self._timeout, future))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._expire)
        return future

    def _expire(self) -> None:
        """Give up what waited too long. One timer serves all questions, as each waits equally long."""
        now = self._loop.time()
        while self._sent and (self._sent[0][0] <= now or self._sent[0][1].done()):
            self._sent.popleft()[1].cancel()
        self._timer = self._loop.call_at(self._sent[0][0], self._expire) if self._sent else None

    async def close(self) -> None:
        """End; what is under way fails."""
        if self._timer is not None:
            self._timer.cancel()
        await self._resolver.close()


class _InLoop(aiodns.DNSResolver):
    """aiodns with c-ares in the thread of the event loop, which is how it works where c-ares can start no thread.

    A thread of its own has to wait for the interpreter's lock at every reply: a third more time for a scan.
    """

    def _make_channel(self, **options: Any) -> tuple[bool, pycares.Channel]:
        if sys.platform == "win32":
            return super()._make_channel(**options)  # the event loop there watches no sockets
        myself = weakref.ref(self)

        def changed(socket: int, readable: bool, writable: bool) -> None:
            if (resolver := myself()) is not None:
                resolver._sock_state_cb(socket, readable, writable)

        return False, pycares.Channel(sock_state_cb=changed, timeout=self._timeout, **options)


class Slots:
    """So many at once, first come, first served.

    ``asyncio.Semaphore`` does the same, but each release looks at all waiters that were woken and did not run yet,
    which with hundreds of questions under way costs more than the questions.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a slot."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # the slot was handed over and will not be used
                self.give()
            raise

    def give(self) -> None:
        """Hand a slot to the next in line, or keep it for whoever comes."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
