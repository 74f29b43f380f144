"""DMARC by RFC 9989: the record's tags, and the policy that applies to a domain.

Here belongs policy discovery with the DNS tree walk and what follows from the tags. Reports (RFC 9990, RFC 9991) and
the alignment of a message are not the scan's business. All functions are pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast

from hunter_pipeline.scan.reply import LookupStatus, Question, Replies, txt_text

DmarcState = Literal["ok", "none", "invalid", "unknown"]
Policy = Literal["none", "quarantine", "reject"]

_POLICIES: Final = ("none", "quarantine", "reject")
_MAX_LABELS: Final = 8
_VERSION: Final = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_TAG_NAME: Final = re.compile(r"[a-zA-Z]+")
_URI: Final = re.compile(
    r"(?:mailto:[^@\s,!]+@[^@\s,!]+(?:![0-9]+[kmgt]?)?|(?!mailto:)[a-z][a-z0-9+.\-]*:[^\s,]+)", re.IGNORECASE
)
_PERCENT: Final = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True)
class DmarcRecord:
    """One parsed record. A policy is None when its tag is absent or has no defined value; `bad` names the latter."""

    p: Policy | None = None
    sp: Policy | None = None
    np: Policy | None = None
    testing: bool = False
    psd: Literal["y", "n", "u"] = "u"
    pct: int | None = None
    has_rua: bool = False
    bad: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Dmarc:
    """The DMARC signal of a domain.

    :param policy: what receivers are asked to do today: by `p` (`sp` or `np` of a parent's record), one step milder
        with `t=y`.
    :param record: the published text.
    :param found_at: the domain that published it.
    :param pct: the published percentage, which RFC 9989 removed: information, not coverage.
    """

    state: DmarcState
    policy: Policy | None = None
    record: str | None = None
    found_at: str | None = None
    pct: int | None = None
    warnings: tuple[str, ...] = ()


def select_dmarc(records: Sequence[str]) -> tuple[str, ...]:
    """The TXT records that are DMARC records: they begin with `v=DMARC1`, the value in this case (section 4.8)."""
    return tuple(record for record in records if _VERSION.match(record))


def parse_dmarc(record: str) -> DmarcRecord:
    """Parse a record that `select_dmarc` chose (section 4.7, 4.8).

    Tag names are exact and in any case, policies too; unknown tags are ignored, and of a repeated tag the first
    counts. Never raises.
    """
    tags: dict[str, str] = {}
    warnings: list[str] = []
    for part in txt_text(record).split(";"):
        text = part.strip(" \t")
        if not text:
            continue
        name, equals, value = text.partition("=")
        name = name.rstrip(" \t").lower()
        if not equals or not _TAG_NAME.fullmatch(name):
            warnings.append("dmarc: a part of the record is no tag and is ignored")
            continue
        if name in tags:
            warnings.append(f"dmarc: the tag {name} stands twice; the first counts")
        tags.setdefault(name, value.lstrip(" \t"))
    policies = {name: _policy(tags.get(name)) for name in ("p", "sp", "np")}
    uris = tags.get("rua", "").split(",")
    percent = tags.get("pct", "")
    psd = tags.get("psd", "").lower()
    return DmarcRecord(
        **policies,
        testing=tags.get("t", "").lower() == "y",
        psd=psd if psd in ("y", "n") else "u",  # type: ignore[arg-type]
        pct=int(percent) if _PERCENT.fullmatch(percent) and int(percent) <= 100 else None,
        has_rua=any(_URI.fullmatch(uri.strip(" \t")) for uri in uris),
        bad=tuple(name for name, policy in policies.items() if policy is None and name in tags),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def read_dmarc(domain: str, replies: Replies) -> Dmarc:
    """The DMARC signal of a domain from the TXT replies of `_dmarc` names (section 4.10).

    The domain's own record counts. Without one, the record of its organizational domain does, else that of the
    public suffix domain, both found by the tree walk; its `sp` (`np` if the domain does not exist) applies.

    - `ok`: a policy applies. A record whose `p` is missing or, like `sp` and `np`, not a defined value, means
      `none` when `rua` holds a usable address (section 4.10.1).
    - `invalid`: without such an address that record means no DMARC at all. So do several records at the domain.
    - `none`: no record. `unknown`: a look-up that it depends on failed.
    """
    own = replies.get((f"_dmarc.{domain}", "TXT"))
    if own is None or not own.status.known:
        return Dmarc("unknown")
    records = select_dmarc(own.records)
    if len(records) > 1:
        return Dmarc(
            "invalid",
            record="\n".join(records),
            found_at=domain,
            warnings=("dmarc: more than one record; none counts",),
        )
    if records:
        return _judge(records[0], domain, "p")
    return _inherit(domain, replies)


def open_dmarc_questions(domain: str, replies: Replies) -> list[Question]:
    """The parents' records, when the domain has none of its own; only those that nobody asked for yet."""
    own = replies.get((f"_dmarc.{domain}", "TXT"))
    if own is None or not own.status.known or select_dmarc(own.records):
        return []
    asked = [(f"_dmarc.{parent}", "TXT") for parent in _parents(domain)]
    return [question for question in asked if question not in replies]


def _inherit(domain: str, replies: Replies) -> Dmarc:
    found: list[tuple[str, str, DmarcRecord]] = []
    below = domain
    for parent in _parents(domain):
        reply = replies.get((f"_dmarc.{parent}", "TXT"))
        if reply is not None and not reply.status.known:
            # what stands above this name could still be overruled here
            return Dmarc("unknown", warnings=(f"dmarc: _dmarc.{parent} could not be looked up",))
        records = select_dmarc(reply.records) if reply else ()
        if len(records) == 1:
            parsed = parse_dmarc(records[0])
            found.append((parent, records[0], parsed))
            if parsed.psd == "n":
                return _judge(records[0], parent, _subdomain_tag(domain, replies, parsed))
            if parsed.psd == "y":
                # the organizational domain is one label below, and its record goes first
                at = [entry for entry in found if entry[0] == below] or [(parent, records[0], parsed)]
                return _judge(at[0][1], at[0][0], _subdomain_tag(domain, replies, at[0][2]))
        below = parent
    if not found:
        return Dmarc("none")
    parent, text, parsed = found[-1]
    return _judge(text, parent, _subdomain_tag(domain, replies, parsed))


def _parents(domain: str) -> list[str]:
    """The names above a domain that the tree walk visits, at most seven, nearest first."""
    labels = domain.split(".")
    shortened = labels[1:] if len(labels) <= _MAX_LABELS else labels[-(_MAX_LABELS - 1) :]
    return [".".join(shortened[start:]) for start in range(len(shortened))]


def _subdomain_tag(domain: str, replies: Replies, record: DmarcRecord) -> Literal["p", "sp", "np"]:
    if record.np and not _exists(domain, replies):
        return "np"
    return "sp" if record.sp else "p"


def _exists(domain: str, replies: Replies) -> bool:
    """Whether no reply denies the name itself (sections 3.2.13 and 4.7; RFC 8020).

    Of an alias that points nowhere the reply code denies the target (RFC 6604, section 2.1); the alias exists.
    """
    own = (reply for (name, _), reply in replies.items() if name == domain and not reply.cnames)
    return all(reply.status is not LookupStatus.nxdomain for reply in own)


def _judge(text: str, found_at: str, tag: Literal["p", "sp", "np"]) -> Dmarc:
    record = parse_dmarc(text)
    warnings = list(record.warnings)
    result = Dmarc("ok", record=text, found_at=found_at, pct=record.pct)
    if record.p is None or record.bad:
        what = ", ".join(record.bad) or "p"
        if not record.has_rua:
            warnings.append(f"dmarc: {what} has no valid value and there is no usable rua: the record does nothing")
            return replace(result, state="invalid", warnings=tuple(warnings))
        warnings.append(f"dmarc: {what} has no valid value: the record only asks for reports")
        return replace(result, policy="none", warnings=tuple(warnings))
    policy = cast(Policy, getattr(record, tag))
    if record.testing and policy != "none":
        milder: Policy = "quarantine" if policy == "reject" else "none"
        warnings.append(f"dmarc: t=y asks receivers for {milder} instead of {policy}")
        policy = milder
    if record.pct is not None:
        warnings.append("dmarc: pct is no longer part of DMARC (RFC 9989); some receivers still heed it")
    return replace(result, policy=policy, warnings=tuple(warnings))


def _policy(value: str | None) -> Policy | None:
    lowered = (value or "").lower()
    return cast(Policy, lowered) if lowered in _POLICIES else None
