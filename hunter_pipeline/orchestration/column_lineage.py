"""Which column comes from which, from payload to score.

Belongs here: the mapping, and its form for Dagster. Does not belong here: anything measured, and what a column means
(`store.tables`). The mapping says what the stages' code does, and a test holds every name in it to the tables.
"""

import re
from collections.abc import Mapping

import dagster as dg

from hunter_pipeline.pipeline.company_sums import SUMS
from hunter_pipeline.pipeline.scores import FOUND_BY_SCAN
from hunter_pipeline.readers import lead_columns
from hunter_pipeline.store.tables import domain_signals

RAW = "partner_center_referrals_raw"
DOMAINS = "normalized_domains"
TRACKED = "partner_center_referrals"
LEADS = "raw_leads"
COMPANIES = "companies"
SIGNALS = "domain_signals"
SCORES = "lead_scores"
SYNCS = "sync_runs"
REGISTRATIONS = "domain_registrations"
TENANTS = "domain_tenants"
STORIES = "referral_lineage"
SOURCE = "partner_center"
USE = "lead_list"

Source = tuple[str, str]

_PAYLOAD: tuple[Source, ...] = ((RAW, "payload"),)
_SCORED: tuple[Source, ...] = (
    (SIGNALS, "provider"),
    *dict.fromkeys((SIGNALS, field if field in domain_signals.c else "signals") for field in FOUND_BY_SCAN.values()),
    (COMPANIES, "azure_tenant_id"),
    (TRACKED, "referral_type"),
    (TRACKED, "is_open"),
)

_TABLES = {"c": COMPANIES, "s": SCORES, "t": TRACKED}
"""What the short names in the SQL of `lead_columns` and `company_sums` stand for."""


def _read_by(sql: str) -> tuple[Source, ...]:
    """The columns that the expression of a sum, or of a column of the lead list, reads."""
    named = re.findall(r"\b([cst])\.([a-z_]+)", sql)
    return tuple(dict.fromkeys((_TABLES[short], column) for short, column in named))


COLUMN_SOURCES: Mapping[str, Mapping[str, tuple[Source, ...]]] = {
    RAW: {
        "referral_id": ((SOURCE, "id"),),
        "etag": ((SOURCE, "eTag"),),
        **dict.fromkeys(("source_updated_at", "partition_day"), ((SOURCE, "updatedDateTime"),)),
        **dict.fromkeys(("payload", "payload_original", "content_hash", "payload_form"), ((SOURCE, "referral"),)),
    },
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
                "source_updated_at", "warnings", "raw_data", "received_at", "sort_name", "deal_currency",
            ),
            _PAYLOAD,
        ),
        "search_text": (*_PAYLOAD, (DOMAINS, "domain")),
        "changed_at": (*_PAYLOAD, (RAW, "gone_at"), (DOMAINS, "domain")),
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
        **{name: _read_by(sql) for name, sql in SUMS.items()},
        "deal_currency": ((TRACKED, "currency"), (TRACKED, "deal_value")),
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
    SYNCS: {
        "fetched": ((RAW, "referral_id"),),
        "new_versions": ((RAW, "id"),),
        "succeeded": ((TRACKED, "domain"),),
        "skipped": ((DOMAINS, "skip_reason"),),
    },
    REGISTRATIONS: {"domain": ((COMPANIES, "domain"),)},
    TENANTS: {"domain": ((COMPANIES, "domain"),)},
    STORIES: {
        "referral_id": ((RAW, "referral_id"),),
        "input": ((RAW, "payload"), (DOMAINS, "attempts"), (SCORES, "inputs")),
        "decision": (
            (DOMAINS, "domain"), (DOMAINS, "skip_reason"), (TRACKED, "status"), (COMPANIES, "provider"),
            (SIGNALS, "signals"), (SCORES, "reason"),
        ),
    },
    USE: {column.name: _read_by(column.column.sql) for column in lead_columns.COLUMNS},
}  # fmt: skip
"""Table -> column -> the columns that its values are made of. Columns that a stage makes itself are not named."""


def column_lineage(asset: str) -> dg.TableColumnLineage:
    """The mapping of one asset for Dagster."""
    return dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(source), column_name=name) for source, name in sources]
            for column, sources in COLUMN_SOURCES[asset].items()
        }
    )
