"""A question to DNS, the reply to it, and the text form of what came.

Here belong the values that every other module of the scan speaks in, and how they are stored. How a reply gets here
is in `dns`, what it means for e-mail in the modules named after each signal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

Question = tuple[str, str]


class LookupStatus(StrEnum):
    """What became of a question.

    `answer`: records came. `nodata`: the name exists without such a record, and the zone's SOA says so (RFC 2308).
    `nxdomain`: neither the name nor anything below it exists (RFC 8020). Everything else says nothing about the zone:
    `unvouched` (no record and nobody who vouches for its absence: the referral or the empty answer of a lame
    server), `servfail`, `refused`, `timeout`, and `other` (a reply code that is no answer, a reply that cannot
    be read or is about something else, a name that cannot be asked, no server reachable).
    """

    answer = "answer"
    nodata = "nodata"
    nxdomain = "nxdomain"
    unvouched = "unvouched"
    servfail = "servfail"
    refused = "refused"
    timeout = "timeout"
    other = "other"

    @property
    def known(self) -> bool:
        """Whether the reply is a fact about the zone, be it a record or its absence."""
        return self in _KNOWN


_KNOWN: Final = (LookupStatus.answer, LookupStatus.nodata, LookupStatus.nxdomain)

STRIPPED: Final = "the server sends no proof of absence"
"""The `detail` of a `nodata` that came without an SOA from a server that never sends one, see `vouched`."""


@dataclass(frozen=True)
class Reply:
    """The outcome of one question.

    :param name: in lower case without the last dot.
    :param records: in presentation form, sorted: an MX is `"10 mx.host"` (a null MX `"0 ."`), a TXT its strings joined
        without a space, where a backslash and every octet outside printable ASCII stand as in a zone file (`\\\\`,
        `\\195`), see `txt_octets`.
    :param ttl: the smallest of the records', in seconds.
    :param server: the last one asked.
    :param attempts: the times it was asked; 0 for a name that cannot be asked.
    :param milliseconds: went by from the first of them to the reply.
    :param cnames: the targets followed on the way to the records.
    :param detail: says in words what an odd reply was.
    """

    name: str
    rtype: str
    status: LookupStatus
    records: tuple[str, ...] = ()
    ttl: int | None = None
    server: str | None = None
    attempts: int = 0
    cnames: tuple[str, ...] = ()
    milliseconds: int | None = None
    detail: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back; its texts hold ASCII only, so any database stores them."""
        return {
            "name": self.name,
            "rtype": self.rtype,
            "status": self.status.value,
            "records": list(self.records),
            "ttl": self.ttl,
            "server": self.server,
            "attempts": self.attempts,
            "cnames": list(self.cnames),
            "milliseconds": self.milliseconds,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reply that `to_json` wrote.

        :raises KeyError: it is something else.
        :raises ValueError: so it is.
        """
        status = LookupStatus(data["status"])
        # what was stored before proofs were looked at may be a lame server's word
        unproven = STRIPPED if status is LookupStatus.nodata else None
        return cls(
            name=data["name"],
            rtype=data["rtype"],
            status=status,
            records=tuple(data["records"]),
            ttl=data["ttl"],
            server=data["server"],
            attempts=data["attempts"],
            cnames=tuple(data.get("cnames", ())),
            milliseconds=data.get("milliseconds"),
            detail=data.get("detail", unproven),
        )


Replies = Mapping[Question, Reply]

_LABEL: Final = r"[!-\-/-\[\]-~]{1,63}"
_ASKABLE: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ESCAPE: Final = re.compile(rb"\\(?:(2(?:[0-4][0-9]|5[0-5])|[01][0-9]{2})|(\\))")


def is_askable(name: str) -> bool:
    """Whether a name can stand in a question: 253 printable ASCII characters at most, labels of 1 to 63 (RFC 1035)."""
    return len(name) <= 253 and _ASKABLE.fullmatch(name) is not None


def escape_octets(octets: bytes) -> str:
    """The octets in the form of a `Reply`'s records, printable ASCII whatever they are."""
    plain = octets.decode("latin-1")
    if plain.isascii() and plain.isprintable() and "\\" not in plain:
        return plain
    return "".join("\\\\" if char == "\\" else char if " " <= char <= "~" else f"\\{ord(char):03}" for char in plain)


def txt_octets(record: str) -> bytes:
    """The octets of a TXT record as a `Reply` shows it. Never raises: a lone backslash stands for itself."""
    return _ESCAPE.sub(_unescape, record.encode("utf-8", "surrogatepass"))


def txt_text(record: str) -> str:
    """The TXT record with one character for each octet, as the parsers of ASCII-only records read it."""
    return txt_octets(record).decode("latin-1") if "\\" in record else record


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1])]) if match[1] else b"\\"
