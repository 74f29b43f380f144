"""What the scorer takes in, and what it refuses."""

from typing import Any

import pytest

from hunter_pipeline.scoring.facts import ScoreInputs, dmarc_of
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import Score, score

RULES = load_rules()


def scored(tenant_score: int = 55, cosell_bonus: int = 15, **facts: Any) -> Score:
    return score(ScoreInputs(**facts), RULES, tenant_score=tenant_score, cosell_bonus=cosell_bonus)


@pytest.mark.parametrize(
    ("state", "policy", "expected"),
    [
        ("ok", "reject", "reject"),
        ("ok", "quarantine", "quarantine"),
        ("ok", "none", "none"),
        ("ok", None, "invalid"),
        ("none", None, "missing"),
        ("invalid", None, "invalid"),
        ("unknown", None, "unknown"),
        ("unknown", "reject", "unknown"),
    ],
)
def test_a_scans_dmarc_state_and_policy_become_one_fact(state: str, policy: str | None, expected: str):
    assert dmarc_of(state, policy) == expected


@pytest.mark.parametrize(("state", "policy"), [("ok", "strict"), ("missing", None), ("", None)])
def test_a_dmarc_state_or_policy_that_is_not_known_is_refused(state: str, policy: str | None):
    with pytest.raises(ValueError, match="unknown DMARC"):
        dmarc_of(state, policy)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"provider": "gmail"}, "unknown provider 'gmail'; use M365, Google"),
        ({"mx": "nodata"}, "unknown mx 'nodata'; use present, none, null, unknown"),
        ({"spf": None}, "unknown spf None"),
        ({"dkim": True}, "unknown dkim True"),
        ({"dmarc": "ok"}, "unknown dmarc 'ok'"),
        ({"tenant_score": 101}, "tenant_score is 101; use a number from 0 to 100"),
        ({"cosell_bonus": -1}, "cosell_bonus is -1; use a number from 0 to 100"),
        ({"has_signals": False}, "scan it first"),
    ],
)
def test_inputs_that_cannot_be_scored_are_refused_with_the_fix(facts: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        scored(**facts)
