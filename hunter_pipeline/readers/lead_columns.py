"""The columns of a lead: each declared once, and where it is shown.

Belongs here: what the lead list, the lead's page, the API, the exports and `hunter leads` say of a lead. Does not
belong here: which leads (`lead_list`), and how referrals are added up (`pipeline.company_sums`). The SQL speaks of
`companies` c and `lead_scores` s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from hunter_pipeline.readers.columns import Amount, Column, Sort, chosen, declared_columns
from hunter_pipeline.vocabulary import ReferralType

TYPE_BEFORE_SCORING = """(SELECT t.referral_type FROM partner_center_referrals t
    WHERE t.domain = c.domain AND t.referral_type IS NOT NULL ORDER BY t.is_open DESC, t.referral_type LIMIT 1)"""
"""Type of a lead that has no score yet: that of an open referral before a closed one."""


@dataclass(frozen=True)
class Deal:
    """What open referrals are worth in one currency."""

    currency: str | None
    value: Amount

    def __str__(self) -> str:
        return f"{self.value} {self.currency}" if self.currency else str(self.value)


@dataclass(frozen=True)
class Lead:
    """A company domain with at least one referral. Without a score yet, the fields of the score are null."""

    domain: Annotated[
        str,
        Column("Domain", "c.domain", "Registrable domain: the company's identity", kind="domain", sort=Sort("domain")),
    ]
    company_name: Annotated[
        str | None,
        Column("Company", "c.canonical_name", "Name on its newest referral", sort=Sort("company", sql="c.sort_name")),
    ]
    referral_type: Annotated[
        ReferralType | None,
        Column(
            "Referral",
            f"CASE WHEN s.domain IS NOT NULL THEN s.referral_type ELSE {TYPE_BEFORE_SCORING} END",
            "Best type of its referrals; null: it cannot be told",
            kind="referral_type",
        ),
    ]
    category: Annotated[str | None, Column("Category", "s.category", "P1 (best) to P6", kind="category")]
    category_label: Annotated[
        str | None, Column("Category in words", "s.category_label", "What the category means for a sales person")
    ]
    score: Annotated[
        int | None,
        Column("Score", "s.score", "Readiness, 0 to 100", kind="score", sort=Sort("score", largest_first=True)),
    ]
    segment: Annotated[
        str | None, Column("Segment", "s.segment", "What can be sold: Existing, Migration, Cold, Skip", kind="segment")
    ]
    reason: Annotated[str | None, Column("Reason", "s.reason", "Why, in one sentence")]
    provider: Annotated[str | None, Column("Provider", "c.provider", "Mailbox provider", kind="provider")]
    priority_score: Annotated[
        int | None, Column("Priority score", "s.priority_score", "1 (best) to 7, by segment and score", kind="number")
    ]
    technical_heat: Annotated[
        str | None, Column("Technical heat", "s.technical_heat", "How ready its mail set-up is: Hot, Warm, Cold")
    ]
    commercial_segment: Annotated[
        str | None,
        Column("Commercial segment", "s.commercial_segment", "Who serves it today: GREENFIELD, COMPETITIVE ..."),
    ]
    commercial_heat: Annotated[
        str | None, Column("Commercial heat", "s.commercial_heat", "How well that sells: HIGH, MEDIUM, LOW")
    ]
    referrals: Annotated[int, Column("Referrals", "c.referrals", "Number of its referrals, open or not", kind="number")]
    open_referrals: Annotated[
        int,
        Column(
            "Open referrals",
            "c.open_referrals",
            "Of these, still to be won",
            kind="number",
        ),
    ]
    deal_value: Annotated[
        Amount | None,
        Column(
            "Deal value",
            "c.deal_value",
            "Sum over the open referrals; null: none, or several currencies, which `deals` tells apart",
            kind="money",
            sort=Sort("deal_value", largest_first=True),
        ),
    ]
    currency: Annotated[
        str | None,
        Column(
            "Currency",
            "c.currency",
            "ISO 4217 code of the deal value",
        ),
    ]
    deals: Annotated[
        tuple[Deal, ...],
        Column(
            "Deals",
            "c.deals",
            "The same in each currency, the largest first",
        ),
    ]
    expires_at: Annotated[
        datetime | None,
        Column(
            "Expires",
            "c.expires_at",
            "Earliest expiry of an open referral",
            kind="expiry",
            sort=Sort("expires"),
        ),
    ]
    last_synced_at: Annotated[
        datetime | None,
        Column(
            "Received",
            "c.last_received_at",
            "When one of its referrals last came in or became another",
            kind="moment",
            sort=Sort("synced", largest_first=True),
        ),
    ]
    azure_tenant_id: Annotated[
        str | None,
        Column(
            "Declared Azure tenant",
            "c.azure_tenant_id",
            "Tenant that a referral names: an existing customer of Microsoft 365",
            kind="id",
        ),
    ]
    created_at: Annotated[
        datetime, Column("First seen", "c.created_at", "When its first referral came in", kind="moment")
    ]
    score_changed_at: Annotated[
        datetime | None,
        Column(
            "Score changed",
            "(SELECT max(h.changed_at) FROM lead_score_history h"
            " WHERE h.domain = c.domain AND h.old_score IS NOT NULL)",
            "When its score, segment or category last became another",
            kind="moment",
        ),
    ]
    scored_at: Annotated[datetime | None, Column("Scored", "s.scored_at", "When the score was computed", kind="moment")]


COLUMNS = declared_columns(Lead)

LISTED = chosen(
    COLUMNS,
    *("category", "score", "company_name", "domain", "segment", "provider", "referral_type"),
    *("deal_value", "expires_at", "last_synced_at"),
)
"""Columns of the list's page, in order."""

FACTS = chosen(
    COLUMNS,
    *("score", "category_label", "provider", "deal_value", "open_referrals", "expires_at", "azure_tenant_id"),
    *("last_synced_at", "created_at", "score_changed_at"),
)
"""What stands at the head of a lead's page."""

PRINTED_FROM = {
    **dict.fromkeys(("score", "category", "company_name", "referral_type"), 0),
    "domain": 100,
    "segment": 120,
    "provider": 140,
    "deals": 160,
    "expires_at": 160,
    "reason": 200,
}
"""Columns of the terminal table, in order, each with the width in characters from which it has room.

Below that width the reason stands under the company's name.
"""

EXPORTED = tuple(column for column in COLUMNS if column.name not in {"scored_at", "created_at", "score_changed_at"})
"""Columns of CSV and Excel, in order."""
