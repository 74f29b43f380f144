"""The tables of what was erased on request: keyed hashes, so that the next sync does not bring it back.

Belongs here: the hashes and the key under which they are made, which is itself encrypted. Does not belong here: any
name, address or id in a form that can be read. `tables` brings these in.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, SmallInteger, Table, Text, text

from hunter_pipeline.store.columns import metadata, time_column

erasures = Table(
    "erasures",
    metadata,
    Column("digest", Text, primary_key=True, comment="HMAC-SHA256 of what was erased, under the key in erasure_key"),
    Column("request", Text, primary_key=True, comment="Digest of what was asked for; the same for that itself"),
    Column("kind", Text, nullable=False, comment="referral, email, domain"),
    time_column("erased_at", "When it was erased", nullable=False),
    time_column("tidied_at", "When Dagster's storage was looked through for it; empty: still to do"),
    CheckConstraint("kind IN ('referral', 'email', 'domain')", name="kind"),
    Index(None, "request"),
    Index("ix_erasures_untidied", "erased_at", postgresql_where=text("tidied_at IS NULL")),
    comment="What was erased on request and is not taken in again, as keyed hashes",
)

erasure_key = Table(
    "erasure_key",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, comment="Always 1"),
    Column(
        "ciphertext", LargeBinary, nullable=False, comment="The key of the hashes, encrypted with the token cache's"
    ),
    CheckConstraint("id = 1", name="single"),
    comment="The key under which erasures are hashed; made with the first of them",
)
