"""The book of what people changed at Partner Center.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "referral_actions",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True, comment="Number of the attempt"),
        sa.Column("referral_id", sa.Text, nullable=False, comment="Partner Center's id of the referral"),
        sa.Column("action", sa.Text, nullable=False, comment="accept, decline, won, lost, set"),
        sa.Column("actor", sa.Text, nullable=False, comment="Who asked for it (may name a person)"),
        sa.Column("channel", sa.Text, nullable=False, comment="web, shell, api"),
        sa.Column("changes", JSONB, nullable=False, comment="Each field: path, label, before, after (may hold free text)"),
        sa.Column("etag", sa.Text, nullable=False, comment="eTag of the version that the person looked at, quotes included"),
        sa.Column("outcome", sa.Text, nullable=False, comment="sending, done, moved, refused, failed, unknown"),
        sa.Column("answer", sa.Text, comment="What came of it, in words"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False, comment="When it was about to be sent"),
        sa.Column("finished_at", sa.DateTime(timezone=True), comment="When its end was known; empty while it is not"),
        sa.CheckConstraint("action IN ('accept', 'decline', 'won', 'lost', 'set')", name=op.f("ck_referral_actions_action")),
        sa.CheckConstraint(
            "outcome IN ('sending', 'done', 'moved', 'refused', 'failed', 'unknown')",
            name=op.f("ck_referral_actions_outcome"),
        ),
        comment="Every attempt of a person to change a referral at Partner Center",
    )
    op.create_index("ix_referral_actions_referral_id", "referral_actions", ["referral_id"])
    op.create_index(
        "ix_referral_actions_open",
        "referral_actions",
        ["requested_at"],
        postgresql_where=sa.text("outcome IN ('sending', 'unknown')"),
    )


def downgrade() -> None:
    op.drop_table("referral_actions")
