"""What each asset holds, as one short text: equal texts mean equal contents.

Belongs here: which columns make up an asset's content, and their hash. Does not belong here: when a hash is worked
out (`orchestration.versions`): it reads the whole table. Ids of runs and times are no content, nor is what another
stage writes into a table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy import Connection, text

HOLDINGS: Mapping[str, str] = {
    # Versions are only ever added.
    "partner_center_referrals_raw": "SELECT max(id) FROM partner_center_referrals_raw",
    "normalized_domains": "SELECT referral_id, domain, source, skip_reason FROM normalized_domains",
    "partner_center_referrals": """
        SELECT referral_id, raw_id, domain, referral_type, company_name, azure_tenant_id, status, substatus, is_open
        FROM partner_center_referrals""",
    "raw_leads": "SELECT external_id, raw_id, domain, company_name FROM raw_leads",
    "companies": "SELECT domain, canonical_name, azure_tenant_id FROM companies",
    "domain_signals": """
        SELECT domain, status, provider, gateway, confidence, mx_state, spf_state, spf_includes, dkim_state,
            dmarc_state, dmarc_policy FROM domain_signals""",
    "lead_scores": "SELECT domain, score, segment, category, reason, referral_type FROM lead_scores",
    "sync_runs": "SELECT max(window_end) FROM sync_runs",
    "domain_registrations": """
        SELECT domain, status, registrar, registered_at, expires_at, name_servers FROM domain_registrations""",
    "domain_tenants": "SELECT domain, status, tenant_id, region FROM domain_tenants",
}
"""Table -> the rows that are its content, in any order."""


def content_hash(connection: Connection, table: str) -> str:
    """The hash of a table's content, 16 hexadecimal digits."""
    held = connection.execute(
        text(
            f"SELECT count(*) || ':' || coalesce(sum(hashtextextended(q::text, 0)), 0) FROM ({HOLDINGS[table]}) q"  # noqa: S608 - a constant of this module
        )
    ).scalar_one()
    return hashlib.sha256(held.encode()).hexdigest()[:16]
