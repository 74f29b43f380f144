"""Numbers and small tables that a person looks at first: which scores moved, and why referrals make no lead.

Belongs here: queries for the metadata of a run, a few rows each, with domains but no persons.
Does not belong here: the lead list (`lead_list`) and counts over everything (`summary`).
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from hunter_pipeline.readers.examples import Examples, find_examples

MOVED = """
SELECT domain, CASE WHEN old_score IS NULL THEN '-' ELSE old_category || ', ' || old_score || ', ' || old_segment END
    AS before, new_category || ', ' || new_score || ', ' || new_segment AS after, cause
FROM (SELECT * FROM lead_score_history WHERE run_id = :run ORDER BY id DESC LIMIT :most) h
ORDER BY new_category, new_score DESC, domain
"""

MOST_MOVED = 20

SKIPS = """
SELECT skip_reason AS reason, count(*) AS referrals FROM normalized_domains
WHERE skip_reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
"""


def moved_scores(connection: Connection, run_id: str, changed: int) -> Examples:
    """What a run's scoring moved: before, after and why, the best first, at most `MOST_MOVED`.

    :param changed: how many it moved, more than none. They are the newest rows: it stops reading behind them.
    """
    return find_examples(connection, MOVED, {"run": run_id, "most": min(changed, MOST_MOVED)})


def open_lookups(connection: Connection) -> int:
    """Number of domains of which a look-up failed and is still to be tried again."""
    found: int = connection.execute(
        text("SELECT count(*) FROM domain_signals WHERE status = 'partial' AND retry_at IS NOT NULL")
    ).scalar_one()
    return found


def top_skip_reasons(connection: Connection) -> Examples:
    """The ten most frequent reasons for having no company domain, over all referrals."""
    return find_examples(connection, SKIPS, {})
