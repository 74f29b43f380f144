"""What scoring rules are: their vocabulary, and the checked values that the scorer reads.

Here: the words that a rule may use and `Rules`. Not here: reading and checking a file (`rules_file.py`), applying the
rules (`score.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TENANT_PROVIDER = "M365"
"""What a customer with a declared Azure tenant counts as, whatever the scan says."""

SEGMENTS = ("Existing", "Migration", "Cold", "Skip")
COMMERCIAL_SEGMENTS = ("GREENFIELD", "COMPETITIVE", "WEAK_PARTNER", "RENEWAL", "LOW_INTENT", "NO_GO")
COMMERCIAL_HEATS = ("HIGH", "MEDIUM", "LOW")  # best first
TECHNICAL_HEATS = ("Hot", "Warm", "Cold")
CATEGORIES = ("P1", "P2", "P3", "P4", "P5", "P6")  # best first
SCORES = range(101)
PRIORITIES = range(1, 8)

Condition = tuple[tuple[str, frozenset[str] | frozenset[bool] | range], ...]
"""Names of facts, each with the values it may have. All must hold; an empty condition always holds."""


@dataclass(frozen=True)
class PointRule:
    """A row that gives points when its condition holds. `text` is its explanation."""

    name: str
    points: int
    when: Condition
    text: str


@dataclass(frozen=True)
class Row:
    """A row of a table in which the first row that holds wins."""

    result: str
    when: Condition


@dataclass(frozen=True, eq=False)
class Rules:
    """The checked content of a rules file. Made by `rules_file.load_rules` only; compare two by `hash`.

    Tables by score (`priority`, `commercial_heat`) hold 101 values, one for each score from 0 to 100.
    """

    hash: str
    base: int
    provider_points: Mapping[str, int]
    provider_labels: Mapping[str, str]
    hard_fail: tuple[PointRule, ...]
    signals: tuple[PointRule, ...]
    segments: tuple[Row, ...]
    segment_texts: Mapping[str, str]
    priority: Mapping[str, tuple[int, ...]]
    commercial_segments: tuple[Row, ...]
    commercial_heat: Mapping[str, tuple[str, ...]]
    technical_heat: tuple[Row, ...]
    categories: tuple[Row, ...]
    category_labels: Mapping[str, str]


def holds(condition: Condition, facts: Mapping[str, Any]) -> bool:
    """Tell whether every fact that a condition names has one of the values it allows."""
    return all(facts[name] in allowed for name, allowed in condition)


def first_match(rows: Sequence[Row], facts: Mapping[str, Any]) -> int | None:
    """Return the index of the first row that holds, or None."""
    return next((index for index, row in enumerate(rows) if holds(row.when, facts)), None)
