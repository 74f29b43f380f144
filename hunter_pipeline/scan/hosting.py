"""An MX in the company's own domain: the company's own machine, or a hoster's that bears the company's name.

Here belongs what address, reverse name and website say about that, and which of them to ask for next. Shared hosting
publishes `mail.<the customer's domain>`, so the name alone proves nothing. Name servers alone prove nothing either:
companies with a mail server of their own keep their DNS at the registrar. Who is a hoster is in `hosters.yaml`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hunter_pipeline.scan.names import Suffixes, registrable
from hunter_pipeline.scan.reply import LookupStatus, Question, Replies, Reply

# Whose reverse names only the network knows that a machine stands in: asking would tell of the network that asks
_INSIDE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/127",
        "fc00::/7",
        "fe80::/10",
    )
)


RENTED: Final = ""
"""Stands for machines that a hoster's customers run themselves."""


@dataclass(frozen=True)
class Hosters:
    """Names of hosters by what bears them: the reverse name of a machine, or `RENTED`, and a name server."""

    ptr: Suffixes[str]
    ns: Suffixes[str]


@dataclass(frozen=True)
class Machine:
    """Whose machine it is.

    :param hoster: None: nobody's but the company's, or that is open.
    :param evidence: what was seen, in words.
    :param open: there are questions that could still decide, or a look-up that could have decided failed.
    :param asks: those questions.
    """

    hoster: str | None
    evidence: tuple[str, ...] = ()
    open: bool = False
    asks: tuple[Question, ...] = ()


def whose_machine(domain: str, host: str, replies: Replies, hosters: Hosters) -> Machine:
    """Decide whose machine answers for an MX `host` in the company's own domain.

    A hoster's is one that is known under a hoster's name: by an alias or by the reverse name of its address. So is one
    at the same address as the website, if the name servers are a hoster's. Of several addresses the first counts.
    """
    reply, asks = _addresses(host, replies)
    if asks:
        return Machine(None, open=True, asks=asks)
    if reply is None:
        return Machine(None, (f"the address of {host} could not be asked for",), open=True)
    for alias in reply.cnames:
        if name := _hoster_of(alias, domain, hosters):
            return Machine(name, (f"mx {host}: an alias of {alias}: {name}, a hoster",))
    if not reply.records:
        return Machine(None, (f"{host} has no address",))
    address = reply.records[0]
    reverse, seen = _reverse_question(address), f"the address of {host}, {address},"
    known = replies.get(reverse) if reverse else None
    if reverse and known is None:
        return Machine(None, open=True, asks=(reverse,))
    for name in known.records if known else ():
        if hoster := _hoster_of(name, domain, hosters):
            return Machine(hoster, (f"mx {host}: {address} is called {name}: {hoster}, a hoster",))
    told = f"{seen} is called {known.records[0]}" if known and known.records else f"{seen} has no other name"
    failed = known is not None and not known.status.known
    website = _shares_website(domain, reply, replies, hosters)
    if website.hoster or website.asks:
        return website
    if failed or website.open:
        line = f"{seen}: its reverse name could not be asked for" if failed else told
        return Machine(None, (line, *website.evidence), open=True)
    return Machine(None, (told,))


def _addresses(host: str, replies: Replies) -> tuple[Reply | None, tuple[Question, ...]]:
    """The reply with the addresses of a host, or what to ask for; neither when the look-up failed."""
    for rtype in ("A", "AAAA"):
        reply = replies.get((host, rtype))
        if reply is None:
            return None, ((host, rtype),)
        if not reply.status.known:
            return None, ()
        if reply.status is not LookupStatus.nodata:
            break
    return reply, ()


def _shares_website(domain: str, mail: Reply, replies: Replies, hosters: Hosters) -> Machine:
    """Whether the website stands at an address of the MX, and the name servers are a hoster's."""
    servers = replies.get((domain, "NS"))
    names: Sequence[str] = servers.records if servers else ()
    server, hoster = next(((name, found) for name in names if (found := hosters.ns.longest(name))), ("", None))
    unknown = servers is None or not servers.status.known
    if hoster is None and not unknown:
        return Machine(None)
    website = mail if mail.name == domain else replies.get((domain, mail.rtype))
    if website is None:
        return Machine(None, open=True, asks=((domain, mail.rtype),))
    if not website.status.known:
        return Machine(None, ("the website's address could not be asked for",), open=True)
    shared = next((address for address in mail.records if address in website.records), None)
    if shared is None:
        return Machine(None)
    if hoster is None:
        return Machine(None, ("the name servers could not be asked for",), open=True)
    line = f"mx {mail.name}: at the website's address {shared}, with the name server {server}: {hoster}, a hoster"
    return Machine(hoster, (line,))


def _hoster_of(name: str, domain: str, hosters: Hosters) -> str | None:
    # a hoster's own mail server is its own machine
    return (hosters.ptr.longest(name) or None) if registrable(name) != registrable(domain) else None


def _reverse_question(address: str) -> Question | None:
    ip = ipaddress.ip_address(address)
    inside = any(ip in network for network in _INSIDE if network.version == ip.version)
    return None if inside else (ip.reverse_pointer, "PTR")
