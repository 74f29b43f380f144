"""Stage `lead_scores`: score every domain whose facts or whose rules changed, in one set-based pass.

The database works out each domain's facts. Domains share them, so only distinct facts travel to the scorer
and their scores back; joining the two writes all rows, the history and the lineage. A hundred thousand
domains cost a few thousand scorings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.lineage import ON_CONFLICT, not_told
from hunter_pipeline.pipeline.queue import Queue
from hunter_pipeline.scoring.facts import FACTS, ScoreInputs
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.score import SCORER_VERSION, Score, score
from hunter_pipeline.store.tables import domain_signals

STAGE = "lead_scores"

AT_ONCE = 20_000
"""Domains that one pass takes: their facts and scores stay in the database."""

FOUND_BY_SCAN = {name: field for fact in FACTS for name, field in fact.fields.items()}
"""Facts of a scan, each with the field of its signals: a column of `domain_signals`, or else a key of their JSON."""

_FOUND = " ".join(
    f"'{name}', s.{field}," if field in domain_signals.c else f"'{name}', s.signals->'{field}',"
    for name, field in FOUND_BY_SCAN.items()
)

READ_FACTS = f"""
SELECT c.domain,
    jsonb_build_object('provider', s.provider, {_FOUND}
        'has_signals', s.domain IS NOT NULL, 'azure_tenant', c.azure_tenant_id IS NOT NULL,
        'open_types', coalesce(r.open_types, '[]'), 'referral_type', r.referral_type) AS inputs
FROM companies c
LEFT JOIN domain_signals s USING (domain)
LEFT JOIN (
    SELECT domain,
        jsonb_agg(DISTINCT referral_type ORDER BY referral_type) FILTER (WHERE is_open) AS open_types,
        (array_agg(referral_type ORDER BY is_open DESC, referral_type))[1] AS referral_type
    FROM partner_center_referrals WHERE domain = ANY(:items) AND referral_type IS NOT NULL GROUP BY domain
) r USING (domain)
WHERE c.domain = ANY(:items) AND (s.domain IS NOT NULL OR c.azure_tenant_id IS NOT NULL)
"""  # noqa: S608 - names that are declared in the code
"""The facts of those domains of `:items` that can be scored: with signals, or a declared tenant, which needs none.

The type shown for a domain is that of an open referral before a closed one, co-sell before marketplace before
solution-provider (which is their alphabetical order).
"""

FIND_PENDING = f"""
CREATE TEMPORARY TABLE pending_scores ON COMMIT DROP AS
SELECT f.domain, f.inputs, md5(f.inputs::text) AS inputs_hash
FROM ({READ_FACTS}) f LEFT JOIN lead_scores l USING (domain)
WHERE l.inputs_hash IS DISTINCT FROM md5(f.inputs::text) OR l.rules_hash <> :rules
"""  # noqa: S608 - a constant of this module

CREATE_RESULTS = """
CREATE TEMPORARY TABLE score_results (
    inputs_hash text PRIMARY KEY, score smallint, segment text, reason text, priority_score smallint,
    technical_heat text, commercial_segment text, commercial_heat text, category text, category_label text,
    breakdown jsonb
) ON COMMIT DROP
"""

STORE_RESULTS = """
INSERT INTO score_results SELECT * FROM jsonb_to_recordset(CAST(:results AS jsonb)) AS r(
    inputs_hash text, score smallint, segment text, reason text, priority_score smallint, technical_heat text,
    commercial_segment text, commercial_heat text, category text, category_label text, breakdown jsonb)
"""

WRITE_HISTORY = """
INSERT INTO lead_score_history (domain, cause, old_score, new_score, old_segment, new_segment, old_category,
    new_category, rules_hash, run_id, changed_at)
SELECT p.domain,
    CASE WHEN l.domain IS NULL THEN 'first'
         WHEN l.inputs_hash = p.inputs_hash THEN 'rules'
         -- no fact is another than before: this release only knows more of them
         WHEN p.inputs @> l.inputs AND p.inputs->'open_types' = l.inputs->'open_types' THEN 'rules'
         WHEN (l.inputs - 'azure_tenant' - 'open_types' - 'referral_type')
            = (p.inputs - 'azure_tenant' - 'open_types' - 'referral_type') THEN 'referral'
         ELSE 'signals' END,
    l.score, r.score, l.segment, r.segment, l.category, r.category, :rules, :run, :now
FROM pending_scores p JOIN score_results r USING (inputs_hash) LEFT JOIN lead_scores l USING (domain)
WHERE (l.score, l.segment, l.category) IS DISTINCT FROM (r.score, r.segment, r.category)
"""

WRITE_SCORES = """
INSERT INTO lead_scores (domain, score, segment, reason, priority_score, technical_heat, commercial_segment,
    commercial_heat, category, category_label, referral_type, breakdown, rules_hash, inputs, inputs_hash, run_id,
    scored_at)
SELECT p.domain, r.score, r.segment, r.reason, r.priority_score, r.technical_heat, r.commercial_segment,
    r.commercial_heat, r.category, r.category_label, p.inputs->>'referral_type', r.breakdown, :rules, p.inputs,
    p.inputs_hash, :run, :now
FROM pending_scores p JOIN score_results r USING (inputs_hash)
ON CONFLICT (domain) DO UPDATE SET score = excluded.score, segment = excluded.segment, reason = excluded.reason,
    priority_score = excluded.priority_score, technical_heat = excluded.technical_heat,
    commercial_segment = excluded.commercial_segment, commercial_heat = excluded.commercial_heat,
    category = excluded.category, category_label = excluded.category_label, referral_type = excluded.referral_type,
    breakdown = excluded.breakdown, rules_hash = excluded.rules_hash, inputs = excluded.inputs,
    inputs_hash = excluded.inputs_hash, run_id = excluded.run_id, scored_at = excluded.scored_at
"""

WRITE_LINEAGE = f"""
INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
SELECT l.external_id, '{STAGE}',
    'provider ' || coalesce(p.inputs->>'provider', 'not scanned') || CASE WHEN (p.inputs->>'azure_tenant')::boolean
        THEN ', declared Azure tenant' ELSE '' END || ', open referrals: '
        || coalesce((SELECT string_agg(t, ', ') FROM jsonb_array_elements_text(p.inputs->'open_types') t), 'none'),
    'score ' || r.score || ', ' || r.segment || ', ' || r.category || ': ' || r.reason, p.domain, :version, :run, :now
FROM pending_scores p JOIN score_results r USING (inputs_hash) JOIN raw_leads l ON l.domain = p.domain
{ON_CONFLICT}
"""  # noqa: S608 - constants of this module

CATCH_UP_LINEAGE = f"""
INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
SELECT l.external_id, '{STAGE}', 'the company was scored before', 'score ' || s.score || ', ' || s.segment || ', '
    || s.category || ': ' || s.reason, s.domain, :version, :run, :now
FROM raw_leads l JOIN lead_scores s USING (domain)
WHERE l.domain = ANY(:items) AND {not_told(STAGE, "l.external_id", "l.domain")}
{ON_CONFLICT}
"""  # noqa: S608 - constants of this module


def rules_version(rules: Rules, tenant_score: int, cosell_bonus: int) -> str:
    """The hash of everything besides a domain's facts that its score rests on."""
    return hashlib.sha256(f"{rules.hash} {SCORER_VERSION} {tenant_score} {cosell_bonus}".encode()).hexdigest()


def score_inputs(facts: Mapping[str, Any]) -> ScoreInputs:
    """The scorer's inputs from the JSON that `READ_FACTS` builds.

    A fact that an older release has not stored is not known, nor is one that an older scan has not found.
    """
    referrals: dict[str, Any] = {
        "azure_tenant": facts["azure_tenant"],
        "open_referral_types": frozenset(facts["open_types"]),
    }
    if not facts["has_signals"]:
        return ScoreInputs(has_signals=False, **referrals)
    found = {each.name: each.value(facts) for each in FACTS if facts.get(each.name) is not None}
    return ScoreInputs(provider=facts["provider"], **found, **referrals)


def score_leads(context: StageContext, rules: Rules, *, tenant_score: int, cosell_bonus: int) -> StageReport:
    """Score what changed.

    :param tenant_score: score of a declared Azure tenant.
    :param cosell_bonus: points for an open co-sell referral.
    :returns: counts `scored`, `changed`, `total`; groups `segments`, `categories` and `scores` (by tens) over all.
    """
    version = rules_version(rules, tenant_score, cosell_bonus)
    counts = {"scored": 0, "changed": 0}

    def judge(facts: Mapping[str, Any]) -> Score:
        return score(score_inputs(facts), rules, tenant_score=tenant_score, cosell_bonus=cosell_bonus)

    with context.stage() as connection:
        queue = Queue(context, connection, STAGE, version)
        for items in queue.items("SELECT domain FROM companies", AT_ONCE):
            parameters = {
                "rules": version,
                "run": context.run_id,
                "now": context.clock(),
                "version": version[:12],
                "items": items,
            }
            scored, changed = _score(connection, judge, parameters)
            counts["scored"] += scored
            counts["changed"] += changed
        totals = queue.totals(lambda: _totals(connection))
        connection.commit()
    return StageReport({**counts, "total": totals["total"]}, totals["groups"], queue.seen)


def _score(
    connection: Connection, judge: Callable[[Mapping[str, Any]], Score], parameters: Mapping[str, object]
) -> tuple[int, int]:
    """Score what changed of some domains; the caller commits, which drops the temporary tables."""
    connection.execute(text(FIND_PENDING), parameters)
    connection.execute(text(CREATE_RESULTS))
    distinct = connection.execute(text("SELECT DISTINCT inputs_hash, inputs FROM pending_scores")).all()
    results = [{"inputs_hash": row.inputs_hash, **_columns(judge(row.inputs))} for row in distinct]
    changed = 0
    scored = 0
    if results:
        connection.execute(text(STORE_RESULTS), {"results": json.dumps(results)})
        changed = connection.execute(text(WRITE_HISTORY), parameters).rowcount
        scored = connection.execute(text(WRITE_SCORES), parameters).rowcount
        connection.execute(text(WRITE_LINEAGE), parameters)
    connection.execute(text(CATCH_UP_LINEAGE), parameters)
    return scored, changed


def _columns(result: Score) -> dict[str, Any]:
    return {
        "score": result.score,
        "segment": result.segment,
        "reason": result.reason,
        "priority_score": result.priority_score,
        "technical_heat": result.technical_heat,
        "commercial_segment": result.commercial_segment,
        "commercial_heat": result.commercial_heat,
        "category": result.category,
        "category_label": result.category_label,
        "breakdown": [{"rule": part.rule, "points": part.points, "detail": part.detail} for part in result.breakdown],
    }


def _totals(connection: Connection) -> Mapping[str, Any]:
    rows = connection.execute(
        text("SELECT segment, category, score / 10 * 10 AS tens, count(*) AS n FROM lead_scores GROUP BY 1, 2, 3")
    ).all()
    groups: dict[str, dict[str, int]] = {"segments": {}, "categories": {}, "scores": {}}
    for row in sorted(rows, key=lambda row: (row.category, row.tens)):
        for group, name in (("segments", row.segment), ("categories", row.category), ("scores", str(row.tens))):
            groups[group][name] = groups[group].get(name, 0) + row.n
    return {"total": sum(row.n for row in rows), "groups": groups}
