"""Let the index on a referral's domain cover what the lead list adds up.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = "ix_partner_center_referrals_domain"
COVERED = ["is_open", "referral_type", "deal_value", "currency", "expires_at", "synced_at"]


def upgrade() -> None:
    op.drop_index(NAME, "partner_center_referrals")
    op.create_index(NAME, "partner_center_referrals", ["domain"], postgresql_include=COVERED)


def downgrade() -> None:
    op.drop_index(NAME, "partner_center_referrals")
    op.create_index(NAME, "partner_center_referrals", ["domain"])
