"""Databases for the benchmarks: an empty one, and one that is full of leads.

Belongs here: making them. Does not belong here: measuring. A full one is made of a thousand referrals that went through
the real stages and are then copied in SQL under other ids and domains, table by table: the stages themselves would take
minutes. Nothing in it is marked for any stage, as after a sync.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from benchmarks.flow import bodies, instant_scan, stages
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline.store.embedded.users import release_embedded

SEED = 1_000
STEP = 10_000_000
"""Between the row numbers of two copies."""

COPIED = (
    "partner_center_referrals_raw",
    "normalized_domains",
    "partner_center_referrals",
    "raw_leads",
    "companies",
    "domain_signals",
    "lead_scores",
    "lead_score_history",
    "referral_lineage",
)
COLUMNS = """
SELECT attname AS name, attidentity <> '' AS own FROM pg_attribute
WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum
"""
OTHERS = {
    "id": "{c} + k * " + str(STEP),
    "raw_id": "{c} + k * " + str(STEP),
    "referral_id": "{c} || '-' || k",
    "external_id": "{c} || '-' || k",
    "domain": "'n' || k || '-' || {c}",
    "content_hash": "md5({c} || k)",
    "row_key": "CASE WHEN t.stage IN ('companies', 'domain_signals', 'lead_scores') THEN 'n' || k || '-' || {c}"
    " ELSE {c} || '-' || k END",
}
"""How a copy differs, by column."""

HOMES = "BENCH_HOMES"
"""Variable that names a folder in which full databases are kept for the benchmarks of one run."""


@contextmanager
def database(home: Path | None = None) -> Iterator[Engine]:
    """An empty database of Hunter's on a server of its own.

    :param home: a folder for it; None: one that is thrown away.
    """
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        place = home or Path(folder) / "home"
        engine = open_database(Settings(home=place))
        try:
            yield engine
        finally:
            engine.dispose()
            release_embedded(place)


@contextmanager
def full_home(count: int) -> Iterator[Path]:
    """A HUNTER_HOME whose database holds `count` leads and no sync; the first who asks fills it."""
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        home = Path(os.environ.get(HOMES, folder)) / str(count)
        done = home / "filled"
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            with database(home) as engine:
                fill(engine, count)
            done.touch()
        yield home


def fill(engine: Engine, count: int) -> None:
    """Fill an empty database with `count` referrals, each of a company of its own; a multiple of `SEED`, or fewer."""
    seed = min(count, SEED)
    for stage in stages(engine, "fill", bodies(range(seed)), instant_scan(seed)).values():
        stage()
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))  # no triggers: nothing is to be marked
        for table in COPIED:
            _copy(connection, table, count // seed - 1)
        connection.execute(text("UPDATE stage_state SET totals = NULL"))
        # Of what source they are is asked by the next sync.
        connection.execute(text("TRUNCATE sync_runs, sync_run_items"))
        connection.execute(text("SET session_replication_role = origin"))
    vacuum(engine)


def add_companies(engine: Engine, domains: Sequence[str]) -> None:
    """Write a company that was never looked up for each domain."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO companies (domain, run_id) SELECT unnest(CAST(:domains AS text[])), 'made'"),
            {"domains": list(domains)},
        )


def vacuum(engine: Engine) -> None:
    """Look every table over, as the server's own upkeep does in time."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _copy(connection: Connection, table: str, copies: int) -> None:
    columns = connection.execute(text(COLUMNS), {"table": table}).all()
    # Lineage has row numbers that nothing points at: a copy takes the next, as its feed goes by them.
    names = [row.name for row in columns if not (row.own and table in ("referral_lineage", "lead_score_history"))]
    values = [OTHERS.get(name, "{c}").format(c=f't."{name}"') for name in names]
    listed = ", ".join(f'"{name}"' for name in names)
    connection.execute(
        text(
            f"INSERT INTO {table} ({listed}) OVERRIDING SYSTEM VALUE SELECT {', '.join(values)}"
            f" FROM {table} t, generate_series(1, :copies) k"
        ),
        {"copies": copies},
    )
