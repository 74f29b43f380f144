"""What a check has to say: whether a rule holds, in numbers, with some examples of what breaks it.

Belongs here: the result that gates (`books`) and standing claims (`claims`) share, and the reading of examples
beside their exact number. Does not belong here: any rule, and how a result is shown. Examples name referrals
and domains, never persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

EXAMPLES = 50
"""Rows shown of what breaks a rule; the exact number stands beside them."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Examples:
    """Some of what breaks a rule.

    :param total: how many there are in all.
    :param columns: names of the columns.
    :param rows: at most `EXAMPLES` rows.
    """

    total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Verdict:
    """Whether a rule holds.

    :param holds: True when it does.
    :param summary: one sentence with the numbers, and what to do when it does not hold.
    :param counts: the numbers by name.
    :param examples: what breaks it; None when nothing does.
    """

    holds: bool
    summary: str
    counts: Mapping[str, int | float] = field(default_factory=dict)
    examples: Examples | None = None


def find_examples(connection: Connection, query: str, parameters: Mapping[str, Any]) -> Examples:
    """The first rows of `query` and how many it has, in one statement and so of one moment.

    :param query: a SELECT of a module's own, with its ORDER BY; values only as `parameters`.
    """
    result = connection.execute(
        text(f"SELECT count(*) OVER () AS total, q.* FROM ({query}) q LIMIT {EXAMPLES}"),  # noqa: S608 - see above
        dict(parameters),
    )
    columns = tuple(result.keys())[1:]
    rows = result.all()
    return Examples(rows[0].total if rows else 0, columns, tuple(_cells(row[1:]) for row in rows))


def _cells(values: Sequence[Any]) -> tuple[Cell, ...]:
    return tuple(value.strftime("%Y-%m-%d %H:%M UTC") if isinstance(value, datetime) else value for value in values)
