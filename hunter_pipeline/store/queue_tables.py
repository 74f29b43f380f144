"""The tables that tell a stage what it has to look at, so that the cost of a sync follows what changed.

Belongs here: the marks and what each stage remembers of its last pass. Does not belong here: who marks what: that is
done by triggers (a migration makes them), so that no writer can forget it: not a stage, not an older version of one
that runs beside this, not a person at a prompt. `tables` brings these in.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Table, Text

from hunter_pipeline.store.columns import metadata

stage_queue = Table(
    "stage_queue",
    metadata,
    Column("stage", Text, primary_key=True, comment="Stage that has to look"),
    Column("item", Text, primary_key=True, comment="At what: a referral's id or a domain"),
    comment="What each stage has still to look at; triggers mark it wherever a row that the stage rests on is written",
)

stage_state = Table(
    "stage_state",
    metadata,
    Column("stage", Text, primary_key=True, comment="Name of the stage"),
    Column("version", Text, nullable=False, comment="Rules by which the stage last looked at everything"),
    Column("totals", JSON, comment="Counts over the whole table when the stage last looked at anything"),
    comment="What each stage remembers of its last pass",
)
