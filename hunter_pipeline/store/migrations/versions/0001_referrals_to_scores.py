"""The tables from the fetched referral to the scored lead.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('companies',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('domain', sa.String(length=255), nullable=False, comment="Registrable domain: the company's identity"),
    sa.Column('canonical_name', sa.String(length=255), nullable=True, comment='Name on the most recently updated referral'),
    sa.Column('provider', sa.Text(), nullable=True, comment='Mailbox provider; M365 when a tenant is declared; empty until scanned'),
    sa.Column('azure_tenant_id', sa.String(length=255), nullable=True, comment='Declared Azure tenant'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the company was first seen'),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the row last changed'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_companies')),
    sa.UniqueConstraint('domain', name=op.f('uq_companies_domain')),
    comment='One company per domain'
    )
    op.create_table('domain_signals',
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable domain'),
    sa.Column('status', sa.Text(), nullable=False, comment='`complete`, or `partial` while a look-up is undetermined'),
    sa.Column('provider', sa.Text(), nullable=False, comment='Mailbox provider by evidence'),
    sa.Column('gateway', sa.Text(), nullable=True, comment='Mail gateway in front of the mailboxes'),
    sa.Column('confidence', sa.Text(), nullable=False, comment='Of the provider: high, medium, low, none'),
    sa.Column('mx_state', sa.Text(), nullable=False, comment='present, none, null, unknown'),
    sa.Column('spf_state', sa.Text(), nullable=False, comment='ok, none, permerror, unknown'),
    sa.Column('spf_includes', sa.Integer(), nullable=True, comment='Number of include: terms in the SPF record'),
    sa.Column('dkim_state', sa.Text(), nullable=False, comment='found, revoked, unknown_selector, none, unknown'),
    sa.Column('dmarc_state', sa.Text(), nullable=False, comment='ok, none, invalid, unknown'),
    sa.Column('dmarc_policy', sa.Text(), nullable=True, comment='Effective policy: none, quarantine, reject'),
    sa.Column('signals', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='All signals with their evidence'),
    sa.Column('replies', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='Raw DNS replies; signals can be derived again from them'),
    sa.Column('kept', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment="Signals kept from an earlier scan, with that scan's time"),
    sa.Column('attempts', sa.SmallInteger(), server_default='1', nullable=False, comment='Scans in a row that left a look-up open'),
    sa.Column('retry_at', sa.DateTime(timezone=True), nullable=True, comment='When a partial scan is tried again'),
    sa.Column('code_version', sa.Text(), nullable=False, comment='Version of the rules that read the replies'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('scanned_at', sa.DateTime(timezone=True), nullable=False, comment='When DNS was asked'),
    sa.Column('derived_at', sa.DateTime(timezone=True), nullable=False, comment='When the signals were derived from the replies'),
    sa.CheckConstraint("status IN ('complete', 'partial')", name=op.f('ck_domain_signals_status')),
    sa.PrimaryKeyConstraint('domain', name=op.f('pk_domain_signals')),
    comment='What the public records of a domain say'
    )
    op.create_index(op.f('ix_domain_signals_retry_at'), 'domain_signals', ['retry_at'], unique=False)
    op.create_index(op.f('ix_domain_signals_scanned_at'), 'domain_signals', ['scanned_at'], unique=False)
    op.create_table('lead_score_history',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable domain'),
    sa.Column('cause', sa.Text(), nullable=False, comment='first, signals, referral, rules'),
    sa.Column('old_score', sa.SmallInteger(), nullable=True, comment='Score before; empty for the first'),
    sa.Column('new_score', sa.SmallInteger(), nullable=False, comment='Score after'),
    sa.Column('old_segment', sa.Text(), nullable=True, comment='Segment before'),
    sa.Column('new_segment', sa.Text(), nullable=False, comment='Segment after'),
    sa.Column('old_category', sa.Text(), nullable=True, comment='Category before'),
    sa.Column('new_category', sa.Text(), nullable=False, comment='Category after'),
    sa.Column('rules_hash', sa.Text(), nullable=False, comment='Hash of the rules that gave the new score'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False, comment='When the score changed'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_lead_score_history')),
    comment='Every change of a score'
    )
    op.create_index(op.f('ix_lead_score_history_domain_changed_at'), 'lead_score_history', ['domain', 'changed_at'], unique=False)
    op.create_table('lead_scores',
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable domain'),
    sa.Column('score', sa.SmallInteger(), nullable=False, comment='Readiness, 0 to 100'),
    sa.Column('segment', sa.Text(), nullable=False, comment='Existing, Migration, Cold, Skip'),
    sa.Column('reason', sa.Text(), nullable=False, comment='One sentence for a sales person'),
    sa.Column('priority_score', sa.SmallInteger(), nullable=False, comment='1 best to 7'),
    sa.Column('technical_heat', sa.Text(), nullable=False, comment='Hot, Warm, Cold'),
    sa.Column('commercial_segment', sa.Text(), nullable=False, comment='GREENFIELD, COMPETITIVE ...'),
    sa.Column('commercial_heat', sa.Text(), nullable=False, comment='HIGH, MEDIUM, LOW'),
    sa.Column('category', sa.Text(), nullable=False, comment='P1 to P6'),
    sa.Column('category_label', sa.Text(), nullable=False, comment='What the category means'),
    sa.Column('referral_type', sa.Text(), nullable=True, comment="Best type of the domain's referrals: co-sell, marketplace, solution-provider"),
    sa.Column('breakdown', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='Each rule that fired and its points; they add up to the score'),
    sa.Column('rules_hash', sa.Text(), nullable=False, comment='Hash of rules, settings and scorer version'),
    sa.Column('inputs', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='The facts that were scored: signals, tenant, open referrals'),
    sa.Column('inputs_hash', sa.Text(), nullable=False, comment='Hash of these facts'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('scored_at', sa.DateTime(timezone=True), nullable=False, comment='When the score was computed'),
    sa.CheckConstraint('priority_score BETWEEN 1 AND 7', name=op.f('ck_lead_scores_priority_score')),
    sa.CheckConstraint('score BETWEEN 0 AND 100', name=op.f('ck_lead_scores_score')),
    sa.PrimaryKeyConstraint('domain', name=op.f('pk_lead_scores')),
    comment='The current score of every domain, with its reasons'
    )
    op.create_index('ix_lead_scores_ranking', 'lead_scores', ['category', sa.literal_column('score DESC'), 'domain'], unique=False)
    op.create_table('normalized_domains',
    sa.Column('referral_id', sa.Text(), nullable=False, comment="Partner Center's id of the referral"),
    sa.Column('raw_id', sa.BigInteger(), nullable=False, comment='Version of the referral that was read'),
    sa.Column('domain', sa.Text(), nullable=True, comment='Registrable company domain, ASCII, lower case'),
    sa.Column('source', sa.Text(), nullable=True, comment='`website` or `email`'),
    sa.Column('found_at', sa.Text(), nullable=True, comment='Path of the field in the payload'),
    sa.Column('raw_text', sa.Text(), nullable=True, comment='Text of that field (may be an e-mail address)'),
    sa.Column('skip_reason', sa.Text(), nullable=True, comment='Why there is no domain, out of a closed list'),
    sa.Column('attempts', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='Each text that was tried, with its domain or reason'),
    sa.Column('code_version', sa.Text(), nullable=False, comment='Version of the rules that decided'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=False, comment='When it was decided'),
    sa.CheckConstraint("source IN ('website', 'email')", name=op.f('ck_normalized_domains_source')),
    sa.CheckConstraint('(domain IS NULL) <> (skip_reason IS NULL)', name=op.f('ck_normalized_domains_domain_or_reason')),
    sa.PrimaryKeyConstraint('referral_id', name=op.f('pk_normalized_domains')),
    comment='One row per referral: its company domain, or why it has none'
    )
    op.create_index(op.f('ix_normalized_domains_domain'), 'normalized_domains', ['domain'], unique=False)
    op.create_index(op.f('ix_normalized_domains_raw_id'), 'normalized_domains', ['raw_id'], unique=False)
    op.create_table('partner_center_referrals',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('referral_id', sa.String(length=255), nullable=False, comment="Partner Center's id of the referral"),
    sa.Column('raw_id', sa.BigInteger(), nullable=False, comment='Version of the referral that this row shows'),
    sa.Column('referral_type', sa.String(length=50), nullable=True, comment='`co-sell`, `marketplace`, `solution-provider`; empty when undecidable'),
    sa.Column('company_name', sa.String(length=255), nullable=True, comment="Customer's name, HTML-unescaped"),
    sa.Column('domain', sa.String(length=255), nullable=True, comment='Registrable company domain'),
    sa.Column('azure_tenant_id', sa.String(length=255), nullable=True, comment='Declared Azure tenant of the customer'),
    sa.Column('status', sa.String(length=50), nullable=False, comment='None, New, Active, Closed ... as the API says; Unknown when absent'),
    sa.Column('substatus', sa.String(length=50), nullable=True, comment='Pending, Accepted, Won, Lost ...'),
    sa.Column('is_open', sa.Boolean(), nullable=False, comment='Whether the referral still counts for scoring'),
    sa.Column('qualification', sa.Text(), nullable=True, comment='Direct, MarketingQualified, SalesQualified ...'),
    sa.Column('deal_type', sa.Text(), nullable=True, comment="The API's `type`: Independent or Shared"),
    sa.Column('direction', sa.Text(), nullable=True, comment='Incoming or Outgoing'),
    sa.Column('deal_value', sa.Numeric(), nullable=True, comment='Deal value in `currency`'),
    sa.Column('currency', sa.Text(), nullable=True, comment='ISO 4217 code of the deal value'),
    sa.Column('engagement_id', sa.Text(), nullable=True, comment='Groups the referrals of one shared deal'),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True, comment='When an unanswered referral expires'),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True, comment='createdDateTime of the payload'),
    sa.Column('source_updated_at', sa.DateTime(timezone=True), nullable=True, comment='updatedDateTime of the payload'),
    sa.Column('warnings', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='Optional fields that were there but could not be read'),
    sa.Column('raw_data', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='Full referral as received'),
    sa.Column('code_version', sa.Text(), nullable=False, comment='Version of the rules that read the payload'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('synced_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When this row last took in a version'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the referral was first tracked'),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the row last changed'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_partner_center_referrals')),
    sa.UniqueConstraint('referral_id', name=op.f('uq_partner_center_referrals_referral_id')),
    comment='Current state and life cycle of every referral'
    )
    op.create_index(op.f('ix_partner_center_referrals_azure_tenant_id'), 'partner_center_referrals', ['azure_tenant_id'], unique=False)
    op.create_index(op.f('ix_partner_center_referrals_domain'), 'partner_center_referrals', ['domain'], unique=False)
    op.create_index(op.f('ix_partner_center_referrals_referral_type'), 'partner_center_referrals', ['referral_type'], unique=False)
    op.create_index(op.f('ix_partner_center_referrals_source_updated_at'), 'partner_center_referrals', ['source_updated_at'], unique=False)
    op.create_index(op.f('ix_partner_center_referrals_status'), 'partner_center_referrals', ['status'], unique=False)
    op.create_index(op.f('ix_partner_center_referrals_synced_at'), 'partner_center_referrals', ['synced_at'], unique=False)
    op.create_table('partner_center_referrals_raw',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Version number, in order of arrival'),
    sa.Column('referral_id', sa.Text(), nullable=False, comment="Partner Center's id of the referral"),
    sa.Column('content_hash', sa.Text(), nullable=False, comment='SHA-256 of the item as it was listed'),
    sa.Column('etag', sa.Text(), nullable=True, comment='The eTag that the API gave, quotes included'),
    sa.Column('source_updated_at', sa.DateTime(timezone=True), nullable=True, comment='updatedDateTime of the payload; empty when it has none'),
    sa.Column('partition_day', sa.Date(), nullable=False, comment='Day partition (UTC) under which the version shows'),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='The referral as received; U+FFFD where JSONB cannot hold a character'),
    sa.Column('payload_original', sa.Text(), nullable=True, comment='Exact JSON text, when JSONB could not hold it as it was'),
    sa.Column('payload_form', sa.Text(), nullable=False, comment='`list`, `detail` (fetched one by one) or `detail_pending`'),
    sa.Column('fetched_at', sa.DateTime(timezone=True), nullable=False, comment='When this version was first seen'),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False, comment='When this version was last seen'),
    sa.Column('is_current', sa.Boolean(), server_default='false', nullable=False, comment='The newest version of its referral'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.CheckConstraint("payload_form IN ('list', 'detail', 'detail_pending')", name=op.f('ck_partner_center_referrals_raw_payload_form')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_partner_center_referrals_raw')),
    sa.UniqueConstraint('referral_id', 'content_hash', name=op.f('uq_partner_center_referrals_raw_referral_id_content_hash')),
    comment='Every version of every referral, as the API gave it'
    )
    op.create_index('ix_partner_center_referrals_raw_detail_pending', 'partner_center_referrals_raw', ['id'], unique=False, postgresql_where=sa.text("payload_form = 'detail_pending'"))
    op.create_index(op.f('ix_partner_center_referrals_raw_partition_day'), 'partner_center_referrals_raw', ['partition_day'], unique=False)
    op.create_index('uq_partner_center_referrals_raw_current', 'partner_center_referrals_raw', ['referral_id'], unique=True, postgresql_where=sa.text('is_current'))
    op.create_table('raw_leads',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('source', sa.String(length=50), nullable=False, comment='`partnercenter`'),
    sa.Column('external_id', sa.String(length=255), nullable=False, comment='Id in the source: the referral id'),
    sa.Column('domain', sa.String(length=255), nullable=False, comment='Registrable company domain'),
    sa.Column('company_name', sa.String(length=255), nullable=True, comment="Customer's name"),
    sa.Column('email', sa.Text(), nullable=True, comment="Customer's e-mail address, as written"),
    sa.Column('website', sa.Text(), nullable=True, comment="Customer's website, as written"),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='Full referral as received'),
    sa.Column('raw_id', sa.BigInteger(), nullable=False, comment='Version of the referral that made this lead'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the lead was first made'),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When the lead last changed'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_raw_leads')),
    sa.UniqueConstraint('source', 'external_id', name=op.f('uq_raw_leads_source_external_id')),
    comment='One lead per referral that has a company domain'
    )
    op.create_index(op.f('ix_raw_leads_domain'), 'raw_leads', ['domain'], unique=False)
    op.create_table('referral_failures',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('item_key', sa.Text(), nullable=False, comment='Referral id, or `sha256:` of an item without a usable id'),
    sa.Column('stage', sa.Text(), nullable=False, comment='Name of the asset'),
    sa.Column('error', sa.Text(), nullable=False, comment='What is wrong, without personal data'),
    sa.Column('payload', sa.Text(), nullable=True, comment='Exact JSON text of the item'),
    sa.Column('raw_id', sa.BigInteger(), nullable=True, comment='Version that failed; empty when it could not be kept as a version'),
    sa.Column('code_version', sa.Text(), nullable=False, comment='Version of the rules that refused it'),
    sa.Column('occurrences', sa.Integer(), server_default='1', nullable=False, comment='How often it failed'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('first_seen_at', sa.DateTime(timezone=True), nullable=False, comment='First failure'),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False, comment='Latest failure'),
    sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True, comment='When the item went through after all; empty while it has not'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_referral_failures')),
    sa.UniqueConstraint('item_key', 'stage', name=op.f('uq_referral_failures_item_key_stage')),
    comment='Referrals that a stage could not take, with the reason'
    )
    op.create_index('ix_referral_failures_open', 'referral_failures', ['last_seen_at'], unique=False, postgresql_where=sa.text('resolved_at IS NULL'))
    op.create_table('referral_lineage',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Row number'),
    sa.Column('referral_id', sa.Text(), nullable=False, comment="Partner Center's id of the referral"),
    sa.Column('stage', sa.Text(), nullable=False, comment='Name of the asset'),
    sa.Column('input', sa.Text(), nullable=True, comment='What came in'),
    sa.Column('decision', sa.Text(), nullable=False, comment='What was decided and why'),
    sa.Column('row_key', sa.Text(), nullable=True, comment='Key of the row that was written'),
    sa.Column('code_version', sa.Text(), nullable=False, comment='Version of the rules that decided'),
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run that wrote the row'),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False, comment='When it was decided'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_referral_lineage')),
    sa.UniqueConstraint('referral_id', 'stage', 'run_id', name=op.f('uq_referral_lineage_referral_id_stage_run_id')),
    comment='What each stage did with each referral, and why'
    )
    op.create_index(op.f('ix_referral_lineage_run_id'), 'referral_lineage', ['run_id'], unique=False)
    op.create_table('sync_runs',
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run'),
    sa.Column('status', sa.Text(), nullable=False, comment='running, fetched, success, partial, failed'),
    sa.Column('source', sa.Text(), nullable=False, comment='Host that the referrals came from; one database holds one source'),
    sa.Column('forced', sa.Boolean(), nullable=False, comment='Whether everything in the window was processed again'),
    sa.Column('window_start', sa.DateTime(timezone=True), nullable=True, comment='Oldest update asked for; empty: everything'),
    sa.Column('window_end', sa.DateTime(timezone=True), nullable=False, comment='Where the window ends: the moment the first page was asked for'),
    sa.Column('covers_to_now', sa.Boolean(), nullable=False, comment='Whether the window reaches to the present: the watermark may move'),
    sa.Column('fetched', sa.Integer(), server_default='0', nullable=False, comment='Referrals that the API returned, each counted once'),
    sa.Column('new_versions', sa.Integer(), server_default='0', nullable=False, comment='Of these, versions not seen before'),
    sa.Column('succeeded', sa.Integer(), server_default='0', nullable=False, comment='With a domain: they make a lead'),
    sa.Column('skipped', sa.Integer(), server_default='0', nullable=False, comment='Tracked, without a usable domain'),
    sa.Column('failed', sa.Integer(), server_default='0', nullable=False, comment='In referral_failures'),
    sa.Column('errors', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False, comment='Texts of the first failures'),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False, comment='Start'),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True, comment='End; empty while it runs'),
    sa.CheckConstraint("status IN ('running', 'fetched', 'success', 'partial', 'failed')", name=op.f('ck_sync_runs_status')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_sync_runs')),
    comment='Every sync with its window and counts: the watermark'
    )
    op.create_index(op.f('ix_sync_runs_window_end'), 'sync_runs', ['window_end'], unique=False)
    op.create_table('token_cache',
    sa.Column('name', sa.Text(), nullable=False, comment='Which cache'),
    sa.Column('ciphertext', sa.LargeBinary(), nullable=False, comment="MSAL's token cache, encrypted"),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='When it was last written'),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_token_cache')),
    comment='The encrypted token cache'
    )
    op.create_table('sync_run_items',
    sa.Column('run_id', sa.Text(), nullable=False, comment='Dagster run of the sync'),
    sa.Column('item_key', sa.Text(), nullable=False, comment='Referral id, or `sha256:` of an item without a usable id'),
    sa.ForeignKeyConstraint(['run_id'], ['sync_runs.run_id'], name=op.f('fk_sync_run_items_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'item_key', name=op.f('pk_sync_run_items')),
    comment='Which referrals a sync fetched; the books are held by it'
    )


def downgrade() -> None:
    op.drop_table('sync_run_items')
    op.drop_table('token_cache')
    op.drop_index(op.f('ix_sync_runs_window_end'), table_name='sync_runs')
    op.drop_table('sync_runs')
    op.drop_index(op.f('ix_referral_lineage_run_id'), table_name='referral_lineage')
    op.drop_table('referral_lineage')
    op.drop_index('ix_referral_failures_open', table_name='referral_failures', postgresql_where=sa.text('resolved_at IS NULL'))
    op.drop_table('referral_failures')
    op.drop_index(op.f('ix_raw_leads_domain'), table_name='raw_leads')
    op.drop_table('raw_leads')
    op.drop_index('uq_partner_center_referrals_raw_current', table_name='partner_center_referrals_raw', postgresql_where=sa.text('is_current'))
    op.drop_index(op.f('ix_partner_center_referrals_raw_partition_day'), table_name='partner_center_referrals_raw')
    op.drop_index('ix_partner_center_referrals_raw_detail_pending', table_name='partner_center_referrals_raw', postgresql_where=sa.text("payload_form = 'detail_pending'"))
    op.drop_table('partner_center_referrals_raw')
    op.drop_index(op.f('ix_partner_center_referrals_synced_at'), table_name='partner_center_referrals')
    op.drop_index(op.f('ix_partner_center_referrals_status'), table_name='partner_center_referrals')
    op.drop_index(op.f('ix_partner_center_referrals_source_updated_at'), table_name='partner_center_referrals')
    op.drop_index(op.f('ix_partner_center_referrals_referral_type'), table_name='partner_center_referrals')
    op.drop_index(op.f('ix_partner_center_referrals_domain'), table_name='partner_center_referrals')
    op.drop_index(op.f('ix_partner_center_referrals_azure_tenant_id'), table_name='partner_center_referrals')
    op.drop_table('partner_center_referrals')
    op.drop_index(op.f('ix_normalized_domains_raw_id'), table_name='normalized_domains')
    op.drop_index(op.f('ix_normalized_domains_domain'), table_name='normalized_domains')
    op.drop_table('normalized_domains')
    op.drop_index('ix_lead_scores_ranking', table_name='lead_scores')
    op.drop_table('lead_scores')
    op.drop_index(op.f('ix_lead_score_history_domain_changed_at'), table_name='lead_score_history')
    op.drop_table('lead_score_history')
    op.drop_index(op.f('ix_domain_signals_scanned_at'), table_name='domain_signals')
    op.drop_index(op.f('ix_domain_signals_retry_at'), table_name='domain_signals')
    op.drop_table('domain_signals')
    op.drop_table('companies')
