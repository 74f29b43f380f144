"""What Hunter reads out of one referral: a JSON object of the referrals API to a `Referral`.

Two shapes are read: the documented resource of the referrals API (`customerProfile`, `details`, `inviteContext`) and
a flat one (`companyName`, `website`, `contact.email`, `azureTenantId`). Everything but the id may be missing.
A field that is there but cannot be read becomes None and a warning; a broken structure, in which nothing below can be
trusted, is an error. Neither ever repeats the value, which may be personal data. Domains are not judged here.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from hunter_pipeline.vocabulary import ReferralType

REFERRAL_VERSION: str = "1"
"""Raised by hand whenever the same payload may now be read differently; referrals read before are read again."""

UNKNOWN_STATUS = "Unknown"
"""Status of a referral that has none."""

STATUSES = ("None", "New", "Active", "Closed", UNKNOWN_STATUS)
"""Every status that Partner Center documents, and the one of a referral that gives none."""


class UnreadableReferral(ValueError):  # noqa: N818 - it names the payload, as callers speak of it
    """The payload cannot be read as a referral. The text names the path and the fault, never the value."""

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"{path} {fault}")
        self.path = path
        self.fault = fault


class Found(NamedTuple):
    """A text and the JSON path at which it stands, such as `customerProfile.team[0].email`."""

    path: str
    text: str


@dataclass(frozen=True)
class Referral:
    """One referral. Texts hold nothing that PostgreSQL refuses: NUL and lone surrogates are U+FFFD.

    `deal_type` is the API's `type` (Independent, Shared); `referral_type` is Hunter's, None when undecidable.
    `deal_value` is in `currency`. Times are aware, in UTC. `websites` and `emails` are the customer's, in the order
    in which they should be tried. `warnings` are the paths of optional fields that were there but not readable.
    """

    referral_id: str
    referral_type: ReferralType | None
    company_name: str | None
    azure_tenant_id: str | None
    status: str
    substatus: str | None
    qualification: str | None
    deal_type: str | None
    direction: str | None
    deal_value: Decimal | None
    currency: str | None
    engagement_id: str | None
    expires_at: datetime | None
    source_created_at: datetime | None
    source_updated_at: datetime | None
    websites: tuple[Found, ...]
    emails: tuple[Found, ...]
    warnings: tuple[str, ...]
    is_open: bool


_WEBSITE_PATHS = (
    "website",
    "customer.website",
    "customer.domain",
    "customerProfile.website",
    "customerProfile.domain",
)
_EMAIL_PATHS = (
    "contact.email",
    "contact.emailAddress",
    "customer.email",
    "customer.emailAddress",
    "customerProfile.email",
    "customerProfile.emailAddress",
    "email",
    "emailAddress",
)
_MEMBER_EMAIL_KEYS = ("email", "emailAddress")
_NAME_PATHS = ("customerProfile.name", "companyName", "customer.companyName", "customer.name")
_TENANT_PATHS = ("azureTenantId", "customer.azureTenantId", "customerProfile.azureTenantId")
_TYPE_PATHS = ("type", "referralType")
_TYPE_HINTS: tuple[tuple[str, ReferralType], ...] = (
    ("cosell", "co-sell"),
    ("marketplace", "marketplace"),
    ("solutionprovider", "solution-provider"),
)
_CLOSED_STATUSES = frozenset({"closed", "won", "lost", "declined", "expired", "cancelled"})
_CLOSED_SUBSTATUSES = frozenset({"won", "lost", "declined", "expired"})

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NO_GUID = "00000000-0000-0000-0000-000000000000"
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_MAX_TEXT = 255
_MAX_WORD = 50
_MAX_DEAL_VALUE = Decimal(10) ** 15


def parse_referral(payload: object) -> Referral:
    """Read one referral.

    :raises UnreadableReferral: the payload is no object, has no usable id, or is broken at a place that has to be
        walked through (`customerProfile` is a list, `customerProfile.team` holds texts).
    """
    referral_id = referral_id_of(payload)
    reader = _Reader(_object(payload))
    status = reader.word("status")
    substatus = reader.word("substatus")
    qualification = reader.word("qualification")
    deal_type = reader.word("type")
    return Referral(
        referral_id=referral_id,
        referral_type=_referral_type(
            hints=[reader.word(path) for path in _TYPE_PATHS],
            deal_type=deal_type,
            qualification=qualification,
            inviter=reader.word("inviteContext.invitedBy.organizationId"),
        ),
        company_name=reader.name(),
        azure_tenant_id=reader.tenant_id(),
        status=status or UNKNOWN_STATUS,
        substatus=substatus,
        qualification=qualification,
        deal_type=deal_type,
        direction=reader.word("direction"),
        deal_value=reader.deal_value("details.dealValue"),
        currency=reader.word("details.currency"),
        engagement_id=reader.word("engagementId"),
        expires_at=reader.time("expirationDateTime"),
        source_created_at=reader.time("createdDateTime"),
        source_updated_at=reader.time("updatedDateTime"),
        websites=tuple(reader.texts(_WEBSITE_PATHS)),
        emails=tuple(reader.emails()),
        warnings=tuple(dict.fromkeys(reader.warnings)),
        is_open=not is_closed(status, substatus),
    )


def referral_id_of(payload: object) -> str:
    """The referral's `id`: a text or an integer, 1 to 255 characters once trimmed, without control characters.

    :raises UnreadableReferral: it is something else; without an id a referral cannot be told from another.
    """
    value = _object(payload).get("id")
    if value is None:
        raise UnreadableReferral("id", "is missing")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableReferral("id", f"must be a text, found {_kind(value)}")
    # Python refuses to print integers of more than 4,300 digits.
    text = value.strip() if isinstance(value, str) else str(value) if abs(value) < 10**_MAX_TEXT else "9" * 256
    if not text:
        raise UnreadableReferral("id", "is empty")
    if len(text) > _MAX_TEXT:
        raise UnreadableReferral("id", f"is longer than {_MAX_TEXT} characters")
    # Nothing printable is of these categories, and asking for that is one call.
    if not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise UnreadableReferral("id", "holds control characters")
    return text


def updated_at_of(payload: object) -> datetime | None:
    """`updatedDateTime` of a payload in UTC; None when it is missing or unreadable. Never raises."""
    return _time(payload.get("updatedDateTime")) if isinstance(payload, Mapping) else None


def is_closed(status: str | None, substatus: str | None) -> bool:
    """Whether a referral no longer counts for scoring, by its status or substatus in any case."""
    return (status or "").strip().casefold() in _CLOSED_STATUSES or (
        substatus or ""
    ).strip().casefold() in _CLOSED_SUBSTATUSES


def needs_detail(payload: object) -> bool:
    """Whether the customer's contact keys are absent altogether, so that the referral must be fetched by its id.

    The documented list form has no `customerProfile.team`. A key that is there but null or empty is an answer.
    Never raises; False for what is no referral or is broken, which fetching would not mend.
    """
    if not isinstance(payload, Mapping):
        return False
    for path in ("customerProfile.team", *_WEBSITE_PATHS, *_EMAIL_PATHS):
        node: object = payload
        *parents, last = path.split(".")
        for key in parents:
            node = node.get(key) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping) and last in node:
            return False
    return all(isinstance(payload.get(key), Mapping | None) for key in ("customerProfile", "customer", "contact"))


@cache
def _steps(path: str) -> tuple[tuple[str, ...], str]:
    """The keys of a path: those of the objects to walk through, and the last."""
    *parents, last = path.split(".")
    return tuple(parents), last


class _Reader:
    """Reads values by path and notes the paths of those that cannot be read."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload = payload
        self.warnings: list[str] = []

    def value(self, path: str) -> Any:
        """The value at `path`; None when it or an object above it is missing or null."""
        node: Any = self.payload
        parents, last = _steps(path)
        for depth, key in enumerate(parents, start=1):
            node = node.get(key)
            if node is None:
                return None
            if type(node) is not dict and not isinstance(node, Mapping):  # the first costs a tenth of the second
                raise UnreadableReferral(".".join(parents[:depth]), f"must be an object, found {_kind(node)}")
        return node.get(last)

    def text(self, path: str, value: Any) -> str | None:
        """`value` as a clean text; None when it is missing or blank."""
        if value is None:
            return None
        if not isinstance(value, str):
            self.warnings.append(path)
            return None
        text = _clean(value)
        return text if text.strip() else None

    def word(self, path: str) -> str | None:
        """A short value, trimmed. One that is too long for its column is cut, with a warning."""
        text = (self.text(path, self.value(path)) or "").strip()
        if len(text) > _MAX_WORD:
            self.warnings.append(path)
        return text[:_MAX_WORD].strip() or None

    def name(self) -> str | None:
        for path in _NAME_PATHS:
            text = self.text(path, self.value(path))
            name = _company_name(text) if text else None
            if name:
                return name
        return None

    def tenant_id(self) -> str | None:
        for path in _TENANT_PATHS:
            text = self.text(path, self.value(path))
            if text is None:
                continue
            if _GUID.fullmatch(text.strip()) and text.strip() != _NO_GUID:
                return text.strip().lower()
            self.warnings.append(path)
        return None

    def time(self, path: str) -> datetime | None:
        value = self.value(path)
        found = _time(value)
        if found is None and value is not None and value != "":
            self.warnings.append(path)
        return found

    def deal_value(self, path: str) -> Decimal | None:
        value = self.value(path)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        found = _decimal(value)
        if found is None:
            self.warnings.append(path)
        return found

    def texts(self, paths: tuple[str, ...]) -> Iterator[Found]:
        for path in paths:
            text = self.text(path, self.value(path))
            if text is not None:
                yield Found(path, text)

    def emails(self) -> Iterator[Found]:
        yield from self.texts(_EMAIL_PATHS)
        # The top-level `team` are the sellers: never read.
        for where, member in self.members():
            for key in _MEMBER_EMAIL_KEYS:
                text = self.text(f"{where}.{key}", member.get(key))
                if text is not None:
                    yield Found(f"{where}.{key}", text)

    def members(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        path = "customerProfile.team"
        team = self.value(path)
        if team is None:
            return
        if isinstance(team, Mapping):  # seen in captured records: one member without the brackets of a list
            yield path, team
            return
        if not isinstance(team, list):
            raise UnreadableReferral(path, f"must be a list, found {_kind(team)}")
        for index, member in enumerate(team):
            if member is None:
                continue
            if not isinstance(member, Mapping):
                raise UnreadableReferral(f"{path}[{index}]", f"must be an object, found {_kind(member)}")
            yield f"{path}[{index}]", member


def _referral_type(
    *, hints: list[str | None], deal_type: str | None, qualification: str | None, inviter: str | None
) -> ReferralType | None:
    """Kind of a referral: a text that names it, else the table of the API's introduction.

    https://learn.microsoft.com/partner-center/developer/referrals-api-introduction tells the kinds apart by `type`,
    `qualification` and the inviting organization (`msft` is Microsoft). What the table does not cover is None.
    """
    for hint in hints:
        letters = "".join(character for character in (hint or "").casefold() if character.isalnum())
        for word, referral_type in _TYPE_HINTS:
            if word in letters:
                return referral_type
    kind, qualified = (deal_type or "").casefold(), (qualification or "").casefold()
    by_microsoft = (inviter or "").casefold() == "msft"
    by_partner = inviter is not None and not by_microsoft
    if kind == "shared":
        return "co-sell"
    if kind != "independent":
        return None
    if qualified in ("salesqualified", "marketingqualified") and by_microsoft:
        return "solution-provider"
    if qualified == "direct" and not by_partner:
        return "marketplace"
    if qualified in ("salesqualified", "none") and by_partner:
        return "co-sell"
    return None


def _object(payload: object) -> Mapping[str, Any]:
    if not isinstance(payload, Mapping):
        raise UnreadableReferral("the referral", f"must be an object, found {_kind(payload)}")
    return payload


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list | tuple) else "an object" if isinstance(value, Mapping) else "no JSON"


def _clean(text: str) -> str:
    """`text` as PostgreSQL can hold it: surrogate pairs joined, lone surrogates and NUL as U+FFFD."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\x00", "\ufffd")


def _company_name(text: str) -> str | None:
    """A name for show: on one line, without HTML entities, also where they were escaped more than once."""
    for _ in range(3):
        # Only entities with their semicolon: html.unescape alone would also turn "R&Degree" into another name.
        unescaped = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
        if unescaped == text:
            break
        text = unescaped
    visible = _clean(text)
    if not visible.isprintable():
        visible = "".join(" " if unicodedata.category(character) == "Cc" else character for character in visible)
    return " ".join(visible.split())[:_MAX_TEXT].strip() or None


def _decimal(value: Any) -> Decimal | None:
    """An amount as a Decimal; None unless it is a finite JSON number or a plain number as text ("1,5" is ambiguous)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return Decimal(value.strip()) if _NUMBER.fullmatch(value.strip()) else None
    if not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, int) and abs(value) >= _MAX_DEAL_VALUE:
        return None
    amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return amount if amount.is_finite() and abs(amount) < _MAX_DEAL_VALUE else None


def _time(value: Any) -> datetime | None:
    """An ISO 8601 time in UTC (naive means UTC; digits beyond microseconds are cut); None when unreadable.

    Years before 1900 are no answer: .NET writes year 1 for a time that was never set.
    """
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year >= 1900 else None
