"""Properties that hold for every domain under the packaged rules."""

from dataclasses import replace
from itertools import pairwise, product
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.scoring.facts import DkimState, DmarcState, MxState, ScoreInputs, SpfState
from hunter_pipeline.scoring.rules import CATEGORIES, COMMERCIAL_HEATS
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import Score, score

RULES = load_rules()
TYPES = ("co-sell", "marketplace", "solution-provider")

inputs = st.builds(
    ScoreInputs,
    provider=st.sampled_from(list(RULES.provider_points)),
    mx=st.sampled_from(get_args(MxState)),
    spf=st.sampled_from(get_args(SpfState)),
    dkim=st.sampled_from(get_args(DkimState)),
    dmarc=st.sampled_from(get_args(DmarcState)),
    spf_includes=st.none() | st.integers(0, 40),
    azure_tenant=st.booleans(),
    open_referral_types=st.frozensets(st.sampled_from(TYPES)),
)
percent = st.integers(0, 100)
examples = settings(max_examples=300, deadline=None)


def scored(facts: ScoreInputs, tenant_score: int = 55, cosell_bonus: int = 15) -> Score:
    return score(facts, RULES, tenant_score=tenant_score, cosell_bonus=cosell_bonus)


@examples
@given(inputs, percent, percent)
def test_a_score_stays_within_0_and_100_and_its_parts_add_up(facts: ScoreInputs, tenant_score: int, bonus: int):
    result = scored(facts, tenant_score, bonus)
    assert 0 <= result.score <= 100
    assert sum(part.points for part in result.breakdown) == result.score


@examples
@given(inputs, percent, percent)
def test_a_co_sell_referral_never_makes_a_lead_worse(facts: ScoreInputs, tenant_score: int, bonus: int):
    without = scored(replace(facts, open_referral_types=facts.open_referral_types - {"co-sell"}), tenant_score, bonus)
    with_it = scored(replace(facts, open_referral_types=facts.open_referral_types | {"co-sell"}), tenant_score, bonus)
    assert with_it.score >= without.score
    assert with_it.priority_score <= without.priority_score
    before, after = CATEGORIES.index(without.category), CATEGORIES.index(with_it.category)
    assert after <= before
    if after == before:
        assert COMMERCIAL_HEATS.index(with_it.commercial_heat) <= COMMERCIAL_HEATS.index(without.commercial_heat)


EVERY_SIGNAL: list[dict[str, Any]] = [
    {"provider": provider, "spf": spf, "dkim": dkim, "dmarc": dmarc, "spf_includes": includes, "mx": "present"}
    for provider, spf, dkim, dmarc, includes in product(
        list(RULES.provider_points), get_args(SpfState), get_args(DkimState), get_args(DmarcState), (0, 4)
    )
]


@pytest.mark.parametrize(
    ("signal", "worst_to_best"),
    [
        ("spf", ("none", "permerror", "ok")),
        ("spf", ("none", "unknown", "ok")),
        ("dkim", ("none", "unknown_selector", "found")),
        ("dkim", ("revoked", "unknown", "found")),
        # Publishing the policy "none" costs ten points and having no record costs nothing, so "stricter" is said of
        # published policies, and of a missing record against an enforcing one; not of missing against "none".
        ("dmarc", ("none", "quarantine", "reject")),
        ("dmarc", ("missing", "quarantine", "reject")),
        ("dmarc", ("invalid", "quarantine", "reject")),
    ],
)
def test_better_protection_never_lowers_a_score(signal: str, worst_to_best: tuple[str, ...]):
    # All 2,400 combinations are tried: they are few, and a sample could miss the one that fails.
    for facts in EVERY_SIGNAL:
        scores = [scored(ScoreInputs(**{**facts, signal: state})).score for state in worst_to_best]
        assert all(worse <= better for worse, better in pairwise(scores)), (facts, scores)


def test_a_first_dmarc_record_with_policy_none_costs_ten_points():
    facts = ScoreInputs(provider="Google", mx="present", spf="ok", dkim="found", dmarc="missing")
    assert scored(replace(facts, dmarc="none")).score == scored(facts).score - 10


@examples
@given(inputs, st.lists(st.sampled_from(TYPES), max_size=5), st.randoms(use_true_random=False))
def test_order_and_number_of_referrals_do_not_matter(facts: ScoreInputs, types: list[str], random: Any):
    shuffled = types * 2
    random.shuffle(shuffled)
    one = scored(replace(facts, open_referral_types=frozenset(types)))
    assert scored(replace(facts, open_referral_types=frozenset(shuffled))) == one
    only_whether_co_sell = frozenset({"co-sell"}) & frozenset(types)
    assert scored(replace(facts, open_referral_types=only_whether_co_sell)) == one


@examples
@given(inputs)
def test_what_was_not_determined_is_named_in_reason_and_breakdown(facts: ScoreInputs):
    result = scored(facts)
    if result.hard_fail:
        return
    named = {part.rule for part in result.breakdown}
    for name in ("mx", "spf", "dkim", "dmarc"):
        assert (f"{name}_unknown" in named) == (getattr(facts, name) == "unknown")
        if getattr(facts, name) == "unknown" and not facts.azure_tenant:
            assert name.upper() in result.reason
            assert "not determined" in result.reason


@examples
@given(inputs, percent, percent)
def test_a_rules_file_read_twice_scores_alike(facts: ScoreInputs, tenant_score: int, bonus: int):
    again = score(facts, OTHER_RULES, tenant_score=tenant_score, cosell_bonus=bonus)
    assert again == scored(facts, tenant_score, bonus)


OTHER_RULES = load_rules()
