"""The rules that make a category, in words for a sales person: the legend of P1 to P6, and "why P1" of one lead.

Here: pure functions from checked rules to sentences. Not here: the rules, and how a page or terminal shows them. What
is said is read from the rules in use, so that it stays true when somebody edits them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hunter_pipeline.scoring.rules import Condition, Rules, first_match

_BONUS_PARTS = frozenset({"co_sell", "cap"})
_BEST_SCORE = 100
_ORDER = "segment provider score"
"""The order in which a condition's parts are said."""


@dataclass(frozen=True)
class CategoryInWords:
    """One line of the legend.

    :param when: the ways to get there, each in words; any of them will do.
    """

    category: str
    label: str
    when: tuple[str, ...]


def legend(rules: Rules) -> tuple[CategoryInWords, ...]:
    """P1 to P6, best first, each with what leads to it."""
    return tuple(
        CategoryInWords(row.result, rules.category_labels[row.result], _ways(row.when, rules))
        for row in rules.categories
    )


def why_category(rules: Rules, standing: Mapping[str, Any], breakdown: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """How segment and score of a lead make its commercial class, and that its category.

    :param standing: `segment`, `score`, `provider`, `commercial_segment`, `commercial_heat`, `technical_heat`,
        `category` as they are stored.
    :param breakdown: the score's parts, each with `rule`, `points` and `detail`.
    :returns: sentences in their order; what the rules in use do not say any more is left out.
    """
    parts = {part["rule"]: part for part in breakdown}
    score, segment = int(standing["score"]), str(standing["segment"])
    provider = standing["provider"] if standing["provider"] in rules.provider_labels else "Unknown"
    held = parts.get("best_category")
    if held is not None:
        # The category is that of the score without the bonus, and so is all that leads to it.
        score -= sum(int(part["points"]) for part in breakdown if part["rule"] in _BONUS_PARTS)
        plain = {"provider": provider, "azure_tenant": "azure_tenant" in parts, "score": score}
        found = first_match(rules.segments, plain)
        segment = segment if found is None else rules.segments[found].result
    facts = {"segment": segment, "provider": provider, "score": score}
    index = first_match(rules.commercial_segments, facts)
    name = _class(standing["commercial_segment"])
    without = ", before the co-sell bonus," if held is not None else ""
    first = f"Segment {segment} with {_mail(rules, provider)} and score {score}{without} make it {name}"
    if index is not None and rules.commercial_segments[index].result == standing["commercial_segment"]:
        condition = _condition(rules.commercial_segments[index].when, rules)
        first += f" (the rule: {condition})" if condition else " (no other class fits)"
    heats = (
        f"commercial heat {standing['commercial_heat'].lower()}, technical heat {standing['technical_heat'].lower()}"
    )
    label = rules.category_labels.get(standing["category"], "")
    sentences = [first, f"{name}, {heats}: category {standing['category']}, {label}"]
    if held is not None:
        sentences.append(str(held["detail"]))
    return tuple(sentences)


def _ways(when: Condition, rules: Rules) -> tuple[str, ...]:
    named = dict(when)
    classes = named.pop("commercial_segment", None)
    if classes is None:
        others = _condition(tuple(named.items()), rules)
        return (others or "everything else",)
    return tuple(
        f"{_class(row.result)}: {_condition(row.when, rules) or 'everything else'}"
        for row in rules.commercial_segments
        if row.result in classes
    )


def _condition(when: Condition, rules: Rules) -> str:
    return ", ".join(
        _part(name, allowed, rules) for name, allowed in sorted(when, key=lambda part: _ORDER.find(part[0]))
    )


def _part(name: str, allowed: frozenset[str] | frozenset[bool] | range, rules: Rules) -> str:
    if isinstance(allowed, range):
        first, last = allowed.start, allowed.stop - 1
        if last >= _BEST_SCORE:
            return f"score {first} or more" if first else "any score"
        return f"score {first} to {last}" if first else f"score up to {last}"
    if name == "provider":
        return f"mail at {_either([label for each, label in rules.provider_labels.items() if each in allowed])}"
    return f"{name.replace('_', ' ')} {_either([str(each) for each in sorted(allowed)])}"


def _mail(rules: Rules, provider: str) -> str:
    return f"mail at {rules.provider_labels[provider]}"


def _class(name: str) -> str:
    """`WEAK_PARTNER` as `Weak partner`."""
    return name.replace("_", " ").capitalize()


def _either(names: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
