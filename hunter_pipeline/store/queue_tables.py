"""The tables that tell a stage what it has to look at, so that the cost of a sync follows what changed.

Belongs here: the marks, what each stage remembers of its last pass, and which shard looks at what. Does not belong
here: who marks what: that is done by triggers (a migration makes them), so that no writer can forget it: not a stage,
not an older version of one that runs beside this, not a person at a prompt. `tables` brings these in.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, CheckConstraint, Column, Identity, Index, Table, Text

from hunter_pipeline.store.columns import metadata, time_column

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

scan_claims = Table(
    "scan_claims",
    metadata,
    Column("domain", Text, primary_key=True, comment="Domain that is to be looked up"),
    Column("position", BigInteger, Identity(), nullable=False, comment="Place in the line"),
    Column("again", Boolean, nullable=False, comment="Whether it is looked up again because its signals grew old"),
    Column("owner", Text, comment="The shard that looks it up; empty: none yet"),
    Column("run_id", Text, comment="Dagster run of that shard"),
    time_column("claimed_until", "Until when the claim holds without another sign, by this server's clock"),
    Index("ix_scan_claims_again_position", "again", "position"),
    CheckConstraint("(owner IS NULL) = (claimed_until IS NULL)", name="owner"),
    comment="Domains that shards of a scan have still to look up, empty but for scans that are spread",
)
