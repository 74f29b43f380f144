"""How the local Partner Center takes a PATCH of a referral, as the documents describe it.

Here belong the eTag that must match, the paths that may be changed, the pairs of status and substatus that follow one
another, and the answers. Where the documents are silent (which code refuses a step that is not allowed), 400
`invalidRequest` stands in. Source: learn.microsoft.com/partner-center/developer, page `patch-a-referral`, and the
Power Platform connector's definition for the paths. No HTTP here beyond status and body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hunter_pipeline.sandbox.https_server import Request
from hunter_pipeline.sandbox.referral_store import Item, ReferralStore

_PATHS: Final = frozenset(
    {
        "/status", "/substatus", "/statusReason", "/salesStage", "/campaignId", "/referralProgram",
        "/externalReferenceId", "/details/closingDateTime", "/details/currency", "/details/dealValue",
        "/details/notes", "/consent/consentToShareReferralWithMicrosoftSellers",
    }
)  # fmt: skip
_NEXT: Final[Mapping[tuple[str, str], frozenset[tuple[str, str]]]] = {
    ("New", "Pending"): frozenset({("Active", "Accepted"), ("Closed", "Declined"), ("Closed", "Expired")}),
    ("New", "Received"): frozenset({("Active", "Accepted"), ("Closed", "Declined"), ("Closed", "Expired")}),
    ("Active", "Accepted"): frozenset({("Closed", "Won"), ("Closed", "Lost")}),
}


class RefusedChangeError(ValueError):
    """A PATCH that the API refuses, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def change_referral(store: ReferralStore, item: Item, request: Request) -> Item:
    """Carry out a PATCH and return the referral as it is then; its eTag is another one.

    :raises RefusedChangeError: the eTag is not the current one (412), or the change is not allowed (400).
    """
    if_match = request.headers.get("If-Match")
    if if_match is not None and if_match not in ("*", item.etag):
        raise RefusedChangeError(412, "The eTag does not match the current version of the referral.")
    changes = _changes(request.body, item.fields)
    store.update(item.referral_id or "", **changes)
    changed = store.get(item.referral_id or "")
    assert changed is not None
    return changed


def _changes(body: bytes, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level keys that the operations give new values, after all checks."""
    try:
        operations = json.loads(body)
    except ValueError:
        raise RefusedChangeError(400, "The body is no JSON.") from None
    if not isinstance(operations, list) or not operations:
        raise RefusedChangeError(400, "The body must be an array of operations.")
    changed: dict[str, Any] = json.loads(json.dumps(dict(fields)))
    touched = set()
    for operation in operations:
        path = operation.get("path") if isinstance(operation, dict) else None
        if path not in _PATHS or operation.get("op") not in ("replace", "add") or "value" not in operation:
            raise RefusedChangeError(400, "The operation is not supported.")
        *parents, last = str(path).split("/")[1:]
        node = changed
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = operation["value"]
        touched.add(str(path).split("/")[1])
    _check_step(_state(fields), _state(changed))
    return {key: changed[key] for key in touched}


def _check_step(before: tuple[str, str], after: tuple[str, str]) -> None:
    if before[0] == "Closed":
        raise RefusedChangeError(400, "A closed referral cannot be changed.")
    if after != before and after not in _NEXT.get(before, frozenset()):
        raise RefusedChangeError(400, f"The status cannot change from {'/'.join(before)} to {'/'.join(after)}.")


def _state(fields: Mapping[str, Any]) -> tuple[str, str]:
    return str(fields.get("status")), str(fields.get("substatus"))
