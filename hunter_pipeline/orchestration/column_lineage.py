"""Which column comes from which, from payload to score.

Belongs here: the mapping, and its form for Dagster. Does not belong here: anything measured; the mapping says
what the stages' code does, and a test holds every name in it to the tables.
"""

from collections.abc import Mapping

import dagster as dg

from hunter_pipeline.pipeline.scores import FOUND_BY_SCAN
from hunter_pipeline.store.tables import domain_signals

RAW = "partner_center_referrals_raw"
DOMAINS = "normalized_domains"
TRACKED = "partner_center_referrals"
LEADS = "raw_leads"
COMPANIES = "companies"
SIGNALS = "domain_signals"
SCORES = "lead_scores"

Source = tuple[str, str]

_PAYLOAD: tuple[Source, ...] = ((RAW, "payload"),)
_SCORED: tuple[Source, ...] = (
    (SIGNALS, "provider"),
    *dict.fromkeys((SIGNALS, field if field in domain_signals.c else "signals") for field in FOUND_BY_SCAN.values()),
    (COMPANIES, "azure_tenant_id"),
    (TRACKED, "referral_type"),
    (TRACKED, "is_open"),
)

COLUMN_SOURCES: Mapping[str, Mapping[str, tuple[Source, ...]]] = {
    DOMAINS: {
        "referral_id": ((RAW, "referral_id"),),
        "raw_id": ((RAW, "id"),),
        **dict.fromkeys(("domain", "source", "found_at", "raw_text", "skip_reason", "attempts"), _PAYLOAD),
    },
    TRACKED: {
        "referral_id": ((RAW, "referral_id"),),
        "raw_id": ((RAW, "id"),),
        "domain": ((DOMAINS, "domain"),),
        **dict.fromkeys(
            (
                "referral_type", "company_name", "azure_tenant_id", "status", "substatus", "is_open", "qualification",
                "deal_type", "direction", "deal_value", "currency", "engagement_id", "expires_at", "source_created_at",
                "source_updated_at", "warnings", "raw_data",
            ),
            _PAYLOAD,
        ),
    },
    LEADS: {
        "external_id": ((TRACKED, "referral_id"),),
        "domain": ((TRACKED, "domain"),),
        "company_name": ((TRACKED, "company_name"),),
        "email": ((DOMAINS, "attempts"),),
        "website": ((DOMAINS, "attempts"),),
        "payload": ((TRACKED, "raw_data"),),
        "raw_id": ((TRACKED, "raw_id"),),
    },
    COMPANIES: {
        "domain": ((LEADS, "domain"),),
        "canonical_name": ((TRACKED, "company_name"), (TRACKED, "source_updated_at")),
        "azure_tenant_id": ((TRACKED, "azure_tenant_id"), (TRACKED, "source_updated_at")),
        "provider": ((TRACKED, "azure_tenant_id"), (SIGNALS, "provider")),
        "sort_name": ((TRACKED, "company_name"),),
        **dict.fromkeys(("search_text", "search_grams"), ((LEADS, "domain"), (TRACKED, "company_name"))),
    },
    SIGNALS: {"domain": ((COMPANIES, "domain"),)},
    SCORES: {
        "domain": ((COMPANIES, "domain"),),
        "referral_type": ((TRACKED, "referral_type"), (TRACKED, "is_open")),
        **dict.fromkeys(
            (
                "score", "segment", "reason", "priority_score", "technical_heat", "commercial_segment",
                "commercial_heat", "category", "category_label", "breakdown", "inputs",
            ),
            _SCORED,
        ),
    },
}  # fmt: skip
"""Table -> column -> the columns that its values are made of. Columns that a stage makes itself are not named."""


def sources_text(table: str, column: str) -> str | None:
    """Where a column comes from, in words; None when the stage makes it itself."""
    sources = COLUMN_SOURCES.get(table, {}).get(column)
    return "from " + ", ".join(".".join(source) for source in sources) if sources else None


def column_lineage(table: str) -> dg.TableColumnLineage | None:
    """The mapping of one table for Dagster; None for a table that is made of no other."""
    columns = COLUMN_SOURCES.get(table)
    if columns is None:
        return None
    return dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=name) for asset, name in sources]
            for column, sources in columns.items()
        }
    )
