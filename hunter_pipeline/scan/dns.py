"""DNS look-ups: many questions at once, each with a status that tells failure from absence.

Here belongs how a question is asked: servers, pace, retries, and what came back. What an answer means for e-mail is
in the neighbouring modules, and which questions are worth asking is in ``scan``. c-ares (through aiodns) does the
wire work; retries are ours, so that a reply can say which server gave it and after how many attempts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import aiodns
import aiodns.error
import pycares

from hunter_pipeline.scan.channel import Resolver, Slots

Question = tuple[str, str]


class LookupStatus(StrEnum):
    """What became of a question.

    ``answer``: records came. ``nodata``: the name exists without such a record (RFC 2308). ``nxdomain``: neither the
    name nor anything below it exists (RFC 8020). Everything else says nothing about the zone: ``servfail``,
    ``refused``, ``timeout``, and ``other`` (a malformed reply, a name that cannot be asked, no server reachable).
    """

    answer = "answer"
    nodata = "nodata"
    nxdomain = "nxdomain"
    servfail = "servfail"
    refused = "refused"
    timeout = "timeout"
    other = "other"

    @property
    def known(self) -> bool:
        """Whether the reply is a fact about the zone, be it a record or its absence."""
        return self in _KNOWN


_KNOWN: Final = (LookupStatus.answer, LookupStatus.nodata, LookupStatus.nxdomain)


@dataclass(frozen=True)
class Reply:
    """The outcome of one question.

    ``name`` is in lower case without the last dot. ``records`` are in presentation form, sorted: an MX is
    ``"10 mx.host"`` (a null MX ``"0 ."``), a TXT its strings joined without a space, where a backslash and every
    octet outside printable ASCII stand as in a zone file (``\\\\``, ``\\195``), see ``txt_octets``. ``ttl`` is the
    smallest of the records' in seconds. ``server`` is the last one asked. ``attempts`` counts the times it was asked,
    0 for a name that cannot be asked. ``cnames`` are the targets followed on the way to the records.
    """

    name: str
    rtype: str
    status: LookupStatus
    records: tuple[str, ...] = ()
    ttl: int | None = None
    server: str | None = None
    attempts: int = 0
    cnames: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object that ``from_json`` reads back; its texts hold ASCII only, so any database stores them."""
        return {
            "name": self.name,
            "rtype": self.rtype,
            "status": self.status.value,
            "records": list(self.records),
            "ttl": self.ttl,
            "server": self.server,
            "attempts": self.attempts,
            "cnames": list(self.cnames),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reply that ``to_json`` wrote. Raises ``KeyError`` or ``ValueError`` when it is something else."""
        return cls(
            name=data["name"],
            rtype=data["rtype"],
            status=LookupStatus(data["status"]),
            records=tuple(data["records"]),
            ttl=data["ttl"],
            server=data["server"],
            attempts=data["attempts"],
            cnames=tuple(data.get("cnames", ())),
        )


Replies = Mapping[Question, Reply]


@dataclass(frozen=True)
class DnsSettings:
    """How to ask.

    ``servers`` are ``host:port`` or ``[v6]:port``; none means those of the system. ``in_flight`` is the number of
    questions under way at once, ``qps_per_server`` the questions a second that one server gets, ``timeout`` the
    seconds that one attempt waits (lost packets are sent again within it), ``attempts`` how often a question is asked
    in all before its failure is believed.
    """

    servers: tuple[str, ...] = ()
    in_flight: int = 200
    qps_per_server: float = 200.0
    timeout: float = 2.0
    attempts: int = 3


class DnsClient:
    """Asks questions within the limits of its settings; use it as an async context manager.

    A server whose last ten replies were all failures is left alone for a while, which doubles up to two seconds, and
    the others are asked meanwhile. Truncated replies are asked again over TCP. Entering raises ``ValueError`` for a
    server that is no address.
    """

    def __init__(self, settings: DnsSettings) -> None:
        self._settings = settings
        self._servers: list[_Server] = []
        self._slots = Slots(settings.in_flight)
        self._turn = 0

    @property
    def in_flight(self) -> int:
        """How many questions may be under way at once."""
        return self._settings.in_flight

    async def __aenter__(self) -> Self:
        for address in self._settings.servers or _system_servers():
            try:
                self._servers.append(_Server(address, self._settings))
            except pycares.AresError:
                await self._close()
                raise ValueError(f"{address!r} is no DNS server; write 10.0.0.53:53 or [fd00::53]:53") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        while self._servers:
            await self._servers.pop().close()

    async def lookup_many(self, questions: Iterable[Question]) -> list[Reply]:
        """Ask ``(name, type)`` questions, and return the replies in their order.

        Types: A, AAAA, CNAME, MX, NS, SOA, TXT and the others that c-ares knows. No failure of a name or a server
        raises; it is the reply's status. Raises ``ValueError`` for an unknown type.
        """
        asked = list(questions)
        if unknown := {rtype for _, rtype in asked} - aiodns.query_type_map.keys():
            raise ValueError(f"unknown DNS record type: {', '.join(sorted(unknown))}")
        replies: dict[int, Reply] = {}
        waiting: list[_Asked] = []
        for number, (text, rtype) in enumerate(asked):
            name = text.rstrip(".").lower()
            if is_askable(name):
                waiting.append(_Asked(number, name, rtype))
            else:
                name = escape_octets(name.encode("utf-8", "surrogatepass"))
                replies[number] = Reply(name, rtype, LookupStatus.other)
        for attempt in range(1, self._settings.attempts + 1):
            if not waiting:
                break
            if attempt > 1:
                await asyncio.sleep(_RETRY_DELAY * 2 ** (attempt - 2))
            await self._ask_all(waiting)
            for each in waiting:
                replies[each.number] = _reply(each.name, each.rtype, each.outcome, each.server, attempt)
            waiting = [each for each in waiting if not replies[each.number].status.known]
        return [replies[number] for number in range(len(asked))]

    async def _ask_all(self, questions: Sequence[_Asked]) -> None:
        """Ask each question once, and wait for what comes of it."""
        # a count and callbacks instead of a task for each question, which would cost more than asking it
        left = len(questions)
        finished = asyncio.get_running_loop().create_future()

        def done(question: _Asked, server: _Server, future: asyncio.Future[pycares.DNSResult]) -> None:
            nonlocal left
            left -= 1
            if not left and not finished.done():
                finished.set_result(None)
            self._slots.give()
            question.outcome = _outcome(future)
            server.note(not isinstance(question.outcome, LookupStatus) or question.outcome.known)

        for question in questions:
            await self._slots.take()
            try:
                server = self._next_server(question.server)
                if (wait := server.take_turn()) > 0:
                    await asyncio.sleep(wait)
                question.server = server.address
                server.ask(question.name, question.rtype).add_done_callback(partial(done, question, server))
            except BaseException:
                self._slots.give()
                raise
        await finished

    def _next_server(self, last: str | None) -> _Server:
        if len(self._servers) == 1:
            return self._servers[0]
        self._turn += 1
        start = self._turn % len(self._servers)
        in_turn = self._servers[start:] + self._servers[:start]
        return min(in_turn, key=lambda server: (server.address == last, server.free_at()))


@dataclass
class _Asked:
    """A question under way: its place in the list, the server asked last, and what came of it."""

    number: int
    name: str
    rtype: str
    server: str | None = None
    outcome: pycares.DNSResult | LookupStatus = LookupStatus.other


class _Server:
    """One server: its channel, its pace and its pauses."""

    def __init__(self, address: str, settings: DnsSettings) -> None:
        self.address = address
        self._pace = 1 / settings.qps_per_server
        self._burst = max(1.0, settings.qps_per_server / 10) * self._pace
        self._next = -math.inf
        self._failures = 0
        self._pause = 0.0
        self._paused_until = -math.inf
        self._loop = asyncio.get_running_loop()
        # c-ares doubles its wait from a quarter of a second at least: enough re-sends to outlast the time-out
        tries = max(1, math.ceil(math.log2(settings.timeout / _RESEND_AFTER + 1)))
        self._resolver = Resolver(address, settings.timeout, min(settings.timeout, _RESEND_AFTER), tries)

    def free_at(self) -> float:
        return max(self._loop.time(), self._next - self._burst, self._paused_until)

    def take_turn(self) -> float:
        """Take a token from the bucket; return the seconds until it is there and the server is not paused."""
        now = self._loop.time()
        self._next = max(self._next, now) + self._pace
        return max(self._next - self._burst, self._paused_until) - now

    def ask(self, name: str, rtype: str) -> asyncio.Future[pycares.DNSResult]:
        """Send a question; ``_outcome`` reads the future."""
        return self._resolver.ask(name, rtype)

    def note(self, good: bool) -> None:
        """Remember how the server answered; it pauses after ten failures with nothing good in between."""
        if good:
            self._failures, self._pause = 0, 0.0
            return
        self._failures += 1
        if self._failures >= _FAILURES_BEFORE_PAUSE and self._paused_until <= self._loop.time():
            self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
            self._paused_until = self._loop.time() + self._pause

    async def close(self) -> None:
        await self._resolver.close()


_RETRY_DELAY: Final = 0.1
_RESEND_AFTER: Final = 0.25
_FAILURES_BEFORE_PAUSE: Final = 10
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 2.0
_LABEL: Final = r"[!-\-/-\[\]-~]{1,63}"
_ASKABLE: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

_STATUS_OF_ERROR: Final = {
    aiodns.error.ARES_ENODATA: LookupStatus.nodata,
    aiodns.error.ARES_ENOTFOUND: LookupStatus.nxdomain,
    aiodns.error.ARES_ESERVFAIL: LookupStatus.servfail,
    aiodns.error.ARES_EREFUSED: LookupStatus.refused,
    aiodns.error.ARES_ETIMEOUT: LookupStatus.timeout,
}


def is_askable(name: str) -> bool:
    """Whether a name can stand in a question: 253 printable ASCII characters at most, labels of 1 to 63 (RFC 1035)."""
    return len(name) <= 253 and _ASKABLE.fullmatch(name) is not None


def escape_octets(octets: bytes) -> str:
    """The octets in the form of a ``Reply``'s records, printable ASCII whatever they are."""
    plain = octets.decode("latin-1")
    if plain.isascii() and plain.isprintable() and "\\" not in plain:
        return plain
    return "".join("\\\\" if char == "\\" else char if " " <= char <= "~" else f"\\{ord(char):03}" for char in plain)


def txt_octets(record: str) -> bytes:
    """The octets of a TXT record as a ``Reply`` shows it. Never raises: a lone backslash stands for itself."""
    return _ESCAPE.sub(_unescape, record.encode("utf-8", "surrogatepass"))


def txt_text(record: str) -> str:
    """The TXT record with one character for each octet, as the parsers of ASCII-only records read it."""
    return txt_octets(record).decode("latin-1") if "\\" in record else record


_ESCAPE: Final = re.compile(rb"\\(?:(2(?:[0-4][0-9]|5[0-5])|[01][0-9]{2})|(\\))")


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1])]) if match[1] else b"\\"


def _outcome(future: asyncio.Future[pycares.DNSResult]) -> pycares.DNSResult | LookupStatus:
    """The answer records of a finished look-up, or the status when there are none."""
    if future.cancelled():
        return LookupStatus.timeout
    if isinstance(error := future.exception(), aiodns.error.DNSError):
        return _STATUS_OF_ERROR.get(error.args[0], LookupStatus.other)
    return future.result()


def _reply(name: str, rtype: str, result: pycares.DNSResult | LookupStatus, server: str | None, attempts: int) -> Reply:
    if isinstance(result, LookupStatus):
        return Reply(name, rtype, result, server=server, attempts=attempts)
    wanted = aiodns.query_type_map[rtype]
    rows = [row for row in result.answer if row.type == wanted]
    cnames = tuple(_host(row.data.cname) for row in result.answer if isinstance(row.data, pycares.CNAMERecordData))
    if not rows:
        return Reply(name, rtype, LookupStatus.nodata, server=server, attempts=attempts, cnames=cnames)
    return Reply(
        name,
        rtype,
        LookupStatus.answer,
        records=_records(rows),
        ttl=min(row.ttl for row in rows),
        server=server,
        attempts=attempts,
        cnames=() if rtype == "CNAME" else cnames,
    )


def _records(rows: list[pycares.DNSRecord]) -> tuple[str, ...]:
    """Presentation form in a fixed order, since servers rotate the records of a set."""
    keyed: set[tuple[int, str]] = set()
    for row in rows:
        match row.data:
            case pycares.MXRecordData(priority=preference, exchange=exchange):
                keyed.add((preference, f"{preference} {_host(exchange)}"))
            case pycares.TXTRecordData(data=octets):
                keyed.add((0, escape_octets(octets)))
            case pycares.NSRecordData(nsdname=host) | pycares.CNAMERecordData(cname=host):
                keyed.add((0, _host(host)))
            case pycares.ARecordData(addr=address) | pycares.AAAARecordData(addr=address):
                keyed.add((0, address))
            case other:
                keyed.add((0, escape_octets(str(other).encode())))
    return tuple(text for _, text in sorted(keyed))


def _host(name: str | bytes) -> str:
    """A host name in lower case without the last dot; the root is a dot."""
    octets = name if isinstance(name, bytes) else name.encode()
    if octets.isascii() and octets.decode().isprintable():
        return octets.decode().rstrip(".").lower() or "."
    return escape_octets(octets)


def _system_servers() -> tuple[str, ...]:
    with contextlib.closing(pycares.Channel()) as channel:
        return tuple(channel.servers)
