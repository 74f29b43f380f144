"""Keep when a referral last became another apart from when it was last read.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "partner_center_referrals"
COMMENT = "When it last became another: other content, another domain, gone or back; not when it was merely read again"
ADDED_UP = "is_open, referral_type, deal_value, currency, expires_at"


def upgrade() -> None:
    op.execute(f"ALTER TABLE {TABLE} ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now()")
    op.execute(f"COMMENT ON COLUMN {TABLE}.changed_at IS '{COMMENT}'")
    # No stage has to look at anything because of this.
    op.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
    op.execute(
        f"UPDATE {TABLE} t SET changed_at = coalesce(greatest(t.gone_at, (SELECT v.fetched_at"
        f" FROM partner_center_referrals_raw v WHERE v.id = t.raw_id)), t.synced_at)"
    )
    op.execute(f"ALTER TABLE {TABLE} ENABLE TRIGGER USER")
    op.execute(f"CREATE INDEX ix_{TABLE}_changed_at ON {TABLE} (changed_at)")
    op.execute(f"DROP INDEX ix_{TABLE}_domain")
    op.execute(f"CREATE INDEX ix_{TABLE}_domain ON {TABLE} (domain) INCLUDE ({ADDED_UP}, changed_at)")


def downgrade() -> None:
    op.execute(f"DROP INDEX ix_{TABLE}_domain")
    op.execute(f"CREATE INDEX ix_{TABLE}_domain ON {TABLE} (domain) INCLUDE ({ADDED_UP}, synced_at)")
    op.execute(f"ALTER TABLE {TABLE} DROP COLUMN changed_at")
