"""What a change of rules would do to a list of leads, before it is made.

Here: the pure comparison of two scorings of the same domains. Not here: reading the domains, and showing the result.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hunter_pipeline.scoring.rules import CATEGORIES
from hunter_pipeline.scoring.score import Score

BIGGEST_MOVERS = 20


@dataclass(frozen=True)
class Change:
    """How many leads would go from one segment or category to another."""

    before: str
    after: str
    count: int


@dataclass(frozen=True)
class Mover:
    """A lead that would change, with both of its scores."""

    domain: str
    before: Score
    after: Score

    @property
    def points(self) -> int:
        """Points that the lead would gain (or lose, if negative)."""
        return self.after.score - self.before.score


@dataclass(frozen=True)
class Preview:
    """The effect of a change of rules.

    :param total: leads compared.
    :param changed: leads of which score, segment or category would change.
    :param segments: the changes from one to another, most frequent first.
    :param categories: the same of categories.
    :param movers: at most twenty, most points first, then widest change of category.
    """

    total: int
    changed: int
    segments: tuple[Change, ...]
    categories: tuple[Change, ...]
    movers: tuple[Mover, ...]


def compare(old: Sequence[tuple[str, Score]], new: Sequence[tuple[str, Score]]) -> Preview:
    """Compare two scorings of the same domains, each a sequence of (domain, score) in any order.

    :raises ValueError: a domain stands twice in one of them, or in one only.
    """
    before, after = dict(old), dict(new)
    if len(before) != len(old) or len(after) != len(new):
        raise ValueError("a domain stands twice in the scores to compare")
    if before.keys() != after.keys():
        raise ValueError("the scores to compare are not of the same domains")
    movers = [
        Mover(domain, one, two)
        for domain, one in before.items()
        if (one.score, one.segment, one.category) != ((two := after[domain]).score, two.segment, two.category)
    ]
    movers.sort(key=lambda mover: (-abs(mover.points), -_category_steps(mover), mover.domain))
    return Preview(
        total=len(before),
        changed=len(movers),
        segments=_changes([(mover.before.segment, mover.after.segment) for mover in movers]),
        categories=_changes([(mover.before.category, mover.after.category) for mover in movers]),
        movers=tuple(movers[:BIGGEST_MOVERS]),
    )


def _category_steps(mover: Mover) -> int:
    return abs(CATEGORIES.index(mover.before.category) - CATEGORIES.index(mover.after.category))


def _changes(pairs: Sequence[tuple[str, str]]) -> tuple[Change, ...]:
    counts = Counter(pair for pair in pairs if pair[0] != pair[1])
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Change(before, after, count) for (before, after), count in ordered)
