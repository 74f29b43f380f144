"""What must hold of Hunter's tables after any sync that ended, whatever was fetched and whatever went wrong before."""

from datetime import datetime

from sqlalchemy import Engine, text

from hunter_pipeline.quality.gates import GATES, judge_books, read_books

UNBALANCED = """
SELECT run_id, status, fetched, succeeded, skipped, failed FROM sync_runs
WHERE status IN ('success', 'partial') AND fetched <> succeeded + skipped + failed
"""
LOST = """
SELECT i.item_key FROM sync_run_items i
WHERE NOT EXISTS (SELECT FROM partner_center_referrals_raw r WHERE r.referral_id = i.item_key AND r.is_current)
    AND NOT EXISTS (SELECT FROM referral_failures f WHERE f.item_key = i.item_key)
"""
DOUBLE = """
SELECT referral_id FROM partner_center_referrals_raw WHERE is_current GROUP BY 1 HAVING count(*) <> 1
"""


def unbalanced(engine: Engine, now: datetime) -> list[str]:
    """Everything that does not add up; empty when all does.

    :param now: the present of whoever wrote the rows.
    """
    found = []
    with engine.connect() as connection:
        for gate in GATES:
            verdict = judge_books(gate, read_books(connection, gate, now))
            if not verdict.holds:
                found.append(f"{gate.name}: {verdict.summary}")
        for what, query in (("unbalanced", UNBALANCED), ("lost", LOST), ("not one current version", DOUBLE)):
            found += [f"{what}: {tuple(row)}" for row in connection.execute(text(query)).all()[:5]]
    return found
