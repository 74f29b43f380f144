"""Settling attempts whose end nobody saw: the process died, or the referral could not be read again.

Belongs here: the verdict from what a later sync has read. Does not belong here: any request; a sync has asked already.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from hunter_pipeline.actions.book import close_attempt, open_attempts
from hunter_pipeline.partner_center.changes import is_done
from hunter_pipeline.pipeline.context import StageContext

GRACE = timedelta(minutes=2)
"""An attempt younger than this may still be under way; longer than a request with its time-out takes."""

_READ_SINCE = """
SELECT r.payload FROM partner_center_referrals_raw r
WHERE r.referral_id = :id AND r.is_current AND (r.last_seen_at > :asked OR EXISTS (
    SELECT FROM sync_runs s WHERE s.covers_to_now AND s.started_at > :asked AND s.status <> 'running'
        AND s.status <> 'failed'))
"""
"""The referral as a sync found it that began after the attempt; one that it did not list had not changed."""


def settle_attempts(context: StageContext) -> int:
    """Close the attempts that a finished sync has the answer to, and return how many."""
    settled = 0
    now = context.clock()
    with context.engine.connect() as connection:
        for attempt in open_attempts(connection, now - GRACE):
            payload = connection.execute(
                text(_READ_SINCE), {"id": attempt.referral_id, "asked": attempt.requested_at}
            ).scalar()
            if payload is None:
                continue
            if is_done(payload, attempt.changes):
                close_attempt(connection, attempt.id, "done", "Done: a later sync found it so", now)
            else:
                answer = "It did not arrive: a later sync found the referral without it"
                close_attempt(connection, attempt.id, "failed", answer, now)
            settled += 1
        connection.commit()
    return settled
