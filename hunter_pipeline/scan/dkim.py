"""DKIM by RFC 6376: what the key records under `_domainkey` show.

Here belongs the reading of key records and the conclusion from the names that were asked. Which selectors are worth
asking is in `scan` and `providers.yaml`. Selectors cannot be listed from outside, so "no key" is said only where
the zone itself rules one out.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from hunter_pipeline.scan.reply import LookupStatus, Replies, Reply, txt_text

DkimState = Literal["found", "revoked", "unknown_selector", "none", "unknown"]

_TAG_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_SPACE: Final = " \t\r\n"
_SHORTEST_KEY: Final = 32  # octets of an Ed25519 key (RFC 8463); RSA keys are longer


@dataclass(frozen=True)
class DkimKey:
    """A key record.

    :param revoked: its key is empty (section 3.6.1).
    :param testing: the flag `t=y`.
    """

    revoked: bool
    testing: bool = False


@dataclass(frozen=True)
class Dkim:
    """The DKIM signal of a domain.

    :param selectors: those with a key, or with a revoked one if there is no other.
    """

    state: DkimState
    selectors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parse_dkim_key(record: str) -> DkimKey | None:
    """Read a TXT record as a key (section 3.6.1), or return None when it is none.

    `v` is optional, but when it is there it comes first and is `DKIM1`; `p` must be there and be base64. Never
    raises.
    """
    tags: dict[str, str] = {}
    first = ""
    for part in txt_text(record).split(";"):
        name, equals, value = part.partition("=")
        name = name.strip(_SPACE)
        if not equals and not name:
            continue
        if not equals or not _TAG_NAME.fullmatch(name) or name in tags:
            return None
        first = first or name
        tags[name] = value.strip(_SPACE)
    if "p" not in tags or ("v" in tags and (first != "v" or tags["v"] != "DKIM1")):
        return None
    key = re.sub(r"[ \t\r\n]+", "", tags["p"])
    testing = "y" in [flag.strip() for flag in tags.get("t", "").split(":")]
    if not key:
        return DkimKey(revoked=True, testing=testing)
    try:
        octets = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return None
    return DkimKey(revoked=False, testing=testing) if len(octets) >= _SHORTEST_KEY else None


def asked_selectors(domain: str, replies: Replies) -> dict[str, Reply]:
    """The TXT replies of selectors of the domain, by selector."""
    suffix = f"._domainkey.{domain}"
    return {
        name.removesuffix(suffix): reply
        for (name, rtype), reply in replies.items()
        if rtype == "TXT" and name.endswith(suffix)
    }


def read_dkim(domain: str, replies: Replies) -> Dkim:
    """The DKIM signal of a domain from the replies of its selectors and of `_domainkey` itself.

    - `found`: a selector has a key. `revoked`: those that were found have an empty one.
    - `none`: `_domainkey` does not exist, so nothing below it does (RFC 8020); or what makes it exist is no key:
      a wildcard that answers for every name, or selectors that point at a missing name.
    - `unknown_selector`: something is there, under none of the selectors that were asked.
    - `unknown`: a look-up that it depends on failed.
    """
    apex = replies.get((domain, "MX"))
    if apex is not None and apex.status is LookupStatus.nxdomain:
        return Dkim("none")
    selectors = asked_selectors(domain, replies)
    keys = {
        selector: key
        for selector, reply in sorted(selectors.items())
        for record in reply.records
        if (key := parse_dkim_key(record))
    }
    if found := tuple(selector for selector, key in keys.items() if not key.revoked):
        testing = [selector for selector in found if keys[selector].testing]
        return Dkim("found", found, tuple(f"dkim: the key of {selector} is in testing mode" for selector in testing))
    if any(not reply.status.known for reply in selectors.values()):
        return Dkim("unknown")
    if keys:
        return Dkim("revoked", tuple(keys))
    probe = replies.get((f"_domainkey.{domain}", "TXT"))
    if probe is None or not probe.status.known:
        return Dkim("unknown")
    if probe.status is LookupStatus.nxdomain:
        return Dkim("none")
    if selectors and probe.records and all(reply.records == probe.records for reply in selectors.values()):
        return Dkim("none", warnings=("dkim: a wildcard record answers for every name",))
    dangling = [
        selector
        for selector in selectors
        if (alias := replies.get((f"{selector}._domainkey.{domain}", "CNAME"))) and alias.records
    ]
    if dangling:
        return Dkim("none", warnings=tuple(f"dkim: {selector} points at a name without a key" for selector in dangling))
    if selectors and all(reply.status is LookupStatus.nodata for reply in selectors.values()):
        return Dkim("unknown_selector", warnings=("dkim: the zone does not tell which names exist",))
    return Dkim("unknown_selector")
