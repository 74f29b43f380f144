"""Mark what each stage has to look at, so that the cost of a sync follows what changed.

A trigger marks wherever a row is written that a stage rests on, whoever writes it; only the stage itself, which says
its name in the setting `hunter.stage` of its transaction, does not mark for itself.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MARK = """
CREATE FUNCTION hunter_mark(stages text[], items text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO stage_queue (stage, item) SELECT s, i FROM unnest(stages) s CROSS JOIN unnest(items) i
    WHERE i IS NOT NULL AND s <> coalesce(current_setting('hunter.stage', true), '')
    ON CONFLICT DO NOTHING
$$
"""

# For each table: what an insert, an update and a delete mark. The rows are `added` and `gone`.
MARKS = {
    "partner_center_referrals_raw": (
        "PERFORM hunter_mark('{normalized_domains}', ARRAY(SELECT referral_id FROM added WHERE is_current));",
        "PERFORM hunter_mark('{normalized_domains}', ARRAY(SELECT a.referral_id FROM added a JOIN gone g USING (id)"
        " WHERE a.is_current <> g.is_current OR a.payload_form <> g.payload_form));",
        "PERFORM hunter_mark('{normalized_domains}', ARRAY(SELECT referral_id FROM gone WHERE is_current));",
    ),
    "normalized_domains": (
        "PERFORM hunter_mark('{normalized_domains,partner_center_referrals}', ARRAY(SELECT referral_id FROM added));",
        "PERFORM hunter_mark('{normalized_domains,partner_center_referrals}', ARRAY(SELECT referral_id FROM added));",
        "PERFORM hunter_mark('{normalized_domains,partner_center_referrals}', ARRAY(SELECT referral_id FROM gone));",
    ),
    "referral_failures": (
        "PERFORM hunter_mark('{normalized_domains}', ARRAY(SELECT item_key FROM added WHERE raw_id IS NOT NULL));",
        "PERFORM hunter_mark('{normalized_domains}', ARRAY(SELECT item_key FROM added WHERE raw_id IS NOT NULL));",
        "PERFORM hunter_mark('{normalized_domains}', ARRAY(SELECT item_key FROM gone WHERE raw_id IS NOT NULL));",
    ),
    "partner_center_referrals": (
        "PERFORM hunter_mark('{partner_center_referrals,raw_leads}', ARRAY(SELECT referral_id FROM added));"
        " PERFORM hunter_mark('{companies,lead_scores}', ARRAY(SELECT domain FROM added));",
        "PERFORM hunter_mark('{partner_center_referrals,raw_leads}', ARRAY(SELECT referral_id FROM added));"
        " PERFORM hunter_mark('{companies,lead_scores}',"
        " ARRAY(SELECT domain FROM added UNION SELECT domain FROM gone));",
        "PERFORM hunter_mark('{partner_center_referrals,raw_leads}', ARRAY(SELECT referral_id FROM gone));"
        " PERFORM hunter_mark('{companies,lead_scores}', ARRAY(SELECT domain FROM gone));",
    ),
    "raw_leads": (
        "PERFORM hunter_mark('{raw_leads}', ARRAY(SELECT external_id FROM added));"
        " PERFORM hunter_mark('{companies,domain_signals,lead_scores}', ARRAY(SELECT domain FROM added));",
        "PERFORM hunter_mark('{raw_leads}', ARRAY(SELECT external_id FROM added));"
        " PERFORM hunter_mark('{companies,domain_signals,lead_scores}',"
        " ARRAY(SELECT domain FROM added UNION SELECT domain FROM gone));",
        "PERFORM hunter_mark('{raw_leads}', ARRAY(SELECT external_id FROM gone));"
        " PERFORM hunter_mark('{companies,domain_signals,lead_scores}', ARRAY(SELECT domain FROM gone));",
    ),
    "companies": (
        "PERFORM hunter_mark('{companies,domain_signals,lead_scores}', ARRAY(SELECT domain FROM added));",
        "PERFORM hunter_mark('{companies,domain_signals,lead_scores}', ARRAY("
        " SELECT unnest(ARRAY[a.domain, g.domain]) FROM added a JOIN gone g USING (id)"
        " WHERE (a.domain, a.canonical_name, a.azure_tenant_id) IS DISTINCT FROM"
        " (g.domain, g.canonical_name, g.azure_tenant_id)"
        " OR (a.azure_tenant_id IS NOT NULL AND a.provider IS DISTINCT FROM g.provider)));"
        " PERFORM hunter_mark('{domain_signals}', ARRAY(SELECT a.domain FROM added a JOIN gone g USING (id)"
        " WHERE a.provider IS DISTINCT FROM g.provider));",
        "PERFORM hunter_mark('{companies,lead_scores}', ARRAY(SELECT domain FROM gone));",
    ),
    "domain_signals": (
        "PERFORM hunter_mark('{domain_signals,lead_scores}', ARRAY(SELECT domain FROM added));",
        "PERFORM hunter_mark('{domain_signals,lead_scores}', ARRAY(SELECT domain FROM added));",
        "PERFORM hunter_mark('{domain_signals,lead_scores}', ARRAY(SELECT domain FROM gone));",
    ),
}
RETRIES = "ix_domain_signals_retry_at"
EVENTS = {
    "INSERT": "REFERENCING NEW TABLE AS added",
    "UPDATE": "REFERENCING OLD TABLE AS gone NEW TABLE AS added",
    "DELETE": "REFERENCING OLD TABLE AS gone",
}


def upgrade() -> None:
    op.create_table(
        "stage_queue",
        sa.Column("stage", sa.Text(), nullable=False, comment="Stage that has to look"),
        sa.Column("item", sa.Text(), nullable=False, comment="At what: a referral's id or a domain"),
        sa.PrimaryKeyConstraint("stage", "item", name="pk_stage_queue"),
        comment="What each stage has still to look at; triggers mark it wherever a row that the stage rests on is "
        "written",
    )
    op.create_table(
        "stage_state",
        sa.Column("stage", sa.Text(), nullable=False, comment="Name of the stage"),
        sa.Column(
            "version", sa.Text(), nullable=False, comment="Rules by which the stage last looked at everything"
        ),
        sa.Column(
            "totals",
            sa.JSON(),
            nullable=True,
            comment="Counts over the whole table when the stage last looked at anything",
        ),
        sa.PrimaryKeyConstraint("stage", name="pk_stage_state"),
        comment="What each stage remembers of its last pass",
    )
    op.drop_index(RETRIES, "domain_signals")
    op.create_index(RETRIES, "domain_signals", ["retry_at"], postgresql_where=sa.text("status = 'partial'"))
    op.execute(MARK)
    for table, bodies in MARKS.items():
        branches = " ELS".join(
            f"IF TG_OP = '{event}' THEN {body}" for event, body in zip(EVENTS, bodies, strict=True)
        )
        op.execute(
            f"CREATE FUNCTION hunter_mark_{table}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {branches} END IF; RETURN NULL; END $$"
        )
        for event, rows in EVENTS.items():
            op.execute(
                f"CREATE TRIGGER hunter_mark_{event.lower()} AFTER {event} ON {table} {rows}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION hunter_mark_{table}()"
            )
    # Row by row and not by whole statements, as a re-scoring writes every row, and these rows are wide.
    op.execute(
        "CREATE FUNCTION hunter_mark_lead_scores() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM hunter_mark('{lead_scores}', ARRAY[OLD.domain, NEW.domain]); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER hunter_mark_any AFTER INSERT OR UPDATE OR DELETE ON lead_scores FOR EACH ROW"
        " WHEN (current_setting('hunter.stage', true) IS DISTINCT FROM 'lead_scores')"
        " EXECUTE FUNCTION hunter_mark_lead_scores()"
    )


def downgrade() -> None:
    for table in (*MARKS, "lead_scores"):
        op.execute(f"DROP FUNCTION hunter_mark_{table} CASCADE")
    op.execute("DROP FUNCTION hunter_mark")
    op.drop_index(RETRIES, "domain_signals")
    op.create_index(RETRIES, "domain_signals", ["retry_at"])
    op.drop_table("stage_state")
    op.drop_table("stage_queue")
