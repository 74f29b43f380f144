"""The values that a column has in some row, for the choices of a filter.

Belongs here: finding the few values of a large table without reading it. Does not belong here: the words that are known
beforehand (`vocabulary`).
"""

from __future__ import annotations

from sqlalchemy import Connection, text


def skip_reasons_in_use(connection: Connection) -> list[str]:
    """Reasons for which some referral has no domain."""
    return _in_use(connection, "normalized_domains", "skip_reason")


def statuses_in_use(connection: Connection) -> list[str]:
    """Every status that some referral has."""
    return _in_use(connection, "partner_center_referrals", "status")


def _in_use(connection: Connection, table: str, column: str) -> list[str]:
    # Each step skips in the column's index to the next value: there are a dozen, of any number of rows.
    return list(
        connection.execute(
            text(
                f"WITH RECURSIVE used AS (SELECT min({column}) AS value FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608
                f" UNION ALL SELECT (SELECT min(t.{column}) FROM {table} t WHERE t.{column} > u.value)"
                " FROM used u WHERE u.value IS NOT NULL) SELECT value FROM used WHERE value IS NOT NULL ORDER BY 1"
            )
        ).scalars()
    )
