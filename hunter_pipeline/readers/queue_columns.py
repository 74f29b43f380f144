"""The columns of the work queue and its tabs: each declared once, with where it is shown.

Belongs here: what a row says, and what each tab holds, in words. Does not belong here: which rows those are
(`referral_queue`). The SQL speaks of `q`, a referral or an item that failed before it could be tracked. Contacts are
never part of a row: a list is looked at over shoulders and exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, get_args

from hunter_pipeline.readers.columns import Amount, Column, Sort, chosen, declared_columns
from hunter_pipeline.vocabulary import ReferralType

Tab = Literal["answer", "expiring", "open", "no_domain", "failed", "gone", "closed", "all"]
TABS: tuple[Tab, ...] = get_args(Tab)

TAB_NAMES: Mapping[Tab, str] = {
    "answer": "To answer",
    "expiring": "Expiring",
    "open": "Open",
    "no_domain": "Without a domain",
    "failed": "Failed",
    "gone": "Gone",
    "closed": "Closed",
    "all": "All",
}

TAB_HELP: Mapping[Tab, str] = {
    "answer": "Partner Center waits for an answer",
    "expiring": "to answer within three days, or Partner Center closes it",
    "open": "neither closed nor gone",
    "no_domain": "tracked, but makes no lead: no company domain could be found",
    "failed": "a stage could not take it; see the reason",
    "gone": "Partner Center does not list it any more",
    "closed": "won, lost, declined or expired",
    "all": "every referral that was ever fetched",
}


@dataclass(frozen=True)
class QueuedReferral:
    """One referral as a row of the queue."""

    referral_id: Annotated[str, Column("Referral", "q.referral_id", "Partner Center's id", kind="id")]
    company_name: Annotated[str | None, Column("Company", "q.company_name", sort=Sort("company"))]
    domain: Annotated[str | None, Column("Company domain", "q.domain", kind="domain")]
    skip_reason: Annotated[
        str | None, Column("No domain because", "q.skip_reason", "Why it has no company domain, out of a closed list")
    ]
    referral_type: Annotated[ReferralType | None, Column("Type", "q.referral_type", kind="referral_type")]
    status: Annotated[str | None, Column("Status", "q.status", "Null while it could not be tracked")]
    substatus: Annotated[str | None, Column("Substatus", "q.substatus")]
    is_open: Annotated[bool, Column("Open", "q.is_open", "Neither closed nor gone", kind="flag")]
    deal_value: Annotated[
        Amount | None,
        Column("Deal value", "q.deal_value", kind="money", sort=Sort("deal_value", largest_first=True)),
    ]
    currency: Annotated[str | None, Column("Currency", "q.currency", "ISO 4217 code of the deal value")]
    expires_at: Annotated[
        datetime | None,
        Column("Expires", "q.expires_at", "When Partner Center closes it", kind="expiry", sort=Sort("expires")),
    ]
    received_at: Annotated[
        datetime,
        Column(
            "Received",
            "q.received_at",
            "When Partner Center made it, else when it was first seen here",
            kind="moment",
            sort=Sort("received", largest_first=True),
        ),
    ]
    updated_at: Annotated[datetime | None, Column("Updated", "q.updated_at", kind="moment")]
    gone_at: Annotated[
        datetime | None, Column("Gone", "q.gone_at", "Since when Partner Center lists it no more", kind="moment")
    ]
    created_at: Annotated[datetime, Column("First seen", "q.created_at", "When it first came in", kind="moment")]
    changed_at: Annotated[
        datetime,
        Column(
            "Changed", "q.changed_at", "When it last became another: its content or domain, gone or back", kind="moment"
        ),
    ]
    error: Annotated[str | None, Column("Error", "q.error", "Why a stage could not take it")]


COLUMNS = declared_columns(QueuedReferral)

LISTED = chosen(COLUMNS, "company_name", "referral_type", "status", "expires_at", "received_at", "deal_value", "domain")
"""Columns of the page's table, in order."""
