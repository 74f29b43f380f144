"""A DNS server on loopback that answers from a mapping, over UDP and TCP.

Here belongs what the sandbox and the tests need to stand in for the world's DNS: real packets, real failures
(SERVFAIL, REFUSED, silence, truncation, lame servers), and a count of what was asked. It is not a general name
server: no zone files, no transfers, no DNSSEC. The product never imports it.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

Entry = Mapping[str, Any]
Answers = Mapping[str, Entry]

UNVOUCHED: Final = (
    "upward_referral",
    "downward_referral",
    "empty",
    "notauth",
    "yxdomain",
    "truncate_tcp",
    "echo",
    "unrelated",
)
"""Behaviours that look like "no such record" to a careless reader and say nothing of the kind."""

BEHAVIOURS: Final = frozenset(
    {"servfail", "refused", "silent", "truncate", "nxdomain", "nodata", "malformed", *UNVOUCHED}
)
TTL: Final = 300

_NOERROR, _SERVFAIL, _NXDOMAIN, _REFUSED, _YXDOMAIN, _NOTAUTH = 0, 2, 3, 5, 6, 9
_RCODES: Final = {
    "servfail": _SERVFAIL,
    "refused": _REFUSED,
    "nxdomain": _NXDOMAIN,
    "nodata": _NOERROR,
    "empty": _NOERROR,
    "notauth": _NOTAUTH,
    "yxdomain": _YXDOMAIN,
}
_ABSENT: Final = ("nxdomain", "nodata")
_OPT: Final = b"\x00" + struct.pack("!HHIH", dns.rdatatype.OPT, 1232, 0, 0)
_MAX_CHAIN: Final = 8
_CLASSIC_UDP_SIZE: Final = 512


class ZoneServer:
    """Serves a mapping of names as if it were a recursive resolver that knows those names and no others.

    `answers` maps a name (any case, with or without the last dot) to its records by type::

        {
            "acme.test": {
                "MX": ["10 acme-test.mail.protection.outlook.com."],
                "TXT": ["v=spf1 -all", ["one record in ", "two strings"], b"raw \\xff bytes"],
                "NS": ["ns1.acme.test."],
            },
            "*.acme.test": {"TXT": ["answers every name below that does not exist"]},
            "old.acme.test": {"CNAME": ["gone.invalid."]},
            "broken.test": {"behaviour": "servfail"},
            "_dmarc.flaky.test": {"behaviour": {"TXT": "silent"}},
        }

    A TXT value is a text (cut into strings of 255 octets), bytes, or a list of those (kept as that many strings);
    text is sent as UTF-8. Other types take presentation form. `behaviour` is one word, or one word per type:

    - `servfail`, `refused`, `nxdomain`, `nodata`: that reply, whatever records the name has;
    - `silent`: no reply at all; `truncate`: UDP replies carry TC and no records, TCP has them;
    - `upward_referral`, `downward_referral`, `empty`: what lame servers say, NOERROR with name servers of the
      root, of the name itself, or with nothing; `notauth`, `yxdomain`: those reply codes; `truncate_tcp`: TC over
      TCP as well; `echo`: the question itself comes back; `unrelated`: a record of another name;
    - `malformed`: a packet that ends in the middle of a record.

    Names that stand above a mapped name exist and have no data; every other unmapped name is NXDOMAIN. Absence comes
    with the SOA record that vouches for it (RFC 2308), unless `soa` is False, as with forwarders that strip it.
    CNAMEs are followed inside the mapping, so one that points nowhere gives NXDOMAIN together with the CNAME record. A
    reply that does not fit the asker's UDP size is truncated. `delay` is the seconds that each UDP reply is held
    back, `loss` the share of UDP questions that are dropped, evenly spread. With `recursive` False it is a name
    server: it offers no recursion and refuses every name that is neither mapped nor below a mapped one.

    `questions` counts what came in, keyed `(name in lower case, type)`; a repeat over TCP counts again.
    `replace` swaps the mapping while the server runs. `port` 0 picks a free one.

    :raises ValueError: an unknown behaviour, or a record that cannot be read; the entry is named.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        delay: float = 0.0,
        loss: float = 0.0,
        soa: bool = True,
        recursive: bool = True,
    ) -> None:
        self.questions: Counter[tuple[str, str]] = Counter()
        self._host = host
        self._delay = delay
        self._lose_each = round(1 / loss) if loss else 0
        self._came = 0
        self._soa = soa
        self._recursive = recursive
        self._lock = threading.Lock()
        self._zone = _Zone(answers, soa, recursive)
        self._udp, self._tcp = _bind(host, port, self)
        self._wake_read, self._wake_write = socket.socketpair()
        self._threads = [
            threading.Thread(target=self._serve_udp, name="zone-udp", daemon=True),
            threading.Thread(target=self._tcp.serve_forever, args=(0.05,), name="zone-tcp", daemon=True),
        ]
        self._started = False

    @property
    def port(self) -> int:
        """The port that UDP and TCP share."""
        return int(self._udp.getsockname()[1])

    @property
    def address(self) -> str:
        """`host:port`, as `HUNTER_DNS_SERVERS` takes it; an IPv6 host stands in brackets."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    def replace(self, answers: Answers) -> None:
        """Serve these answers from now on; the counts stay."""
        self._zone = _Zone(answers, self._soa, self._recursive)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Answer from now on, in threads of this process."""
        self._started = True
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close the sockets and wait for the threads."""
        if self._started:
            self._wake_write.send(b"x")
            self._tcp.shutdown()
            for thread in self._threads:
                thread.join(timeout=5)
        self._tcp.server_close()
        for each in (self._udp, self._wake_read, self._wake_write):
            each.close()

    def _serve_udp(self) -> None:
        held: list[tuple[float, int, bytes, Any]] = []
        serial = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._udp, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                wait = max(0.0, held[0][0] - time.monotonic()) if held else None
                for key, _ in selector.select(wait):
                    if key.fileobj is self._wake_read:
                        return
                    for packet, peer in _drain(self._udp):
                        self._came += 1
                        if self._lose_each and self._came % self._lose_each == 0:
                            continue
                        reply = self._reply(packet, over_tcp=False)
                        if reply is None:
                            continue
                        if self._delay:
                            serial += 1
                            heapq.heappush(held, (time.monotonic() + self._delay, serial, reply, peer))
                        else:
                            self._send(reply, peer)
                while held and held[0][0] <= time.monotonic():
                    _, _, reply, peer = heapq.heappop(held)
                    self._send(reply, peer)

    def _send(self, reply: bytes, peer: Any) -> None:
        with contextlib.suppress(OSError):  # the asker may have closed its socket
            self._udp.sendto(reply, peer)

    def _reply(self, packet: bytes, *, over_tcp: bool) -> bytes | None:
        asked = _read_question(packet)
        if asked is None:
            return None
        name, rtype, end = asked
        with self._lock:
            self.questions[(name, dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype)))] += 1
        made = self._zone.prepare(name, rtype, end)
        if made is None:
            return None
        if made.echo:
            return packet
        udp_size = _edns_size(packet, end)
        opt = _OPT if udp_size else b""
        too_long = end + len(made.body) + len(opt) > max(udp_size, _CLASSIC_UDP_SIZE)
        cut = made.cut_tcp if over_tcp else made.cut_udp or too_long
        answers, authority, body = (0, 0, b"") if cut else (made.answers, made.authority, made.body)
        # QR and AA are set, RA where recursion is offered; opcode and RD are the asker's
        flags = 0x8400 | (0x80 if self._recursive else 0) | (struct.unpack_from("!H", packet, 2)[0] & 0x7900)
        flags |= (0x0200 if cut else 0) | made.rcode
        head = packet[:2] + struct.pack("!HHHHH", flags, 1, answers, authority, 1 if opt else 0)
        return head + packet[12:end] + body + opt


@dataclass(frozen=True)
class _Made:
    """A reply without what depends on the asker. `body` is the wire form of the sections after the question."""

    rcode: int = _NOERROR
    answers: int = 0
    authority: int = 0
    body: bytes = b""
    cut_udp: bool = False
    cut_tcp: bool = False
    echo: bool = False


class _Zone:
    """The mapping in lower case, with the names above it and the replies made so far."""

    def __init__(self, answers: Answers, soa: bool, recursive: bool) -> None:
        self._soa = soa
        self._recursive = recursive
        self._entries = {_plain(name): entry for name, entry in answers.items()}
        self._above: set[str] = set()
        for name, entry in self._entries.items():
            behaviour = entry.get("behaviour", {})
            words = behaviour.values() if isinstance(behaviour, Mapping) else [behaviour]
            if unknown := set(words) - BEHAVIOURS:
                raise ValueError(f"{name}: unknown behaviour {', '.join(sorted(unknown))}")
            for rtype, values in entry.items():
                if rtype != "behaviour":
                    _check(name, rtype, values)
            parent = _parent(name)
            while parent and parent not in self._above:
                self._above.add(parent)
                parent = _parent(parent)
        self._prepared: dict[tuple[str, int], _Made | None] = {}

    def prepare(self, name: str, rtype: int, question_end: int) -> _Made | None:
        """The reply to a question that ends at that offset, or None for silence."""
        key = (name, rtype)
        if key not in self._prepared:
            self._prepared[key] = self._make(name, dns.rdatatype.RdataType.make(rtype), question_end)
        return self._prepared[key]

    def _make(self, name: str, rtype: dns.rdatatype.RdataType, end: int) -> _Made | None:
        entry = self._find(name)
        word = _behaviour(entry, rtype.name)
        if word == "silent":
            return None
        if word == "echo":
            return _Made(echo=True)
        if word == "malformed":
            return _Made(answers=1, body=b"\xc0\x0c\x00")
        if word == "unrelated":
            return _made(name, end, answer=[_rrset("unrelated.invalid", dns.rdatatype.A, ["192.0.2.254"])])
        if word in ("upward_referral", "downward_referral"):
            owner = "" if word == "upward_referral" else name
            servers = _rrset(owner, dns.rdatatype.NS, ["ns1.elsewhere.invalid.", "ns2.elsewhere.invalid."])
            return _made(name, end, authority=[servers])
        if not self._recursive and not self._is_ours(name):
            return _Made(_REFUSED)
        if word in _RCODES:
            return _made(name, end, _RCODES[word], authority=self._vouch(name) if word in _ABSENT else [])
        rcode, sets = self._follow(name, rtype)
        if rcode is None:
            return None
        found = any(each.rdtype == rtype for each in sets)
        absent = rcode == _NXDOMAIN or (rcode == _NOERROR and not found)
        made = _made(name, end, rcode, sets, self._vouch(_last_target(name, sets)) if absent else [])
        return replace(made, cut_udp=word in ("truncate", "truncate_tcp"), cut_tcp=word == "truncate_tcp")

    def _is_ours(self, name: str) -> bool:
        while name:
            if name in self._entries:
                return True
            name = _parent(name)
        return False

    def _vouch(self, name: str) -> list[dns.rrset.RRset]:
        """The SOA of the closest zone: that of the nearest name with name servers, else of the top-level domain."""
        zone = name
        while "." in zone and "NS" not in self._entries.get(zone, {}):
            zone = _parent(zone)
        soa = "ns1.sandbox.invalid. hostmaster.sandbox.invalid. 1 3600 600 86400 300"
        return [_rrset(zone, dns.rdatatype.SOA, [soa])] if self._soa else []

    def _follow(self, name: str, rtype: dns.rdatatype.RdataType) -> tuple[int | None, list[dns.rrset.RRset]]:
        sets: list[dns.rrset.RRset] = []
        for _ in range(_MAX_CHAIN):
            entry = self._find(name)
            word = _behaviour(entry, rtype.name)
            if word == "silent":
                return None, []
            if word in _RCODES:
                return _RCODES[word], sets
            if entry is None:
                return _NXDOMAIN, sets
            if rtype.name in entry:
                sets.append(_rrset(name, rtype, entry[rtype.name]))
                return _NOERROR, sets
            if "CNAME" not in entry:
                return _NOERROR, sets
            sets.append(_rrset(name, dns.rdatatype.CNAME, entry["CNAME"]))
            name = _plain(entry["CNAME"][0])
        return _SERVFAIL, []

    def _find(self, name: str) -> Entry | None:
        """The entry of the name, or of the wildcard at its closest encloser (RFC 4592), or None for NXDOMAIN."""
        if name in self._entries:
            return self._entries[name]
        if name in self._above:
            return {}
        parent = _parent(name)
        while parent:
            if parent in self._entries or parent in self._above:
                return self._entries.get(f"*.{parent}")
            parent = _parent(parent)
        return None


def _made(
    name: str,
    end: int,
    rcode: int = _NOERROR,
    answer: Sequence[dns.rrset.RRset] = (),
    authority: Sequence[dns.rrset.RRset] = (),
) -> _Made:
    message = dns.message.make_query(_name(name), dns.rdatatype.A)
    message.answer, message.authority = list(answer), list(authority)
    answers, authorities = (sum(len(each) for each in section) for section in (answer, authority))
    return _Made(rcode, answers, authorities, message.to_wire(max_size=65535)[end:])


def _last_target(name: str, sets: Sequence[dns.rrset.RRset]) -> str:
    return _plain(sets[-1][0].to_text()) if sets and sets[-1].rdtype == dns.rdatatype.CNAME else name


def _behaviour(entry: Entry | None, rtype: str) -> str | None:
    behaviour = (entry or {}).get("behaviour")
    return behaviour.get(rtype) if isinstance(behaviour, Mapping) else behaviour


def _rrset(name: str, rtype: dns.rdatatype.RdataType, values: Sequence[Any]) -> dns.rrset.RRset:
    made = dns.rrset.RRset(_name(name), dns.rdataclass.IN, rtype)
    made.update_ttl(TTL)
    for value in values:
        if rtype == dns.rdatatype.TXT:
            rdata: dns.rdata.Rdata = dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, rtype, _strings(value))
        else:
            rdata = dns.rdata.from_text(dns.rdataclass.IN, rtype, value, dns.name.root, relativize=False)
        made.add(rdata, TTL)
    return made


def _check(name: str, rtype: str, values: Sequence[Any]) -> None:
    try:
        _rrset(name, dns.rdatatype.from_text(rtype), values)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{name} {rtype}: {error}") from error


def _strings(value: str | bytes | Sequence[str | bytes]) -> list[bytes]:
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        return [raw[start : start + 255] for start in range(0, len(raw), 255)] or [b""]
    return [part.encode() if isinstance(part, str) else part for part in value]


def _name(name: str) -> dns.name.Name:
    return dns.name.Name([label.encode("latin-1") for label in name.split(".")] + [b""]) if name else dns.name.root


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _parent(name: str) -> str:
    return name.partition(".")[2]


def _read_question(packet: bytes) -> tuple[str, int, int] | None:
    """Name in lower case, type number and the offset after the question; None for what is no plain question."""
    if len(packet) < 17 or packet[2] & 0x80 or packet[4:6] != b"\x00\x01":
        return None
    labels = []
    offset = 12
    while offset < len(packet) and (length := packet[offset]):
        if length > 63:
            return None
        labels.append(packet[offset + 1 : offset + 1 + length])
        offset += 1 + length
    if offset + 5 > len(packet):
        return None
    name = b".".join(labels).decode("latin-1").lower()
    return name, int.from_bytes(packet[offset + 1 : offset + 3]), offset + 5


def _edns_size(packet: bytes, end: int) -> int:
    """The UDP size that the asker offers in an OPT record right after the question, 0 without one."""
    if packet[10:12] == b"\x00\x00" or packet[end : end + 3] != b"\x00\x00\x29":
        return 0
    return int.from_bytes(packet[end + 3 : end + 5])


def _drain(udp: socket.socket) -> list[tuple[bytes, Any]]:
    packets = []
    with contextlib.suppress(BlockingIOError, ConnectionError):
        for _ in range(256):
            packets.append(udp.recvfrom(4096))  # noqa: PERF401 - what came before the socket ran dry is kept
    return packets


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    zone_server: ZoneServer


class _TcpHandler(socketserver.StreamRequestHandler):
    timeout = 5  # an idle connection does not keep its thread

    def handle(self) -> None:
        assert isinstance(self.server, _TcpServer)
        with contextlib.suppress(OSError):
            while len(size := self.rfile.read(2)) == 2:
                reply = self.server.zone_server._reply(self.rfile.read(int.from_bytes(size)), over_tcp=True)
                if reply is not None:
                    self.wfile.write(struct.pack("!H", len(reply)) + reply)


def _bind(host: str, port: int, owner: ZoneServer) -> tuple[socket.socket, _TcpServer]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.setblocking(False)
        try:
            udp.bind((host, port))
        except OSError:
            udp.close()
            raise
        try:
            tcp = _TcpServer((host, udp.getsockname()[1]), _TcpHandler, bind_and_activate=False)
            tcp.address_family = family
            tcp.socket.close()
            tcp.socket = socket.socket(family, socket.SOCK_STREAM)
            tcp.server_bind()
            tcp.server_activate()
        except OSError:
            tcp.server_close()
            udp.close()
            if port:
                raise
            continue  # the free UDP port is taken for TCP: try another
        tcp.zone_server = owner
        return udp, tcp
    raise OSError(f"no port on {host} is free for both UDP and TCP")
