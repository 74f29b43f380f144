"""The story of one referral: what each stage took in, decided and wrote.

Belongs here: writing the rows of `referral_lineage` and reading one referral's chain. Does not belong here:
how it is shown (terminal, Dagster, page). A stage writes its rows in the transaction of its own work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from hunter_pipeline.store.tables import referral_lineage
from hunter_pipeline.store.upsert import upsert

STAGES = (
    "partner_center_referrals_raw",
    "normalized_domains",
    "partner_center_referrals",
    "raw_leads",
    "companies",
    "domain_signals",
    "lead_scores",
)
"""The stages in the order in which a referral passes them; they are the names of the assets too."""

ON_CONFLICT = """
ON CONFLICT (referral_id, stage, run_id) DO UPDATE SET input = excluded.input, decision = excluded.decision,
    row_key = excluded.row_key, code_version = excluded.code_version, recorded_at = excluded.recorded_at
"""
"""Ending of every INSERT into `referral_lineage`: a stage that is repeated in one run tells its latest word."""


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


def record_lineage(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write lineage rows made in Python; the caller commits.

    :param rows: mappings of the table's columns except `id`.
    """
    upsert(connection, referral_lineage, rows, key=["referral_id", "stage", "run_id"])


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
