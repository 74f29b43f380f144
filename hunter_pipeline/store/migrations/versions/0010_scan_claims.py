"""Which shard of a scan looks up which domain.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scan_claims",
        sa.Column("domain", sa.Text, nullable=False, comment="Domain that is to be looked up"),
        sa.Column("position", sa.BigInteger, sa.Identity(), nullable=False, comment="Place in the line"),
        sa.Column(
            "again", sa.Boolean, nullable=False, comment="Whether it is looked up again because its signals grew old"
        ),
        sa.Column("owner", sa.Text, comment="The shard that looks it up; empty: none yet"),
        sa.Column("run_id", sa.Text, comment="Dagster run of that shard"),
        sa.Column(
            "claimed_until",
            sa.DateTime(timezone=True),
            comment="Until when the claim holds without another sign, by this server's clock",
        ),
        sa.PrimaryKeyConstraint("domain", name="pk_scan_claims"),
        sa.CheckConstraint("(owner IS NULL) = (claimed_until IS NULL)", name=op.f("ck_scan_claims_owner")),
        comment="Domains that shards of a scan have still to look up, empty but for scans that are spread",
    )
    op.create_index("ix_scan_claims_again_position", "scan_claims", ["again", "position"])


def downgrade() -> None:
    op.drop_table("scan_claims")
