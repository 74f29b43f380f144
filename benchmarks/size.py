"""How many bytes a referral takes in Hunter's tables, with their indexes.

Limit: the payload itself, as it comes. The tables are measured on disk after a load of new referrals, each of a company
of its own, and a `VACUUM`; what an empty database takes is left out.
"""

from __future__ import annotations

from sqlalchemy import Engine, text

from benchmarks.filled import database
from benchmarks.flow import PAYLOAD_BYTES, bodies, instant_scan, stages
from benchmarks.report import Aim, Row, times

TITLE = "Bytes of a referral in the database"

SIZES = """
SELECT relname, pg_total_relation_size(oid) AS whole, pg_indexes_size(oid) AS indexes
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
SMALLEST = 50
"""Bytes a referral from which a table has a line of its own."""


def run(*, quick: bool) -> list[Row]:
    """Load referrals and measure the tables."""
    count = 500 if quick else 2_000
    with database() as engine:
        empty = _sizes(engine)
        for stage in stages(engine, "load", bodies(range(count)), instant_scan(count)).values():
            stage()
        full = _sizes(engine)
    grown = {
        name: ((whole - empty[name][0]) / count, (indexes - empty[name][1]) / count)
        for name, (whole, indexes) in full.items()
    }
    whole = sum(each for each, _ in grown.values())
    aim = Aim(10, "bytes a referral", whole / 1000, 8.0, at_most=True, unit=" KB")
    rows = [
        Row(f"A referral ({count:,} loaded)", f"{whole:,.0f} bytes", f"{times(whole / PAYLOAD_BYTES)} the payload", aim)
    ]
    for name, (each, indexes) in sorted(grown.items(), key=lambda item: -item[1][0]):
        if each >= SMALLEST:
            rows.append(Row(f"  {name}", f"{each:,.0f} bytes, {indexes:,.0f} of indexes", times(each / PAYLOAD_BYTES)))
    return [*rows, Row("Its payload", f"{PAYLOAD_BYTES:,} bytes")]


def _sizes(engine: Engine) -> dict[str, tuple[int, int]]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        return {row.relname: (row.whole, row.indexes) for row in connection.execute(text(SIZES))}
