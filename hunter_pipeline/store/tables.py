"""The tables, in SQLAlchemy Core, in the order in which rows travel through them.

Belongs here: columns, keys, constraints, indexes, and a comment on each table and column that says what it
holds; the Dagster assets take their column schema from here, so it cannot drift. Does not belong here:
queries and rules. Migrations repeat the shape of their day; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hunter_pipeline.store.action_tables import referral_actions
from hunter_pipeline.store.columns import metadata, run_id_column, time_column
from hunter_pipeline.store.domain_tables import (
    domain_registrations,
    domain_signal_history,
    domain_signals,
    domain_tenants,
)
from hunter_pipeline.store.erasure_tables import erasure_key, erasures
from hunter_pipeline.store.queue_tables import scan_claims, stage_queue, stage_state

__all__ = [
    "alerts",
    "companies",
    "domain_registrations",
    "domain_signal_history",
    "domain_signals",
    "domain_tenants",
    "erasure_key",
    "erasures",
    "lead_score_history",
    "lead_scores",
    "metadata",
    "normalized_domains",
    "partner_center_referrals",
    "partner_center_referrals_raw",
    "raw_leads",
    "referral_actions",
    "referral_failures",
    "referral_lineage",
    "scan_claims",
    "stage_queue",
    "stage_state",
    "sync_run_items",
    "sync_runs",
    "token_cache",
]

partner_center_referrals_raw = Table(
    "partner_center_referrals_raw",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Version number, in order of arrival"),
    Column("referral_id", Text, nullable=False, comment="Partner Center's id of the referral"),
    Column("content_hash", Text, nullable=False, comment="SHA-256 of the item as it was listed"),
    Column("etag", Text, comment="The eTag that the API gave, quotes included"),
    time_column("source_updated_at", "updatedDateTime of the payload; empty when it has none"),
    Column("partition_day", Date, nullable=False, comment="Day partition (UTC) under which the version shows"),
    Column(
        "payload", JSONB, nullable=False, comment="The referral as received; U+FFFD where JSONB cannot hold a character"
    ),
    Column("payload_original", Text, comment="Exact JSON text, when JSONB could not hold it as it was"),
    Column("payload_form", Text, nullable=False, comment="`list`, `detail` (fetched one by one) or `detail_pending`"),
    time_column("fetched_at", "When this version was first seen", nullable=False),
    time_column("last_seen_at", "When this version was last seen", nullable=False),
    Column("last_seen_run_id", Text, comment="Run that saw this version last"),
    Column("is_current", Boolean, nullable=False, server_default="false", comment="The version that was seen last"),
    time_column("unseen_since", "When a sweep did not see it; empty once it is known whether it is gone"),
    time_column("gone_at", "When Partner Center had it no more; empty while it is there"),
    time_column("ask_after", "Not asked for one by one before this"),
    Column(
        "ask_attempts",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="How often asking for it one by one failed since it last went well",
    ),
    run_id_column(),
    UniqueConstraint("referral_id", "content_hash"),
    CheckConstraint("payload_form IN ('list', 'detail', 'detail_pending')", name="payload_form"),
    Index(None, "partition_day"),
    Index(
        "uq_partner_center_referrals_raw_current",
        "referral_id",
        unique=True,
        postgresql_where=text("is_current"),
    ),
    Index(
        "ix_partner_center_referrals_raw_to_ask",
        "id",
        postgresql_where=text("is_current AND (payload_form = 'detail_pending' OR unseen_since IS NOT NULL)"),
    ),
    comment="Every version of every referral, as the API gave it",
)

normalized_domains = Table(
    "normalized_domains",
    metadata,
    Column("referral_id", Text, primary_key=True, comment="Partner Center's id of the referral"),
    Column("raw_id", BigInteger, nullable=False, comment="Version of the referral that was read"),
    Column("domain", Text, comment="Registrable company domain, ASCII, lower case"),
    Column("source", Text, comment="`website` or `email`"),
    Column("found_at", Text, comment="Path of the field in the payload"),
    Column("raw_text", Text, comment="Text of that field (may be an e-mail address)"),
    Column("skip_reason", Text, comment="Why there is no domain, out of a closed list"),
    Column("attempts", JSONB, nullable=False, comment="Each text that was tried, with its domain or reason"),
    Column("code_version", Text, nullable=False, comment="Version of the rules that decided"),
    run_id_column(),
    time_column("decided_at", "When it was decided", nullable=False),
    CheckConstraint("(domain IS NULL) <> (skip_reason IS NULL)", name="domain_or_reason"),
    CheckConstraint("source IN ('website', 'email')", name="source"),
    Index(None, "domain"),
    Index(None, "raw_id"),
    Index(
        "ix_normalized_domains_skip_reason",
        "skip_reason",
        "referral_id",
        postgresql_where=text("skip_reason IS NOT NULL"),
    ),
    comment="One row per referral: its company domain, or why it has none",
)

_REFERRAL_WORDS = (
    "((((COALESCE(company_name, ''::character varying))::text || ' '::text)"
    " || (COALESCE(domain, ''::character varying))::text) || ' '::text)"
    " || COALESCE(\"left\"((raw_data ->> 'externalReferenceId'::text), 255), ''::text)"
)
"""What the work queue searches, as PostgreSQL writes it back."""

partner_center_referrals = Table(
    "partner_center_referrals",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("referral_id", String(255), nullable=False, comment="Partner Center's id of the referral"),
    Column("raw_id", BigInteger, nullable=False, comment="Version of the referral that this row shows"),
    Column(
        "referral_type", String(50), comment="`co-sell`, `marketplace`, `solution-provider`; empty when undecidable"
    ),
    Column("company_name", String(255), comment="Customer's name, HTML-unescaped"),
    Column("domain", String(255), comment="Registrable company domain"),
    Column("azure_tenant_id", String(255), comment="Declared Azure tenant of the customer"),
    Column(
        "status",
        String(50),
        nullable=False,
        comment="None, New, Active, Closed ... as the API says; Unknown when absent",
    ),
    Column("substatus", String(50), comment="Pending, Accepted, Won, Lost ..."),
    Column("is_open", Boolean, nullable=False, comment="Whether the referral still counts for scoring"),
    time_column("gone_at", "When Partner Center had it no more: it is kept, and no longer open"),
    Column("qualification", Text, comment="Direct, MarketingQualified, SalesQualified ..."),
    Column("deal_type", Text, comment="The API's `type`: Independent or Shared"),
    Column("direction", Text, comment="Incoming or Outgoing"),
    Column("deal_value", Numeric, comment="Deal value in `currency`"),
    Column("currency", Text, comment="ISO 4217 code of the deal value"),
    Column("engagement_id", Text, comment="Groups the referrals of one shared deal"),
    time_column("expires_at", "When an unanswered referral expires"),
    time_column("source_created_at", "createdDateTime of the payload"),
    time_column("source_updated_at", "updatedDateTime of the payload"),
    Column(
        "warnings",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Optional fields that were there but could not be read",
    ),
    Column("raw_data", JSONB, comment="Full referral as received"),
    Column("code_version", Text, nullable=False, comment="Version of the rules that read the payload"),
    run_id_column(),
    time_column("synced_at", "When this row last took in a version", nullable=False, now=True),
    time_column(
        "changed_at",
        "When it last became another: other content, another domain, gone or back; not when it was merely read again",
        nullable=False,
        now=True,
    ),
    time_column("created_at", "When the referral was first tracked", nullable=False, now=True),
    time_column("updated_at", "When the row last changed", nullable=False, now=True),
    # Of use to the work queue, which sorts and searches by them and never reads the payload.
    Column(
        "received_at",
        DateTime(timezone=True),
        Computed("COALESCE(source_created_at, created_at)", persisted=True),
        comment="When Partner Center made it, else when it was first tracked",
    ),
    Column(
        "sort_name",
        Text,
        Computed("hunter_fold((company_name)::text)", persisted=True),
        comment="Name by which the queue is sorted: small letters without accents",
    ),
    Column(
        "deal_currency",
        Text,
        Computed(
            "CASE WHEN (deal_value IS NOT NULL) THEN COALESCE(currency, ''::text) ELSE NULL::text END", persisted=True
        ),
        comment="Currency among whose deal values it is sorted; empty when there is no deal value",
    ),
    Column(
        "search_text",
        Text,
        Computed(f"hunter_fold({_REFERRAL_WORDS})", persisted=True),
        comment="Name, domain and own reference as they are searched: small letters without accents",
    ),
    UniqueConstraint("referral_id"),
    Index(None, "domain"),
    Index(None, "status"),
    Index(None, "synced_at"),
    Index(None, "changed_at"),
    Index(None, "referral_type"),
    Index(None, "azure_tenant_id"),
    Index(None, "source_updated_at"),
    Index("ix_partner_center_referrals_queue_expires", "expires_at", "referral_id"),
    Index("ix_partner_center_referrals_queue_received", "received_at", "referral_id"),
    Index("ix_partner_center_referrals_queue_company", "sort_name", "referral_id"),
    Index(
        "ix_partner_center_referrals_queue_deals", "deal_currency", text("deal_value DESC"), text("referral_id DESC")
    ),
    Index("ix_partner_center_referrals_queue_open", "expires_at", postgresql_where=text("is_open")),
    Index(
        "ix_partner_center_referrals_queue_answer",
        "expires_at",
        postgresql_where=text("is_open AND status::text = 'New'::text"),
    ),
    Index("ix_partner_center_referrals_queue_no_domain", "referral_id", postgresql_where=text("domain IS NULL")),
    Index("ix_partner_center_referrals_queue_gone", "gone_at", postgresql_where=text("gone_at IS NOT NULL")),
    Index("ix_partner_center_referrals_queue_words", text("hunter_grams(search_text)"), postgresql_using="gin"),
    comment="Current state and life cycle of every referral",
)

Index(
    "ix_partner_center_referrals_queue_id",
    func.lower(partner_center_referrals.c.referral_id).label("small_id"),
    postgresql_ops={"small_id": "text_pattern_ops"},
)

raw_leads = Table(
    "raw_leads",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("source", String(50), nullable=False, comment="`partnercenter`"),
    Column("external_id", String(255), nullable=False, comment="Id in the source: the referral id"),
    Column("domain", String(255), nullable=False, comment="Registrable company domain"),
    Column("company_name", String(255), comment="Customer's name"),
    Column("email", Text, comment="Customer's e-mail address, as written"),
    Column("website", Text, comment="Customer's website, as written"),
    Column("payload", JSONB, nullable=False, comment="Full referral as received"),
    Column("raw_id", BigInteger, nullable=False, comment="Version of the referral that made this lead"),
    run_id_column(),
    time_column("created_at", "When the lead was first made", nullable=False, now=True),
    time_column("updated_at", "When the lead last changed", nullable=False, now=True),
    UniqueConstraint("source", "external_id"),
    Index(None, "domain"),
    comment="One lead per referral that has a company domain",
)

_WORDS = "(((domain)::text || ' '::text) || (COALESCE(canonical_name, ''::character varying))::text)"
"""What is searched, as PostgreSQL writes it back; the functions around it are made by a migration."""

companies = Table(
    "companies",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("domain", String(255), nullable=False, comment="Registrable domain: the company's identity"),
    Column("canonical_name", String(255), comment="Name on the most recently updated referral"),
    Column("provider", Text, comment="Mailbox provider; M365 when a tenant is declared; empty until scanned"),
    Column("azure_tenant_id", String(255), comment="Declared Azure tenant"),
    run_id_column(),
    time_column("created_at", "When the company was first seen", nullable=False, now=True),
    time_column(
        "updated_at", "When the row last changed, but for what its referrals add up to", nullable=False, now=True
    ),
    # What its referrals add up to: `pipeline.company_sums` says how.
    Column("referrals", Integer, nullable=False, server_default="0", comment="Number of its referrals, open or not"),
    Column("open_referrals", Integer, nullable=False, server_default="0", comment="Of these, still to be won"),
    Column("deal_value", Numeric, comment="Sum over the open referrals; empty: none, or several currencies"),
    Column("currency", Text, comment="ISO 4217 code of the deal value"),
    Column("deals", JSONB, comment="Sums of the open referrals as pairs of currency and value, the largest first"),
    time_column("expires_at", "Earliest expiry of an open referral, past ones too"),
    time_column("last_received_at", "When one of its referrals last came in or became another"),
    Column(
        "deal_currency",
        Text,
        Computed(
            "CASE WHEN (deal_value IS NOT NULL) THEN COALESCE(currency, ''::text) ELSE NULL::text END", persisted=True
        ),
        comment="Currency among whose deal values it is sorted; empty when there is no deal value",
    ),
    Column(
        "sort_name",
        Text,
        Computed("hunter_fold((canonical_name)::text)", persisted=True),
        comment="Name by which the list is sorted: small letters without accents",
    ),
    Column(
        "search_text",
        Text,
        Computed(f"hunter_fold({_WORDS})", persisted=True),
        comment="Domain and name as they are searched: small letters without accents",
    ),
    Column(
        "search_grams",
        ARRAY(Text),
        Computed(f"hunter_grams({_WORDS})", persisted=True),
        comment="Every three letters that follow one another in `search_text`",
    ),
    UniqueConstraint("domain"),
    Index(None, "sort_name", "domain"),
    Index("ix_companies_deals", "deal_currency", text("deal_value DESC"), text("domain DESC")),
    Index(None, "expires_at", "domain"),
    Index(None, "last_received_at", "domain"),
    Index(None, "search_grams", postgresql_using="gin"),
    comment="One company per domain",
)

lead_scores = Table(
    "lead_scores",
    metadata,
    Column("domain", String(255), primary_key=True, comment="Registrable domain"),
    Column("score", SmallInteger, nullable=False, comment="Readiness, 0 to 100"),
    Column("segment", Text, nullable=False, comment="Existing, Migration, Cold, Skip"),
    Column("reason", Text, nullable=False, comment="One sentence for a sales person"),
    Column("priority_score", SmallInteger, nullable=False, comment="1 best to 7"),
    Column("technical_heat", Text, nullable=False, comment="Hot, Warm, Cold"),
    Column("commercial_segment", Text, nullable=False, comment="GREENFIELD, COMPETITIVE ..."),
    Column("commercial_heat", Text, nullable=False, comment="HIGH, MEDIUM, LOW"),
    Column("category", Text, nullable=False, comment="P1 to P6"),
    Column("category_label", Text, nullable=False, comment="What the category means"),
    Column(
        "referral_type", Text, comment="Best type of the domain's referrals: co-sell, marketplace, solution-provider"
    ),
    Column("breakdown", JSONB, nullable=False, comment="Each rule that fired and its points; they add up to the score"),
    Column("rules_hash", Text, nullable=False, comment="Hash of rules, settings and scorer version"),
    Column("inputs", JSONB, nullable=False, comment="The facts that were scored: signals, tenant, open referrals"),
    Column("inputs_hash", Text, nullable=False, comment="Hash of these facts"),
    run_id_column(),
    time_column("scored_at", "When the score was computed", nullable=False),
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    CheckConstraint("priority_score BETWEEN 1 AND 7", name="priority_score"),
    Index("ix_lead_scores_ranking", "category", text("score DESC"), "domain"),
    Index(None, "score", "domain"),
    comment="The current score of every domain, with its reasons",
)

lead_score_history = Table(
    "lead_score_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("domain", String(255), nullable=False, comment="Registrable domain"),
    Column("cause", Text, nullable=False, comment="first, signals, referral, rules"),
    Column("old_score", SmallInteger, comment="Score before; empty for the first"),
    Column("new_score", SmallInteger, nullable=False, comment="Score after"),
    Column("old_segment", Text, comment="Segment before"),
    Column("new_segment", Text, nullable=False, comment="Segment after"),
    Column("old_category", Text, comment="Category before"),
    Column("new_category", Text, nullable=False, comment="Category after"),
    Column("rules_hash", Text, nullable=False, comment="Hash of the rules that gave the new score"),
    run_id_column(),
    time_column("changed_at", "When the score changed", nullable=False),
    Index(None, "domain", "changed_at"),
    comment="Every change of a score",
)

referral_lineage = Table(
    "referral_lineage",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("referral_id", Text, nullable=False, comment="Partner Center's id of the referral"),
    Column("stage", Text, nullable=False, comment="Name of the asset"),
    Column("input", Text, comment="What came in"),
    Column("decision", Text, nullable=False, comment="What was decided and why"),
    Column("row_key", Text, comment="Key of the row that was written"),
    Column("code_version", Text, nullable=False, comment="Version of the rules that decided"),
    run_id_column(),
    time_column("recorded_at", "When it was decided", nullable=False),
    UniqueConstraint("referral_id", "stage", "run_id"),
    Index(None, "run_id"),
    comment="What each stage did with each referral, and why",
)

referral_failures = Table(
    "referral_failures",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("item_key", Text, nullable=False, comment="Referral id, or `sha256:` of an item without a usable id"),
    Column("stage", Text, nullable=False, comment="Name of the asset"),
    Column("error", Text, nullable=False, comment="What is wrong, without personal data"),
    Column("payload", Text, comment="Exact JSON text of the item"),
    Column("raw_id", BigInteger, comment="Version that failed; empty when it could not be kept as a version"),
    Column("code_version", Text, nullable=False, comment="Version of the rules that refused it"),
    Column("occurrences", Integer, nullable=False, server_default="1", comment="How often it failed"),
    run_id_column(),
    time_column("first_seen_at", "First failure", nullable=False),
    time_column("last_seen_at", "Latest failure", nullable=False),
    time_column("resolved_at", "When the item went through after all, or was gone; empty while it is open"),
    time_column("dismissed_at", "When somebody said that this failure is known and no news; empty: nobody did"),
    UniqueConstraint("item_key", "stage"),
    Index("ix_referral_failures_open", "last_seen_at", postgresql_where=text("resolved_at IS NULL")),
    Index(
        "ix_referral_failures_to_mend",
        "item_key",
        "last_seen_at",
        postgresql_where=text("resolved_at IS NULL AND dismissed_at IS NULL"),
    ),
    comment="Referrals that a stage could not take, with the reason",
)

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("run_id", Text, primary_key=True, comment="Dagster run"),
    Column("status", Text, nullable=False, comment="running, fetched, success, partial, failed"),
    Column("source", Text, nullable=False, comment="Host that the referrals came from; one database holds one source"),
    Column("tenant", Text, comment="Partner's tenant that the referrals are of; empty: none was read"),
    Column("forced", Boolean, nullable=False, comment="Whether everything in the window was processed again"),
    time_column("window_start", "Oldest update asked for; empty: everything"),
    time_column(
        "window_end",
        "Where the window ends: the moment the first page was asked for, by the API's clock where ours is ahead",
        nullable=False,
    ),
    Column(
        "covers_to_now",
        Boolean,
        nullable=False,
        comment="Whether the window catches up with the present and leaves no gap: the watermark may move",
    ),
    Column(
        "fetched",
        Integer,
        nullable=False,
        server_default="0",
        comment="Referrals that the API returned, each counted once",
    ),
    Column("new_versions", Integer, nullable=False, server_default="0", comment="Of these, versions not seen before"),
    Column("succeeded", Integer, nullable=False, server_default="0", comment="With a domain: they make a lead"),
    Column("skipped", Integer, nullable=False, server_default="0", comment="Tracked, without a usable domain"),
    Column("failed", Integer, nullable=False, server_default="0", comment="In referral_failures"),
    Column(
        "failed_before",
        Integer,
        nullable=False,
        server_default="0",
        comment="Of these, failures that were known before this sync",
    ),
    Column(
        "erased",
        Integer,
        nullable=False,
        server_default="0",
        comment="Beside these, referrals that were returned and are erased on request: not kept, not counted above",
    ),
    Column("errors", JSONB, nullable=False, server_default=text("'[]'"), comment="Texts of the first failures"),
    time_column("started_at", "Start", nullable=False),
    time_column("finished_at", "End; empty while it runs"),
    time_column("retry_at", "When Partner Center takes the next request; empty: it asked for no long pause"),
    CheckConstraint("status IN ('running', 'fetched', 'success', 'partial', 'failed')", name="status"),
    Index(None, "window_end"),
    comment="Every sync with its window and counts: the watermark",
)

token_cache = Table(
    "token_cache",
    metadata,
    Column("name", Text, primary_key=True, comment="Which cache"),
    Column("ciphertext", LargeBinary, nullable=False, comment="MSAL's token cache, encrypted"),
    time_column("updated_at", "When it was last written", nullable=False, now=True),
    comment="The encrypted token cache",
)

alerts = Table(
    "alerts",
    metadata,
    Column("fingerprint", Text, primary_key=True, comment="What the alert is about: job and step, or asset and check"),
    Column("occurrences", Integer, nullable=False, comment="How often it was seen since the first message"),
    time_column("first_seen_at", "First seen", nullable=False),
    time_column("last_seen_at", "Last seen", nullable=False),
    time_column("sent_at", "When a message was last delivered; empty: none was yet"),
    Index(None, "last_seen_at"),
    comment="What was sent to the alert webhook, so that one fault is one message",
)

sync_run_items = Table(
    "sync_run_items",
    metadata,
    Column(
        "run_id",
        Text,
        ForeignKey("sync_runs.run_id", ondelete="CASCADE"),
        primary_key=True,
        comment="Dagster run of the sync",
    ),
    Column("item_key", Text, primary_key=True, comment="Referral id, or `sha256:` of an item without a usable id"),
    comment="Which referrals a sync fetched; the books are held by it",
)
