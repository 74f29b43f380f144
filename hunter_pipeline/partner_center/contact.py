"""What a sales person needs to pick up the phone: the people, the place and the wish that a referral names.

Belongs here: reading these out of a payload when a page is shown; a part that cannot be read is left out, since the
page still helps. Does not belong here: what scoring or the domain rests on (`referral`), and any keeping: these are
personal data, which no log, metric or Dagster metadata may hold.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MAX_TEXT = 300
_MAX_NOTES = 4000
_MAX_ENTRIES = 20

_SIZES = re.compile(r"(?:(?P<low>\d+)to(?P<high>\d+)|Morethan(?P<more>\d+))employees", re.IGNORECASE)


@dataclass(frozen=True)
class Person:
    """Somebody whom a referral names; None where it says nothing."""

    name: str | None
    title: str | None
    email: str | None
    phone: str | None


@dataclass(frozen=True)
class ContactSheet:
    """The people and the wish behind a referral.

    :param contacts: the customer's people.
    :param sellers: people of Microsoft in the deal's team.
    :param partners: the other members of the deal's team.
    :param may_contact: whether the customer agreed to be contacted; None when the referral does not say.
    :param place: city, state and country, as far as they are known.
    :param size: number of employees, in words.
    :param solutions: what was asked for: solutions, products and services by their names.
    :param notes: what was written about the wish.
    :param closing: day on which the deal is expected to close, as the payload says it.
    """

    contacts: tuple[Person, ...]
    sellers: tuple[Person, ...]
    partners: tuple[Person, ...]
    may_contact: bool | None
    place: str | None
    size: str | None
    solutions: tuple[str, ...]
    notes: str | None
    closing: str | None
    name: str | None
    reference: str | None
    reason: str | None
    engagement_id: str | None


def read_contact_sheet(payload: object) -> ContactSheet:
    """Read what a payload says of people and wish. Never raises: what cannot be read is left out."""
    root = _mapping(payload)
    customer = _mapping(root.get("customerProfile"))
    contact = _mapping(root.get("contact")) or _mapping(root.get("customer"))
    details = _mapping(root.get("details"))
    address = _mapping(customer.get("address"))
    consent = _mapping(root.get("consent")).get("consentToContact")
    people = list(_people(customer.get("team")))
    if not people and (flat := _person(contact)):
        people = [flat]
    team = list(_people(root.get("team")))
    place = (_text(address.get(key)) for key in ("city", "state", "country"))
    return ContactSheet(
        contacts=tuple(people),
        sellers=tuple(person for person in team if _is_microsoft(person)),
        partners=tuple(person for person in team if not _is_microsoft(person)),
        may_contact=consent if isinstance(consent, bool) else None,
        place=", ".join(dict.fromkeys(part for part in place if part)) or None,
        size=_size(_text(customer.get("size"))),
        solutions=tuple(dict.fromkeys(_wishes(_mapping(details.get("requirements"))))),
        notes=_text(details.get("notes"), _MAX_NOTES),
        closing=(_text(details.get("closingDateTime")) or "")[:10] or None,
        name=_text(root.get("name")),
        reference=_text(root.get("externalReferenceId")),
        reason=_text(root.get("statusReason"), _MAX_NOTES),
        engagement_id=_text(root.get("engagementId")),
    )


def _people(team: object) -> Iterator[Person]:
    members = [team] if isinstance(team, Mapping) else team if isinstance(team, list) else []
    for member in members[:_MAX_ENTRIES]:
        if found := _person(_mapping(member)):
            yield found


def _person(member: Mapping[str, Any]) -> Person | None:
    parts = (_text(member.get("firstName")), _text(member.get("lastName")))
    person = Person(
        name=" ".join(part for part in parts if part) or _text(member.get("name")),
        title=_text(member.get("title")),
        email=_text(member.get("email")) or _text(member.get("emailAddress")),
        phone=_text(member.get("phoneNumber")) or _text(member.get("phone")),
    )
    return person if any((person.name, person.email, person.phone)) else None


def _is_microsoft(person: Person) -> bool:
    return (person.email or "").casefold().rpartition("@")[2] == "microsoft.com"


def _wishes(requirements: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("solutions", "products", "services"):
        entries = requirements.get(kind)
        for entry in entries[:_MAX_ENTRIES] if isinstance(entries, list) else ():
            text = _text(_mapping(entry).get("name")) or _text(_mapping(entry).get("id"))
            if text:
                yield text


def _size(text: str | None) -> str | None:
    """The size in words; the API writes `10to50employees`."""
    match = _SIZES.fullmatch(text or "")
    if match is None:
        return text
    if match["more"]:
        return f"more than {int(match['more']):,} employees"
    return f"{int(match['low']):,} to {int(match['high']):,} employees"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object, longest: int = _MAX_TEXT) -> str | None:
    """A text for show: without HTML entities, trimmed, cut where it is too long."""
    if not isinstance(value, str):
        return None
    text = html.unescape(value).strip()
    return f"{text[:longest]}…" if len(text) > longest else text or None
