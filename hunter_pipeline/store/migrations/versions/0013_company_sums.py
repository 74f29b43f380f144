"""Keep with each company what its referrals add up to, so that the lead list is sorted by it in the order of an index.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = {
    "referrals": ("integer NOT NULL DEFAULT 0", "Number of its referrals, open or not"),
    "open_referrals": ("integer NOT NULL DEFAULT 0", "Of these, still to be won"),
    "deal_value": ("numeric", "Sum over the open referrals; empty: none, or several currencies"),
    "currency": ("text", "ISO 4217 code of the deal value"),
    "deals": ("jsonb", "Sums of the open referrals as pairs of currency and value, the largest first"),
    "expires_at": ("timestamptz", "Earliest expiry of an open referral, past ones too"),
    "last_received_at": ("timestamptz", "When one of its referrals last came in or became another"),
    "deal_currency": (
        "text GENERATED ALWAYS AS (CASE WHEN deal_value IS NOT NULL THEN coalesce(currency, '') END) STORED",
        "Currency among whose deal values it is sorted; empty when there is no deal value",
    ),
}
INDEXES = {
    "ix_companies_deals": "companies (deal_currency, deal_value DESC, domain DESC)",
    "ix_companies_expires_at_domain": "companies (expires_at, domain)",
    "ix_companies_last_received_at_domain": "companies (last_received_at, domain)",
    "ix_lead_scores_score_domain": "lead_scores (score, domain)",
}
UPDATED = "When the row last changed"
ADDED_UP = "is_open, referral_type, deal_value, currency, expires_at, changed_at"

FILL = """
WITH deals AS (
    SELECT domain, currency, sum(deal_value) AS value FROM partner_center_referrals
    WHERE domain IS NOT NULL AND is_open AND deal_value IS NOT NULL GROUP BY 1, 2
), by_company AS (
    SELECT domain, CASE WHEN count(*) = 1 THEN min(value) END AS deal_value,
        CASE WHEN count(*) = 1 THEN min(currency) END AS currency,
        jsonb_agg(jsonb_build_array(currency, CAST(value AS text)) ORDER BY value DESC, currency NULLS FIRST) AS deals
    FROM deals GROUP BY 1
), counted AS (
    SELECT domain, count(*) AS referrals, count(*) FILTER (WHERE is_open) AS open_referrals,
        min(expires_at) FILTER (WHERE is_open) AS expires_at, max(changed_at) AS last_received_at
    FROM partner_center_referrals WHERE domain IS NOT NULL GROUP BY 1
)
UPDATE companies c SET referrals = n.referrals, open_referrals = n.open_referrals, deal_value = b.deal_value,
    currency = b.currency, deals = b.deals, expires_at = n.expires_at, last_received_at = n.last_received_at
FROM counted n LEFT JOIN by_company b USING (domain) WHERE c.domain = n.domain
"""


def upgrade() -> None:
    added = ", ".join(f"ADD COLUMN {name} {kind}" for name, (kind, _) in COLUMNS.items())
    op.execute(f"ALTER TABLE companies {added}")
    for name, (_, comment) in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN companies.{name} IS '{comment}'")
    op.execute(f"COMMENT ON COLUMN companies.updated_at IS '{UPDATED}, but for what its referrals add up to'")
    op.execute("ALTER TABLE companies DISABLE TRIGGER USER")  # no stage has to look at anything because of this
    op.execute(FILL)
    op.execute("ALTER TABLE companies ENABLE TRIGGER USER")
    for name, on in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {on}")
    # The list adds up nothing any more, so the index need not hold what it added up.
    op.execute("DROP INDEX ix_partner_center_referrals_domain")
    op.execute("CREATE INDEX ix_partner_center_referrals_domain ON partner_center_referrals (domain)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_partner_center_referrals_domain")
    op.execute(
        f"CREATE INDEX ix_partner_center_referrals_domain ON partner_center_referrals (domain) INCLUDE ({ADDED_UP})"
    )
    for name in reversed(INDEXES):
        op.execute(f"DROP INDEX {name}")
    op.execute(f"ALTER TABLE companies " + ", ".join(f"DROP COLUMN {name}" for name in reversed(COLUMNS)))
    op.execute(f"COMMENT ON COLUMN companies.updated_at IS '{UPDATED}'")
