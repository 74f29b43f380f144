"""Sockets to one DNS server, cheap enough for hundreds of questions at once.

Here belongs how a question travels: UDP ports, numbers, lost packets, time-outs, and TCP for what does not fit. Which
server is asked, its pace, retries and what becomes of a failure are in `dns`, what packets hold in `wire`. A reply
costs some microseconds here; a task, a timer or a future for each question would cost more than the rest of a scan.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from hunter_pipeline.scan import wire
from hunter_pipeline.scan.reply import LookupStatus
from hunter_pipeline.scan.wire import Outcome, failure

_PORTS: Final = 4  # source ports for each server, to make replies hard to forge and to give a retry another one
_RECEIVE_BUFFER: Final = 1 << 20  # octets; replies that come together must not be lost while others are read
_DRAIN: Final = 256  # packets read at one wake-up
_MOST_OCTETS: Final = 65_535
_FIRST_RESEND: Final = 1.0  # seconds, while nothing is known of the server
_SOONEST_RESEND: Final = 0.2  # seconds, as in Linux; sooner, a machine takes its own slowness for a lost packet
_UNPROVEN_RESEND: Final = 0.5  # while nothing that was sent later has been answered
_LATEST_RESEND: Final = 1.0
_TICK: Final = 0.005  # seconds; time-outs this close are handled together

Done = Callable[[Outcome], None]


@dataclass(slots=True, eq=False)
class _Asked:
    """A question under way. `done` is None once it was called; `paid` says that it may be sent again when it is due."""

    asked: bytes
    done: Done | None
    port: _Port
    deadline: float
    wait: float
    sent: float = 0.0
    numbers: list[int] = field(default_factory=list)
    edns: bool = True
    paid: bool = False


class Channel:
    """Asks one server.

    :param timeout: in seconds, for one attempt; lost packets are sent again within it.
    :param turn: the seconds until the server may be asked once more, which is taken for asked unless they are more
        than its argument.
    :raises ValueError: the address is none, see `split_address`.
    """

    def __init__(self, address: str, timeout: float, turn: Callable[[float], float]) -> None:
        self._turn = turn
        self._peer = split_address(address)
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._family = socket.AF_INET6 if ":" in self._peer[0] else socket.AF_INET
        self._ports: list[_Port | None] = [None] * _PORTS
        self._turns = itertools.cycle(range(_PORTS))
        self._due: list[tuple[float, int, _Asked]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered = 0.0
        self._smooth: float | None = None
        self._vary = 0.0

    def ask(self, name: str, rtype: str, done: Done, *, fresh: bool = False) -> None:
        """Send a question; `done` is called once with what came of it, never before this returns.

        :param fresh: from a port that no other question uses, after a reply that made no sense.
        """
        now = self._loop.time()
        wait = self._resend_after()
        slot = next(self._turns)
        port = self._ports[slot]
        if port is None or port.closed or fresh:
            try:
                port = self._open(slot, port)
            except OSError as error:
                outcome = failure(LookupStatus.other, f"no socket: {error.strerror or error}")
                self._loop.call_soon(done, outcome)
                return
        question = _Asked(wire.question(name, rtype), done, port, now + self._timeout, wait)
        self._schedule(question, min(now + wait, question.deadline))
        port.send(question, now)

    async def close(self) -> None:
        """End; what is under way fails."""
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for port in self._ports:
            if port is not None:
                port.close("closed")

    def _open(self, slot: int, old: _Port | None) -> _Port:
        port = _Port(self._family, self._peer, self)
        if old is not None:
            old.retire()
        self._ports[slot] = port
        return port

    # --- time ---

    def _resend_after(self) -> float:
        if self._smooth is None:
            return min(_FIRST_RESEND, self._timeout)
        return min(max(self._smooth + 4 * self._vary, _SOONEST_RESEND), _LATEST_RESEND, self._timeout)

    def _learn(self, seconds: float) -> None:
        """Smoothed round trip and its variation, as TCP keeps them (RFC 6298)."""
        if self._smooth is None:
            self._smooth, self._vary = seconds, seconds / 2
            return
        self._vary += (abs(self._smooth - seconds) - self._vary) / 4
        self._smooth += (seconds - self._smooth) / 8

    def _schedule(self, question: _Asked, when: float) -> None:
        heapq.heappush(self._due, (when, next(self._serial), question))
        if self._timer is None or when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._due and (self._due[0][0] <= now or self._due[0][2].done is None):
            _, _, question = heapq.heappop(self._due)
            if question.done is None:
                continue
            if now >= question.deadline:
                self.finish(question, failure(LookupStatus.timeout))
                continue
            if question.sent > self._answered and (left := question.sent + _UNPROVEN_RESEND - now) > 0:
                # Nothing that was sent after it was answered: the server is slow, and nothing is known to be lost.
                heapq.heappush(self._due, (min(now + left, question.deadline), next(self._serial), question))
                continue
            if not question.paid and (wait := self._turn(question.deadline - now)):
                # Asked again at the server's pace; not at all where its time would be over by then.
                question.paid = wait < question.deadline - now
                heapq.heappush(self._due, (min(now + wait, question.deadline), next(self._serial), question))
                continue
            question.paid = False
            question.wait *= 2
            question.port.send(question, now)
            heapq.heappush(self._due, (min(now + question.wait, question.deadline), next(self._serial), question))
        if self._due and self._timer is None:
            self._timer_at = max(self._due[0][0], now + _TICK)
            self._timer = self._loop.call_at(self._timer_at, self._expire)

    # --- replies ---

    def took(self, question: _Asked, sent: float, outcome: Outcome) -> None:
        """A reply came for a question that was sent at that time."""
        now = self._loop.time()
        self._learn(now - sent)
        self._answered = max(self._answered, sent)
        if outcome.truncated:
            question.port.forget(question)
            self._start(self._ask_tcp(question))
        elif outcome.plain and question.edns:
            # a server from before EDNS (RFC 6891 section 7)
            question.edns = False
            question.port.send(question, now)
        else:
            self.finish(question, outcome)

    def finish(self, question: _Asked, outcome: Outcome) -> None:
        """Hand over what came of a question, unless that was done."""
        done, question.done = question.done, None
        question.port.forget(question)
        if done is not None:
            done(outcome)

    def later(self, question: _Asked, outcome: Outcome) -> None:
        """As `finish`, once the present call is over."""
        self._loop.call_soon(self.finish, question, outcome)

    def _start(self, work: asyncio._CoroutineLike[None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_tcp(self, question: _Asked) -> None:
        done, question.done = question.done, None
        outcome = failure(LookupStatus.timeout, "no answer over TCP in time")
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await self._exchange(question)
        except TimeoutError:
            pass
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or "the connection was closed"
            outcome = failure(LookupStatus.other, f"truncated, and TCP fails: {reason}")
        if done is not None:
            done(outcome)

    async def _exchange(self, question: _Asked) -> Outcome:
        reader, writer = await asyncio.open_connection(*self._peer)
        try:
            number = int.from_bytes(os.urandom(2))
            content = wire.packet(number, question.asked, edns=question.edns)
            writer.write(len(content).to_bytes(2) + content)
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()
        outcome = wire.read(reply, question.asked) if reply[:2] == number.to_bytes(2) else None
        if outcome is None:
            return failure(LookupStatus.other, "the reply over TCP is to another question")
        if outcome.truncated:
            return failure(LookupStatus.other, "truncated over TCP as well")
        return outcome


class _Port:
    """One UDP socket, with the questions that wait for a reply on it."""

    def __init__(self, family: socket.AddressFamily, peer: tuple[str, int], channel: Channel) -> None:
        self.closed = False
        self._retired = False
        self._channel = channel
        self._waiting: dict[int, tuple[_Asked, float]] = {}
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            # a connected socket takes packets from this server only, and learns that nothing listens there
            self._socket.connect(peer)
            self._loop.add_reader(self._socket, self._readable)
        except OSError:
            self._socket.close()
            raise

    def send(self, question: _Asked, now: float) -> None:
        """Send it, for the first time or again, under a number that is free on this port and that nobody can foresee.

        A number of its own tells which of several was answered, and so how long the server takes: one that has become
        slow would else be asked everything twice for ever.
        """
        while (number := int.from_bytes(os.urandom(2))) in self._waiting:
            pass
        self._waiting[number] = question, now
        question.sent = now
        question.numbers.append(number)
        try:
            self._socket.send(wire.packet(number, question.asked, edns=question.edns))
        except BlockingIOError:
            return  # as good as lost: it is sent again
        except OSError as error:
            self._channel.later(question, failure(LookupStatus.other, f"not sent: {error.strerror or error}"))

    def forget(self, question: _Asked) -> None:
        """No more waiting for a reply to it."""
        for number in question.numbers:
            self._waiting.pop(number, None)
        question.numbers.clear()
        if self._retired and not self._waiting:
            self.close("")

    def retire(self) -> None:
        """Take no more questions; close when those that wait are done."""
        self._retired = True
        if not self._waiting:
            self.close("")

    def close(self, reason: str) -> None:
        """Close the socket; what waits fails with the reason."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for question, _ in list(self._waiting.values()):
            self._channel.finish(question, failure(LookupStatus.other, reason))

    def _readable(self) -> None:
        for _ in range(_DRAIN):
            if self.closed:
                return
            try:
                reply = self._socket.recv(_MOST_OCTETS)
            except BlockingIOError:
                return
            except OSError as error:
                # the packet that came back unsent is not named, so all of this port are asked again
                self.close(error.strerror or str(error))
                return
            waits = self._waiting.get(int.from_bytes(reply[:2])) if len(reply) >= 2 else None
            if waits is not None and (outcome := wire.read(reply, waits[0].asked)) is not None:
                self._channel.took(*waits, outcome)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`, the host an IP address; the port is 53 when there is none.

    :raises ValueError: it is something else.
    """
    with contextlib.suppress(ValueError):
        return str(ip_address(address)), 53
    host, colon, port = address.rpartition(":")
    if address.endswith("]") or not colon:
        host, port = address, "53"
    if not port.isdecimal() or not 0 < int(port) < 65_536 or (":" in host) != (host[:1] == "[" and host[-1:] == "]"):
        raise ValueError(address)
    return str(ip_address(host.strip("[]"))), int(port)


class Slots:
    """So many at once, first come, first served.

    `asyncio.Semaphore` does the same, but each release looks at all waiters that were woken and did not run yet,
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
