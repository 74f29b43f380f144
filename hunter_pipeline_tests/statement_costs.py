"""The statements of an engine, and the rows that each looks at, by PostgreSQL's own account.

To count rows, every statement is first run under EXPLAIN ANALYZE, behind a savepoint that is rolled back, and then in
earnest. A count of rows says how the cost of a plan grows, and does not depend on the machine or on what else runs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

_PLANNED = ("select", "insert", "update", "delete", "with", "create temporary table pending")
_SEEN = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")


@contextmanager
def statements_of(engine: Engine | type[Engine]) -> Iterator[list[str]]:
    """The statements that run inside the block, in order; those of all engines for the class itself."""
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@contextmanager
def rows_looked_at(engine: Engine) -> Iterator[dict[str, float]]:
    """For each statement that runs inside the block: the most rows that one execution of it looked at."""
    found: dict[str, float] = {}

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if not statement.strip().lower().startswith(_PLANNED) or isinstance(parameters, list):
            return
        with cursor.connection.cursor() as ahead:
            ahead.execute("SAVEPOINT ahead")
            ahead.execute(f"EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) {statement}", parameters)
            explained = ahead.fetchone()[0]
            ahead.execute("ROLLBACK TO SAVEPOINT ahead")
            ahead.execute("RELEASE SAVEPOINT ahead")
        plans = explained if isinstance(explained, list) else json.loads(explained)
        name = " ".join(statement.split())
        found[name] = max(found.get(name, 0), sum(_rows(plan["Plan"]) for plan in plans))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def _rows(node: dict[str, Any]) -> float:
    own = node["Actual Loops"] * sum(node.get(name, 0) for name in _SEEN)
    return float(own + sum(_rows(below) for below in node.get("Plans", [])))
