"""DNS packets: writing a question, and reading what a reply says and what vouches for it.

Here belongs RFC 1035 on the wire, as far as a scan needs it. c-ares, which would do the same, hides the reply code and
the authority section, and without those a lame server's referral cannot be told from "no such record"; dnspython
shows both and takes fifty times as long for a reply. No socket is touched here, and reading never raises.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hunter_pipeline.scan.reply import LookupStatus, escape_octets

TYPES: Final = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
UDP_SIZE: Final = 1232  # octets that pass every network unfragmented (DNS Flag Day 2020)

_NS, _CNAME, _SOA, _PTR, _MX, _TXT, _AAAA = 2, 5, 6, 12, 15, 16, 28
_IN: Final = 1
_OPT: Final = b"\x00" + struct.pack("!HHIH", 41, UDP_SIZE, 0, 0)
_MOST_ALIASES: Final = 16
_TO_QUESTION: Final = b"\xc0\x0c"  # the name at octet 12, right after the header
_RECORD: Final = struct.Struct("!HHIH")
_HEADER: Final = struct.Struct("!HHHHHH")
_STATUSES: Final = {2: LookupStatus.servfail, 3: LookupStatus.nxdomain, 5: LookupStatus.refused}
_CODES: Final = {1: "FORMERR", 4: "NOTIMP", 6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE"}

EMPTY: Final = "empty answer without the zone's SOA"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reply says.

    :param proven: the zone's SOA came along.
    :param recursive: the server offers recursion.
    :param truncated: the whole reply is to be had over TCP.
    :param plain: the server does not understand EDNS.
    """

    status: LookupStatus
    records: tuple[str, ...] = ()
    ttl: int | None = None
    cnames: tuple[str, ...] = ()
    detail: str | None = None
    proven: bool = False
    recursive: bool = True
    truncated: bool = False
    plain: bool = False


def failure(status: LookupStatus, detail: str | None = None) -> Outcome:
    """The outcome of a question that got no reply that could be read."""
    return Outcome(status, detail=detail)


@lru_cache(maxsize=8192)
def question(name: str, rtype: str) -> bytes:
    """The question section for a name that can be asked, in lower case without the last dot; empty is the root."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b".")) if name else b""
    return labels + b"\x00" + struct.pack("!HH", TYPES[rtype], _IN)


def packet(number: int, asked: bytes, *, edns: bool = True) -> bytes:
    """A question as it is sent, with recursion desired."""
    return _HEADER.pack(number, 0x0100, 1, 0, 0, 1 if edns else 0) + asked + (_OPT if edns else b"")


def read(reply: bytes, asked: bytes) -> Outcome | None:
    """What a reply to the question section `asked` says; None when it is no reply to it and may be forged."""
    if len(reply) < 12:
        return None
    _, flags, questions, answers, authority, _ = _HEADER.unpack_from(reply)
    end = 12 + len(asked)
    # lengths and types are below 0x41, so lower case touches letters only
    if questions != 1 or reply[12:end].lower() != asked:
        # a server that did not get as far as the question may leave it out of an error
        return failure(LookupStatus.other, "reply without a question") if not questions and flags & 0xF else None
    if not flags & 0x8000:
        return failure(LookupStatus.other, "the question came back as the answer")
    code, recursive = flags & 0xF, bool(flags & 0x80)
    if flags & 0x0200:
        return Outcome(LookupStatus.other, detail="truncated", recursive=recursive, truncated=True)
    if code not in (0, 3):
        status = _STATUSES.get(code, LookupStatus.other)
        detail = None if code in _STATUSES else _CODES.get(code, f"reply code {code}")
        return Outcome(status, detail=detail, recursive=recursive, plain=code in (1, 4))
    try:
        return _read_sections(reply, asked, end, code, answers, authority, recursive)
    except (_MalformedError, IndexError, struct.error, ValueError):
        return Outcome(LookupStatus.other, detail="malformed reply", recursive=recursive)


class _MalformedError(Exception):
    pass


def _read_sections(
    reply: bytes, asked: bytes, end: int, code: int, answers: int, authority: int, recursive: bool
) -> Outcome:
    wanted = int.from_bytes(asked[-4:-2])
    name = question_name = _asked_name(asked)
    rows: list[tuple[str, int, int, int, int]] = []
    offset = end
    for _ in range(answers):
        # nearly every record points back at the question's name
        if reply[offset : offset + 2] == _TO_QUESTION:
            owner, offset = question_name, offset + 2
        else:
            owner, offset = _read_name(reply, offset)
        rtype, rclass, ttl, length = _RECORD.unpack_from(reply, offset)
        offset += 10
        if offset + length > len(reply):
            raise _MalformedError
        if rclass == _IN:
            rows.append((owner, rtype, ttl & 0x7FFFFFFF, offset, length))
        offset += length
    cnames: list[str] = []
    if wanted != _CNAME:
        while target := next((_host(reply, row) for row in rows if row[1] == _CNAME and row[0] == name), None):
            cnames.append(target)
            if len(cnames) > _MOST_ALIASES:
                return Outcome(LookupStatus.other, detail="the aliases never end", recursive=recursive)
            name = target
    found = [row for row in rows if row[1] == wanted and row[0] == name]
    if found:
        records = _records(reply, found, wanted)
        return Outcome(LookupStatus.answer, records, min(row[2] for row in found), tuple(cnames), recursive=recursive)
    if rows and not cnames and code == 0:
        return Outcome(LookupStatus.other, detail="the answer is about something else", recursive=recursive)
    soa, servers = _read_authority(reply, offset, authority, name)
    if code == 3:
        status, detail = LookupStatus.nxdomain, None
    elif soa:
        status, detail = LookupStatus.nodata, None
    else:
        status = LookupStatus.unvouched
        detail = f"referral to {servers[0]}" if servers else EMPTY
    return Outcome(status, (), None, tuple(cnames), detail, soa, recursive)


@lru_cache(maxsize=8192)
def _asked_name(asked: bytes) -> str:
    """The name of a question section as `_read_name` gives it."""
    return _read_name(bytes(12) + asked, 12)[0]


def _read_authority(reply: bytes, offset: int, count: int, name: str) -> tuple[bool, list[str]]:
    """Whether an SOA of a zone that holds the name stands there, and the name servers beside it."""
    soa, servers = False, []
    for _ in range(count):
        owner, offset = _read_name(reply, offset)
        rtype, rclass, _, length = _RECORD.unpack_from(reply, offset)
        offset += 10
        if rtype == _SOA and rclass == _IN and (owner == "." or f".{name}".endswith(f".{owner}")):
            soa = True
        elif rtype == _NS:
            servers.append(_read_name(reply, offset)[0])
        offset += length
    return soa, servers


def _read_name(reply: bytes, offset: int) -> tuple[str, int]:
    """A name in lower case without the last dot, the root as a dot, and the offset after it."""
    labels: list[bytes] = []
    after = -1
    size = 0
    while length := reply[offset]:
        if length >= 0xC0:
            if after < 0:
                after = offset + 2
            target = (length & 0x3F) << 8 | reply[offset + 1]
            if target >= offset:
                raise _MalformedError
            offset = target
            continue
        if length > 63:
            raise _MalformedError
        label = reply[offset + 1 : offset + 1 + length]
        offset += 1 + length
        size += 1 + length
        # also what ends a name that points into itself
        if size > 254 or len(label) != length:
            raise _MalformedError
        labels.append(label)
    octets = b".".join(labels)
    if octets.isalnum() or (octets.count(b".") == len(labels) - 1 and octets.isascii()):
        text = octets.decode("ascii").lower()
        if text.isprintable() and "\\" not in text:
            return text or ".", after if after >= 0 else offset + 1
    text = ".".join(escape_octets(label.lower()).replace(".", "\\046") for label in labels)
    return text or ".", after if after >= 0 else offset + 1


def _host(reply: bytes, row: tuple[str, int, int, int, int]) -> str:
    return _read_name(reply, row[3])[0]


def _records(reply: bytes, rows: list[tuple[str, int, int, int, int]], rtype: int) -> tuple[str, ...]:
    """Presentation form in a fixed order, since servers rotate the records of a set."""
    keyed = {_record(reply, offset, length, rtype) for _, _, _, offset, length in rows}
    return tuple(text for _, text in sorted(keyed))


def _record(reply: bytes, offset: int, length: int, rtype: int) -> tuple[int, str]:
    if rtype == _TXT:
        return 0, escape_octets(_strings(reply[offset : offset + length]))
    if rtype == _MX:
        preference = int.from_bytes(reply[offset : offset + 2])
        return preference, f"{preference} {_read_name(reply, offset + 2)[0]}"
    if rtype in (_NS, _CNAME, _PTR):
        return 0, _read_name(reply, offset)[0]
    if rtype == _SOA:
        server, offset = _read_name(reply, offset)
        person, offset = _read_name(reply, offset)
        return 0, " ".join((server, person, *map(str, struct.unpack_from("!5I", reply, offset))))
    address = reply[offset : offset + length]
    if rtype == _AAAA:
        return 0, str(ipaddress.IPv6Address(address))
    if length != 4:
        raise _MalformedError
    return 0, socket.inet_ntoa(address)


def _strings(data: bytes) -> bytes:
    if data and data[0] == len(data) - 1:
        return data[1:]
    parts = []
    offset = 0
    while offset < len(data):
        length = data[offset]
        if offset + 1 + length > len(data):
            raise _MalformedError
        parts.append(data[offset + 1 : offset + 1 + length])
        offset += 1 + length
    return b"".join(parts)
