"""Keep with every sync whose referrals it read: two partners on one host must not mix.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "sync_runs",
        sa.Column("tenant", sa.Text(), comment="Partner's tenant that the referrals are of; empty: none was read"),
    )


def downgrade() -> None:
    op.drop_column("sync_runs", "tenant")
