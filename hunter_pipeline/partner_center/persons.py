"""Who a payload names: e-mail addresses and host names in any of its texts, and the sellers' team apart from the rest.

Belongs here: finding them, in one spelling each, and a payload without some of its sellers. Does not belong here:
who was erased (`pipeline.erasures`). A text that names more than it should costs nothing, since a name only counts
when it was erased; one that was overlooked would bring an erased person back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ada_url import URL

_ADDRESS = re.compile(r"([^\s<>()\[\],;:\"|\\@]+)@([\w.-]+)")
_HOST = re.compile(r"(?:[\w-]+\.)+[\w-]{2,}")
_LOCAL_ENDS = re.compile(r".*[=/?&'`*]")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_SELLERS = "team"
_PLUMBING = "links"


@dataclass(frozen=True)
class Named:
    """What texts name, in small letters.

    :param addresses: e-mail addresses, the host in ASCII.
    :param hosts: host names in ASCII, each with the names above it: of `mail.a.example` also `a.example`.
    """

    addresses: frozenset[str]
    hosts: frozenset[str]

    def names(self, address: str | None, host: str | None) -> bool:
        """Whether an address or a host is among them."""
        return address in self.addresses or host in self.hosts


def address_of(text: str) -> str | None:
    """A single e-mail address in the one spelling that is compared; None when the text is none."""
    found = _ADDRESS.fullmatch(text.strip())
    host = host_of(found[2]) if found else None
    return f"{_folded(found[1])}@{host}" if found and host else None


def host_of(text: str) -> str | None:
    """A host name in ASCII and small letters, without a dot at its end; None when the text is none."""
    name = text.strip().strip(".-")
    if not name.isascii():
        try:
            name = URL(f"http://{name}").hostname
        except ValueError:
            return None
    return name.lower() or None


def named_in(value: object) -> Named:
    """What the texts in a JSON value name, apart from the links that the API writes itself."""
    addresses: set[str] = set()
    hosts: set[str] = set()
    for text in _texts(value):
        if "@" in text:
            addresses.update(_addresses(text))
        for match in _HOST.finditer(text):
            labels = (host_of(match[0]) or "").split(".")
            hosts.update(".".join(labels[start:]) for start in range(len(labels) - 1))
    return Named(frozenset(addresses), frozenset(hosts))


def named_in_text(text: str) -> Named:
    """What JSON text names that cannot be parsed."""
    return named_in(_ESCAPED.sub(lambda match: chr(int(match[1], 16)), text))


def apart(payload: object) -> tuple[object, list[object]]:
    """A payload without the deal's team, and the members of that team: the partner's and Microsoft's sellers."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get(_SELLERS), list | Mapping):
        return payload, []
    team = payload[_SELLERS]
    rest = {key: value for key, value in payload.items() if key != _SELLERS}
    return rest, list(team) if isinstance(team, list) else [team]


def without_sellers(payload: Any, is_erased: Callable[[object], bool]) -> Any:
    """A payload without the members of the deal's team that `is_erased` says yes to; itself when there is none."""
    _, team = apart(payload)
    kept = [member for member in team if not is_erased(member)]
    return payload if len(kept) == len(team) else {**payload, _SELLERS: kept}


def _texts(value: object) -> Iterator[str]:
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            todo += [item for key, item in each.items() if key != _PLUMBING and not str(key).startswith("@")]
        elif isinstance(each, list | tuple):
            todo += each


def _addresses(text: str) -> Iterator[str]:
    for match in _ADDRESS.finditer(text):
        host = host_of(match[2])
        if host:
            for local in {match[1], _LOCAL_ENDS.sub("", match[1])} - {""}:
                yield f"{_folded(local)}@{host}"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
