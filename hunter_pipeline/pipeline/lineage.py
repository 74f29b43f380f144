"""The story of one referral: what each stage took in, decided and wrote.

Belongs here: the writing of `referral_lineage`. Does not belong here: reading it back
(`readers.lineage`). A stage writes its rows in the transaction of its own work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from hunter_pipeline.store.tables import referral_lineage
from hunter_pipeline.store.upsert import upsert

ON_CONFLICT = """
ON CONFLICT (referral_id, stage, run_id) DO UPDATE SET input = excluded.input, decision = excluded.decision,
    row_key = excluded.row_key, code_version = excluded.code_version, recorded_at = excluded.recorded_at
"""
"""Ending of every INSERT into `referral_lineage`: a stage that is repeated in one run tells its latest word."""


def not_told(stage: str, referral: str, row_key: str) -> str:
    """The SQL condition that no row tells yet how `stage` went for a referral and the row that it leads to.

    A scalar subquery is looked up in the index for each referral. `NOT EXISTS` means the same, but is a join, and with
    statistics from before the rows came PostgreSQL plans it as one that compares every row with every other.

    :param stage: name of the stage.
    :param referral: expression of the referral's id.
    :param row_key: expression of the key of the row that the stage wrote.
    """
    return f"""(SELECT true FROM referral_lineage x
        WHERE x.referral_id = {referral} AND x.stage = '{stage}' AND x.row_key = {row_key} LIMIT 1) IS NULL"""  # noqa: S608


def record_lineage(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write lineage rows made in Python; the caller commits.

    :param rows: mappings of the table's columns except `id`.
    """
    upsert(connection, referral_lineage, rows, key=["referral_id", "stage", "run_id"])
