"""What other rules would do to the leads as they stand, without writing anything.

Belongs here: reading the stored scores with the facts they rest on, and scoring those facts by the other rules.
Does not belong here: the comparison (`scoring.preview`) and how it is shown. The facts are the stored ones, not
today's, so that the difference is due to the rules alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, text

from hunter_pipeline.pipeline.scores import score_inputs
from hunter_pipeline.scoring.preview import Preview, compare
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.score import Part, Score, score

DISTINCT_SCORES = """
SELECT DISTINCT ON (inputs_hash, rules_hash) inputs_hash, rules_hash, inputs, score, segment, reason, priority_score,
    technical_heat, commercial_segment, commercial_heat, category, category_label, breakdown
FROM lead_scores
"""
"""Domains of equal facts, scored by equal rules, have equal scores: a hundred thousand have a few thousand."""


def preview_rules(engine: Engine, rules: Rules, *, tenant_score: int, cosell_bonus: int) -> Preview:
    """Compare the stored scores with what `rules` would make of the same facts.

    Domains without a stored score are not counted. Both queries see one state of the database, in a transaction
    that PostgreSQL holds to be read only.

    :param tenant_score: score of a declared Azure tenant in the comparison, 0 to 100.
    :param cosell_bonus: points for an open co-sell referral in the comparison, 0 to 100.
    """
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    before: dict[tuple[str, str], Score] = {}
    after: dict[tuple[str, str], Score] = {}
    with engine.connect().execution_options(**options) as connection:
        for row in connection.execute(text(DISTINCT_SCORES)).mappings():
            key = row["inputs_hash"], row["rules_hash"]
            before[key] = stored_score(row)
            after[key] = score(score_inputs(row["inputs"]), rules, tenant_score=tenant_score, cosell_bonus=cosell_bonus)
        leads = [
            (row.domain, (row.inputs_hash, row.rules_hash))
            for row in connection.execute(text("SELECT domain, inputs_hash, rules_hash FROM lead_scores"))
        ]
    return compare([(domain, before[key]) for domain, key in leads], [(domain, after[key]) for domain, key in leads])


def stored_score(row: Mapping[Any, Any]) -> Score:
    """The score that a row of `lead_scores` holds, with its breakdown."""
    parts = tuple(Part(part["rule"], part["points"], part["detail"]) for part in row["breakdown"])
    return Score(
        score=row["score"],
        segment=row["segment"],
        reason=row["reason"],
        priority_score=row["priority_score"],
        technical_heat=row["technical_heat"],
        commercial_segment=row["commercial_segment"],
        commercial_heat=row["commercial_heat"],
        category=row["category"],
        category_label=row["category_label"],
        breakdown=parts,
        # A hard fail is the only score without a part for the provider.
        hard_fail=not any(part.rule == "provider" for part in parts),
    )
