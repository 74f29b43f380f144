"""Let the work queue be sorted and searched by indexes, and keep the payload out of the rows that it reads.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

REFERENCE = "left(raw_data->>'externalReferenceId', 255)"
WORDS = f"coalesce(company_name, '') || ' ' || coalesce(domain, '') || ' ' || coalesce({REFERENCE}, '')"
COLUMNS = {
    "received_at": (
        "timestamptz",
        "coalesce(source_created_at, created_at)",
        "When Partner Center made it, else when it was first tracked",
    ),
    "sort_name": ("text", "hunter_fold(company_name)", "Name by which the queue is sorted: small letters without accents"),
    "deal_currency": (
        "text",
        "CASE WHEN deal_value IS NOT NULL THEN coalesce(currency, '') END",
        "Currency among whose deal values it is sorted; empty when there is no deal value",
    ),
    "search_text": (
        "text",
        f"hunter_fold({WORDS})",
        "Name, domain and own reference as they are searched: small letters without accents",
    ),
}
TABLE = "partner_center_referrals"
INDEXES = {
    "expires": "(expires_at, referral_id)",
    "received": "(received_at, referral_id)",
    "company": "(sort_name, referral_id)",
    "deals": "(deal_currency, deal_value DESC, referral_id DESC)",
    "open": "(expires_at) WHERE is_open",
    "answer": "(expires_at) WHERE is_open AND status = 'New'",
    "no_domain": "(referral_id) WHERE domain IS NULL",
    "gone": "(gone_at) WHERE gone_at IS NOT NULL",
    "id": "(lower(referral_id) text_pattern_ops)",
}


def upgrade() -> None:
    # The payload goes out of line, so that a row that a list reads is a fifth as wide. Only a payload that is made anew
    # goes there; one that is copied stays where it is.
    op.execute(f"ALTER TABLE {TABLE} SET (toast_tuple_target = 512)")
    anew = "ALTER COLUMN raw_data TYPE jsonb USING CAST(CAST(raw_data AS text) AS jsonb)"
    added = ", ".join(
        f"ADD COLUMN {name} {kind} GENERATED ALWAYS AS ({value}) STORED" for name, (kind, value, _) in COLUMNS.items()
    )
    op.execute(f"ALTER TABLE {TABLE} {anew}, {added}")
    op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN search_text SET STORAGE MAIN")
    for name, (_, _, comment) in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN {TABLE}.{name} IS '{comment}'")
    for name, keys in INDEXES.items():
        op.execute(f"CREATE INDEX ix_{TABLE}_queue_{name} ON {TABLE} {keys}")
    # It makes a list for each row: the search of a text comes first, and an index is worth its while.
    op.execute("ALTER FUNCTION hunter_grams(text) COST 5000")
    # Not a column as for companies: the letters of a text that is folded by now are soon made, and rows stay narrow.
    op.execute(f"CREATE INDEX ix_{TABLE}_queue_words ON {TABLE} USING gin (hunter_grams(search_text))")
    op.execute(
        "CREATE INDEX ix_referral_failures_to_mend ON referral_failures (item_key, last_seen_at)"
        " WHERE resolved_at IS NULL AND dismissed_at IS NULL"
    )
    op.execute(
        "CREATE INDEX ix_normalized_domains_skip_reason ON normalized_domains (skip_reason, referral_id)"
        " WHERE skip_reason IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("ALTER FUNCTION hunter_grams(text) COST 100")
    op.execute("DROP INDEX ix_normalized_domains_skip_reason")
    op.execute("DROP INDEX ix_referral_failures_to_mend")
    for name in (*INDEXES, "words"):
        op.execute(f"DROP INDEX ix_{TABLE}_queue_{name}")
    op.execute(f"ALTER TABLE {TABLE} " + ", ".join(f"DROP COLUMN {name}" for name in reversed(COLUMNS)))
    op.execute(f"ALTER TABLE {TABLE} RESET (toast_tuple_target)")
