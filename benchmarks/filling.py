"""A database full of leads and referrals, written by the database itself in seconds.

Belongs here: what a long life leaves behind, made up: most referrals are closed, a few wait, some failed, some are
gone, names are of many alphabets and amounts of several currencies. Does not belong here: measuring, and the stages,
which `flow` runs. Nothing here depends on the day but the ends of the referrals that wait.
"""

from __future__ import annotations

import json

from sqlalchemy import Engine, text

from benchmarks.flow import referral
from hunter_pipeline.pipeline.company_sums import NAMES, SUMS_OF_ONE

_PAYLOADS = 200
_NAMES = (
    *("Işık Madencilik", "Isparta Gül Yağı", "Çelik Makina", "Ünal Tekstil", "Şahin Lojistik", "İnci Holding"),
    *("Contoso", "Fabrikam", "Northwind Traders", "Müller Maschinenbau", "Café Łódź", "Αθηνά Ναυτιλιακή"),
    *("Северный Ветер", "شركة النور", "日本商事", "Adatum", "Tailspin Toys", "Woodgrove"),
)

_STEPS = (
    # What writes marks for the stages would have them look at everything.
    "SET LOCAL session_replication_role = replica",
    """
    CREATE TEMPORARY TABLE made ON COMMIT DROP AS
    SELECT n, CAST(md5(CAST(n AS text)) AS uuid)::text AS referral_id,
        (CAST(:names AS text[]))[1 + n % cardinality(CAST(:names AS text[]))] || ' ' || n AS name,
        CASE WHEN n % 10 > 0 THEN 'company-' || lpad(CAST(n % :companies AS text), 6, '0') || '.com' END AS domain,
        CASE WHEN n % 100 < 83 THEN 'Closed' WHEN n % 100 < 95 THEN 'Active' ELSE 'New' END AS status,
        CASE WHEN n % 100 < 83 THEN (ARRAY['Won', 'Lost', 'Declined', 'Expired'])[1 + n % 4]
            WHEN n % 100 < 95 THEN 'Accepted' ELSE 'Pending' END AS substatus,
        CASE WHEN n % 50 = 7 THEN now() - CAST(n % 300 || ' days' AS interval) END AS gone_at,
        CASE WHEN n % 20 > 0 THEN round((n * 37 % 90000) / 7.0, 2) END AS deal_value,
        (ARRAY['EUR', 'EUR', 'EUR', 'USD', 'USD', 'TRY', NULL])[1 + n % 7] AS currency,
        now() + CAST(CASE WHEN n % 100 >= 95 THEN n % 14 * 24 - 12 ELSE -(n % 9000) END || ' hours' AS interval)
            AS expires_at,
        now() - CAST(n % 20000 || ' hours' AS interval) AS created,
        CASE WHEN n % 97 = 0 THEN 'CRM-' || n END AS reference,
        (ARRAY['co-sell', 'co-sell', 'marketplace', 'solution-provider', NULL])[1 + n % 5] AS referral_type
    FROM generate_series(1, :referrals) n
    """,
    """
    INSERT INTO partner_center_referrals_raw (referral_id, content_hash, source_updated_at, partition_day, payload,
        payload_form, fetched_at, last_seen_at, is_current, gone_at, run_id)
    SELECT referral_id, md5(referral_id), created, CAST(created AS date), CAST(:payloads AS jsonb)->(n % :kinds)
        || jsonb_strip_nulls(jsonb_build_object('id', referral_id, 'externalReferenceId', reference)),
        'list', created, created, true, gone_at, 'fill'
    FROM made ORDER BY n
    """,
    """
    INSERT INTO normalized_domains (referral_id, raw_id, domain, skip_reason, attempts, code_version, run_id,
        decided_at)
    SELECT m.referral_id, r.id, m.domain, CASE WHEN m.domain IS NULL THEN 'consumer_mail' END, '[]', '1', 'fill',
        created
    FROM made m JOIN partner_center_referrals_raw r USING (referral_id)
    """,
    """
    INSERT INTO partner_center_referrals (referral_id, raw_id, referral_type, company_name, domain, status, substatus,
        is_open, gone_at, deal_value, currency, expires_at, source_created_at, source_updated_at, raw_data,
        code_version, run_id, synced_at, changed_at, created_at, updated_at)
    SELECT m.referral_id, r.id, m.referral_type, m.name, m.domain, m.status, m.substatus,
        m.status <> 'Closed' AND m.gone_at IS NULL, m.gone_at, m.deal_value, m.currency, m.expires_at, m.created,
        m.created, CAST(CAST(r.payload AS text) AS jsonb), '1', 'fill', m.created, m.created, m.created,
        m.created
    FROM made m JOIN partner_center_referrals_raw r USING (referral_id) ORDER BY m.n
    """,
    """
    INSERT INTO raw_leads (source, external_id, domain, company_name, payload, raw_id, run_id)
    SELECT 'partnercenter', t.referral_id, t.domain, t.company_name, '{}', t.raw_id, 'fill'
    FROM partner_center_referrals t WHERE t.domain IS NOT NULL
    """,
    f"""
    INSERT INTO companies (domain, canonical_name, provider, run_id, {NAMES})
    SELECT d.domain, d.name, (ARRAY['M365', 'Google', 'Local', 'Hosting'])[1 + d.first % 4], 'fill', q.*
    FROM (SELECT domain, min(company_name) AS name, min(raw_id) AS first
        FROM partner_center_referrals WHERE domain IS NOT NULL GROUP BY domain) d
    CROSS JOIN LATERAL ({SUMS_OF_ONE}) q
    """,
    """
    INSERT INTO lead_scores (domain, score, segment, reason, priority_score, technical_heat, commercial_segment,
        commercial_heat, category, category_label, referral_type, breakdown, rules_hash, inputs, inputs_hash, run_id,
        scored_at)
    SELECT domain, id % 101, (ARRAY['Existing', 'Migration', 'Cold', 'Skip'])[1 + id % 4], 'A reason of some length',
        1 + id % 7, 'Hot', 'GREENFIELD', 'HIGH', 'P' || 1 + id % 6, 'What it means', 'co-sell', '[]', 'h', '{}', 'h',
        'fill', now() FROM companies WHERE id % 50 > 0
    """,
    """
    INSERT INTO referral_failures (item_key, stage, error, code_version, run_id, first_seen_at, last_seen_at)
    SELECT CASE WHEN n % 2 = 0 THEN referral_id ELSE 'sha256:' || md5(referral_id) END, 'partner_center_referrals',
        'customerProfile is a list', '1', 'fill', created, created
    FROM made WHERE n % 200 = 0 OR n % 401 = 0
    """,
)


def fill(engine: Engine, referrals: int, companies: int) -> None:
    """Write so many referrals of so many companies into an empty database; the statistics stay as they are."""
    parameters = {
        "referrals": referrals,
        "companies": companies,
        "names": list(_NAMES),
        "payloads": json.dumps([referral(number) for number in range(_PAYLOADS)]),
        "kinds": _PAYLOADS,
    }
    with engine.begin() as connection:
        for step in _STEPS:
            connection.execute(text(step), parameters)
