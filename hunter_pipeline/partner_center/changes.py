"""What a person may change of a referral at Partner Center, and in which state.

Belongs here: the pairs of status and substatus that an answer leads from and to, the fields that can be set, the
checks of their values, and the JSON Patch that asks for it (RFC 6902, only `replace`). Pure: a payload and a wish come
in, a plan or a refusal comes out. Does not belong here: sending, the eTag, and who may do it. Paths and pairs:
learn.microsoft.com/partner-center/developer, pages `patch-a-referral` and `referral-resources`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from hunter_pipeline.partner_center.referral import UNKNOWN_STATUS, UnreadableReferral, parse_referral

Action = Literal["accept", "decline", "won", "lost", "set"]
"""`set` changes fields and leaves the status alone; fields may be given with the others too."""

ACTIONS: tuple[Action, ...] = get_args(Action)
NEEDS_REASON: frozenset[Action] = frozenset({"decline", "lost"})

LONGEST_REASON = 1000
LONGEST_REFERENCE = 255
LARGEST_DEAL = Decimal(10) ** 12

_TO_ANSWER = frozenset({("New", "Pending"), ("New", "Received")})
_ACCEPTED = frozenset({("Active", "Accepted")})
_PAIRS: Mapping[Action, tuple[frozenset[tuple[str, str]], tuple[str, str] | None]] = {
    "accept": (_TO_ANSWER, ("Active", "Accepted")),
    "decline": (_TO_ANSWER, ("Closed", "Declined")),
    "won": (_ACCEPTED, ("Closed", "Won")),
    "lost": (_ACCEPTED, ("Closed", "Lost")),
    "set": (_TO_ANSWER | _ACCEPTED, None),
}
_PAST: Mapping[Action, str] = {
    "accept": "accepted",
    "decline": "declined",
    "won": "closed as won",
    "lost": "closed as lost",
    "set": "changed",
}

_CURRENCY = re.compile(r"[A-Z]{3}")


class ChangeRefused(ValueError):  # noqa: N818 - it says what became of the wish
    """A change that cannot be asked for. The text says why and what to do, without a value of the payload."""


@dataclass(frozen=True)
class Wish:
    """What a person asks for; None leaves a field as it is.

    :param reason: why a referral is declined or lost; Partner Center shows it to the other side.
    :param deal_value: in `currency`, or in the referral's own currency.
    :param currency: ISO 4217 code.
    :param closing: the day on which the deal is expected to close (UTC).
    :param reference: the partner's own number for the deal (`externalReferenceId`); empty text takes it out.
    """

    action: Action
    reason: str | None = None
    deal_value: Decimal | None = None
    currency: str | None = None
    closing: date | None = None
    reference: str | None = None


@dataclass(frozen=True)
class FieldChange:
    """One field of the payload that changes.

    :param path: JSON Pointer (RFC 6901).
    :param label: the field's name for people.
    :param before: the value now; None when it has none.
    :param after: the value that is asked for, as JSON.
    """

    path: str
    label: str
    before: Any
    after: Any


FIELDS: Mapping[str, str] = {
    "/status": "Status",
    "/substatus": "Substatus",
    "/statusReason": "Reason",
    "/details/dealValue": "Deal value",
    "/details/currency": "Currency",
    "/details/closingDateTime": "Expected to close",
    "/externalReferenceId": "Own reference",
}
"""The fields that are ever changed, by path, with their names for people."""


def possible(status: str | None, substatus: str | None) -> tuple[Action, ...]:
    """What can be done with a referral in this state, in the order in which it is offered."""
    return tuple(action for action in ACTIONS if (status, substatus) in _PAIRS[action][0])


def plan(payload: Mapping[str, Any], wish: Wish) -> tuple[FieldChange, ...]:
    """What has to change so that the wish is fulfilled, status first.

    :param payload: the referral as it is now.
    :returns: only fields whose value differs; never empty.
    :raises ChangeRefused: the state does not allow it, a value is wrong, or nothing would change.
    """
    status, substatus = state_of(payload)
    allowed, target = _PAIRS[wish.action]
    if (status, substatus) not in allowed:
        raise ChangeRefused(
            f"it is {state_text(status, substatus)} and cannot be {_PAST[wish.action]}; "
            f"{_offer(possible(status, substatus))}"
        )
    wanted = _wanted(wish, target, _at(payload, "/details/currency"))
    changes = tuple(
        FieldChange(path, FIELDS[path], _at(payload, path), value)
        for path, value in wanted.items()
        if not _same(_at(payload, path), value)
    )
    if not changes:
        raise ChangeRefused("nothing would change: the referral has these values already")
    return changes


def to_patch(changes: Sequence[FieldChange]) -> list[dict[str, Any]]:
    """The JSON Patch of some changes (RFC 6902, section 4.3)."""
    return [{"op": "replace", "path": change.path, "value": change.after} for change in changes]


def is_done(payload: Mapping[str, Any], changes: Sequence[FieldChange]) -> bool:
    """Whether a payload has all the values that were asked for."""
    return all(_same(_at(payload, change.path), change.after) for change in changes)


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """What somebody else changed between two versions, among the fields that people act on."""
    return tuple(
        FieldChange(path, label, _at(before, path), _at(after, path))
        for path, label in FIELDS.items()
        if not _same(_at(before, path), _at(after, path))
    )


def state_of(payload: Mapping[str, Any]) -> tuple[str, str | None]:
    """Status and substatus of a payload.

    :raises ChangeRefused: the payload cannot be read as a referral.
    """
    try:
        referral = parse_referral(payload)
    except UnreadableReferral as error:
        raise ChangeRefused(f"Partner Center's answer cannot be read: {error}") from None
    return referral.status, referral.substatus


def state_text(status: str | None, substatus: str | None) -> str:
    """A state for people, such as `New / Received`."""
    return " / ".join(part for part in (status or UNKNOWN_STATUS, substatus) if part)


def _offer(actions: Sequence[Action]) -> str:
    return f"possible now: {', '.join(actions)}" if actions else "nothing can be done with it any more"


def _wanted(wish: Wish, target: tuple[str, str] | None, currency: object) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if target is not None:
        wanted |= {"/status": target[0], "/substatus": target[1]}
    reason = (wish.reason or "").strip()
    if wish.action in NEEDS_REASON and not reason:
        raise ChangeRefused(f"say why it is {_PAST[wish.action]}: give a reason")
    if reason and wish.action not in NEEDS_REASON:
        raise ChangeRefused("a reason is only given when a referral is declined or lost")
    if reason:
        wanted["/statusReason"] = _text(reason, LONGEST_REASON, "the reason")
    if wish.deal_value is not None:
        wanted["/details/dealValue"] = _amount(wish.deal_value)
        if wish.currency is None and not currency:
            raise ChangeRefused("the referral has no currency yet: give one with the deal value, such as EUR")
    if wish.currency is not None:
        code = wish.currency.strip().upper()
        if not _CURRENCY.fullmatch(code):
            raise ChangeRefused("the currency must be a code of three letters (ISO 4217), such as EUR")
        wanted["/details/currency"] = code
    if wish.closing is not None:
        wanted["/details/closingDateTime"] = f"{wish.closing.isoformat()}T00:00:00Z"
    if wish.reference is not None:
        wanted["/externalReferenceId"] = _text(wish.reference.strip(), LONGEST_REFERENCE, "the reference")
    if not wanted:
        raise ChangeRefused("give at least one value to set: deal value, currency, closing date or own reference")
    return wanted


def _text(value: str, longest: int, name: str) -> str:
    if len(value) > longest:
        raise ChangeRefused(f"{name} is longer than {longest} characters")
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in value) or "\x7f" in value:
        raise ChangeRefused(f"{name} holds control characters")
    return value


def _amount(value: Decimal) -> int | float:
    if not value.is_finite() or not 0 <= value < LARGEST_DEAL:
        raise ChangeRefused("the deal value must be a number from 0 to below one million million")
    if value != value.quantize(Decimal("0.01")):
        raise ChangeRefused("the deal value has more than two decimals")
    return int(value) if value == value.to_integral_value() else float(value)


def _at(payload: Mapping[str, Any], path: str) -> Any:
    node: Any = payload
    for key in path.split("/")[1:]:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _same(left: Any, right: Any) -> bool:
    """Whether two values mean the same: times by their moment, amounts by their number, an empty text like none."""
    if left == right or (left in (None, "") and right in (None, "")):
        return True
    for read in (_moment, _number):
        values = read(left), read(right)
        if None not in values:
            return values[0] == values[1]
    return False


def _number(value: Any) -> Decimal | None:
    """An amount; the documents show it as a number, and as a text in a sample of a PATCH."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
