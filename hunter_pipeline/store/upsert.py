"""Insert rows, or replace columns of those that are there: one statement for a batch.

Belongs here: the statement that most writers share. Statements that compute something on conflict stay with
their writer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    replace: Collection[str] | None = None,
    keep: Collection[str] = (),
) -> None:
    """Write `rows`, which all have the same columns and each its own key; the caller commits.

    :param key: columns of the unique constraint that decides whether a row is there.
    :param replace: columns that are replaced in a row that is there; None: all that are given.
    :param keep: columns that are not replaced.
    """
    if not rows:
        return
    statement = insert(table)
    replaced = [name for name in (replace or rows[0]) if name not in key and name not in keep]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(key), set_={name: statement.excluded[name] for name in replaced}
        ),
        [dict(row) for row in rows],
    )
