"""The digest: what a sales team should know of the time since the last one, in a few lines.

Belongs here: what is new, what expires and what changed, read from the tables, and the text that is made of it. Does
not belong here: when it is sent and where. Companies are named, people never: the text leaves the house.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from hunter_pipeline.readers.referral_queue import EXPIRING

NAMED = 10
"""Companies named in one line; the count beside them is the true one."""

_NEW = """
SELECT c.canonical_name AS name, s.domain, s.category, s.score FROM lead_scores s
JOIN companies c ON c.domain = s.domain
WHERE s.category IN ('P1', 'P2') AND EXISTS (SELECT FROM raw_leads l WHERE l.domain = s.domain)
    AND EXISTS (
        SELECT FROM lead_score_history h WHERE h.domain = s.domain AND h.cause = 'first' AND h.changed_at > :since)
ORDER BY s.category, s.score DESC, s.domain
"""
_MOVED = """
SELECT c.canonical_name AS name, h.domain, h.old_category, s.category, s.score
FROM (
    SELECT DISTINCT ON (domain) domain, old_category FROM lead_score_history
    WHERE changed_at > :since ORDER BY domain, changed_at, id
) h
JOIN lead_scores s ON s.domain = h.domain JOIN companies c ON c.domain = h.domain
WHERE h.old_category IS NOT NULL AND h.old_category <> s.category
    AND EXISTS (SELECT FROM raw_leads l WHERE l.domain = h.domain)
ORDER BY s.category, s.score DESC, h.domain
"""
_EXPIRING = """
SELECT company_name AS name, domain, expires_at FROM partner_center_referrals
WHERE is_open AND status = 'New' AND expires_at > :now AND expires_at < :soon ORDER BY expires_at, referral_id
"""
_COUNTS = """
SELECT count(*) FILTER (WHERE created_at > :since) AS received,
    count(*) FILTER (WHERE is_open AND status = 'New' AND (expires_at IS NULL OR expires_at > :now)) AS to_answer,
    count(*) FILTER (WHERE substatus = 'Expired' AND expires_at > :since AND expires_at <= :now) AS expired
FROM partner_center_referrals
"""


@dataclass(frozen=True)
class Digest:
    """What happened since the last digest; each text names a company and what is the matter with it.

    :param received: referrals that came in.
    :param to_answer: referrals that wait for an answer.
    :param expired: referrals that expired unanswered.
    """

    since: datetime
    now: datetime
    new: Sequence[str]
    moved: Sequence[str]
    expiring: Sequence[str]
    received: int
    to_answer: int
    expired: int


def read_digest(connection: Connection, since: datetime, now: datetime) -> Digest:
    """Read what happened between two moments.

    :param since: when the last digest was sent.
    """
    times = {"since": since, "now": now, "soon": now + EXPIRING}
    counts = connection.execute(text(_COUNTS), times).one()
    return Digest(
        since,
        now,
        [f"{_name(row)} ({row.category}, {row.score})" for row in connection.execute(text(_NEW), times)],
        [f"{_name(row)} ({row.old_category} to {row.category})" for row in connection.execute(text(_MOVED), times)],
        [f"{_name(row)} ({row.expires_at:%Y-%m-%d %H:%M} UTC)" for row in connection.execute(text(_EXPIRING), times)],
        counts.received,
        counts.to_answer,
        counts.expired,
    )


def digest_text(digest: Digest, link: str | None) -> str:
    """The message: one line for each thing, none for what did not happen.

    :param link: address of the work queue; None: nobody can reach it.
    """
    lines = [f"Hunter: leads since {digest.since:%Y-%m-%d %H:%M} UTC"]
    lines.append(f"{_count(digest.received, 'referral')} received, {digest.to_answer} to answer")
    for title, texts in (
        ("New P1 and P2", digest.new),
        ("Moved to another category", digest.moved),
        ("Expiring within three days", digest.expiring),
    ):
        if texts:
            more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
            lines.append(f"{title} ({len(texts)}): {', '.join(texts[:NAMED])}{more}")
    if digest.expired:
        lines.append(f"{_count(digest.expired, 'referral')} expired unanswered")
    if link:
        lines.append(link)
    return "\n".join(lines)


def _name(row: object) -> str:
    name = getattr(row, "name", None) or getattr(row, "domain", None) or "a company without a name"
    return " ".join(str(name).split())[:80]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
