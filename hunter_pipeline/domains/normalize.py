"""Website or e-mail text to the registrable domain of a company, or one reason why there is none.

Pure: the same text and the same list files always give the same answer, and no name is ever looked up.
Hosts are read by ada (the WHATWG URL standard, UTS 46), because urllib accepts hosts that no browser would.
What is a company follows the ICANN section of the suffix list (`suffixes`); its private section names hosts that many
tenants share.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

from ada_url import URL, idna_to_unicode
from email_validator import EmailNotValidError, validate_email

from hunter_pipeline.suffixes import PublicSuffixes, list_version

RULES_VERSION: str = "3"
"""Raised by hand whenever a changed rule in this module may give the same text another domain or reason."""

MAX_CELL_LENGTH = 2_000
"""Characters of one cell that are read; what follows is ignored."""

MAX_VALUES_PER_CELL = 20
"""Values of one cell that are tried."""

Kind = Literal["website", "email"]


class SkipReason(StrEnum):
    """Why a text gives no company domain: a closed list."""

    no_candidate = "no_candidate"
    not_a_host = "not_a_host"
    ip_address = "ip_address"
    single_label = "single_label"
    public_suffix = "public_suffix"
    consumer_mail = "consumer_mail"
    shared_host = "shared_host"
    social_or_site_builder = "social_or_site_builder"
    reserved_or_invalid = "reserved_or_invalid"


class Verdict(NamedTuple):
    """What one text gives: exactly one of `domain` (ASCII, lower case) and `reason` is set."""

    domain: str | None
    reason: SkipReason | None


@dataclass(frozen=True)
class Attempt:
    """One cell that was tried: its JSON path, its text (at most `MAX_CELL_LENGTH` characters), and what it gave."""

    kind: Kind
    path: str
    raw: str
    domain: str | None
    reason: SkipReason | None


@dataclass(frozen=True)
class DomainDecision:
    """The company domain of a referral and where it was found, or why there is none.

    With a domain, `source`, `path` and `raw` are those of the cell that gave it and `skip_reason` is None.
    Without one they are None and `skip_reason` is set. `attempts` holds every cell tried, in order.
    """

    domain: str | None
    source: Kind | None
    path: str | None
    raw: str | None
    skip_reason: SkipReason | None
    attempts: tuple[Attempt, ...]


_FOLDER = resources.files("hunter_pipeline.domains")
# Characters that separate several values in one cell. Angle brackets and quotes surround addresses ("Name" <a@b>).
_SEPARATORS = re.compile(r"""[\s,;|，；、<>"“”„«»]+""")
_EDGE_PUNCTUATION = "'’‘`()[]{}.:!?*_~…"
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# How often a cell may have been escaped, by one program after the other.
_MOST_ESCAPES = 4
_JOINERS = str.maketrans("", "", "\u200c\u200d")
# "http://http://x", "https:/x", "http//x", "hhtp:\\x", "web: x". A word without slashes must be a known one, so that
# host:port is left alone; with slashes any scheme is dropped, because only the host matters.
_SCHEMES = re.compile(
    r"^(?:[a-z][a-z0-9+-]{0,30}[:;][/\\]{2,}"
    r"|(?:h?ttps?|htpp?s?|https?s|hhttps?|ftps?|mailto|smtp|e-?mail|web|website|url|www)[:;][/\\]*(?!\d+(?:[/\\?#]|$))"
    r"|https?[/\\]{2,}|[/\\]+)+",
    re.IGNORECASE,
)
_IPV6_LITERAL = re.compile(r"\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]")
_AFTER_HOST = re.compile(r"[^:/\\][/\\?#]")
_NOT_IN_MAIL_HOST = re.compile(r"[/\\#:%@\[\]]")
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def decide_domain(websites: Sequence[tuple[str, str]], emails: Sequence[tuple[str, str]]) -> DomainDecision:
    """Choose the company domain of a referral: websites first, then e-mail addresses, the first usable one wins.

    `websites` and `emails` are (JSON path, raw text) pairs in order of preference. Blank texts count as absent.
    When nothing is usable, the skip reason is that of the first refused text, or `no_candidate` when there was none.
    Never raises.
    """
    attempts: list[Attempt] = []
    for kind, path, text in _cells(websites, emails):
        if _is_blank(text):
            continue
        domain, reason = domain_from_website(text) if kind == "website" else domain_from_email(text)
        attempts.append(Attempt(kind, path, text[:MAX_CELL_LENGTH], domain, reason))
        if domain is not None:
            return DomainDecision(domain, kind, path, attempts[-1].raw, None, tuple(attempts))
    skip = next((attempt.reason for attempt in attempts), None) or SkipReason.no_candidate
    return DomainDecision(None, None, None, None, skip, tuple(attempts))


def domain_from_website(text: str) -> Verdict:
    """Company domain of a website cell, which may hold several addresses, an e-mail address or clutter.

    The first usable value wins; otherwise the reason is that of the first value. Never raises.
    """
    values, cut = _values(text)
    if cut and values and not _AFTER_HOST.search(values[-1]):
        values.pop()  # its host may go on beyond the cut
    return _first(_judge(_host_of_website(value), "website") for value in values) if values else _nothing(text)


def domain_from_email(text: str) -> Verdict:
    """Company domain of an e-mail cell, which may hold several addresses, display names or `mailto:` links.

    Words without `@` are ignored next to an address. The first usable address wins; otherwise the reason is that of
    the first one. Never raises.
    """
    values, cut = _values(text)
    if cut and values:
        values.pop()
    addresses = [value for value in values if "@" in value]
    if not addresses:
        return Verdict(None, SkipReason.not_a_host) if values else _nothing(text)
    return _first(_judge(_host_of_address(address), "email") for address in addresses)


@cache
def normalizer_version() -> str:
    """The version under which texts are decided now: that of the rules, and a hash of every list they read.

    Referrals decided under another version are decided again.
    """
    lists = hashlib.sha256(list_version().encode())
    for name in sorted(entry.name for entry in _FOLDER.iterdir() if entry.name.endswith(".txt")):
        lists.update(name.encode() + b"\0" + _FOLDER.joinpath(name).read_bytes())
    return f"{RULES_VERSION}-{lists.hexdigest()[:8]}"


def _cells(websites: Sequence[tuple[str, str]], emails: Sequence[tuple[str, str]]) -> Iterator[tuple[Kind, str, str]]:
    for path, text in websites:
        yield "website", path, text
    for path, text in emails:
        yield "email", path, text


def _first(verdicts: Iterator[Verdict]) -> Verdict:
    refused: Verdict | None = None
    for verdict in verdicts:
        if verdict.domain is not None:
            return verdict
        refused = refused or verdict
    assert refused is not None
    return refused


def _nothing(text: str) -> Verdict:
    return Verdict(None, SkipReason.no_candidate if _is_blank(text) else SkipReason.not_a_host)


def _cell(text: str) -> str:
    """What a cell says: cut to the longest that is read, HTML entities undone, invisible characters dropped.

    An entity counts only with its semicolon: `&lt` may be a parameter of an address.
    """
    read = text[:MAX_CELL_LENGTH]
    for _ in range(_MOST_ESCAPES):
        plain = _ENTITY.sub(lambda entity: html.unescape(entity[0]), read)
        if plain == read:
            break
        read = plain
    return _visible(read)


def _visible(text: str) -> str:
    """`text` without invisible characters, in composed form, with the Turkish dotted capital I as `i`."""
    if text.isascii() and text.isprintable():  # as most are, and nothing below would change them
        return text.strip()
    kept = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category == "Cc":
            kept.append(" ")  # tabs and line ends separate values, and so does NUL
        elif category != "Cf" or character in "\u200c\u200d":  # joiners are letters' parts in Persian and Indic names
            kept.append(character)
    # UTS 46 maps U+0130 to i + U+0307, a name that no registry sells; lower() of other software has done so already.
    return "".join(kept).replace("\u0130", "i").replace("i\u0307", "i").replace("\uff20", "@").strip()


def _is_blank(text: str) -> bool:
    return not _cell(text).translate(_JOINERS).strip()


def _values(text: str) -> tuple[list[str], bool]:
    """The values in a cell, and whether the last one may have been cut off."""
    parts = [part for part in _SEPARATORS.split(_cell(text)) if part]
    cut = len(text) > MAX_CELL_LENGTH and len(parts) <= MAX_VALUES_PER_CELL
    values = []
    for part in parts[:MAX_VALUES_PER_CELL]:
        bare = part.translate(_JOINERS)
        value = _SCHEMES.sub("", (bare if bare.isascii() else part).lstrip(_EDGE_PUNCTUATION))
        values.append(value if _IPV6_LITERAL.match(value) else value.strip(_EDGE_PUNCTUATION))
    return [value for value in values if value], cut


def _host_of_website(value: str) -> str | Verdict:
    if (
        value.isdigit()
    ):  # the URL standard reads any number as an IPv4 address; in a cell it is a year or a phone number
        return Verdict(None, SkipReason.not_a_host)
    try:
        hostname = URL(f"http://{value}").hostname
    except ValueError:  # also UnicodeEncodeError, for a lone surrogate
        return Verdict(None, SkipReason.not_a_host)
    return _checked(hostname)


def _host_of_address(value: str) -> str | Verdict:
    local, _, host = value.partition("?")[0].rstrip(_EDGE_PUNCTUATION + "/").rpartition("@")
    if re.fullmatch(r"\[?(?:IPv6:[0-9a-f:.]+|[0-9.]+)\]?", host, re.IGNORECASE) and re.search(r"[.:]", host):
        return Verdict(None, SkipReason.ip_address)
    found = Verdict(None, SkipReason.not_a_host) if _NOT_IN_MAIL_HOST.search(host) else _canonical_host(host)
    if isinstance(found, str):
        try:
            # The host has been read already, by the same rules as a website's; the local part is what is checked here.
            validate_email(f"{local}@address.com", check_deliverability=False)
        except EmailNotValidError:
            return Verdict(None, SkipReason.not_a_host)
    return found


def _canonical_host(host: str) -> str | Verdict:
    host = _visible(host)
    if re.search(r"[\s/\\?#@]", host):
        return Verdict(None, SkipReason.not_a_host)
    return _host_of_website(host)


def _checked(hostname: str) -> str | Verdict:
    """`hostname` as ada gives it, if it can be a DNS host name (RFC 1123 section 2.1, RFC 5890 for `xn--` labels)."""
    host = hostname.rstrip(".")
    if host.startswith("[") or re.fullmatch(r"[0-9.]+", host):
        return Verdict(None, SkipReason.ip_address)
    if not _HOST.fullmatch(host):
        return Verdict(None, SkipReason.not_a_host)
    for label in host.split("."):
        if label.startswith("xn--") and idna_to_unicode(label) == label:
            return Verdict(None, SkipReason.not_a_host)  # an A-label that cannot be decoded
    return host


def _registrable(host: str) -> Verdict:
    if "." not in host:
        return Verdict(None, SkipReason.single_label)
    domain = _suffixes().registrable(host)
    if domain is not None:
        return Verdict(domain, None)
    listed = _suffixes().suffix(host) is not None
    return Verdict(None, SkipReason.public_suffix if listed else SkipReason.reserved_or_invalid)


def _judge(host: str | Verdict, kind: Kind) -> Verdict:
    """Registrable domain of `host`, unless one of the lists refuses it."""
    if isinstance(host, Verdict):
        return host
    verdict = _registrable(host)
    if verdict.reason is SkipReason.single_label:
        return verdict
    if _listed(host, "reserved_names"):
        return Verdict(None, SkipReason.reserved_or_invalid)
    if verdict.domain is None:
        return verdict
    if kind == "email" and _gives_to_anybody(host):
        return Verdict(None, SkipReason.consumer_mail)
    if _listed(host, "shared_hosts"):
        return Verdict(None, SkipReason.shared_host)
    if _listed(host, "social_and_site_builders") or (kind == "website" and _listed(host, "platforms")):
        return Verdict(None, SkipReason.social_or_site_builder)
    if _gives_to_anybody(host):
        return Verdict(None, SkipReason.consumer_mail)
    if _below_private_suffix(host):
        return Verdict(None, SkipReason.shared_host)
    return verdict


def _gives_to_anybody(host: str) -> bool:
    return _listed(host, "consumer_providers") or _listed(host, "consumer_typing_errors")


def _below_private_suffix(host: str) -> bool:
    """Whether the list's private section says that the names next to `host` belong to other people.

    The suffix itself is left alone: it is its operator's, who may be a customer.
    """
    shared = _suffixes().suffix(host, private=True)
    return shared != host and shared != _suffixes().suffix(host)


def _listed(host: str, name: str) -> bool:
    labels = host.split(".")
    names = _list(name)
    return any(".".join(labels[start:]) in names for start in range(len(labels)))


@cache
def _list(name: str) -> frozenset[str]:
    text = _FOLDER.joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


@cache
def _suffixes() -> PublicSuffixes:
    return PublicSuffixes(_list("registry_suffixes"))
