"""The figures that an operator is woken by: what waits, what runs out, how syncs end.

Belongs here: numbers without names, for the metrics. Does not belong here: what is too much, which alert rules and
checks say, and the counts of the lead list (`summary`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.queue import OF_REFERRALS
from hunter_pipeline.readers.referral_queue import EXPIRING

WINDOW = timedelta(days=1)
"""Over which syncs are counted by their result."""

_WAITS = """
r.is_current AND r.gone_at IS NULL
    AND NOT EXISTS (SELECT FROM partner_center_referrals t WHERE t.referral_id = r.referral_id AND t.raw_id = r.id)
    AND NOT EXISTS (SELECT FROM referral_failures f WHERE f.item_key = r.referral_id AND f.resolved_at IS NULL)
"""

OLDEST_OF_ALL = f"SELECT min(r.fetched_at) FROM partner_center_referrals_raw r WHERE {_WAITS}"  # noqa: S608 - constants
"""Since when the oldest referral waits that was fetched, not refused, and is not tracked yet."""

_OLDEST_MARKED = f"""
SELECT min(found.fetched_at) FROM (SELECT DISTINCT item FROM stage_queue WHERE stage = ANY(:stages)) marked
CROSS JOIN LATERAL (SELECT r.fetched_at FROM partner_center_referrals_raw r
    WHERE r.referral_id = marked.item AND {_WAITS} OFFSET 0) found
"""  # noqa: S608 - constants
"""The same, by the marks of the two stages that come between: what is fetched is marked for the first, and what that
decides for the second, each in the transaction that clears the mark before. What was there before a stage has ever
looked at everything bears no mark, and then all is read. OFFSET has each marked one looked up."""

_FIGURES = f"""
SELECT
    (SELECT count(*) FROM partner_center_referrals
        WHERE is_open AND status = 'New' AND (expires_at IS NULL OR expires_at > :now)) AS to_answer,
    (SELECT count(*) FROM partner_center_referrals
        WHERE is_open AND status = 'New' AND expires_at > :now AND expires_at < :soon) AS expiring,
    (SELECT count(*) FROM domain_signals WHERE status = 'partial') AS partial,
    CASE WHEN (SELECT count(*) FROM stage_state WHERE stage = ANY(:stages)) = 2
        THEN ({_OLDEST_MARKED}) ELSE ({OLDEST_OF_ALL}) END AS oldest_unprocessed,
    (SELECT extract(epoch FROM finished_at - started_at) FROM sync_runs WHERE finished_at IS NOT NULL
        ORDER BY finished_at DESC LIMIT 1) AS last_sync_seconds
"""  # noqa: S608 - constants
_SYNCS = "SELECT status, count(*) AS number FROM sync_runs WHERE started_at > :since GROUP BY status"
_RESULTS = ("success", "partial", "failed")


@dataclass(frozen=True)
class Vitals:
    """The figures at one moment.

    :param partial_lookups: domains of which a look-up failed and is tried again.
    :param oldest_unprocessed: since when the oldest referral waits that was fetched and is not tracked yet.
    :param last_sync_seconds: how long the newest sync took that has ended.
    :param syncs: syncs that began within `WINDOW`, by result; zero where there is none.
    """

    to_answer: int
    expiring: int
    partial_lookups: int
    oldest_unprocessed: datetime | None
    last_sync_seconds: float | None
    syncs: Mapping[str, int]


def read_vitals(connection: Connection, now: datetime) -> Vitals:
    """Count.

    :param now: the present, aware.
    """
    parameters = {"now": now, "soon": now + EXPIRING, "stages": list(OF_REFERRALS)}
    row = connection.execute(text(_FIGURES), parameters).one()
    syncs = {row.status: row.number for row in connection.execute(text(_SYNCS), {"since": now - WINDOW})}
    return Vitals(
        row.to_answer,
        row.expiring,
        row.partial,
        row.oldest_unprocessed,
        None if row.last_sync_seconds is None else float(row.last_sync_seconds),
        {result: syncs.get(result, 0) for result in _RESULTS},
    )
