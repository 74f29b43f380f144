"""The tables about a company's domain: signals and their history, registration, Entra tenant.

Belongs here: what was looked up about a domain in public sources, one row per domain and source. Does not
belong here: anything about a referral. `tables` brings these in, so that one import has the whole schema.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from hunter_pipeline.store.columns import metadata, run_id_column, time_column

domain_signals = Table(
    "domain_signals",
    metadata,
    Column("domain", String(255), primary_key=True, comment="Registrable domain"),
    Column("status", Text, nullable=False, comment="`complete`, or `partial` while a look-up is undetermined"),
    Column("provider", Text, nullable=False, comment="Mailbox provider by evidence"),
    Column("gateway", Text, comment="Mail gateway in front of the mailboxes"),
    Column("confidence", Text, nullable=False, comment="Of the provider: high, medium, low, none"),
    Column("mx_state", Text, nullable=False, comment="present, none, null, unknown"),
    Column("spf_state", Text, nullable=False, comment="ok, none, permerror, unknown"),
    Column("spf_includes", Integer, comment="Number of include: terms in the SPF record"),
    Column("dkim_state", Text, nullable=False, comment="found, revoked, unknown_selector, none, unknown"),
    Column("dmarc_state", Text, nullable=False, comment="ok, none, invalid, unknown"),
    Column("dmarc_policy", Text, comment="Effective policy: none, quarantine, reject"),
    Column("signals", JSONB, nullable=False, comment="All signals with their evidence"),
    Column("replies", JSONB, nullable=False, comment="Raw DNS replies; signals can be derived again from them"),
    Column(
        "kept",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="Signals kept from an earlier scan, with that scan's time",
    ),
    Column(
        "attempts", SmallInteger, nullable=False, server_default="1", comment="Scans in a row that left a look-up open"
    ),
    time_column("retry_at", "When a partial scan is tried again"),
    Column("code_version", Text, nullable=False, comment="Version of the rules that read the replies"),
    run_id_column(),
    time_column("scanned_at", "When DNS was asked", nullable=False),
    time_column("derived_at", "When the signals were derived from the replies", nullable=False),
    CheckConstraint("status IN ('complete', 'partial')", name="status"),
    Index(None, "scanned_at"),
    Index("ix_domain_signals_retry_at", "retry_at", postgresql_where=text("status = 'partial'")),
    comment="What the public records of a domain say",
)

domain_signal_history = Table(
    "domain_signal_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Row number"),
    Column("domain", String(255), nullable=False, comment="Registrable domain"),
    Column("field", Text, nullable=False, comment="provider, mx, spf, dkim or dmarc"),
    Column("old", Text, nullable=False, comment="Value before"),
    Column("new", Text, nullable=False, comment="Value after"),
    run_id_column(),
    time_column("changed_at", "When the change was seen", nullable=False),
    CheckConstraint("field IN ('provider', 'mx', 'spf', 'dkim', 'dmarc')", name="field"),
    CheckConstraint("old <> new", name="change"),
    Index(None, "domain", "changed_at"),
    Index(None, "run_id"),
    comment="Every change of a domain's signals from one known value to another",
)

domain_registrations = Table(
    "domain_registrations",
    metadata,
    Column("domain", String(255), primary_key=True, comment="Registrable domain"),
    Column(
        "status",
        Text,
        nullable=False,
        comment="Of the latest look-up: found, unregistered, unsupported, rate_limited, failed",
    ),
    Column("reason", Text, comment="Why the latest look-up found nothing"),
    Column("registrar", Text, comment="Registrar, as the registry writes it"),
    time_column("registered_at", "When the domain was registered"),
    time_column("expires_at", "When the registration ends unless it is renewed"),
    Column(
        "name_servers",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Name servers that the registry holds",
    ),
    run_id_column(),
    time_column("looked_up_at", "When the registry was last asked", nullable=False),
    time_column("found_at", "When registrar, dates and name servers were read; empty: never"),
    Index(None, "looked_up_at"),
    comment="Registrar and expiry of every company's domain, over RDAP",
)

domain_tenants = Table(
    "domain_tenants",
    metadata,
    Column("domain", String(255), primary_key=True, comment="Registrable domain"),
    Column("status", Text, nullable=False, comment="Of the latest look-up: found, none, failed"),
    Column("reason", Text, comment="Why the latest look-up failed"),
    Column("tenant_id", Text, comment="Entra tenant of the domain; information only, not a declared tenant"),
    Column("region", Text, comment="Region of the tenant, as Microsoft writes it"),
    run_id_column(),
    time_column("looked_up_at", "When Microsoft was last asked", nullable=False),
    time_column("found_at", "When the tenant was read; empty: never"),
    Index(None, "looked_up_at"),
    comment="Entra tenant of every company's domain, as Microsoft tells the public",
)
