"""The book of attempts: a row before anything is sent, and what became of it.

Belongs here: writing and reading `referral_actions`. Does not belong here: what is sent. The row is committed before
the request goes out, so that an attempt whose process dies stands there as open, and is settled later by what the
referral says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, text

from hunter_pipeline.partner_center.changes import FieldChange

Outcome = Literal["sending", "done", "moved", "refused", "failed", "unknown"]
"""`sending`: under way, or its process died. `done`: the referral has the values. `moved`: somebody else changed it
first. `refused`: Partner Center said no. `failed`: it did not arrive. `unknown`: sent, and not yet read again."""

Channel = Literal["web", "shell", "api"]


@dataclass(frozen=True)
class Attempt:
    """One attempt to change a referral.

    :param actor: who asked: a person's name where a proxy gives it, else `token` or the account of the shell.
    :param answer: what came of it, in words, without personal data.
    """

    id: int
    referral_id: str
    action: str
    actor: str
    channel: str
    changes: tuple[FieldChange, ...]
    etag: str
    outcome: Outcome
    answer: str | None
    requested_at: datetime
    finished_at: datetime | None


def open_attempt(
    connection: Connection,
    *,
    referral_id: str,
    action: str,
    actor: str,
    channel: Channel,
    changes: Sequence[FieldChange],
    etag: str,
    now: datetime,
) -> int:
    """Write down what is about to be sent, and return the attempt's number; the caller commits before it sends."""
    number: int = connection.execute(
        text(
            "INSERT INTO referral_actions (referral_id, action, actor, channel, changes, etag, outcome, requested_at)"
            " VALUES (:referral_id, :action, :actor, :channel, CAST(:changes AS jsonb), :etag, 'sending', :now)"
            " RETURNING id"
        ),
        {
            "referral_id": referral_id,
            "action": action,
            "actor": actor,
            "channel": channel,
            "changes": json.dumps([asdict(change) for change in changes]),
            "etag": etag,
            "now": now,
        },
    ).scalar_one()
    return number


def close_attempt(connection: Connection, number: int, outcome: Outcome, answer: str, now: datetime) -> None:
    """Write down what became of an attempt; the caller commits."""
    connection.execute(
        text("UPDATE referral_actions SET outcome = :outcome, answer = :answer, finished_at = :now WHERE id = :id"),
        {"id": number, "outcome": outcome, "answer": answer, "now": now},
    )


def read_attempts(connection: Connection, referral_id: str, limit: int = 50) -> list[Attempt]:
    """The attempts on one referral, newest first."""
    rows = connection.execute(
        text("SELECT * FROM referral_actions WHERE referral_id = :id ORDER BY id DESC LIMIT :limit"),
        {"id": referral_id, "limit": limit},
    ).mappings()
    return [_attempt(row) for row in rows]


def open_attempts(connection: Connection, before: datetime) -> list[Attempt]:
    """Attempts from before a moment whose end is not known."""
    rows = connection.execute(
        text(
            "SELECT * FROM referral_actions WHERE outcome IN ('sending', 'unknown') AND requested_at < :before"
            " ORDER BY id LIMIT 1000"
        ),
        {"before": before},
    ).mappings()
    return [_attempt(row) for row in rows]


def _attempt(row: Any) -> Attempt:
    return Attempt(
        id=row["id"],
        referral_id=row["referral_id"],
        action=row["action"],
        actor=row["actor"],
        channel=row["channel"],
        changes=tuple(FieldChange(**change) for change in row["changes"]),
        etag=row["etag"],
        outcome=row["outcome"],
        answer=row["answer"],
        requested_at=row["requested_at"],
        finished_at=row["finished_at"],
    )
