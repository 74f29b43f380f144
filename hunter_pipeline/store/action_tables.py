"""Tables of what people did: attempts to change a referral at Partner Center.

Belongs here: what a person started, kept for good. Does not belong here: anything that a sync writes (`tables`).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from hunter_pipeline.store.columns import metadata, time_column

referral_actions = Table(
    "referral_actions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Number of the attempt"),
    Column("referral_id", Text, nullable=False, comment="Partner Center's id of the referral"),
    Column("action", Text, nullable=False, comment="accept, decline, won, lost, set"),
    Column("actor", Text, nullable=False, comment="Who asked for it (may name a person)"),
    Column("channel", Text, nullable=False, comment="web, shell, api"),
    Column("changes", JSONB, nullable=False, comment="Each field: path, label, before, after (may hold free text)"),
    Column("etag", Text, nullable=False, comment="eTag of the version that the person looked at, quotes included"),
    Column("outcome", Text, nullable=False, comment="sending, done, moved, refused, failed, unknown"),
    Column("answer", Text, comment="What came of it, in words"),
    time_column("requested_at", "When it was about to be sent", nullable=False),
    time_column("finished_at", "When its end was known; empty while it is not"),
    CheckConstraint("action IN ('accept', 'decline', 'won', 'lost', 'set')", name="action"),
    CheckConstraint("outcome IN ('sending', 'done', 'moved', 'refused', 'failed', 'unknown')", name="outcome"),
    Index(None, "referral_id"),
    Index("ix_referral_actions_open", "requested_at", postgresql_where=text("outcome IN ('sending', 'unknown')")),
    comment="Every attempt of a person to change a referral at Partner Center",
)
