"""SPF by RFC 7208: choosing the record, its syntax, and the look-ups that it costs.

Here belongs everything that can be said of a record without a message at hand. It is no evaluator: no sender, no
address, no verdict on a message, and so nothing that needs address records. All functions are pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final, Literal

from hunter_pipeline.scan.reply import Question, Replies, Reply, is_askable, txt_text

SpfState = Literal["ok", "none", "permerror", "unknown"]

MAX_LOOKUPS: Final = 10

_LOOKUP_MECHANISMS: Final = frozenset({"include", "a", "mx", "ptr", "exists"})


@dataclass(frozen=True)
class Term:
    """A mechanism with its qualifier (`+`, `-`, `~` or `?`), or a modifier, which has none."""

    name: str
    value: str
    qualifier: str = ""


@dataclass(frozen=True)
class SpfRecord:
    """One parsed record. Terms after `all` are never reached and are left out; errors anywhere are kept."""

    terms: tuple[Term, ...]
    errors: tuple[str, ...]

    @cached_property
    def all_qualifier(self) -> str | None:
        """The qualifier of `all`, or None when the record has none."""
        return next((term.qualifier for term in self.terms if term.name == "all"), None)

    @cached_property
    def lookup_terms(self) -> tuple[Term, ...]:
        """The terms that cost a look-up each (section 4.6.4); `redirect` counts only without `all`."""
        ends = self.all_qualifier is not None
        return tuple(
            term
            for term in self.terms
            if (term.qualifier and term.name in _LOOKUP_MECHANISMS)
            or (not term.qualifier and term.name == "redirect" and not ends)
        )


@dataclass(frozen=True)
class Spf:
    """The SPF signal of a domain.

    :param record: the text as published (several on one line each).
    :param includes: the number of `include:` in it.
    :param all_qualifier: that of `all`, or of the record that `redirect` leads to.
    :param lookups: the cost of the whole tree; None when it is not known.
    :param open: a look-up that failed could make it a `permerror` after all.
    """

    state: SpfState
    record: str | None = None
    includes: int | None = None
    all_qualifier: str | None = None
    lookups: int | None = None
    targets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    open: bool = False


def select_spf(records: Sequence[str]) -> tuple[str, ...]:
    """The TXT records that are SPF records: `v=spf1` in any case, then a space or the end (section 4.5)."""
    return tuple([record for record in records if _VERSION.match(record)])


@lru_cache(maxsize=4096)
def parse_spf(record: str) -> SpfRecord:
    """Parse a record that `select_spf` chose, by the grammar of section 12. Never raises; errors are listed."""
    text = txt_text(record)
    terms: list[Term] = []
    errors: list[str] = []
    for word in text[6:].split(" "):
        if not word:
            continue
        term = _parse_term(word)
        if isinstance(term, str):
            errors.append(term)
        else:
            terms.append(term)
    errors += [
        f"{name}= stands twice"
        for name in ("redirect", "exp")
        if sum(1 for term in terms if not term.qualifier and term.name == name) > 1
    ]
    reached: list[Term] = []
    ended = False
    for term in terms:
        # "all" ends the mechanisms but not the modifiers, which stand anywhere
        if not term.qualifier or not ended:
            reached.append(term)
        ended = ended or (term.name == "all" and bool(term.qualifier))
    return SpfRecord(tuple(reached), tuple(errors))


def read_spf(domain: str, replies: Replies) -> Spf:
    """The SPF signal of a domain from its TXT reply and those of the names that its record includes.

    - `none`: no SPF record. `ok`: one record, and no error in it or in what it includes as far as that could be
      read; a name that could not is a warning.
    - `permerror`: two records (section 4.5), a syntax error (4.6), more than ten look-ups (4.6.4), or an
      `include` or `redirect` of a name without a usable record (5.2, 6.1).
    - `unknown`: the domain's own records could not be looked up.

    Targets that were not asked for, or hold macros, count one look-up and are not judged.
    """
    reply = replies.get((domain, "TXT"))
    if reply is None or not reply.status.known:
        return Spf("unknown", open=True)
    records = select_spf(reply.records)
    if not records:
        return Spf("none")
    if len(records) > 1:
        return Spf("permerror", "\n".join(records), warnings=("spf: more than one record (RFC 7208 section 4.5)",))
    record = parse_spf(records[0])
    tree = _Tree(replies)
    tree.walk(domain, reply)
    errors = tuple(f"spf: {error}" for error in dict.fromkeys(tree.errors))
    return Spf(
        "permerror" if errors else "ok",
        records[0],
        sum(1 for term in record.terms if term.name == "include" and term.qualifier),
        _all_qualifier(record, replies),
        None if tree.failed or tree.unseen else tree.lookups,
        _targets(record),
        errors + tuple(f"spf: {name} could not be looked up" for name in tree.failed),
        open=bool(tree.failed) and not errors,
    )


def spf_targets(reply: Reply | None) -> tuple[str, ...]:
    """The `targets` that `read_spf` finds in a domain's own TXT reply; what they publish plays no part."""
    records = select_spf(reply.records) if reply and reply.status.known else ()
    return _targets(parse_spf(records[0])) if len(records) == 1 else ()


def open_spf_questions(domain: str, replies: Replies) -> list[Question]:
    """The questions that `read_spf` would like to have an answer to and that nobody asked yet."""
    reply = replies.get((domain, "TXT"))
    if reply is None or len(select_spf(reply.records)) != 1:
        return []
    tree = _Tree(replies)
    tree.walk(domain, reply)
    return [] if tree.errors else [(name, "TXT") for name in dict.fromkeys(tree.unseen)]


@dataclass
class _Tree:
    """A walk over a record and what it includes, in the order of evaluation."""

    replies: Replies
    lookups: int = 0
    errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def walk(self, name: str, reply: Reply) -> None:
        records = select_spf(reply.records)
        if len(records) != 1:
            self.errors.append(f"{name} has {'no' if not records else 'more than one'} SPF record")
            return
        record = parse_spf(records[0])
        self.errors += [f"{error} (in {name})" for error in record.errors]
        for term in record.lookup_terms:
            self.lookups += 1
            if self.lookups > MAX_LOOKUPS:
                # also what ends the walk of a record that includes itself
                self.errors.append("more than 10 look-ups (RFC 7208 section 4.6.4)")
                return
            target = _target(term)
            if target is None:
                continue
            found = self.replies.get((target, "TXT"))
            if not is_askable(target):
                # section 4.3: a malformed name has no record, and section 5.2 makes that an error
                self.errors.append(f"{_shown(target)} is no domain name")
            elif found is None:
                self.unseen.append(target)
            elif not found.status.known:
                self.failed.append(target)
            else:
                self.walk(target, found)
                if self.lookups > MAX_LOOKUPS:
                    return


def _target(term: Term) -> str | None:
    """The name whose record an include or a redirect brings in; None for other terms and for macros."""
    if term.name not in ("include", "redirect") or "%" in term.value:
        return None
    return term.value.rstrip(".").lower()


def _targets(record: SpfRecord) -> tuple[str, ...]:
    return tuple(target for term in record.lookup_terms if (target := _target(term)))


def _all_qualifier(record: SpfRecord, replies: Replies) -> str | None:
    for _ in range(MAX_LOOKUPS):
        redirect = next((term for term in record.lookup_terms if term.name == "redirect"), None)
        if redirect is None:
            break
        reply = replies.get((_target(redirect) or "", "TXT"))
        records = select_spf(reply.records) if reply else ()
        if len(records) != 1:
            return None
        record = parse_spf(records[0])
    return record.all_qualifier


# --- grammar (section 12) -------------------------------------------------------------------------------------------

_VERSION: Final = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE | re.ASCII)
_MACRO: Final = r"%\{[slodiphcrtv](?:[1-9][0-9]*)?r?[.\-+,/_=]*\}|%%|%_|%-"
_MACRO_STRING: Final = re.compile(rf"(?:{_MACRO}|[!-$&-~])*", re.IGNORECASE)
# c, r and t may stand in explanation texts only (section 7.2)
_DOMAIN_SPEC: Final = re.compile(
    rf"(?:{_MACRO.replace('slodiphcrtv', 'slodiphv')}|[!-$&-~])*?"
    rf"(?:\.(?:[0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])\.?|{_MACRO.replace('slodiphcrtv', 'slodiphv')})",
    re.IGNORECASE,
)
_VISIBLE: Final = re.compile(r"[!-~]*")
_MODIFIER: Final = re.compile(r"([a-z][a-z0-9\-_.]*)=(.*)", re.IGNORECASE | re.DOTALL)
_MECHANISM: Final = re.compile(r"([+\-?~]?)([a-z][a-z0-9\-_.]*)([:/].*)?", re.IGNORECASE | re.DOTALL)
_DUAL_CIDR: Final = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?$")


def _parse_term(word: str) -> Term | str:
    """The term, or the sentence that says what is wrong with it."""
    if not _VISIBLE.fullmatch(word):
        return "a term holds a character outside printable ASCII"
    if match := _MODIFIER.fullmatch(word):
        name, value = match[1].lower(), match[2]
        good = _DOMAIN_SPEC if name in ("redirect", "exp") else _MACRO_STRING
        return Term(name, value) if good.fullmatch(value) else f"{name}= has a malformed value"
    match = _MECHANISM.fullmatch(word)
    if match is None:
        return f"{_shown(word)} is no term"
    qualifier, name, rest = match[1] or "+", match[2].lower(), match[3] or ""
    check = _CHECKS.get(name)
    if check is None:
        return f"{_shown(name)} is no mechanism"
    if not check(rest):
        return f"{name} has a malformed value"
    return Term(name, rest.removeprefix(":"), qualifier)


def _shown(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:40]}..."


def _is_empty(rest: str) -> bool:
    return rest == ""


def _is_domain(rest: str) -> bool:
    return rest.startswith(":") and _DOMAIN_SPEC.fullmatch(rest[1:]) is not None


def _is_domain_or_empty(rest: str) -> bool:
    return rest == "" or _is_domain(rest)


def _is_domain_with_cidr(rest: str) -> bool:
    match = _DUAL_CIDR.search(rest)
    if match is None or int(match[1] or 0) > 32 or int(match[2] or 0) > 128:
        return False
    return _is_domain_or_empty(rest[: match.start()])


def _is_ip4(rest: str) -> bool:
    address, slash, length = rest[1:].partition("/")
    return rest.startswith(":") and _is_network(ipaddress.IPv4Address, address, slash, length, 32)


def _is_ip6(rest: str) -> bool:
    address, slash, length = rest[1:].partition("/")
    return (
        rest.startswith(":") and "%" not in address and _is_network(ipaddress.IPv6Address, address, slash, length, 128)
    )


def _is_network(
    kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], address: str, slash: str, length: str, most: int
) -> bool:
    try:
        kind(address)
    except ValueError:
        return False
    return not slash or (re.fullmatch(r"0|[1-9][0-9]{0,2}", length) is not None and int(length) <= most)


_CHECKS: Final = {
    "all": _is_empty,
    "include": _is_domain,
    "exists": _is_domain,
    "ptr": _is_domain_or_empty,
    "a": _is_domain_with_cidr,
    "mx": _is_domain_with_cidr,
    "ip4": _is_ip4,
    "ip6": _is_ip6,
}
