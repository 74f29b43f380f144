"""Change one referral at Partner Center: look, ask the person, look again, send once, find out what became of it.

Belongs here: that order, and the promise that nothing of somebody else's is overwritten and nothing is said to have
worked that was not seen to. A request is never sent twice: after a failure in between, the referral is read again
before anybody is told anything. Does not belong here: words for a page, and the way of the answer through the stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Engine

from hunter_pipeline.actions.book import Channel, Outcome, close_attempt, open_attempt
from hunter_pipeline.partner_center.changes import (
    ChangeRefused,
    FieldChange,
    Wish,
    is_done,
    moved,
    plan,
    state_of,
    state_text,
    to_patch,
)
from hunter_pipeline.partner_center.errors import ApiError, PartnerCenterError
from hunter_pipeline.partner_center.pages import RawItem

MOVED_STATUSES = frozenset({409, 412})
"""`resourceModified` and `preconditionFailed` (learn.microsoft.com/partner-center/developer, referrals-api-response-
codes): the referral is not any more what was looked at."""


class ReferralEditor(Protocol):
    """Where referrals are read and changed: `PartnerCenterClient`."""

    def get_for_change(self, referral_id: str) -> tuple[RawItem, str | None]:
        """One referral in full as it is now, and the `ETag` header of the answer."""

    def patch_referral(self, referral_id: str, operations: Sequence[Mapping[str, Any]], etag: str) -> RawItem | None:
        """Send a JSON Patch once; the referral as it is then, or None when the answer does not show it."""


@dataclass(frozen=True)
class Acting:
    """What acting needs.

    :param keep: takes in a version that was read, so that it goes through the stages like a fetched one; False when
        that has to wait for the next sync.
    :param kept: the version of a referral that was read with an eTag; None when it is not there any more.
    :param clock: gives the present, aware UTC.
    """

    engine: Engine
    editor: ReferralEditor
    keep: Callable[[RawItem], bool]
    kept: Callable[[str, str], Mapping[str, Any] | None]
    clock: Callable[[], datetime]


@dataclass(frozen=True)
class Proposal:
    """A change as it would be sent, for a person to say yes to.

    :param etag: of the version that was looked at; the yes counts for this one only.
    """

    referral_id: str
    etag: str
    changes: tuple[FieldChange, ...]


@dataclass(frozen=True)
class Result:
    """What became of a change.

    :param text: one sentence for a person.
    :param meanwhile: what somebody else changed since the person looked.
    """

    outcome: Outcome
    text: str
    meanwhile: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """A referral as it was just read."""

    item: RawItem
    payload: Mapping[str, Any]
    etag: str
    state: str


def propose(acting: Acting, referral_id: str, wish: Wish) -> Proposal:
    """Read the referral afresh and say what would change. Nothing is sent.

    :raises ChangeRefused: its state does not allow it, a value is wrong, or nothing would change.
    :raises PartnerCenterError: it cannot be read now.
    """
    seen = _look(acting, referral_id)
    acting.keep(seen.item)
    return Proposal(referral_id, seen.etag, plan(seen.payload, wish))


def carry_out(acting: Acting, referral_id: str, wish: Wish, etag: str, *, actor: str, channel: Channel) -> Result:
    """Send the change that a person said yes to, unless the referral has moved since.

    :param etag: of the proposal.
    :param actor: who said yes.
    :raises ChangeRefused: a value is wrong, or nothing would change.
    :raises PartnerCenterError: the referral cannot be read now; nothing was sent.
    """
    seen = _look(acting, referral_id)
    if seen.etag != etag:
        acting.keep(seen.item)
        return _moved(acting, referral_id, etag, seen)
    changes = plan(seen.payload, wish)
    with acting.engine.connect() as connection:
        number = open_attempt(
            connection,
            referral_id=referral_id,
            action=wish.action,
            actor=actor,
            channel=channel,
            changes=changes,
            etag=etag,
            now=acting.clock(),
        )
        connection.commit()
    result, item = _send(acting, referral_id, seen, changes)
    with acting.engine.connect() as connection:
        close_attempt(connection, number, result.outcome, result.text, acting.clock())
        connection.commit()
    # Only now: what became of the attempt must stand in the book even if the stages cannot take the answer in.
    if item is not None and not acting.keep(item):
        return replace(result, text=f"{result.text}. The list shows it after the next sync")
    return result


def _send(
    acting: Acting, referral_id: str, before: _Seen, changes: tuple[FieldChange, ...]
) -> tuple[Result, RawItem | None]:
    why, refused = "the answer does not show it", False
    try:
        answer = acting.editor.patch_referral(referral_id, to_patch(changes), before.etag)
        if answer is not None and isinstance(answer.value, Mapping) and is_done(answer.value, changes):
            return Result("done", f"Done: {_now(answer.value)}"), answer
    except ApiError as error:
        refused = error.status in MOVED_STATUSES
        if not refused and not error.transient:
            return Result("refused", f"Partner Center refused it: {error}"), None
        why = str(error)
    except PartnerCenterError as error:
        why = str(error)
    return _read_again(acting, referral_id, before, changes, why, refused=refused)


def _read_again(
    acting: Acting, referral_id: str, before: _Seen, changes: tuple[FieldChange, ...], why: str, *, refused: bool
) -> tuple[Result, RawItem | None]:
    """What the referral itself says after a request whose end is not known, or that another's change was ahead of."""
    try:
        seen = _look(acting, referral_id)
    except (PartnerCenterError, ChangeRefused) as error:
        if refused:
            return Result("moved", f"It has changed since you looked; nothing was overwritten ({error})"), None
        text = f"It is not known whether it worked ({why}), and the referral cannot be read now ({error})"
        return Result("unknown", text), None
    if refused:
        return _moved(acting, referral_id, before.etag, seen), seen.item
    if is_done(seen.payload, changes):
        return Result("done", f"Done: {seen.state} (read again, since: {why})"), seen.item
    if seen.etag == before.etag:
        return Result("failed", f"It did not arrive: {seen.state} as before ({why}); try again"), seen.item
    return _moved(acting, referral_id, before.etag, seen), seen.item


def _moved(acting: Acting, referral_id: str, etag: str, seen: _Seen) -> Result:
    looked_at = acting.kept(referral_id, etag)
    meanwhile = moved(looked_at, seen.payload) if looked_at is not None else ()
    text = f"It has changed since you looked: {seen.state}. Nothing was sent over it; look again"
    return Result("moved", text, meanwhile)


def _look(acting: Acting, referral_id: str) -> _Seen:
    item, header = acting.editor.get_for_change(referral_id)
    if item.problem is not None or not isinstance(item.value, Mapping):
        raise ChangeRefused("Partner Center's answer cannot be read as a referral")
    payload = item.value
    if payload.get("id") != referral_id:
        raise ChangeRefused("Partner Center answered with another referral")
    etag = payload.get("eTag") or header
    if not isinstance(etag, str) or not etag.isascii() or not etag.isprintable():
        raise ChangeRefused("the referral has no eTag, without which another's change could be overwritten")
    state_of(payload)
    return _Seen(item, payload, etag, _now(payload))


def _now(payload: Mapping[str, Any]) -> str:
    try:
        return f"it is now {state_text(*state_of(payload))}"
    except ChangeRefused:
        return "its state cannot be read"
