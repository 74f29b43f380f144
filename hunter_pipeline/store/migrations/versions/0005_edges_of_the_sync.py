"""Know what was seen last, what is gone, what to ask for later, and which failures are no news.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RAW = "partner_center_referrals_raw"
OLD_INDEX = "ix_partner_center_referrals_raw_detail_pending"
NEW_INDEX = "ix_partner_center_referrals_raw_to_ask"
OLD_COMMENTS = {
    (RAW, "is_current"): "The newest version of its referral",
    ("referral_failures", "resolved_at"): "When the item went through after all; empty while it has not",
    ("sync_runs", "window_end"): "Where the window ends: the moment the first page was asked for",
    ("sync_runs", "covers_to_now"): "Whether the window reaches to the present: the watermark may move",
}
NEW_COMMENTS = {
    (RAW, "is_current"): "The version that was seen last",
    (
        "referral_failures",
        "resolved_at",
    ): "When the item went through after all, or was gone; empty while it is open",
    ("sync_runs", "window_end"): "Where the window ends: the moment the first page was asked for, "
    "by the API's clock where ours is ahead",
    ("sync_runs", "covers_to_now"): "Whether the window catches up with the present and leaves no gap: "
    "the watermark may move",
}


def _time(name: str, comment: str) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment)


def _added() -> tuple[tuple[str, sa.Column[sa.types.TypeEngine[object]]], ...]:
    return (
        (RAW, sa.Column("last_seen_run_id", sa.Text(), comment="Run that saw this version last")),
        (RAW, _time("unseen_since", "When a sweep did not see it; empty once it is known whether it is gone")),
        (RAW, _time("gone_at", "When Partner Center had it no more; empty while it is there")),
        (RAW, _time("ask_after", "Not asked for one by one before this")),
        (
            RAW,
            sa.Column(
                "ask_attempts",
                sa.SmallInteger(),
                nullable=False,
                server_default="0",
                comment="How often asking for it one by one failed since it last went well",
            ),
        ),
        (
            "partner_center_referrals",
            _time("gone_at", "When Partner Center had it no more: it is kept, and no longer open"),
        ),
        (
            "referral_failures",
            _time("dismissed_at", "When somebody said that this failure is known and no news; empty: nobody did"),
        ),
        (
            "sync_runs",
            sa.Column(
                "failed_before",
                sa.Integer(),
                nullable=False,
                server_default="0",
                comment="Of these, failures that were known before this sync",
            ),
        ),
        ("sync_runs", _time("retry_at", "When Partner Center takes the next request; empty: it asked for no long pause")),
    )


MARKS = """
CREATE OR REPLACE FUNCTION hunter_mark_partner_center_referrals_raw() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM hunter_mark('{{normalized_domains}}', ARRAY(SELECT referral_id FROM added WHERE is_current));
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM hunter_mark('{{normalized_domains}}', ARRAY(SELECT a.referral_id FROM added a JOIN gone g USING (id)
            WHERE a.is_current <> g.is_current OR a.payload_form <> g.payload_form));
        {more}
    ELSE
        PERFORM hunter_mark('{{normalized_domains}}', ARRAY(SELECT referral_id FROM gone WHERE is_current));
    END IF;
    RETURN NULL;
END $$
"""
"""The marks of 0004, and whatever `more` marks on an update."""

GONE_OR_BACK = """
        PERFORM hunter_mark('{normalized_domains,partner_center_referrals}', ARRAY(
            SELECT a.referral_id FROM added a JOIN gone g USING (id) WHERE a.gone_at IS DISTINCT FROM g.gone_at));
"""


def upgrade() -> None:
    for table, column in _added():
        op.add_column(table, column)
    for (table, column_name), comment in NEW_COMMENTS.items():
        op.alter_column(table, column_name, comment=comment)
    op.execute(MARKS.format(more=GONE_OR_BACK))
    op.drop_index(OLD_INDEX, RAW)
    op.create_index(
        NEW_INDEX,
        RAW,
        ["id"],
        postgresql_where=sa.text("is_current AND (payload_form = 'detail_pending' OR unseen_since IS NOT NULL)"),
    )
    # Until now a window of some days that reached to the present moved the watermark too, and left a gap behind it.
    # Which ones did so cannot be told any more: the next sync reads on from the last sweep of everything.
    op.execute("UPDATE sync_runs SET covers_to_now = false WHERE window_start IS NOT NULL")


def downgrade() -> None:
    op.execute(MARKS.format(more=""))
    op.drop_index(NEW_INDEX, RAW)
    op.create_index(OLD_INDEX, RAW, ["id"], postgresql_where=sa.text("payload_form = 'detail_pending'"))
    for (table, column_name), comment in OLD_COMMENTS.items():
        op.alter_column(table, column_name, comment=comment)
    for table, column in reversed(_added()):
        op.drop_column(table, column.name)
