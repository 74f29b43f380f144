"""One referral's chain through the stages, as the tables have it.

Belongs here: reading `referral_lineage`, and finding a referral by the first characters of its id. Does not belong
here: writing it (`pipeline.lineage`) and how it is told (`lineage_story`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text

from hunter_pipeline.store.tables import referral_lineage
from hunter_pipeline.vocabulary import STAGES


@dataclass(frozen=True)
class LineageStep:
    """One stage's word on one referral; fields as the columns of `referral_lineage`."""

    stage: str
    input: str | None
    decision: str
    row_key: str | None
    code_version: str
    run_id: str
    recorded_at: datetime


def read_lineage(connection: Connection, referral_id: str) -> list[LineageStep]:
    """Every recorded step of a referral, oldest first and within a moment in the order of the stages."""
    columns = referral_lineage.c
    rows = connection.execute(
        select(
            columns.stage,
            columns.input,
            columns.decision,
            columns.row_key,
            columns.code_version,
            columns.run_id,
            columns.recorded_at,
        )
        .where(columns.referral_id == referral_id)
        .order_by(columns.recorded_at, columns.id)
    )
    return [LineageStep(*row) for row in rows]


def latest_steps(steps: Sequence[LineageStep]) -> list[LineageStep]:
    """The newest step of each stage, in the order of the stages: how the referral stands now."""
    newest = {step.stage: step for step in steps}
    return [newest[stage] for stage in STAGES if stage in newest]


def find_referrals(connection: Connection, prefix: str, limit: int = 5) -> list[str]:
    """Ids of known referrals that start with `prefix`, so that a person may type the first characters."""
    return list(
        connection.execute(
            text(
                "SELECT DISTINCT referral_id FROM partner_center_referrals_raw"
                " WHERE starts_with(referral_id, :prefix) ORDER BY referral_id LIMIT :limit"
            ),
            {"prefix": prefix, "limit": limit},
        ).scalars()
    )
