"""What the sandbox's DNS server says to a question: a mapping of names, or one of the failures that it can play.

Here belongs how a name is looked up (wildcards, CNAMEs, the SOA that vouches for absence) and the reply's sections in
wire form. Sockets, the asker's limits and counts do not: `dns_zone.py` has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

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
_MAX_CHAIN: Final = 8


@dataclass(frozen=True)
class Made:
    """A reply without what depends on the asker. `body` is the wire form of the sections after the question."""

    rcode: int = _NOERROR
    answers: int = 0
    authority: int = 0
    body: bytes = b""
    cut_udp: bool = False
    cut_tcp: bool = False
    echo: bool = False


class Zone:
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
        self._prepared: dict[tuple[str, int], Made | None] = {}

    def prepare(self, name: str, rtype: int, question_end: int) -> Made | None:
        """The reply to a question that ends at that offset, or None for silence."""
        key = (name, rtype)
        if key not in self._prepared:
            self._prepared[key] = self._make(name, dns.rdatatype.RdataType.make(rtype), question_end)
        return self._prepared[key]

    def _make(self, name: str, rtype: dns.rdatatype.RdataType, end: int) -> Made | None:
        entry = self._find(name)
        word = _behaviour(entry, rtype.name)
        if word == "silent":
            return None
        if word == "echo":
            return Made(echo=True)
        if word == "malformed":
            return Made(answers=1, body=b"\xc0\x0c\x00")
        if word == "unrelated":
            return _made(name, end, answer=[_rrset("unrelated.invalid", dns.rdatatype.A, ["192.0.2.254"])])
        if word in ("upward_referral", "downward_referral"):
            owner = "" if word == "upward_referral" else name
            servers = _rrset(owner, dns.rdatatype.NS, ["ns1.elsewhere.invalid.", "ns2.elsewhere.invalid."])
            return _made(name, end, authority=[servers])
        if not self._recursive and not self._is_ours(name):
            return Made(_REFUSED)
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
) -> Made:
    message = dns.message.make_query(_name(name), dns.rdatatype.A)
    message.answer, message.authority = list(answer), list(authority)
    answers, authorities = (sum(len(each) for each in section) for section in (answer, authority))
    return Made(rcode, answers, authorities, message.to_wire(max_size=65535)[end:])


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
