"""Some rows beside their exact number: what a run's metadata and a failed check show.

Belongs here: the result and the one statement that reads it. Does not belong here: any query, and how a table is
shown. Examples name referrals and domains, never persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

EXAMPLES = 50
"""Rows shown at most; the exact number stands beside them."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Examples:
    """Some of the rows that a query finds.

    :param total: how many there are in all.
    :param columns: names of the columns.
    :param rows: at most `EXAMPLES` rows.
    """

    total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


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
