"""The scorer: facts about one domain and the rules in, a score that explains itself out.

Here: `score`, a pure function, and its values. Not here: numbers and words (`rules.yaml`), the facts (`facts.py`),
where they come from (the scan and the referrals), and storing. Referrals that are closed, and the question whether a
domain is due, are the caller's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from hunter_pipeline.scoring.facts import NUMBER_FACTS, WORD_FACTS, ScoreInputs
from hunter_pipeline.scoring.rules import (
    CATEGORIES,
    COMMERCIAL_HEATS,
    TENANT_PROVIDER,
    PointRule,
    Rules,
    first_match,
    holds,
)

SCORER_VERSION = "1"
"""Raised when the same inputs and rules give another result than before, so that stored scores are out of date."""

TENANT_REASON = "M365 existing customer (Azure Tenant ID)"


@dataclass(frozen=True)
class Part:
    """One step of a score: the rule's name, the points it gave (0 or negative too) and the explanation."""

    rule: str
    points: int
    detail: str


@dataclass(frozen=True)
class Score:
    """A domain's score (0 to 100) with everything that follows from it. The breakdown's points add up to the score."""

    score: int
    segment: str
    reason: str
    priority_score: int
    technical_heat: str
    commercial_segment: str
    commercial_heat: str
    category: str
    category_label: str
    breakdown: tuple[Part, ...]
    hard_fail: bool


def score(inputs: ScoreInputs, rules: Rules, *, tenant_score: int, cosell_bonus: int) -> Score:
    """Score one domain. Equal arguments give equal results, and the same object while it is remembered.

    Order: hard fail (no mail is received; not with a declared tenant), sum of the rules, 0 to 100, tenant's score,
    bonus, cap at 100. Segment and score agree. Priority score and the priority model (category, commercial segment and
    heat, technical heat) are the better of those without and with the bonus.

    :param tenant_score: points of a customer with a declared tenant, 0 to 100.
    :param cosell_bonus: points for an open co-sell referral, 0 to 100.
    :raises ValueError: a provider, state or setting is outside its range, or the domain has neither signals nor a
        declared tenant: it is not scored until it was scanned.
    """
    return _score(inputs, rules, tenant_score, cosell_bonus)


class _Model(NamedTuple):
    """The CSP priority model's answer for one segment and score."""

    technical_heat: str
    commercial_segment: str
    commercial_heat: str
    category: str


# A hundred thousand domains have a few hundred different inputs, so remembering makes a whole pass cheap.
@lru_cache(maxsize=8192)
def _score(inputs: ScoreInputs, rules: Rules, tenant_score: int, cosell_bonus: int) -> Score:
    _check(inputs, rules, tenant_score, cosell_bonus)
    facts = _facts(inputs)
    no_mail = next((rule for rule in rules.hard_fail if holds(rule.when, facts)), None)
    if no_mail and not inputs.azure_tenant:
        return _hard_fail(no_mail, facts, rules)

    parts = _rule_parts(facts, inputs.has_signals, rules)
    points = sum(part.points for part in parts)
    total = min(max(points, 0), 100)
    if total != points:
        parts.append(Part("clamp", total - points, f"Kept within 0 to 100 (the sum is {points})"))
    if inputs.azure_tenant:
        if no_mail:
            parts.append(Part(no_mail.name, 0, f"{no_mail.text} (does not count with a declared Azure tenant)"))
        parts.append(Part("azure_tenant", tenant_score - total, f"Declared Azure tenant: fixed score {tenant_score}"))
        total = tenant_score
    segment, priority, model = _standing(facts, total, rules)

    co_sell = "co-sell" in inputs.open_referral_types
    if co_sell:
        parts.append(Part("co_sell", cosell_bonus, "Open co-sell referral"))
        if total + cosell_bonus > 100:
            parts.append(Part("cap", 100 - total - cosell_bonus, "Capped at 100"))
        total = min(total + cosell_bonus, 100)
        plain_priority, plain_model = priority, model
        segment, priority, model = _standing(facts, total, rules)
        priority = min(priority, plain_priority)
        if _rank(plain_model) < _rank(model):
            kept, lost = (f"{each.category}, {each.commercial_heat}" for each in (plain_model, model))
            parts.append(Part("best_category", 0, f"Priority model stays {kept}: the bonus would make it {lost}"))
            model = plain_model
    reason = TENANT_REASON if inputs.azure_tenant else _reason(facts, segment, co_sell, rules)
    return _result(total, segment, priority, model, reason, tuple(parts), rules)


def _hard_fail(rule: PointRule, facts: Mapping[str, Any], rules: Rules) -> Score:
    model = _model("Skip", facts["provider"], 0, rules)
    parts = (Part(rule.name, 0, rule.text),)
    return _result(0, "Skip", rules.priority["Skip"][0], model, rule.text, parts, rules, hard_fail=True)


def _result(
    total: int,
    segment: str,
    priority: int,
    model: _Model,
    reason: str,
    parts: tuple[Part, ...],
    rules: Rules,
    *,
    hard_fail: bool = False,
) -> Score:
    return Score(
        score=total,
        segment=segment,
        reason=reason,
        priority_score=priority,
        technical_heat=model.technical_heat,
        commercial_segment=model.commercial_segment,
        commercial_heat=model.commercial_heat,
        category=model.category,
        category_label=rules.category_labels[model.category],
        breakdown=parts,
        hard_fail=hard_fail,
    )


def _check(inputs: ScoreInputs, rules: Rules, tenant_score: int, cosell_bonus: int) -> None:
    allowed = {"provider": tuple(rules.provider_points)}
    allowed |= {each.name: (*each.words, "unknown") for each in WORD_FACTS}
    for name, values in allowed.items():
        value = getattr(inputs, name)
        if value not in values:
            raise ValueError(f"unknown {name} {value!r}; use {', '.join(values)}")
    for name, points in (("tenant_score", tenant_score), ("cosell_bonus", cosell_bonus)):
        if not 0 <= points <= 100:
            raise ValueError(f"{name} is {points}; use a number from 0 to 100")
    if not (inputs.has_signals or inputs.azure_tenant):
        raise ValueError("a domain without signals and without a declared tenant has no score; scan it first")


def _facts(inputs: ScoreInputs) -> dict[str, Any]:
    seen = inputs.has_signals
    return {
        "provider": TENANT_PROVIDER if inputs.azure_tenant else inputs.provider,
        "azure_tenant": inputs.azure_tenant,
        **{each.name: getattr(inputs, each.name) if seen else "unknown" for each in WORD_FACTS},
        **{each.name: (getattr(inputs, each.name) or 0) if seen else 0 for each in NUMBER_FACTS},
    }


def _rule_parts(facts: Mapping[str, Any], scanned: bool, rules: Rules) -> list[Part]:
    provider = facts["provider"]
    parts = [Part("base", rules.base, "Base points")] if rules.base else []
    parts.append(Part("provider", rules.provider_points[provider], f"Provider: {rules.provider_labels[provider]}"))
    parts += [Part(rule.name, rule.points, rule.text) for rule in rules.signals if holds(rule.when, facts)]
    why = "could not be determined" if scanned else "not scanned yet"
    parts += [Part(f"{name}_unknown", 0, f"{title} {why}") for name, title in _TITLES.items() if _open(facts, name)]
    return parts


_TITLES = {each.name: each.fact.title for each in WORD_FACTS}


def _open(facts: Mapping[str, Any], name: str) -> bool:
    return bool(facts[name] == "unknown")


def _standing(facts: Mapping[str, Any], total: int, rules: Rules) -> tuple[str, int, _Model]:
    index = first_match(rules.segments, {**facts, "score": total})
    assert index is not None, "load_rules refuses rules that leave a case open"
    segment = rules.segments[index].result
    return segment, rules.priority[segment][total], _model(segment, facts["provider"], total, rules)


def _model(segment: str, provider: str, total: int, rules: Rules) -> _Model:
    facts = {"segment": segment, "provider": provider, "score": total}
    technical, commercial = (first_match(rows, facts) for rows in (rules.technical_heat, rules.commercial_segments))
    assert technical is not None
    assert commercial is not None
    technical_heat = rules.technical_heat[technical].result
    commercial_segment = rules.commercial_segments[commercial].result
    commercial_heat = rules.commercial_heat[commercial_segment][total]
    keys = ("technical_heat", "commercial_segment", "commercial_heat")
    values = (technical_heat, commercial_segment, commercial_heat)
    category = first_match(rules.categories, dict(zip(keys, values, strict=True)))
    assert category is not None
    return _Model(*values, rules.categories[category].result)


def _rank(model: _Model) -> tuple[int, int]:
    """Order models, best first: by category, then by commercial heat."""
    return CATEGORIES.index(model.category), COMMERCIAL_HEATS.index(model.commercial_heat)


def _reason(facts: Mapping[str, Any], segment: str, co_sell: bool, rules: Rules) -> str:
    """Say in one sentence what was found and what it means, naming what is not known."""
    present: list[str] = []
    missing: list[str] = []
    remarks: list[str] = []
    spf, dkim, dmarc = facts["spf"], facts["dkim"], facts["dmarc"]
    if spf == "permerror":
        remarks.append("an invalid SPF record")
    elif spf != "unknown":
        (present if spf == "ok" else missing).append("SPF")
    if dkim == "unknown_selector":
        remarks.append("DKIM under an unknown selector")
    elif dkim != "unknown":
        (present if dkim == "found" else missing).append("DKIM")
    if dmarc == "missing":
        missing.append("DMARC")
    elif dmarc == "invalid":
        remarks.append("an invalid DMARC record")
    elif dmarc != "unknown":
        present.append(f"DMARC policy {dmarc}")
    unknown = [title for name, title in _TITLES.items() if _open(facts, name)]

    found = ", ".join(
        ([f"with {_joined(present + remarks)}"] if present or remarks else [])
        + ([f"without {_joined(missing, 'or')}"] if missing else [])
        + ([f"{_joined(unknown)} not determined"] if unknown else [])
    )
    label = rules.provider_labels[facts["provider"]]
    head = f"{label} {found}" if present or remarks or missing else f"{label}, {found}"
    return f"{head}: {rules.segment_texts[segment]}" + (", open co-sell referral" if co_sell else "")


def _joined(words: list[str], conjunction: str = "and") -> str:
    return f" {conjunction} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
