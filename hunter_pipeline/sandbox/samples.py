"""The sample referrals and the sample DNS zone, read from the data files beside this module.

Here belongs reading and expanding them; what they contain stands in `documented.json` (the examples of the
documents, as printed), `referrals.yaml` and `zone.yaml`. Ids are fixed. Dates are written as they look at the
moment `as_of` of `referrals.yaml` and are moved to the first start of a sandbox: the list never looks old, and a
second sync of the same sandbox brings nothing new. The documents' examples keep their dates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final
from uuid import UUID, uuid5

import yaml

from hunter_pipeline.sandbox.dns_answers import Zone

_NAMESPACE: Final = UUID("5a4db0c5-0000-4000-8000-000000000000")
_DATE: Final = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)((?:\.\d+)?Z)"')
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same loader in C, ten times as fast


@dataclass(frozen=True)
class Sample:
    """One referral as JSON text. `short_in_list`: the list form leaves the customer's contacts out."""

    text: str
    short_in_list: bool = False


@dataclass(frozen=True)
class World:
    """What stands around the referrals: DNS answers by name, and tenant id and region by domain."""

    answers: Mapping[str, Mapping[str, Any]]
    tenants: Mapping[str, tuple[str, str]]


@cache
def load_samples(first_start: datetime) -> tuple[Sample, ...]:
    """Every sample referral, the documents' examples first.

    :param first_start: the moment from which the dates are counted, aware UTC; parts of a second do not count.
    """
    samples = [Sample(json.dumps(payload)) for payload in json.loads(_read("documented.json"))]
    document = _load_yaml("referrals.yaml")
    moved_by = first_start.replace(microsecond=0) - datetime.fromisoformat(document["as_of"])
    for row in document["referrals"]:
        short = row.pop("short_in_list", False)
        if "json" in row:
            text = row["json"].strip()
        elif "payload" in row:
            text = json.dumps(row["payload"])
        else:
            text = json.dumps(_expand(row, document["template"], document["kinds"]))
        samples.append(Sample(_move_dates(text, moved_by), short))
    return tuple(samples)


def as_of() -> datetime:
    """The first start at which every date is as the data file has it."""
    return datetime.fromisoformat(_load_yaml("referrals.yaml")["as_of"])


@cache
def load_world() -> World:
    """The sample zone and tenants."""
    document = _load_yaml("zone.yaml")
    tenants = {domain: (_id("tenant", domain), region) for domain, region in document["tenants"].items()}
    return World(document["answers"], tenants)


@cache
def load_zone() -> Zone:
    """The sample zone as a DNS server serves it; its records are checked once, however many sandboxes start."""
    return Zone(load_world().answers, soa=True, recursive=True)


def _load_yaml(name: str) -> Any:
    return yaml.load(_read(name), Loader=_LOADER)  # noqa: S506 - both are the safe loader


def _read(name: str) -> str:
    return files("hunter_pipeline.sandbox").joinpath(name).read_text(encoding="utf-8")


def _id(*parts: str) -> str:
    return str(uuid5(_NAMESPACE, "/".join(parts)))


def _move_dates(text: str, by: timedelta) -> str:
    """The JSON text with each of its dates moved; the parts of a second stay, as Partner Center writes them."""
    return _DATE.sub(lambda date: f'"{(datetime.fromisoformat(date[1]) + by).isoformat()}{date[2]}"', text)


def _expand(row: Mapping[str, Any], template: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The documented shape of a short row: the template, then its kind, then what the row says itself."""
    key = row["key"]
    status, _, substatus = row["status"].partition("/")
    own_id = _id("referral", key)
    engagement = _id("engagement", row.get("engagement", key))
    base = "https://api.partner.microsoft.com/v1.0/engagements/referrals"
    payload: dict[str, Any] = {
        "id": own_id,
        "engagementId": engagement,
        "name": row.get("name", f"{row['company']} deal"),
        "createdDateTime": row["created"],
        "updatedDateTime": row.get("updated", row["created"]),
        "status": status,
        "substatus": substatus,
        "eTag": f'"{_id("etag", key)}"',
        "customerProfile": {"name": row["company"], "team": [_contact(each) for each in row.get("contacts", [])]},
        "links": {
            "relatedReferrals": {"uri": f"{base}?$filter=engagementId eq '{engagement}'", "method": "GET"},
            "self": {"uri": f"{base}/{own_id}", "method": "GET"},
        },
    }
    for layer in (kinds[row["kind"]], row.get("changes", {})):
        payload = _merge(payload, layer)
    return _merge(template, payload)


def _contact(text: str) -> dict[str, Any]:
    """A contact from `First Last <address>`; the address may be missing."""
    names, _, address = text.partition("<")
    first, _, last = names.strip().partition(" ")
    return {
        "firstName": first,
        "lastName": last,
        "phoneNumber": "+900000000000",
        "email": address.rstrip(">") if address else None,
        "title": None,
        "contactPreference": {"locale": None, "disableNotifications": True},
    }


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `under` with the values of `over` on top; objects are merged, all else is replaced."""
    merged = {key: _copy(value) for key, value in under.items()}
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else _copy(value)
    return merged


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))
