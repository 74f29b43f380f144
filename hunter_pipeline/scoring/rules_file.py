"""The rules file: read, and refused where it could surprise.

Here: `load_rules`, which finds a typing error, a rule that can never match, a case that no rule covers, and says what
to do. Not here: what the rules are (`rules.py`), YAML itself (`document.py`). The numbers live in `rules.yaml` only, so
that sales operations can change them.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from hunter_pipeline.scoring.document import (
    Problems,
    line_of_text,
    mapping,
    read_document,
    read_text,
    score_range,
    sequence,
    true_or_false,
    whole_number,
    word,
    words,
)
from hunter_pipeline.scoring.facts import NUMBER_FACTS, WORD_FACTS
from hunter_pipeline.scoring.rules import (
    CATEGORIES,
    COMMERCIAL_HEATS,
    COMMERCIAL_SEGMENTS,
    PRIORITIES,
    SCORES,
    SEGMENTS,
    TECHNICAL_HEATS,
    TENANT_PROVIDER,
    Condition,
    PointRule,
    Row,
    Rules,
    first_match,
)

# The words of a condition; those of a provider come from the file. What could not be looked up has none: no points.
_WORD_CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "segment": SEGMENTS,
    "commercial_segment": COMMERCIAL_SEGMENTS,
    "commercial_heat": COMMERCIAL_HEATS,
    "technical_heat": TECHNICAL_HEATS,
    **{each.name: each.fact.fails or each.words for each in WORD_FACTS},
}
_NUMBER_CONDITIONS: Mapping[str, str] = {f"{each.name}_over": each.name for each in NUMBER_FACTS}
_RESERVED_NAMES = {
    *("base", "provider", "clamp", "azure_tenant", "co_sell", "cap", "best_category"),
    *(f"{each.name}_unknown" for each in WORD_FACTS),
}
_POINT_LIMIT = 100
_NUMBER_LIMIT = 10_000


def load_rules(path: Path | None = None, providers: Collection[str] | None = None) -> Rules:
    """Read and check a rules file.

    Whether a row can match is found by trying every provider with every score from 0 to 100, with and without a
    declared tenant: all scores count as possible, because the co-sell bonus and the tenant's score are settings.

    :param path: the file; None: the one that the package ships.
    :param providers: the providers that a scan can find, each of which the file must know and no other; None: those
        that the file itself names.
    :raises RulesError: with one line `file:line: problem; fix` for each fault: the file cannot be read or parsed, has
        unknown, repeated or missing keys, wrong types or unknown names, ranges that are upside down, overlap or leave a
        gap, a row that can never match, or a case that no row covers.
    """
    if path is not None:
        return _read(path, providers)
    with resources.as_file(resources.files("hunter_pipeline.scoring") / "rules.yaml") as packaged:
        return _read(packaged, providers)


def _read(path: Path, providers: Collection[str] | None) -> Rules:
    # Read each time, and checked once: a sync needs the same rules twice, and checking takes a fifth of a second.
    text = read_text(path, Problems(str(path)))
    return _checked(str(path), text, None if providers is None else tuple(providers))


@lru_cache(maxsize=4)
def _checked(file: str, text: str, providers: Collection[str] | None) -> Rules:
    problems = Problems(file)
    keys = [field.name for field in fields(Rules) if field.name not in _DERIVED] + ["providers"]
    root = mapping(read_document(text, problems), "the file", problems, required=keys)
    problems.raise_if_any()
    provider_points, provider_labels = _providers(root["providers"], providers, problems)
    # A row may name a provider whose own entry has a fault: that is one fault, not two.
    vocabulary = {**_WORD_CONDITIONS, "provider": tuple(provider_labels)}
    tables: dict[str, tuple[tuple[Row, ...], list[yaml.Node]]] = {}
    for name, key, results, conditions in _TABLES:
        tables[name] = _table(root[name], name, key, results, conditions, vocabulary, problems)
    hard_fail = _point_rules(root["hard_fail"], "hard_fail", _HARD_FAIL_CONDITIONS, vocabulary, problems)
    signals = _point_rules(root["signals"], "signals", _SIGNAL_CONDITIONS, vocabulary, problems)
    _check_hard_fail(root["hard_fail"], hard_fail, problems)
    _check_signals(root["signals"], signals, problems)
    texts = mapping(root["segment_texts"], "segment_texts", problems, required=SEGMENTS, noun="segment")
    content: dict[str, Any] = {
        "base": whole_number(root["base"], "base", problems, -_POINT_LIMIT, _POINT_LIMIT),
        "provider_points": provider_points,
        "provider_labels": provider_labels,
        "hard_fail": hard_fail,
        "signals": signals,
        "segment_texts": {name: line_of_text(node, f"the text of {name}", problems) for name, node in texts.items()},
        "priority": _by_score(root["priority"], "priority", "priority", SEGMENTS, problems, PRIORITIES),
        "commercial_heat": _by_score(
            root["commercial_heat"], "commercial_heat", "heat", COMMERCIAL_SEGMENTS, problems, COMMERCIAL_HEATS
        ),
        "category_labels": _category_labels(root["categories"], tables["categories"], problems),
        **{name: rows for name, (rows, _) in tables.items()},
    }
    problems.raise_if_any()
    canonical = json.dumps(content, default=_plain, sort_keys=True, ensure_ascii=False)
    rules = Rules(hash=hashlib.sha256(canonical.encode()).hexdigest(), **content)
    _check_tables(rules, root, {name: nodes for name, (_, nodes) in tables.items()}, problems)
    problems.raise_if_any()
    return rules


_DERIVED = {"hash", "provider_points", "provider_labels", "category_labels"}
_HARD_FAIL_CONDITIONS = tuple(each.name for each in WORD_FACTS if each.fact.fails)
_SIGNAL_CONDITIONS = ("provider", *(each.name for each in WORD_FACTS if not each.fact.fails), *_NUMBER_CONDITIONS)
_TABLES: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("segments", "segment", SEGMENTS, ("azure_tenant", "provider", "score")),
    ("commercial_segments", "commercial_segment", COMMERCIAL_SEGMENTS, ("segment", "provider", "score")),
    ("technical_heat", "heat", TECHNICAL_HEATS, ("segment", "provider", "score")),
    ("categories", "category", CATEGORIES, ("technical_heat", "commercial_heat", "commercial_segment")),
)


def _plain(value: object) -> object:
    """Give JSON a form of rules that does not depend on the order of words in a list."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, range):
        return [value.start, value.stop]
    assert isinstance(value, PointRule | Row)
    return value.__dict__


def _condition(
    node: yaml.Node, what: str, allowed: Collection[str], vocabulary: Mapping[str, Collection[str]], problems: Problems
) -> Condition:
    entries = mapping(node, f"`when` of {what}", problems, optional=allowed, noun="condition")
    if isinstance(node, yaml.MappingNode) and not node.value:
        problems.add(node, f"`when` of {what} has no condition", f"use {' or '.join(allowed)}, or leave `when` out")
    parts: list[tuple[str, frozenset[str] | frozenset[bool] | range]] = []
    for key, value in sorted(entries.items()):
        if key == "score":
            parts.append((key, score_range(value, "score", problems)))
        elif key == "azure_tenant":
            parts.append((key, frozenset({true_or_false(value, key, problems)})))
        elif key in _NUMBER_CONDITIONS:
            more_than = whole_number(value, key, problems, 0, 99)
            parts.append((_NUMBER_CONDITIONS[key], range(more_than + 1, _NUMBER_LIMIT)))
        else:
            parts.append((key, words(value, key, problems, vocabulary[key])))
    return tuple(parts)


def _providers(
    node: yaml.Node, known: Collection[str] | None, problems: Problems
) -> tuple[dict[str, int], dict[str, str]]:
    """Points and label of each provider; one whose entry has a fault keeps its place, so that rows may name it."""
    points, labels = {}, {}
    if known is None:
        known = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else ()
    needed = dict.fromkeys((TENANT_PROVIDER, *known))
    entries = mapping(node, "providers", problems, required=needed, noun="provider")
    for name in needed:
        points[name], labels[name] = 0, ""
        if name not in entries:
            continue
        entry = mapping(entries[name], f"provider {name}", problems, required=("points", "label"))
        if len(entry) == 2:
            points[name] = whole_number(entry["points"], f"points of {name}", problems, -_POINT_LIMIT, _POINT_LIMIT)
            labels[name] = line_of_text(entry["label"], f"label of {name}", problems)
    return points, labels


def _point_rules(
    node: yaml.Node,
    what: str,
    conditions: Collection[str],
    vocabulary: Mapping[str, Collection[str]],
    problems: Problems,
) -> tuple[PointRule, ...]:
    rules: list[PointRule] = []
    keys = ("name", "when", "text") if what == "hard_fail" else ("name", "points", "when", "text")
    for item in sequence(node, what, problems):
        entry = mapping(item, f"a row of {what}", problems, required=keys)
        if len(entry) < len(keys):
            continue
        name = line_of_text(entry["name"], "name", problems)
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or name in _RESERVED_NAMES:
            problems.add(entry["name"], f"{name!r} cannot be a rule's name", "use another, of a-z, 0-9 and _")
        if any(rule.name == name for rule in rules):
            problems.add(entry["name"], f"the rule {name!r} stands twice", "rename or remove one")
        points = 0
        if "points" in entry:
            points = whole_number(entry["points"], f"points of {name}", problems, -_POINT_LIMIT, _POINT_LIMIT)
        rules.append(
            PointRule(
                name=name,
                points=points,
                when=_condition(entry["when"], name, conditions, vocabulary, problems),
                text=line_of_text(entry["text"], f"text of {name}", problems),
            )
        )
        condition = dict(rules[-1].when)
        if "spf_includes" in condition and condition.get("spf") == frozenset({"none"}):
            problems.add(item, f"{name!r} can never match: without SPF record there is no include", "use `spf: ok`")
    return tuple(rules)


def _check_hard_fail(node: yaml.Node, rules: Sequence[PointRule], problems: Problems) -> None:
    taken: set[object] = set()
    for rule in rules:
        states = {state for _, allowed in rule.when for state in allowed}
        if states and states <= taken:
            fix = "name another mx state or remove it"
            problems.add(node, f"{rule.name!r} can never match: rows above take all its cases", fix)
        taken |= states


def _check_signals(node: yaml.Node, rules: Sequence[PointRule], problems: Problems) -> None:
    for signal, states in ((each.name, each.words) for each in WORD_FACTS if each.fact.every_word):
        covered = {state for rule in rules if [key for key, _ in rule.when] == [signal] for state in rule.when[0][1]}
        for state in states:
            if state not in covered:
                fix = f"add one with `when: {{{signal}: {state}}}`, with 0 points if it shall not count"
                problems.add(node, f"no row of signals covers {signal}: {state} alone", fix)


def _table(
    node: yaml.Node,
    what: str,
    key: str,
    results: Collection[str],
    conditions: Collection[str],
    vocabulary: Mapping[str, Collection[str]],
    problems: Problems,
) -> tuple[tuple[Row, ...], list[yaml.Node]]:
    rows: list[Row] = []
    nodes: list[yaml.Node] = []
    required = (key, "label") if what == "categories" else (key,)
    for item in sequence(node, what, problems):
        entry = mapping(item, f"a row of {what}", problems, required=required, optional=("when",))
        if key in entry:
            result = word(entry[key], key, problems, results)
            when: Condition = ()
            if "when" in entry:
                when = _condition(entry["when"], f"{key} {result}", conditions, vocabulary, problems)
            rows.append(Row(result, when))
            nodes.append(item)
    return tuple(rows), nodes


def _category_labels(
    node: yaml.Node, table: tuple[Sequence[Row], Sequence[yaml.Node]], problems: Problems
) -> dict[str, str]:
    if [row.result for row in table[0]] != list(CATEGORIES):
        problems.add(node, "categories must be P1 to P6, each once, in this order", "add, remove or reorder the rows")
    labels = {}
    for row, item in zip(*table, strict=True):
        label = next((value for key, value in item.value if key.value == "label"), None)
        if label is not None:
            labels[row.result] = line_of_text(label, f"label of {row.result}", problems)
    return labels


def _by_score(
    node: yaml.Node,
    what: str,
    key: str,
    names: Collection[str],
    problems: Problems,
    values: range | tuple[str, ...],
) -> dict[str, tuple[Any, ...]]:
    """Read, for each name, ranges of scores with a value, and spread them over the scores 0 to 100."""
    tables: dict[str, tuple[Any, ...]] = {}
    for name, bands in mapping(node, what, problems, required=names).items():
        before = len(problems.found)
        by_score: dict[int, tuple[Any, int]] = {}
        for band in sequence(bands, f"{what} of {name}", problems):
            entry = mapping(band, f"a row of {what} of {name}", problems, required=("score", key))
            if len(entry) < 2:
                continue
            scores = score_range(entry["score"], "score", problems)
            value: Any
            if isinstance(values, range):
                value = whole_number(entry[key], key, problems, values.start, values.stop - 1)
            else:
                value = word(entry[key], key, problems, values)
            line = band.start_mark.line + 1
            twice = [score for score in scores if score in by_score]
            if twice:
                text = f"{what} of {name} covers {_span(twice)} twice (also on line {by_score[twice[0]][1]})"
                problems.add(band, text, "let one range end where the next begins")
            by_score |= dict.fromkeys(scores, (value, line))
        missing = [score for score in SCORES if score not in by_score]
        if missing and len(problems.found) == before:
            problems.add(bands, f"{what} of {name} has no row for {_span(missing)}", "widen a range or add a row")
        tables[name] = tuple(by_score[score][0] for score in SCORES if score in by_score)
    return tables


def _span(scores: Sequence[int]) -> str:
    """Name the first unbroken run of scores."""
    last = next(score for score in scores if score + 1 not in scores)
    return f"score {scores[0]}" if last == scores[0] else f"scores {scores[0]} to {last}"


def _check_tables(
    rules: Rules, root: Mapping[str, yaml.Node], nodes: Mapping[str, Sequence[yaml.Node]], problems: Problems
) -> None:
    """Try every case; note rows that never win, cases without a row, and a declared tenant that is not Existing."""
    won: dict[str, set[int]] = {name: set() for name in nodes}
    gaps: dict[str, str] = {}

    def pick(table: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> str | None:
        index = first_match(rows, facts)
        if index is None:
            case = ", ".join(f"{key} {value}" for key, value in facts.items() if key != "azure_tenant")
            gaps.setdefault(table, case)
            return None
        won[table].add(index)
        return rows[index].result

    def follow(segment: str, provider: str, score: int) -> None:
        facts: dict[str, Any] = {"segment": segment, "provider": provider, "score": score}
        technical = pick("technical_heat", rules.technical_heat, facts)
        commercial = pick("commercial_segments", rules.commercial_segments, facts)
        if technical and commercial:
            heat = rules.commercial_heat[commercial][score]
            keys = ("technical_heat", "commercial_heat", "commercial_segment")
            pick("categories", rules.categories, dict(zip(keys, (technical, heat, commercial), strict=True)))

    tenant_segments = set()
    for provider, score in product(rules.provider_points, SCORES):
        # No other provider is ever seen with a declared tenant.
        for tenant in (False, True) if provider == TENANT_PROVIDER else (False,):
            facts = {"provider": provider, "azure_tenant": tenant, "score": score}
            segment = pick("segments", rules.segments, facts)
            if tenant:
                tenant_segments.add(segment)
            if segment:
                follow(segment, provider, score)
    for provider in rules.provider_points:
        follow("Skip", provider, 0)  # a hard fail
    for table, case in gaps.items():
        problems.add(root[table], f"no row of {table} covers {case}", "end the list with a row that has no `when`")
    for table, items in nodes.items():
        for index, item in enumerate(items):
            if index not in won[table]:
                text = f"this row of {table} can never match: rows above take all its cases"
                problems.add(item, text, "move it up, change its conditions or remove it")
    if not gaps and tenant_segments != {"Existing"}:
        fix = "keep `{segment: Existing, when: {azure_tenant: true}}` as the first row"
        problems.add(root["segments"], "a customer with a declared Azure tenant is not always Existing", fix)
