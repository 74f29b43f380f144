"""DNS look-ups: many questions at once, each with a status that tells failure from absence.

Here belongs how a question is asked: servers, pace, retries, and which servers are worth asking. How it travels is in
`channel`, what a reply says in `wire`, what an answer means for e-mail in the modules named after each signal, and
which questions are worth asking in `scan`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self

from hunter_pipeline.scan import wire
from hunter_pipeline.scan.channel import Channel, Slots
from hunter_pipeline.scan.pace import Pace
from hunter_pipeline.scan.reply import STRIPPED, LookupStatus, Question, Reply, escape_octets, is_askable
from hunter_pipeline.scan.wire import Outcome, failure


@dataclass(frozen=True)
class DnsSettings:
    """How to ask.

    :param servers: `host:port` or `[v6]:port`; none means those of the system.
    :param in_flight: questions under way at once.
    :param qps_per_server: questions a second that one server gets at first.
    :param most_qps_per_server: those that it gets at most while it answers cleanly.
    :param timeout: seconds that one attempt waits; lost packets are sent again within it.
    :param attempts: how often a question is asked in all before its failure is believed.
    """

    servers: tuple[str, ...] = ()
    in_flight: int = 200
    qps_per_server: float = 200.0
    timeout: float = 2.0
    attempts: int = 3
    most_qps_per_server: float = 1000.0


class DnsClient:
    """Asks questions within the limits of its settings; use it as an async context manager.

    A server whose last ten replies were all failures is left alone for a while, which doubles up to two seconds, and
    the others are asked meanwhile. Truncated replies are asked again over TCP. A reply that makes no sense is asked
    again from another port.

    :raises ValueError: on entering: a server is no address.
    """

    def __init__(self, settings: DnsSettings) -> None:
        self._settings = settings
        self._servers: list[_Server] = []
        self._slots = Slots(settings.in_flight)
        self._turn = 0
        self.asked = 0

    @property
    def in_flight(self) -> int:
        """How many questions may be under way at once."""
        return self._settings.in_flight

    @property
    def paces(self) -> dict[str, tuple[float, float]]:
        """For each server the questions a second that it gets now, and the most that it got."""
        return {server.address: (server.pace.rate, server.pace.fastest) for server in self._servers}

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with servers themselves, as sentences that name the fix."""
        return tuple(server.trouble for server in self._servers if server.trouble)

    async def __aenter__(self) -> Self:
        for address in self._settings.servers or _system_servers():
            try:
                self._servers.append(_Server(address, self._settings))
            except ValueError:
                await self._close()
                raise ValueError(f"{address!r} is no DNS server; write 10.0.0.53:53 or [fd00::53]:53") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        for server in self._servers:
            await server.close()

    async def examine(self) -> dict[str, Outcome]:
        """Ask every server a question that any resolver knows, and return by address what came back."""
        found = await asyncio.gather(*(server.examine() for server in self._servers))
        return {server.address: outcome for server, outcome in zip(self._servers, found, strict=True)}

    async def lookup_many(self, questions: Iterable[Question]) -> list[Reply]:
        """Ask `(name, type)` questions, and return the replies in their order.

        Types: A, AAAA, CNAME, MX, NS, PTR, SOA and TXT. No failure of a name or a server raises; it is the reply's
        status.

        :raises ValueError: an unknown type.
        """
        asked = list(questions)
        replies: list[Reply | None] = [None] * len(asked)
        waiting: list[_Asked] = []
        for number, (text, rtype) in enumerate(asked):
            if rtype not in wire.TYPES:
                raise ValueError(f"unknown DNS record type: {rtype}")
            name = text.rstrip(".").lower()
            if is_askable(name):
                waiting.append(_Asked(number, name, rtype))
            else:
                name = escape_octets(name.encode("utf-8", "surrogatepass"))
                replies[number] = Reply(name, rtype, LookupStatus.other, detail="a name that cannot be asked")
        for attempt in range(1, self._settings.attempts + 1):
            if attempt > 1:
                await asyncio.sleep(_RETRY_DELAY * 2 ** (attempt - 2))
            await self._ask_all(waiting)
            failed = []
            for each in waiting:
                if not each.outcome.status.known:
                    await self._doubt(each)
                reply = replies[each.number] = each.reply(attempt)
                if not reply.status.known:
                    failed.append(each)
            waiting = failed
            if not waiting:
                break
        return [reply for reply in replies if reply is not None]

    async def _ask_all(self, questions: Sequence[_Asked]) -> None:
        """Ask each question once, and wait for what comes of it."""
        # a count and callbacks instead of a task for each question, which would cost more than asking it
        left = len(questions)
        if not left:
            return
        loop = asyncio.get_running_loop()
        finished = loop.create_future()

        def done(question: _Asked, server: _Server, outcome: Outcome) -> None:
            nonlocal left
            left -= 1
            if not left and not finished.done():
                finished.set_result(None)
            self._slots.give()
            now = loop.time()
            question.outcome, question.ended = outcome, now
            server.note(outcome.status, question.sent, now)

        for question in questions:
            await self._slots.take()
            try:
                server = self._next_server(question.server)
                if (wait := server.take_turn()) > 0:
                    await asyncio.sleep(wait)
            except BaseException:
                self._slots.give()
                raise
            self.asked += 1
            question.server = server
            question.sent = loop.time()
            question.began = question.began or question.sent
            fresh = question.outcome.status is LookupStatus.other and question.ended > 0
            server.channel.ask(question.name, question.rtype, partial(done, question, server), fresh=fresh)
        await finished

    async def _doubt(self, question: _Asked) -> None:
        """Examine a server whose reply says nothing, and see whether an empty answer is its way to say no."""
        outcome, server = question.outcome, question.server
        bare = outcome.status is LookupStatus.unvouched and outcome.detail == wire.EMPTY
        if server is None or not (bare or not outcome.recursive):
            return
        usual = await server.examine()
        if bare and usual.status is not LookupStatus.answer and not usual.proven and _is_negative(usual):
            question.outcome = Outcome(LookupStatus.nodata, cnames=outcome.cnames, detail=STRIPPED)

    def _next_server(self, last: _Server | None) -> _Server:
        if len(self._servers) == 1:
            return self._servers[0]
        self._turn += 1
        start = self._turn % len(self._servers)
        in_turn = self._servers[start:] + self._servers[:start]
        return min(in_turn, key=lambda server: (bool(server.trouble), server is last, server.free_at()))


@dataclass(slots=True, eq=False)
class _Asked:
    """A question under way: its place in the list, the server asked last, and what came of it. Times are the loop's."""

    number: int
    name: str
    rtype: str
    server: _Server | None = None
    outcome: Outcome = failure(LookupStatus.other)  # noqa: RUF009 - immutable
    began: float = 0.0
    sent: float = 0.0
    ended: float = 0.0

    def reply(self, attempts: int) -> Reply:
        outcome = self.outcome
        return Reply(
            self.name,
            self.rtype,
            outcome.status,
            outcome.records,
            outcome.ttl,
            self.server.address if self.server else None,
            attempts,
            outcome.cnames,
            round((self.ended - self.began) * 1000),
            outcome.detail,
        )


class _Server:
    """One server: its channel, its pace, its pauses, and what is known of it."""

    def __init__(self, address: str, settings: DnsSettings) -> None:
        self.address = address
        self.channel = Channel(address, settings.timeout, self.turn_within)
        self.pace = Pace(settings.qps_per_server, settings.most_qps_per_server)
        self.trouble: str | None = None
        self._failures = 0
        self._pause = 0.0
        self._paused_until = -math.inf
        self._loop = asyncio.get_running_loop()
        self._examined: asyncio.Task[Outcome] | None = None

    def free_at(self) -> float:
        return max(self._loop.time(), self.pace.free_at(), self._paused_until)

    def take_turn(self) -> float:
        """Take a token from the bucket; return the seconds until it is there and the server is not paused."""
        now = self._loop.time()
        return max(self.pace.turn(now), self._paused_until - now)

    def turn_within(self, seconds: float) -> float:
        """As `take_turn`, but nothing is taken when it would be later than in so many seconds."""
        wait = self.free_at() - self._loop.time()
        return wait if wait >= seconds else max(self.take_turn(), 0.0)

    def note(self, status: LookupStatus, asked: float, now: float) -> None:
        """Remember how the server answered; it pauses after ten failures with nothing good in between."""
        self.pace.note(asked, now, trouble=status in (LookupStatus.refused, LookupStatus.timeout))
        if status.known:
            self._failures, self._pause = 0, 0.0
            return
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_PAUSE and self._paused_until <= now:
            self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
            self._paused_until = now + self._pause

    async def examine(self) -> Outcome:
        """What comes of the probe, which is asked once."""
        if self._examined is None:
            self._examined = self._loop.create_task(self._probe())
        return await asyncio.shield(self._examined)

    async def _probe(self) -> Outcome:
        answered: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result(outcome)

        self.channel.ask(*PROBE, done)
        outcome = await answered
        if not outcome.recursive and not outcome.status.known:
            self.trouble = (
                f"{self.address} is a name server and does not resolve for others "
                f"({outcome.detail or outcome.status}): put a resolver into HUNTER_DNS_SERVERS"
            )
        return outcome

    async def close(self) -> None:
        if self._examined is not None:
            self._examined.cancel()
        await self.channel.close()


PROBE: Final = ("com", "TXT")
"""No record, and the registry's SOA, from a resolver; a refusal or a referral from a server that only knows its own."""

_RETRY_DELAY: Final = 0.1
_FAILURES_BEFORE_PAUSE: Final = 10
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 2.0


def _is_negative(outcome: Outcome) -> bool:
    return outcome.status is LookupStatus.nxdomain or outcome.detail == wire.EMPTY


def _system_servers() -> tuple[str, ...]:
    import dns.resolver  # takes a tenth of a second, and is needed only where no server is set

    found = dns.resolver.Resolver()
    hosts = [host for host in found.nameservers if isinstance(host, str)]
    return tuple(f"[{host}]:{found.port}" if ":" in host else f"{host}:{found.port}" for host in hosts)
