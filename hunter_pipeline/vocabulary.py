"""Closed lists of words that several layers speak: types of referrals, providers, and stages.

Belongs here: the words and how a person reads them, each list once. Does not belong here: what decides which word
holds, and words that one package alone uses (scoring's segments and categories are in its rules).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

ReferralType = Literal["co-sell", "marketplace", "solution-provider"]
"""Kinds of referrals, best first; a referral whose kind cannot be told has none."""


class Badge(NamedTuple):
    """How a type is shown: the text of its badge, and its name in full."""

    text: str
    title: str


BADGES: dict[str, Badge] = {
    "co-sell": Badge("Co-sell", "Co-sell"),
    "marketplace": Badge("Marketplace", "Marketplace"),
    "solution-provider": Badge("SP", "Solution provider"),
}
"""One for each `ReferralType`; the pages' style sheet colours a badge by the type's name."""

NO_TYPE = "none"
"""Value of a filter for referrals and leads whose type cannot be told."""

ReferralTypeFilter = Literal["co-sell", "marketplace", "solution-provider", "none"]


def badge(referral_type: str | None) -> str:
    """What the Referral column shows; `-` when the type cannot be told."""
    found = BADGES.get(referral_type or "")
    return found.text if found else "-"


PROVIDER_LABELS = {"Local": "Own server"}
"""Mailbox providers whose name in the data is not how people say it; programs are given the name."""


def provider_label(provider: str) -> str:
    """How a person reads a mailbox provider."""
    return PROVIDER_LABELS.get(provider, provider)


def provider_named(label: str) -> str:
    """The name in the data of what a person calls a provider, by label or by name."""
    names = {shown.casefold(): name for name, shown in PROVIDER_LABELS.items()}
    return names.get(label.strip().casefold(), label)


STAGES = {
    "partner_center_referrals_raw": "Fetched from Partner Center",
    "normalized_domains": "Company domain decided",
    "partner_center_referrals": "Life cycle tracked",
    "raw_leads": "Lead made",
    "companies": "Company joined",
    "domain_signals": "Domain scanned",
    "lead_scores": "Score given",
}
"""The stages in the order in which a referral passes them, with what each did; they are the assets' names too."""
