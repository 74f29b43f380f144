"""The referrals that the local Partner Center holds, each as the JSON text that it is served as.

Text and not values, so that what no JSON writer makes (a number with 400 digits, a key given twice) can be served
too. Ordering and filtering read what the text says where it can be read. No HTTP here.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
SHORT_LIST_OMITS: Final = ("consent", "inviteContext", "eTag", "team")
"""Keys that the documents' list sample lacks; of `customerProfile` it lacks `team` and `ids`."""


@dataclass(frozen=True)
class Item:
    """One referral. `text` is what a GET of it gives, `listed` what the list shows; undated ones sort lowest."""

    referral_id: str | None
    text: str
    listed: str
    created: datetime
    updated: datetime
    etag: str
    fields: dict[str, Any] = field(default_factory=dict)


class ReferralStore:
    """Referrals in the order in which they were added. Safe to change while requests are answered."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._lock = threading.RLock()

    def add(self, payload: object, *, short_in_list: bool = False) -> None:
        """Add one referral, whatever its shape.

        :param short_in_list: the list leaves out the customer's contacts and ids, the consent, the invitation and the
            eTag, as the documents' list sample does; a GET of the one referral gives them.
        """
        self.add_text(json.dumps(payload), short_in_list=short_in_list)

    def add_text(
        self, text: str, *, short_in_list: bool = False, updated: str | None = None, referral_id: str | None = None
    ) -> None:
        """Add one referral as JSON text, which need not be readable here.

        `updated` and `referral_id` stand in for what an unreadable text says.
        """
        item = _make(text, short_in_list, updated, referral_id)
        with self._lock:
            self._items.append(item)

    def update(self, referral_id: str, **changes: object) -> None:
        """Change top-level keys of a referral, and move its `updatedDateTime` to now unless a change names it.

        :raises KeyError: there is none of this id.
        """
        with self._lock:
            index = self._index(referral_id)
            old = self._items[index]
            payload = json.loads(old.text)
            now = max(datetime.now(UTC), old.updated + timedelta(microseconds=1))
            payload["updatedDateTime"] = now.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
            if "eTag" in payload:
                payload["eTag"] = _etag(json.dumps([payload, changes]))
            payload.update(changes)
            self._items[index] = _make(json.dumps(payload), old.text != old.listed, None, None)

    def remove(self, referral_id: str) -> None:
        """Forget a referral.

        :raises KeyError: there is none of this id.
        """
        with self._lock:
            del self._items[self._index(referral_id)]

    def clear(self) -> None:
        """Take all referrals out, those without an id too."""
        with self._lock:
            self._items.clear()

    def get(self, referral_id: str) -> Item | None:
        """The referral with this id, or None."""
        with self._lock:
            return next((item for item in self._items if item.referral_id == referral_id), None)

    def items(self) -> list[Item]:
        """All referrals, as they are now."""
        with self._lock:
            return list(self._items)

    def ids(self) -> list[str]:
        """The ids, without those of items that have none."""
        return [item.referral_id for item in self.items() if item.referral_id is not None]

    def __len__(self) -> int:
        with self._lock:
            return len(self._items)

    def _index(self, referral_id: str) -> int:
        for index, item in enumerate(self._items):
            if item.referral_id == referral_id:
                return index
        raise KeyError(f"no referral {referral_id} in the sandbox")


def _make(text: str, short_in_list: bool, updated: str | None, referral_id: str | None) -> Item:
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    fields = payload if isinstance(payload, dict) else {}
    found = fields.get("id", referral_id)
    etag = fields.get("eTag")
    return Item(
        referral_id=None if found is None else str(found),
        text=text,
        listed=json.dumps(_short(fields)) if short_in_list and fields else text,
        created=_moment(fields.get("createdDateTime", updated)),
        updated=_moment(fields.get("updatedDateTime", fields.get("createdDateTime", updated))),
        # a header takes printable ASCII only
        etag=etag if isinstance(etag, str) and etag.isascii() and etag.isprintable() else _etag(text),
        fields=fields,
    )


def _short(payload: dict[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in payload.items() if key not in SHORT_LIST_OMITS}
    customer = payload.get("customerProfile")
    if isinstance(customer, dict):
        short["customerProfile"] = {key: value for key, value in customer.items() if key not in {"team", "ids"}}
    return short


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else _NEVER
    except ValueError:
        return _NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _etag(text: str) -> str:
    return f'"{uuid5(NAMESPACE_URL, text.encode("utf-8", "surrogatepass").hex())}"'
