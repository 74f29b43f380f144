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
from types import TracebackType
from typing import Any, Final, Self

import dns.rdatatype

from hunter_pipeline.sandbox.dns_answers import Answers, Zone

_OPT: Final = b"\x00" + struct.pack("!HHIH", dns.rdatatype.OPT, 1232, 0, 0)
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
    `replace` swaps the mapping while the server runs. `port` 0 picks a free one. A `Zone` that was made before is
    served as it is, which spares the check of its records.

    :raises ValueError: an unknown behaviour, or a record that cannot be read; the entry is named.
    """

    def __init__(
        self,
        answers: Answers | Zone,
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
        self._zone = answers if isinstance(answers, Zone) else Zone(answers, soa, recursive)
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
        self._zone = Zone(answers, self._soa, self._recursive)

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
