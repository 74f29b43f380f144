"""What was erased on request, as keyed hashes.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("digest", sa.Text, nullable=False, comment="HMAC-SHA256 of what was erased, under the key in erasure_key"),
        sa.Column("request", sa.Text, nullable=False, comment="Digest of what was asked for; the same for that itself"),
        sa.Column("kind", sa.Text, nullable=False, comment="referral, email, domain"),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False, comment="When it was erased"),
        sa.Column(
            "tidied_at",
            sa.DateTime(timezone=True),
            comment="When Dagster's storage was looked through for it; empty: still to do",
        ),
        sa.PrimaryKeyConstraint("digest", "request", name="pk_erasures"),
        sa.CheckConstraint("kind IN ('referral', 'email', 'domain')", name=op.f("ck_erasures_kind")),
        comment="What was erased on request and is not taken in again, as keyed hashes",
    )
    op.create_index("ix_erasures_request", "erasures", ["request"])
    op.create_index("ix_erasures_untidied", "erasures", ["erased_at"], postgresql_where=sa.text("tidied_at IS NULL"))
    op.create_table(
        "erasure_key",
        sa.Column("id", sa.SmallInteger, nullable=False, autoincrement=False, comment="Always 1"),
        sa.Column(
            "ciphertext",
            sa.LargeBinary,
            nullable=False,
            comment="The key of the hashes, encrypted with the token cache's",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_erasure_key"),
        sa.CheckConstraint("id = 1", name=op.f("ck_erasure_key_single")),
        comment="The key under which erasures are hashed; made with the first of them",
    )
    op.add_column(
        "sync_runs",
        sa.Column(
            "erased",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="Beside these, referrals that were returned and are erased on request: not kept, not counted above",
        ),
    )


def downgrade() -> None:
    op.drop_column("sync_runs", "erased")
    op.drop_table("erasure_key")
    op.drop_table("erasures")
