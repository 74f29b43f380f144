"""Stages `raw_leads` and `companies`: one lead per referral with a domain, one company per domain.

Both are set-based statements over what earlier stages wrote: no row travels through Python.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.company_sums import NAMES, SUMS, SUMS_OF_ONE, write_sums
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.lineage import ON_CONFLICT, not_told
from hunter_pipeline.pipeline.queue import Queue

SOURCE = "partnercenter"
AT_ONCE = 5000
"""Referrals or domains that one statement takes: no row travels through Python, so it may be many."""

LEADS_VERSION = "1"
"""Raise it when the statements below would write other rows from the same input."""

WRITE_LEADS = f"""
WITH changed AS (
    INSERT INTO raw_leads AS l
        (source, external_id, domain, company_name, email, website, payload, raw_id, run_id, created_at, updated_at)
    SELECT '{SOURCE}', t.referral_id, t.domain, t.company_name,
        (SELECT a->>'raw' FROM jsonb_array_elements(d.attempts) a WHERE a->>'kind' = 'email' LIMIT 1),
        (SELECT a->>'raw' FROM jsonb_array_elements(d.attempts) a WHERE a->>'kind' = 'website' LIMIT 1),
        t.raw_data, t.raw_id, :run, :now, :now
    FROM partner_center_referrals t JOIN normalized_domains d USING (referral_id)
    LEFT JOIN raw_leads o ON o.source = '{SOURCE}' AND o.external_id = t.referral_id
    WHERE t.referral_id = ANY(:items) AND t.domain IS NOT NULL
        AND (o.raw_id IS DISTINCT FROM t.raw_id OR o.domain <> t.domain OR o.updated_at < t.updated_at)
    ON CONFLICT (source, external_id) DO UPDATE SET domain = excluded.domain, company_name = excluded.company_name,
        email = excluded.email, website = excluded.website, payload = excluded.payload, raw_id = excluded.raw_id,
        run_id = excluded.run_id, updated_at = excluded.updated_at
    RETURNING external_id, domain, xmax = 0 AS is_new
), story AS (
    INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
    SELECT external_id, 'raw_leads', 'company domain ' || domain,
        CASE WHEN is_new THEN 'made a lead' ELSE 'updated the lead' END, '{SOURCE}/' || external_id,
        '{LEADS_VERSION}', :run, :now
    FROM changed
    {ON_CONFLICT}
)
SELECT count(*) FILTER (WHERE is_new) AS added, count(*) FILTER (WHERE NOT is_new) AS updated FROM changed
"""  # noqa: S608 - constants of this module

DROP_LEADS = f"""
WITH gone AS (
    DELETE FROM raw_leads l USING partner_center_referrals t
    WHERE l.source = '{SOURCE}' AND l.external_id = t.referral_id AND t.referral_id = ANY(:items) AND t.domain IS NULL
    RETURNING l.external_id, l.domain
), story AS (
    INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
    SELECT external_id, 'raw_leads', 'no company domain any more', 'withdrew the lead of ' || domain, NULL,
        '{LEADS_VERSION}', :run, :now
    FROM gone
    {ON_CONFLICT}
)
SELECT count(*) FROM gone
"""  # noqa: S608 - constants of this module

WRITE_COMPANIES = f"""
WITH wanted AS (
    SELECT l.domain,
        (array_agg(t.company_name ORDER BY t.source_updated_at DESC NULLS LAST, t.id DESC)
            FILTER (WHERE t.company_name IS NOT NULL))[1] AS name,
        (array_agg(t.azure_tenant_id ORDER BY t.source_updated_at DESC NULLS LAST, t.id DESC)
            FILTER (WHERE t.azure_tenant_id IS NOT NULL))[1] AS tenant
    FROM raw_leads l JOIN partner_center_referrals t ON l.source = '{SOURCE}' AND t.referral_id = l.external_id
    WHERE l.domain = ANY(:items)
    GROUP BY l.domain
), changed AS (
    INSERT INTO companies AS c
        (domain, canonical_name, provider, azure_tenant_id, run_id, created_at, updated_at, {NAMES})
    SELECT d.domain, d.name, CASE WHEN d.tenant IS NOT NULL THEN 'M365' ELSE s.provider END, d.tenant, :run, :now, :now,
        {", ".join(f"q.{name}" for name in SUMS)}
    FROM wanted d
    CROSS JOIN LATERAL ({SUMS_OF_ONE}) q
    LEFT JOIN companies o USING (domain)
    LEFT JOIN domain_signals s USING (domain)
    WHERE o.domain IS NULL OR o.azure_tenant_id IS DISTINCT FROM d.tenant
        OR o.canonical_name IS DISTINCT FROM coalesce(d.name, o.canonical_name)
        OR (d.tenant IS NOT NULL AND o.provider IS DISTINCT FROM 'M365')
    ON CONFLICT (domain) DO UPDATE SET canonical_name = coalesce(excluded.canonical_name, c.canonical_name),
        provider = excluded.provider, azure_tenant_id = excluded.azure_tenant_id, run_id = excluded.run_id,
        updated_at = excluded.updated_at
    RETURNING domain, xmax = 0 AS is_new
), story AS (
    INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
    SELECT l.external_id, 'companies', 'lead of ' || w.domain,
        CASE WHEN w.domain IN (SELECT domain FROM changed WHERE is_new) THEN 'made the company'
             WHEN w.domain IN (SELECT domain FROM changed) THEN 'updated the company' ELSE 'joined the company' END
        || CASE WHEN w.tenant IS NOT NULL THEN ', an M365 customer by its declared Azure tenant' ELSE '' END,
        w.domain, '{LEADS_VERSION}', :run, :now
    FROM wanted w CROSS JOIN LATERAL (
        SELECT source, external_id, domain FROM raw_leads WHERE domain = w.domain OFFSET 0) l
    WHERE l.source = '{SOURCE}'
        AND (w.domain IN (SELECT domain FROM changed) OR {not_told("companies", "l.external_id", "l.domain")})
    {ON_CONFLICT}
)
SELECT count(*) FILTER (WHERE is_new) AS added, count(*) FILTER (WHERE NOT is_new) AS updated FROM changed
"""  # noqa: S608 - constants of this module
"""Its story looks up what it needs of each company: PostgreSQL knows nothing of the number of rows in a WITH, and would
compare all with all in a join."""


def make_leads(context: StageContext) -> StageReport:
    """Make, update or withdraw the lead of every referral that changed.

    :returns: counts `added`, `updated`, `withdrawn`, `total`.
    """
    counts = {"added": 0, "updated": 0, "withdrawn": 0}
    with context.stage() as connection:
        queue = Queue(context, connection, "raw_leads", LEADS_VERSION)
        for items in queue.items("SELECT referral_id FROM partner_center_referrals", AT_ONCE):
            parameters = {"run": context.run_id, "now": context.clock(), "items": items}
            changed = connection.execute(text(WRITE_LEADS), parameters).one()
            counts["withdrawn"] += connection.execute(text(DROP_LEADS), parameters).scalar_one()
            counts["added"] += changed.added
            counts["updated"] += changed.updated
        totals = queue.totals(lambda: _count(connection, "SELECT count(*) AS total FROM raw_leads"))
        connection.commit()
    return StageReport({**counts, **totals})


def upsert_companies(context: StageContext) -> StageReport:
    """Make or update the company of every domain that has a lead, and what the referrals of a domain add up to.

    A declared Azure tenant makes the provider M365 and keeps it so, whatever DNS says.

    :returns: counts `added`, `updated`, `total`, `with_tenant`.
    """
    counts = {"added": 0, "updated": 0}
    with context.stage() as connection:
        queue = Queue(context, connection, "companies", LEADS_VERSION)
        for items in queue.items("SELECT DISTINCT domain FROM raw_leads", AT_ONCE):
            parameters = {"run": context.run_id, "now": context.clock(), "items": items}
            changed = connection.execute(text(WRITE_COMPANIES), parameters).one()
            write_sums(connection, items)
            counts["added"] += changed.added
            counts["updated"] += changed.updated
        totals = queue.totals(
            lambda: _count(connection, "SELECT count(*) AS total, count(azure_tenant_id) AS with_tenant FROM companies")
        )
        connection.commit()
    return StageReport({**counts, **totals}, seen=queue.seen)


def _count(connection: Connection, query: str) -> dict[str, int]:
    return dict(connection.execute(text(query)).mappings().one())
