"""What a page or an API answer says of one company or one referral, and the list of referrals.

Belongs here: read queries that only the web needs. The lead list itself is `readers.lead_list`. Every function
takes a connection and returns plain values; ids that cannot exist give None, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from hunter_pipeline.readers.cursor import InvalidCursor, decode_cursor, encode_cursor, storable
from hunter_pipeline.readers.lead_columns import Lead
from hunter_pipeline.readers.lead_list import get_lead
from hunter_pipeline.readers.referral_columns import SELECTED, Referral
from hunter_pipeline.vocabulary import NO_TYPE

Record = Mapping[str, Any]


@dataclass(frozen=True)
class LeadStory:
    """A lead with all that explains it.

    :param breakdown: rule, points and detail of each step of the score; empty until it is scored.
    :param signals: what the domain's public records say, with evidence; None until it is scanned.
    :param registration: registrar and expiry of the domain; None until the registry was asked.
    :param history: changes of the score, newest first.
    :param signal_changes: changes of the signals, newest first.
    """

    lead: Lead
    breakdown: Sequence[Record]
    signals: Record | None
    registration: Record | None
    referrals: Sequence[Referral]
    history: Sequence[Record]
    signal_changes: Sequence[Record]


@dataclass(frozen=True)
class ReferralStory:
    """A referral as tracked, and what stands around it.

    :param referral: as tracked; None when it could not be.
    :param warnings: fields of the payload that could not be read.
    :param payload: the referral as received; None when it could not be kept.
    :param decision: how its company domain was decided; None when it was not.
    :param failures: what stages refused, open ones first, of these the dismissed ones last.
    """

    referral_id: str
    referral: Referral | None
    warnings: Sequence[str]
    payload: Any
    decision: Record | None
    failures: Sequence[Record]


@dataclass(frozen=True)
class ReferralFilter:
    """Which referrals; None does not restrict. `referral_type` may be `none`: it could not be told."""

    referral_type: str | None = None
    status: str | None = None
    domain: str | None = None
    is_open: bool | None = None


def lead_story(connection: Connection, domain: str) -> LeadStory | None:
    """A lead by its domain (ASCII, lower case); None when there is none."""
    lead = get_lead(connection, domain)
    if lead is None:
        return None
    parameters = {"domain": domain}
    breakdown = connection.execute(
        text("SELECT breakdown FROM lead_scores WHERE domain = :domain"), parameters
    ).scalar_one_or_none()
    signals = connection.execute(
        text("SELECT status, signals, kept, scanned_at, retry_at, run_id FROM domain_signals WHERE domain = :domain"),
        parameters,
    ).first()
    registration = connection.execute(
        text(
            "SELECT status, reason, registrar, registered_at, expires_at, looked_up_at FROM domain_registrations"
            " WHERE domain = :domain"
        ),
        parameters,
    ).first()
    referrals = connection.execute(
        text(
            f"SELECT {SELECTED} FROM partner_center_referrals WHERE domain = :domain"  # noqa: S608 - constant
            " ORDER BY is_open DESC, source_updated_at DESC NULLS LAST, referral_id LIMIT 200"
        ),
        parameters,
    )
    history = connection.execute(
        text(
            "SELECT changed_at, cause, old_score, new_score, old_segment, new_segment, old_category, new_category,"
            " run_id FROM lead_score_history WHERE domain = :domain ORDER BY changed_at DESC, id DESC LIMIT 50"
        ),
        parameters,
    )
    changes = connection.execute(
        text(
            "SELECT changed_at, field, old, new, run_id FROM domain_signal_history WHERE domain = :domain"
            " ORDER BY changed_at DESC, id DESC LIMIT 50"
        ),
        parameters,
    )
    return LeadStory(
        lead,
        breakdown or [],
        _record(signals),
        _record(registration),
        [Referral(**row) for row in referrals.mappings()],
        [dict(row) for row in history.mappings()],
        [dict(row) for row in changes.mappings()],
    )


def referral_story(connection: Connection, referral_id: str) -> ReferralStory | None:
    """A referral by its id, tracked or only fetched or only failed; None when it was never seen."""
    if not storable(referral_id):
        return None
    parameters = {"id": referral_id}
    referral = connection.execute(
        text(
            f"SELECT warnings, {SELECTED} FROM partner_center_referrals WHERE referral_id = :id"  # noqa: S608
        ),
        parameters,
    ).first()
    kept = connection.execute(
        text("SELECT payload FROM partner_center_referrals_raw WHERE referral_id = :id AND is_current"), parameters
    ).first()
    decision = connection.execute(
        text(
            "SELECT domain, source, found_at, skip_reason, attempts, decided_at FROM normalized_domains"
            " WHERE referral_id = :id"
        ),
        parameters,
    ).first()
    failures = connection.execute(
        text(
            "SELECT stage, error, occurrences, first_seen_at, last_seen_at, resolved_at, dismissed_at, run_id"
            " FROM referral_failures"
            " WHERE item_key = :id"
            " ORDER BY resolved_at IS NOT NULL, dismissed_at IS NOT NULL, last_seen_at DESC LIMIT 50"
        ),
        parameters,
    ).mappings()
    refused = [dict(row) for row in failures]
    if referral is None and kept is None and not refused:
        return None
    return ReferralStory(
        referral_id,
        Referral(*referral[1:]) if referral else None,
        referral.warnings if referral else (),
        kept.payload if kept else None,
        _record(decision),
        refused,
    )


def list_referrals(
    connection: Connection, referral_filter: ReferralFilter, limit: int, after: str | None = None
) -> tuple[list[Referral], str | None]:
    """Tracked referrals, the last synced first, and the cursor of the next page (None: this is the last).

    :raises InvalidCursor: `after` is no cursor of this list.
    """
    conditions = ["true"]
    parameters: dict[str, Any] = {"limit": limit + 1}
    for name in ("referral_type", "status", "domain"):
        value = getattr(referral_filter, name)
        if value is not None and not storable(value):
            return [], None
        if value == NO_TYPE and name == "referral_type":
            conditions.append("referral_type IS NULL")
        elif value is not None:
            conditions.append(f"{name} = :{name}")
            parameters[name] = value
    if referral_filter.is_open is not None:
        conditions.append("is_open = :is_open")
        parameters["is_open"] = referral_filter.is_open
    if after is not None:
        parameters["synced_at"], parameters["id"] = _decode(after)
        conditions.append("(synced_at, id) < (:synced_at, :id)")
    rows = connection.execute(
        text(
            f"SELECT id, {SELECTED} FROM partner_center_referrals WHERE {' AND '.join(conditions)}"  # noqa: S608
            " ORDER BY synced_at DESC, id DESC LIMIT :limit"
        ),
        parameters,
    ).all()
    found = rows[:limit]
    cursor = encode_cursor(found[-1].synced_at.isoformat(), found[-1].id) if len(rows) > limit else None
    return [Referral(*row[1:]) for row in found], cursor


def has_change(connection: Connection, referral_id: str, changed_at: datetime) -> bool:
    """Whether the kept version of a referral is at least as new as a change that is told of."""
    known: datetime | None = connection.execute(
        text("SELECT source_updated_at FROM partner_center_referrals_raw WHERE referral_id = :id AND is_current"),
        {"id": referral_id},
    ).scalar_one_or_none()
    return known is not None and known >= changed_at


def providers(connection: Connection) -> list[str]:
    """Mailbox providers that some company has, for the filter's choice."""
    return list(
        connection.execute(
            text("SELECT DISTINCT provider FROM companies WHERE provider IS NOT NULL ORDER BY provider")
        ).scalars()
    )


def _record(row: Row[Any] | None) -> Record | None:
    return None if row is None else dict(row._mapping)


def _decode(cursor: str) -> tuple[datetime, int]:
    moment, row_id = decode_cursor(cursor, 2)
    try:
        synced_at = datetime.fromisoformat(moment)
        if type(row_id) is not int or not 0 <= row_id < 2**63 or synced_at.tzinfo is None:
            raise ValueError
        synced_at.timestamp()
    except (ValueError, TypeError, ArithmeticError):
        raise InvalidCursor from None
    return synced_at, row_id
