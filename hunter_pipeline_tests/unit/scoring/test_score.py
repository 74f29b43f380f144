"""Every rule, and every row of the segment, priority and category tables, with the numbers spelled out.

The numbers are repeated here on purpose: a changed number in the packaged rules must be changed in two places.
"""

from typing import Any

import pytest

from hunter_pipeline.scoring.facts import ScoreInputs
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import Part, Score, score

RULES = load_rules()
CO_SELL = frozenset({"co-sell"})
# Provider Local, 10 points, with nothing that adds or takes any.
NEUTRAL: dict[str, Any] = {"provider": "Local", "mx": "present"}


def scored(rules: Rules = RULES, tenant_score: int = 55, cosell_bonus: int = 15, **facts: Any) -> Score:
    return score(ScoreInputs(**facts), rules, tenant_score=tenant_score, cosell_bonus=cosell_bonus)


def points(result: Score) -> dict[str, int]:
    return {part.rule: part.points for part in result.breakdown}


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("M365", 50),
        ("Google", 50),
        ("Yandex", 30),
        ("Zoho", 30),
        ("Amazon", 20),
        ("SendGrid", 20),
        ("Mailgun", 20),
        ("Hosting", 20),
        ("Local", 10),
        ("Unknown", 0),
    ],
)
def test_each_provider_gives_its_points(provider: str, expected: int):
    result = scored(provider=provider, mx="present")
    assert points(result)["provider"] == expected
    assert result.score == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"spf": "ok"}, {"spf_present": 10}),
        ({"spf": "none"}, {"spf_missing": -10}),
        ({"spf": "permerror"}, {"spf_broken": 0}),
        ({"spf": "permerror", "spf_includes": 11}, {"spf_broken": 0}),
        ({"spf": "unknown"}, {"spf_unknown": 0}),
        ({"spf": "unknown", "spf_includes": 9}, {"spf_unknown": 0}),
        ({"spf": "ok", "spf_includes": 3}, {"spf_present": 10}),
        ({"spf": "ok", "spf_includes": 4}, {"spf_present": 10, "spf_many_includes": -5}),
        ({"spf": "ok", "spf_includes": None}, {"spf_present": 10}),
        ({"dkim": "found"}, {"dkim_present": 10}),
        ({"dkim": "none"}, {"dkim_missing": -10, "dkim_missing_extra": -5}),
        ({"dkim": "revoked"}, {"dkim_missing": -10, "dkim_missing_extra": -5}),
        ({"dkim": "unknown_selector"}, {"dkim_unknown_selector": 0}),
        ({"dkim": "unknown"}, {"dkim_unknown": 0}),
        ({"dmarc": "reject"}, {"dmarc_reject": 20}),
        ({"dmarc": "quarantine"}, {"dmarc_quarantine": 15}),
        ({"dmarc": "none"}, {"dmarc_none": -10}),
        ({"dmarc": "missing"}, {"dmarc_missing": 0}),
        ({"dmarc": "invalid"}, {"dmarc_invalid": 0}),
        ({"dmarc": "unknown"}, {"dmarc_unknown": 0}),
        ({"mx": "unknown"}, {"mx_unknown": 0}),
    ],
)
def test_each_signal_gives_its_points_and_no_others(facts: dict[str, Any], expected: dict[str, int]):
    # Yandex stands high enough above 0 that nothing is clamped.
    result = scored(**{"provider": "Yandex", "mx": "present", **facts})
    about = next(iter(facts))
    assert {rule: given for rule, given in points(result).items() if rule.startswith(about)} == expected
    others = {rule: given for rule, given in points(result).items() if not rule.startswith(about)}
    unknown = {f"{name}_unknown": 0 for name in ("spf", "dkim", "dmarc") if name != about}
    assert others == {"provider": 30, **unknown}


@pytest.mark.parametrize("dkim", ["none", "revoked"])
def test_hosting_with_neither_spf_nor_dkim_loses_ten_more(dkim: str):
    assert points(scored(provider="Hosting", mx="present", spf="none", dkim=dkim))["hosting_unprotected"] == -10


@pytest.mark.parametrize(
    "facts",
    [
        {"provider": "Hosting", "spf": "ok", "dkim": "none"},
        {"provider": "Hosting", "spf": "none", "dkim": "found"},
        {"provider": "Hosting", "spf": "none", "dkim": "unknown"},
        {"provider": "Hosting", "spf": "unknown", "dkim": "none"},
        {"provider": "Hosting", "spf": "none", "dkim": "unknown_selector"},
        {"provider": "Hosting", "spf": "permerror", "dkim": "none"},
        {"provider": "Local", "spf": "none", "dkim": "none"},
    ],
)
def test_the_hosting_rule_needs_hosting_and_both_known_to_be_absent(facts: dict[str, Any]):
    assert "hosting_unprotected" not in points(scored(mx="present", **facts))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"provider": "M365", "spf": "ok", "dkim": "found", "dmarc": "reject"}, 90),
        ({"provider": "Google", "spf": "ok", "dkim": "none", "dmarc": "missing"}, 45),
        ({"provider": "Hosting", "spf": "none", "dkim": "none", "dmarc": "missing"}, 0),
    ],
)
def test_the_worked_examples_come_out(facts: dict[str, Any], expected: int):
    assert scored(mx="present", **facts).score == expected


def test_a_sum_below_zero_is_raised_by_a_part_of_its_own():
    result = scored(provider="Hosting", mx="present", spf="none", dkim="none", dmarc="missing")
    assert result.breakdown[-1] == Part("clamp", 15, "Kept within 0 to 100 (the sum is -15)")


@pytest.mark.parametrize(
    ("mx", "rule", "reason"),
    [
        ("none", "no_mx", "No MX record: the domain receives no e-mail"),
        ("null", "null_mx", "Null MX: the domain declares that it receives no e-mail"),
    ],
)
@pytest.mark.parametrize("provider", list(RULES.provider_points))
def test_a_domain_known_to_take_no_mail_fails_hard_and_gets_no_bonus(mx: str, rule: str, reason: str, provider: str):
    result = scored(provider=provider, mx=mx, spf="ok", dkim="found", dmarc="reject", open_referral_types=CO_SELL)
    assert result == Score(
        score=0,
        segment="Skip",
        reason=reason,
        priority_score=7,
        technical_heat="Cold",
        commercial_segment="NO_GO",
        commercial_heat="LOW",
        category="P6",
        category_label="No-Go / Archive",
        breakdown=(Part(rule, 0, reason),),
        hard_fail=True,
    )


def test_an_mx_that_could_not_be_looked_up_is_no_hard_fail():
    result = scored(provider="Google", mx="unknown", spf="ok", dkim="found", dmarc="reject")
    assert (result.score, result.segment, result.hard_fail) == (90, "Migration", False)
    assert Part("mx_unknown", 0, "MX could not be determined") in result.breakdown


# Such a domain has 0 points, at M365 and Google 5: the bonus then sets the score.
POOR: dict[str, Any] = {"mx": "present", "spf": "none", "dkim": "none", "dmarc": "none", "open_referral_types": CO_SELL}


def at_score(provider: str, wanted: int) -> Score:
    start = scored(cosell_bonus=0, provider=provider, **POOR).score
    result = scored(cosell_bonus=wanted - start, provider=provider, **POOR)
    assert result.score == wanted
    return result


GREENFIELD = ("Cold", "GREENFIELD", "HIGH", "P1", "High Potential Greenfield")
COMPETITIVE = ("Warm", "COMPETITIVE", "HIGH", "P2", "Competitive Takeover")
WEAK_HIGH = ("Hot", "WEAK_PARTNER", "HIGH", "P3", "Existing Microsoft but Weak Partner")
WEAK_MEDIUM = ("Hot", "WEAK_PARTNER", "MEDIUM", "P3", "Existing Microsoft but Weak Partner")
RENEWAL = ("Hot", "RENEWAL", "MEDIUM", "P4", "Renewal Pressure")
LOW_INTENT = ("Cold", "LOW_INTENT", "LOW", "P5", "Low Intent / Long Nurturing")
NO_GO = ("Cold", "NO_GO", "LOW", "P6", "No-Go / Archive")

TABLE = [
    *[
        (provider, wanted, "Migration", priority, model)
        for provider, model in [
            ("Local", GREENFIELD),
            ("Hosting", GREENFIELD),
            ("Google", COMPETITIVE),
            ("Zoho", COMPETITIVE),
            ("Yandex", COMPETITIVE),
        ]
        for wanted, priority in [(100, 1), (80, 1), (79, 2), (70, 2), (69, 3), (60, 3)]
    ],
    ("Local", 59, "Cold", 5, GREENFIELD),
    ("Local", 40, "Cold", 5, GREENFIELD),
    ("Local", 39, "Cold", 6, GREENFIELD),
    ("Local", 20, "Cold", 6, GREENFIELD),
    ("Local", 19, "Cold", 7, NO_GO),
    ("Local", 5, "Cold", 7, NO_GO),
    ("Local", 4, "Skip", 7, NO_GO),
    ("Local", 0, "Skip", 7, NO_GO),
    *[
        (provider, wanted, segment, priority, model)
        for provider in ("Google", "Zoho", "Yandex", "Hosting")
        for wanted, segment, priority, model in [
            (59, "Cold", 5, LOW_INTENT),
            (40, "Cold", 5, LOW_INTENT),
            (39, "Skip", 7, NO_GO),
            (15, "Skip", 7, NO_GO),
        ]
    ],
    *[
        (provider, wanted, segment, priority, model)
        for provider in ("Amazon", "SendGrid", "Mailgun", "Unknown")
        for wanted, segment, priority, model in [
            (100, "Cold", 5, LOW_INTENT),
            (60, "Cold", 5, LOW_INTENT),
            (40, "Cold", 5, LOW_INTENT),
            (39, "Skip", 7, NO_GO),
            (0, "Skip", 7, NO_GO),
        ]
    ],
]


@pytest.mark.parametrize(("provider", "wanted", "segment", "priority", "model"), TABLE)
def test_segment_priority_and_model_follow_from_provider_and_score(
    provider: str, wanted: int, segment: str, priority: int, model: tuple[str, ...]
):
    result = at_score(provider, wanted)
    assert (result.segment, result.priority_score) == (segment, priority)
    assert model == (
        result.technical_heat,
        result.commercial_segment,
        result.commercial_heat,
        result.category,
        result.category_label,
    )


@pytest.mark.parametrize(
    ("wanted", "priority", "model"),
    [
        (100, 3, RENEWAL),
        (70, 3, RENEWAL),
        (69, 4, WEAK_HIGH),
        (50, 4, WEAK_HIGH),
        (49, 5, WEAK_MEDIUM),
        (30, 5, WEAK_MEDIUM),
        (29, 6, WEAK_MEDIUM),
        (0, 6, WEAK_MEDIUM),
    ],
)
def test_priority_and_model_of_an_existing_customer_follow_from_the_score(
    wanted: int, priority: int, model: tuple[str, ...]
):
    result = scored(tenant_score=wanted, azure_tenant=True, **NEUTRAL)
    assert (result.score, result.segment, result.priority_score) == (wanted, "Existing", priority)
    assert (result.technical_heat, result.commercial_segment, result.commercial_heat) == model[:3]
    assert (result.category, result.category_label) == model[3:]


@pytest.mark.parametrize("score_of_lead", [15, 45, 70, 90])
def test_m365_without_a_declared_tenant_is_existing_at_any_score(score_of_lead: int):
    assert at_score("M365", score_of_lead).segment == "Existing"


def test_a_migration_below_sixty_would_have_priority_four():
    # The packaged segments leave no such lead; a rules file with a lower threshold does.
    assert set(RULES.priority["Migration"][:60]) == {4}


@pytest.mark.parametrize(
    "facts",
    [
        {"provider": "Google", "mx": "present", "spf": "ok", "dkim": "found", "dmarc": "reject"},
        {"provider": "Hosting", "mx": "present", "spf": "none", "dkim": "none", "dmarc": "none"},
        {"provider": "Unknown", "mx": "none"},
        {"provider": "Unknown", "mx": "null"},
        {"provider": "Unknown"},
        {"has_signals": False},
    ],
)
def test_a_declared_tenant_is_an_existing_customer_at_the_baseline_whatever_the_scan_says(facts: dict[str, Any]):
    result = scored(azure_tenant=True, **facts)
    assert (result.score, result.segment, result.hard_fail) == (55, "Existing", False)
    assert result.reason == "M365 existing customer (Azure Tenant ID)"
    assert result.category == "P3"
    assert sum(part.points for part in result.breakdown) == 55


def test_a_declared_tenant_on_a_domain_without_mail_says_that_this_did_not_count():
    details = [part.detail for part in scored(azure_tenant=True, provider="Unknown", mx="null").breakdown]
    assert (
        "Null MX: the domain declares that it receives no e-mail (does not count with a declared Azure tenant)"
        in details
    )


def test_the_co_sell_bonus_comes_after_the_tenants_baseline_and_keeps_the_better_category():
    result = scored(azure_tenant=True, provider="Google", mx="present", open_referral_types=CO_SELL)
    assert (result.score, result.segment, result.priority_score) == (70, "Existing", 3)
    # 70 alone would be P4, RENEWAL, MEDIUM.
    assert (result.category, result.commercial_segment, result.commercial_heat) == ("P3", "WEAK_PARTNER", "HIGH")
    assert result.reason == "M365 existing customer (Azure Tenant ID)"
    kept = "Priority model stays P3, HIGH: the bonus would make it P4, MEDIUM"
    assert result.breakdown[-2:] == (Part("co_sell", 15, "Open co-sell referral"), Part("best_category", 0, kept))


def test_the_segment_is_taken_after_the_co_sell_bonus():
    facts: dict[str, Any] = {"provider": "Google", "mx": "present", "spf": "ok", "dkim": "none", "dmarc": "missing"}
    assert (scored(**facts).score, scored(**facts).segment) == (45, "Cold")
    result = scored(**facts, open_referral_types=CO_SELL)
    assert (result.score, result.segment, result.category) == (60, "Migration", "P2")


def test_a_bonus_that_makes_nothing_worse_leaves_one_part():
    # 30 and 45 points: P1 and HIGH either way.
    result = scored(provider="Local", mx="present", spf="ok", dkim="found", open_referral_types=CO_SELL)
    assert (result.score, result.category) == (45, "P1")
    assert result.breakdown[-1] == Part("co_sell", 15, "Open co-sell referral")


def test_the_bonus_is_added_after_clamping_a_negative_sum():
    result = scored(provider="Hosting", mx="present", spf="none", dkim="none", open_referral_types=CO_SELL)
    assert result.score == 15


def test_the_bonus_stops_at_a_hundred_in_a_part_of_its_own():
    result = scored(tenant_score=95, azure_tenant=True, open_referral_types=CO_SELL)
    assert result.score == 100
    assert Part("cap", -10, "Capped at 100") in result.breakdown


@pytest.mark.parametrize("types", [set(), {"marketplace"}, {"solution-provider"}, {"marketplace", "solution-provider"}])
def test_only_a_co_sell_referral_gives_the_bonus(types: set[str]):
    assert "co_sell" not in points(scored(**NEUTRAL, open_referral_types=frozenset(types)))
    assert points(scored(**NEUTRAL, open_referral_types=frozenset(types | {"co-sell"})))["co_sell"] == 15


def test_a_declared_tenant_that_was_never_scanned_says_so():
    result = scored(azure_tenant=True, has_signals=False, mx="null", spf="ok")
    assert Part("spf_unknown", 0, "SPF not scanned yet") in result.breakdown
    assert {"spf_present", "null_mx"}.isdisjoint(points(result))


def test_a_declared_tenant_counts_as_m365_whatever_the_scan_found():
    assert points(scored(azure_tenant=True, provider="Local", mx="present"))["provider"] == 50


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            {"provider": "Google", "spf": "ok", "dkim": "found", "dmarc": "reject"},
            "Google Workspace with SPF, DKIM and DMARC policy reject: migration candidate",
        ),
        (
            {"provider": "Google", "spf": "ok", "dkim": "none", "dmarc": "missing"},
            "Google Workspace with SPF, without DKIM or DMARC: long-term lead",
        ),
        (
            {"provider": "M365", "spf": "none", "dkim": "revoked", "dmarc": "missing"},
            "Microsoft 365 without SPF, DKIM or DMARC: existing Microsoft 365 customer",
        ),
        (
            {"provider": "Zoho", "spf": "permerror", "dkim": "unknown_selector", "dmarc": "invalid"},
            "Zoho Mail with an invalid SPF record, DKIM under an unknown selector and an invalid DMARC record:"
            " no lead for now",
        ),
        (
            {"provider": "Yandex", "spf": "ok", "dkim": "unknown", "dmarc": "none"},
            "Yandex 360 with SPF and DMARC policy none, DKIM not determined: no lead for now",
        ),
        (
            {"provider": "Unknown", "mx": "unknown"},
            "Unknown mail provider, MX, SPF, DKIM and DMARC not determined: no lead for now",
        ),
        (
            {"provider": "Google", "spf": "ok", "dkim": "none", "dmarc": "missing", "open_referral_types": CO_SELL},
            "Google Workspace with SPF, without DKIM or DMARC: migration candidate, open co-sell referral",
        ),
    ],
)
def test_the_reason_is_one_sentence_that_names_what_is_known_and_what_is_not(facts: dict[str, Any], reason: str):
    assert scored(**{"mx": "present", **facts}).reason == reason
