"""History of signals, registration and tenant of domains, and the alerts that were sent.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('alerts',
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='What the alert is about: job and step, or asset and check'),
    sa.Column('occurrences', sa.Integer(), nullable=False, comment='How often it was seen since the first message'),
    sa.Column('first_seen_at', sa.DateTime(timezone=True), nullable=False, comment='First seen'),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False, comment='Last seen'),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True, comment='When a message was last delivered; empty: none was yet'),
    sa.PrimaryKeyConstraint('fingerprint', name=op.f('pk_alerts')),
    comment='What was sent to the alert webhook, so that one fault is one message'
    )
    op.create_index(op.f('ix_alerts_last_seen_at'), 'alerts', ['last_seen_at'], unique=False)
    op.create_table('domain_registrations',
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable domain'),
    sa.Column('status', sa.Text(), nullable=False, comment='Of the latest look-up: found, unregistered, unsupported, rate_limited, failed'),
    sa.Column('reason', sa.Text(), nullable=True, comment='Why the latest look-up found nothing'),
    sa.Column('registrar', sa.Text(), nullable=True, comment='Registrar, as the registry writes it'),
    sa.Column('registered_at', sa.DateTime(timezone=True), nullable=True, comment='When the domain was registered'),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True, comment='When the registration ends unless it is renewed'),
    sa.Column('name_servers', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='Name servers that the registry holds'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('looked_up_at', sa.DateTime(timezone=True), nullable=False, comment='When the registry was last asked'),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=True, comment='When registrar, dates and name servers were read; empty: never'),
    sa.PrimaryKeyConstraint('domain', name=op.f('pk_domain_registrations')),
    comment="Registrar and expiry of every company's domain, over RDAP"
    )
    op.create_index(op.f('ix_domain_registrations_looked_up_at'), 'domain_registrations', ['looked_up_at'], unique=False)
    op.create_table('domain_signal_history',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable domain'),
    sa.Column('field', sa.Text(), nullable=False, comment='provider, mx, spf, dkim or dmarc'),
    sa.Column('old', sa.Text(), nullable=False, comment='Value before'),
    sa.Column('new', sa.Text(), nullable=False, comment='Value after'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False, comment='When the change was seen'),
    sa.CheckConstraint("field IN ('provider', 'mx', 'spf', 'dkim', 'dmarc')", name=op.f('ck_domain_signal_history_field')),
    sa.CheckConstraint('old <> new', name=op.f('ck_domain_signal_history_change')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_domain_signal_history')),
    comment="Every change of a domain's signals from one known value to another"
    )
    op.create_index(op.f('ix_domain_signal_history_domain_changed_at'), 'domain_signal_history', ['domain', 'changed_at'], unique=False)
    op.create_index(op.f('ix_domain_signal_history_run_id'), 'domain_signal_history', ['run_id'], unique=False)
    op.create_table('domain_tenants',
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable domain'),
    sa.Column('status', sa.Text(), nullable=False, comment='Of the latest look-up: found, none, failed'),
    sa.Column('reason', sa.Text(), nullable=True, comment='Why the latest look-up failed'),
    sa.Column('tenant_id', sa.Text(), nullable=True, comment='Entra tenant of the domain; information only, not a declared tenant'),
    sa.Column('region', sa.Text(), nullable=True, comment='Region of the tenant, as Microsoft writes it'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('looked_up_at', sa.DateTime(timezone=True), nullable=False, comment='When Microsoft was last asked'),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=True, comment='When the tenant was read; empty: never'),
    sa.PrimaryKeyConstraint('domain', name=op.f('pk_domain_tenants')),
    comment="Entra tenant of every company's domain, as Microsoft tells the public"
    )
    op.create_index(op.f('ix_domain_tenants_looked_up_at'), 'domain_tenants', ['looked_up_at'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_domain_tenants_looked_up_at'), table_name='domain_tenants')
    op.drop_table('domain_tenants')
    op.drop_index(op.f('ix_domain_signal_history_run_id'), table_name='domain_signal_history')
    op.drop_index(op.f('ix_domain_signal_history_domain_changed_at'), table_name='domain_signal_history')
    op.drop_table('domain_signal_history')
    op.drop_index(op.f('ix_domain_registrations_looked_up_at'), table_name='domain_registrations')
    op.drop_table('domain_registrations')
    op.drop_index(op.f('ix_alerts_last_seen_at'), table_name='alerts')
    op.drop_table('alerts')
