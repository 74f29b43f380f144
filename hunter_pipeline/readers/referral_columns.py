"""The columns of a referral as tracked: each declared once, and where it is shown.

Belongs here: what the lists, the referral's page and the API say of one referral. Does not belong here: which
referrals. The SQL speaks of `partner_center_referrals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from hunter_pipeline.readers.columns import Amount, Column, chosen, declared_columns
from hunter_pipeline.vocabulary import ReferralType


@dataclass(frozen=True)
class Referral:
    """A referral as tracked."""

    referral_id: Annotated[str, Column("Referral", "referral_id", kind="id")]
    referral_type: Annotated[ReferralType | None, Column("Type", "referral_type", kind="referral_type")]
    company_name: Annotated[str | None, Column("Company", "company_name")]
    domain: Annotated[str | None, Column("Company domain", "domain", kind="domain")]
    azure_tenant_id: Annotated[str | None, Column("Declared Azure tenant", "azure_tenant_id", kind="id")]
    status: Annotated[str, Column("Status", "status")]
    substatus: Annotated[str | None, Column("Substatus", "substatus")]
    is_open: Annotated[bool, Column("Open", "is_open", kind="flag")]
    qualification: Annotated[str | None, Column("Qualification", "qualification")]
    deal_type: Annotated[str | None, Column("Kind", "deal_type")]
    direction: Annotated[str | None, Column("Direction", "direction")]
    deal_value: Annotated[Amount | None, Column("Deal value", "deal_value", kind="money")]
    currency: Annotated[str | None, Column("Currency", "currency")]
    engagement_id: Annotated[str | None, Column("Engagement", "engagement_id", kind="id")]
    expires_at: Annotated[datetime | None, Column("Expires", "expires_at", kind="expiry")]
    source_created_at: Annotated[datetime | None, Column("Created", "source_created_at", kind="moment")]
    source_updated_at: Annotated[datetime | None, Column("Updated", "source_updated_at", kind="moment")]
    changed_at: Annotated[
        datetime,
        Column("Received", "changed_at", "When it last came in or became another", kind="moment"),
    ]
    synced_at: Annotated[
        datetime, Column("Read", "synced_at", "When a version was last read, also one that was known", kind="moment")
    ]
    created_at: Annotated[datetime, Column("First tracked", "created_at", kind="moment")]
    updated_at: Annotated[datetime, Column("Row changed", "updated_at", kind="moment")]


COLUMNS = declared_columns(Referral)

SELECTED = ", ".join(f"{column.column.sql} AS {column.name}" for column in COLUMNS)
"""The columns as a SELECT lists them."""

LISTED = chosen(COLUMNS, "referral_id", "referral_type", "status", "deal_value", "expires_at", "source_updated_at")
"""Columns of a table of referrals on a page, in order."""

FACTS = chosen(
    COLUMNS,
    *("domain", "deal_value", "expires_at", "deal_type", "direction", "qualification", "azure_tenant_id"),
    *("source_created_at", "source_updated_at", "changed_at"),
)
"""What stands at the head of a referral's page."""
