"""Everything that explains one domain's score: the parts, the facts behind them, and how it came to be so.

Belongs here: reading it from the database. Does not belong here: how it is shown, and computing a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from hunter_pipeline.readers.rules_preview import stored_score
from hunter_pipeline.scoring.score import Score


@dataclass(frozen=True)
class Change:
    """One change of a score; the old values are None at the first scoring.

    :param cause: `first`, `signals`, `referral` or `rules`.
    """

    changed_at: datetime
    cause: str
    old_score: int | None
    new_score: int
    old_segment: str | None
    new_segment: str
    old_category: str | None
    new_category: str
    run_id: str


@dataclass(frozen=True)
class Explanation:
    """What is stored about the score of one domain.

    :param company_name: the company's name; None when no referral gives one, or there is no company.
    :param scanned_at: when DNS was asked last; None when never.
    :param open_look_ups: the signals that failed look-ups left open, such as `mx` and `dkim`.
    :param kept: the open signals whose last good value still counts, with the time of the scan it is from.
    :param score: the current score; None while the domain is not scored.
    :param facts: the facts that were scored, as `scores.READ_FACTS` makes them.
    :param history: every change, newest first.
    """

    domain: str
    company_name: str | None
    scanned_at: datetime | None
    open_look_ups: tuple[str, ...]
    kept: Mapping[str, str]
    score: Score | None
    facts: Mapping[str, Any]
    rules_hash: str | None
    scored_at: datetime | None
    run_id: str | None
    history: tuple[Change, ...]


FIND = """
SELECT c.canonical_name, s.scanned_at, s.signals->'undetermined' AS undetermined, s.kept, l.*,
    l.domain IS NOT NULL AS is_scored
FROM (SELECT CAST(:domain AS text) AS name) wanted
LEFT JOIN companies c ON c.domain = wanted.name
LEFT JOIN domain_signals s ON s.domain = wanted.name
LEFT JOIN lead_scores l ON l.domain = wanted.name
WHERE c.domain IS NOT NULL OR s.domain IS NOT NULL OR l.domain IS NOT NULL
"""

HISTORY = """
SELECT changed_at, cause, old_score, new_score, old_segment, new_segment, old_category, new_category, run_id
FROM lead_score_history WHERE domain = :domain ORDER BY id DESC
"""


def explain_score(connection: Connection, domain: str) -> Explanation | None:
    """What is stored about a domain's score; None when no stage has seen the domain.

    :param domain: ASCII, lower case.
    """
    row = connection.execute(text(FIND), {"domain": domain}).mappings().first()
    if row is None:
        return None
    history = connection.execute(text(HISTORY), {"domain": domain}).mappings()
    return Explanation(
        domain=domain,
        company_name=row["canonical_name"],
        scanned_at=row["scanned_at"],
        open_look_ups=tuple(row["undetermined"] or ()),
        kept=row["kept"] or {},
        score=stored_score(row) if row["is_scored"] else None,
        facts=row["inputs"] or {},
        rules_hash=row["rules_hash"],
        scored_at=row["scored_at"],
        run_id=row["run_id"],
        history=tuple(Change(**change) for change in history),
    )
