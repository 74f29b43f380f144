"""Insert rows, or replace columns of those that are there: one statement for a batch.

Belongs here: the statement that most writers share. Statements that compute something on conflict stay with
their writer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Table, text


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    replace: Collection[str] | None = None,
    keep: Collection[str] = (),
    computed: Mapping[str, str] | None = None,
) -> None:
    """Write `rows`, which all have the same columns and each its own key; the caller commits.

    :param key: columns of the unique constraint that decides whether a row is there.
    :param replace: columns that are replaced in a row that is there; None: all that are given.
    :param keep: columns that are not replaced.
    :param computed: further columns, with the SQL expression of each over a row `r`: what the database has already need
        not travel through Python.
    """
    if not rows:
        return
    values = {name: f"r.{name}" for name in rows[0]} | dict(computed or {})
    changes = ", ".join(
        f"{name} = excluded.{name}" for name in (replace or values) if name not in key and name not in keep
    )
    # The rows travel as one JSON text, which PostgreSQL reads by the types of the table: SQLAlchemy would send a
    # statement with ON CONFLICT row by row, at five times the cost.
    connection.execute(
        text(
            f"INSERT INTO {table.name} ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608 - names out of the schema
            f" FROM json_populate_recordset(NULL::{table.name}, CAST(:rows AS json)) r"
            f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
        ),
        {"rows": json.dumps(rows, default=_plain)},
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
