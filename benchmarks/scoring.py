"""How long changed rules take to re-score a hundred thousand domains, and how much memory.

Limit, in the same database in the same run: one plain `UPDATE` that changes the score of as many rows of
`lead_scores`. A re-scoring also reads every domain's facts, writes the history of each change and the lineage of
each referral (one a domain here), so it cannot be as cheap.
"""

from __future__ import annotations

import tempfile
import time
from importlib import resources
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.filled import database, vacuum
from benchmarks.report import Aim, Row, peak_mib, times
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.readers.rules_preview import preview_rules
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.rules_file import load_rules

TITLE = "Re-scoring after a change of rules"

FILL = """
SELECT setseed(0.5);
CREATE TEMPORARY TABLE made AS
SELECT n, 'company-' || n || '.com' AS domain, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e
FROM generate_series(1, :count) n;
INSERT INTO companies (domain, canonical_name, azure_tenant_id, run_id)
SELECT domain, 'Company ' || n, CASE WHEN a < 0.1 THEN 'tenant-' || n END, 'fill' FROM made;
INSERT INTO domain_signals (domain, status, provider, confidence, mx_state, spf_state, spf_includes, dkim_state,
    dmarc_state, dmarc_policy, signals, replies, code_version, run_id, scanned_at, derived_at)
SELECT domain, 'complete',
    (ARRAY['M365', 'Google', 'Yandex', 'Zoho', 'Amazon', 'Hosting', 'Local', 'Unknown'])[1 + floor(a * 8)::int], 'high',
    CASE WHEN b < 0.95 THEN 'present' ELSE 'none' END, (ARRAY['ok', 'none', 'permerror'])[1 + floor(c * 3)::int],
    floor(b * 6)::int, (ARRAY['found', 'none', 'revoked', 'unknown'])[1 + floor(d * 4)::int],
    CASE WHEN e < 0.75 THEN 'ok' ELSE 'none' END,
    CASE WHEN e < 0.75 THEN (ARRAY['none', 'quarantine', 'reject'])[1 + floor(e * 4)::int] END,
    '{}', '[]', 'fill', 'fill', now(), now()
FROM made;
INSERT INTO partner_center_referrals (referral_id, raw_id, referral_type, domain, status, is_open, code_version, run_id)
SELECT 'referral-' || n, n, (ARRAY['co-sell', 'marketplace', 'solution-provider'])[1 + floor(b * 3)::int], domain,
    'Active', c < 0.7, 'fill', 'fill' FROM made;
INSERT INTO raw_leads (source, external_id, domain, payload, raw_id, run_id)
SELECT 'partnercenter', 'referral-' || n, domain, '{}', n, 'fill' FROM made;
"""


def run(*, quick: bool) -> list[Row]:
    """Fill a database, score it, change one number of the rules, score it again."""
    count = 10_000 if quick else 100_000
    with database() as engine, tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        return _measure(engine, count, _changed_rules(Path(folder)))


def _measure(engine: Engine, count: int, changed: Rules) -> list[Row]:
    with engine.begin() as connection:
        for statement in filter(str.strip, FILL.split(";")):
            connection.execute(text(statement), {"count": count} if ":count" in statement else {})
    vacuum(engine)
    _score(engine, "first", load_rules())
    vacuum(engine)
    before = peak_mib()
    seconds, moved = _score(engine, "second", changed)
    peak = peak_mib()
    with engine.connect() as connection:
        facts = connection.execute(text("SELECT count(DISTINCT inputs_hash) FROM lead_scores")).scalar_one()
    vacuum(engine)
    started = time.perf_counter()
    preview = preview_rules(engine, load_rules(), tenant_score=55, cosell_bonus=15)
    previewing = time.perf_counter() - started
    with engine.begin() as connection:
        started = time.perf_counter()
        connection.execute(text("UPDATE lead_scores SET score = 100 - score, scored_at = now()"))
    limit = time.perf_counter() - started
    return [
        Row(
            f"Re-scoring {count:,} domains ({facts:,} different facts, {moved:,} changes)",
            f"{seconds:.1f} s, {count / seconds:,.0f} domains/s",
            f"{times(seconds / limit)} of the UPDATE",
            Aim(6, "re-scoring, of one UPDATE", seconds / limit, 3.0, at_most=True),
        ),
        Row("  peak memory of the process", f"{peak:.0f} MiB", f"{peak - before:+.0f} MiB in this pass"),
        Row(f"Plain UPDATE of {count:,} rows", f"{limit:.1f} s"),
        Row(
            f"Preview of the way back ({preview.changed:,} would change)",
            f"{previewing:.1f} s",
            f"{times(previewing / limit)} of the UPDATE",
        ),
    ]


def _score(engine: Engine, run_id: str, rules: Rules) -> tuple[float, int]:
    started = time.perf_counter()
    report = score_leads(StageContext(engine, run_id), rules, tenant_score=55, cosell_bonus=15)
    return time.perf_counter() - started, report.counts["changed"]


def _changed_rules(folder: Path) -> Rules:
    """The packaged rules with one number changed: an SPF record gives 8 points in place of 10."""
    packaged = resources.files("hunter_pipeline.scoring").joinpath("rules.yaml").read_text(encoding="utf-8")
    changed = packaged.replace("{name: spf_present, points: 10", "{name: spf_present, points: 8")
    assert changed != packaged
    file = folder / "rules.yaml"
    file.write_text(changed, encoding="utf-8")
    return load_rules(file)
