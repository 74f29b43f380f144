"""The story of one referral: what each stage took in, decided and wrote.

Belongs here: the names of the stages and the writing of `referral_lineage`. Does not belong here: reading it back
(`readers.lineage`). A stage writes its rows in the transaction of its own work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

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


def record_lineage(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write lineage rows made in Python; the caller commits.

    :param rows: mappings of the table's columns except `id`.
    """
    upsert(connection, referral_lineage, rows, key=["referral_id", "stage", "run_id"])
