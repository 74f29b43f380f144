"""Stage `domain_signals`: look up each company's domain once, keep the replies, derive what they mean.

A domain that has signals is left alone, unless a look-up stayed open and its retry is due. Signals that were
derived by older rules are derived again from the kept replies, without asking DNS. Batches are written as they
come in, so a killed run loses at most one batch of look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from hunter_pipeline.pipeline.context import BATCH, StageContext, StageReport
from hunter_pipeline.pipeline.lineage import ON_CONFLICT
from hunter_pipeline.scan.dns import Reply
from hunter_pipeline.scan.scan import SIGNALS_VERSION, DomainScan, Signals, derive_signals
from hunter_pipeline.store.tables import domain_signals

STAGE = "domain_signals"

SCAN_BATCH = 200
"""Domains that are looked up together and written in one transaction."""

FIRST_RETRY = timedelta(minutes=10)
LAST_RETRY = timedelta(days=1)

Scan = Callable[[Sequence[str]], list[DomainScan]]

DUE = """
SELECT c.domain FROM companies c LEFT JOIN domain_signals s USING (domain)
WHERE s.domain IS NULL OR (s.status = 'partial' AND s.retry_at <= :now)
ORDER BY c.id
"""

WRITE_LINEAGE = f"""
INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
SELECT l.external_id, '{STAGE}',
    CASE WHEN s.run_id = :run THEN 'looked up ' || s.domain ELSE 'the company was scanned before' END,
    'provider ' || s.provider || ' (' || s.confidence || ' confidence), MX ' || s.mx_state || ', SPF ' || s.spf_state
        || ', DKIM ' || s.dkim_state || ', DMARC ' || coalesce(s.dmarc_policy, s.dmarc_state)
        || CASE WHEN s.status = 'partial' THEN '; some look-ups are open and will be tried again' ELSE '' END,
    s.domain, s.code_version, :run, :now
FROM raw_leads l JOIN domain_signals s USING (domain)
WHERE s.run_id = :run OR NOT EXISTS (SELECT FROM referral_lineage x
    WHERE x.referral_id = l.external_id AND x.stage = '{STAGE}' AND x.row_key = l.domain)
{ON_CONFLICT}
"""  # noqa: S608 - constants of this module

WRITE_PROVIDERS = """
UPDATE companies c SET provider = s.provider, run_id = :run, updated_at = :now FROM domain_signals s
WHERE s.domain = c.domain AND c.azure_tenant_id IS NULL AND c.provider IS DISTINCT FROM s.provider
"""


def scan_domains(context: StageContext, scan: Scan) -> StageReport:
    """Look up the domains that are due and derive their signals.

    :param scan: looks up some domains and gives one result each, in any order.
    :returns: counts `scanned`, `partial`, `rederived`, `total`; group `providers` over the whole table.
    """
    counts = {"scanned": 0, "partial": 0, "rederived": 0}
    with context.stage() as connection:
        counts["rederived"] = _rederive(connection, context)
        due = list(connection.execute(text(DUE), {"now": context.clock()}).scalars())
        connection.commit()
        for start in range(0, len(due), SCAN_BATCH):
            results = scan(due[start : start + SCAN_BATCH])
            rows = [_row(context, result, _old(connection, result.domain)) for result in results]
            _upsert(connection, rows)
            connection.commit()
            counts["scanned"] += len(rows)
            counts["partial"] += sum(row["status"] == "partial" for row in rows)
            context.progress(f"{counts['scanned']} of {len(due)} domains looked up, {counts['partial']} partly")
        parameters = {"run": context.run_id, "now": context.clock()}
        connection.execute(text(WRITE_PROVIDERS), parameters)
        connection.execute(text(WRITE_LINEAGE), parameters)
        providers = connection.execute(
            text("SELECT provider, count(*) AS n FROM domain_signals GROUP BY 1 ORDER BY 2 DESC, 1")
        ).all()
        connection.commit()
    counts["total"] = sum(row.n for row in providers)
    return StageReport(counts, {"providers": {row.provider: row.n for row in providers}})


def _rederive(connection: Connection, context: StageContext) -> int:
    """Read the kept replies again where older rules read them, without asking DNS."""
    done = 0
    while True:
        stale = connection.execute(
            text(
                "SELECT domain, replies, signals, kept, attempts, scanned_at FROM domain_signals"
                " WHERE code_version <> :version LIMIT :limit"
            ),
            {"version": SIGNALS_VERSION, "limit": BATCH},
        ).all()
        if not stale:
            return done
        rows = []
        for old in stale:
            replies = tuple(Reply.from_json(reply) for reply in old.replies)
            row = _row(context, DomainScan(old.domain, replies, derive_signals(old.domain, replies)), None)
            rows.append(row | {"scanned_at": old.scanned_at, "attempts": old.attempts})
        _upsert(connection, rows)
        connection.commit()
        done += len(rows)
