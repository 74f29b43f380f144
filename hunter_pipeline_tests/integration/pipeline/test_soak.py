"""Many syncs in compressed time, with faults and changes at random by a seed: what does not grow, and what adds up.

In the suite a short form runs by a fixed seed. `make soak` runs hundreds, by another seed each time; it prints the
seed, by which a run is repeated: `make soak SOAK_SEED=1234`.
"""

import os
import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.pipeline.sync_runs import SyncPaused, last_success, next_window
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_client, make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline.upkeep.retention import Ages, prune
from hunter_pipeline_tests.books import unbalanced
from hunter_pipeline_tests.fuzzed_payloads import fuzzed
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

SYNCS = int(os.environ.get("SOAK_SYNCS", "12"))
SEED = int(os.environ.get("SOAK_SEED", "20261124"))
REFERRALS = 60
"""Referrals there are at any time: then what grows is not what there is."""

AGES = Ages(raw_versions=30, sync_items=7, sync_runs=30, lineage=30, resolved_failures=7, alerts=7)

SIZE = """
SELECT pg_database_size(current_database()),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())
"""
ROWS = """
SELECT (SELECT count(*) FROM partner_center_referrals_raw) + (SELECT count(*) FROM referral_lineage)
    + (SELECT count(*) FROM sync_run_items) + (SELECT count(*) FROM sync_runs)
    + (SELECT count(*) FROM referral_failures) + (SELECT count(*) FROM stage_queue)
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_BODY_TIMEOUT", "1")
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TIMEOUT", "2")


def resident_mb() -> float:
    """Memory of this process, in megabytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no file on a disk
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def disturb(chance: random.Random, sandbox: Sandbox) -> str:
    """Let something go wrong in the next sync, or nothing; what."""
    center = sandbox.partner_center
    times = chance.choice((1, 1, 2, 5))
    kind = chance.choice(("none", "none", "status", "status", "broken", "throttled", "paused", "text", "closed"))
    if kind == "status":
        center.fail_next(times, chance.choice((400, 401, 403, 404, 408, 409, 500, 502, 503, 504)))
    elif kind == "broken":
        center.break_next(times, chance.choice(("reset", "cut")))
    elif kind == "throttled":
        center.fail_next(times, 429, {"Retry-After": chance.choice(("0", "1", "soon", "-5", ""))})
    elif kind == "paused":
        center.fail_next(times, chance.choice((429, 503)), {"Retry-After": "7200"})
    elif kind == "text":
        center.fail_next(times, 200, body=chance.choice(("", "<html>", '{"value": null}', "[]", "{", '{"value": [{]}')))
    elif kind == "closed":
        center.close_connection_next(times)
    return kind


def change(chance: random.Random, sandbox: Sandbox, pipeline: Pipeline, number: int) -> None:
    """Add, change and remove referrals, some of them wrong."""
    referrals = sandbox.partner_center.referrals
    stamp = pipeline.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    ids = referrals.ids()
    for referral_id in chance.sample(ids, min(len(ids), 3)):
        if chance.random() < 0.3:
            referrals.remove(referral_id)
        else:
            status = chance.choice(("New", "Active", "Closed"))
            referrals.remove(referral_id)
            referrals.add(flat(referral_id, status=status, updatedDateTime=stamp))
    while len(referrals) < REFERRALS:
        number += 1
        referrals.add(
            flat(
                f"S{chance.randrange(10**9)}", website=f"https://www.f{number % 40}-kurgu.com.tr", updatedDateTime=stamp
            )
        )
    for text_ in fuzzed(chance.randrange(10**9), 2):
        if len(referrals) < REFERRALS + 10:
            referrals.add_text(text_, updated=stamp, referral_id=f"F{chance.randrange(10**9)}")


def test_many_syncs_with_faults_leave_balanced_books_and_nothing_that_grows(pipeline: Pipeline, empty: Sandbox):
    print(f"\nSOAK_SEED={SEED} SOAK_SYNCS={SYNCS}")  # noqa: T201 - how to do it again
    chance = random.Random(SEED)
    settings = load_settings(home=pipeline.home)
    sign_in = make_sign_in(settings, pipeline.engine)
    sign_in.device_login(lambda _: None)
    empty.partner_center.page_size = 20
    ends: dict[str, int] = {}
    measured: list[dict[str, float]] = []
    for number in range(SYNCS):
        pipeline.now += timedelta(minutes=chance.choice((10, 10, 60, 60 * 30)))
        change(chance, empty, pipeline, number)
        # Each run has a client of its own: a pause is kept in the books, not by a clock that this test does not move.
        pipeline.client = make_client(settings, sign_in)
        wrong = disturb(chance, empty)
        try:
            with pipeline.engine.connect() as connection:
                window = next_window(last_success(connection), pipeline.now.date())
            pipeline.sync(pipeline.everything() if number % 15 == 0 else window)
            end = "ended"
        except (PartnerCenterError, SyncPaused) as error:
            end = type(error).__name__
        ends[end] = ends.get(end, 0) + 1
        empty.partner_center.clear_faults()
        assert unbalanced(pipeline.engine, pipeline.now) == [], f"sync {number}, {wrong}"
        if number % 10 == 9 or number == SYNCS - 1:
            measured.append(measure(pipeline))
    pipeline.now += timedelta(days=1)
    pipeline.client = make_client(settings, sign_in)
    pipeline.sync()
    assert unbalanced(pipeline.engine, pipeline.now) == []
    served = set(empty.partner_center.referrals.ids())
    lost = {each for each in served if each.startswith("S")} - set(
        pipeline.rows("SELECT referral_id FROM partner_center_referrals WHERE gone_at IS NULL")
    )
    assert lost == set(), "what is there when the faults are over is tracked"
    print(f"ends {ends}\nfirst {measured[0]}\nhalf  {measured[len(measured) // 2]}\nlast  {measured[-1]}")  # noqa: T201
    assert ends["ended"] > SYNCS / 4
    assert measured[-1]["connections"] <= measured[0]["connections"] + 2
    if SYNCS >= 100:
        half, last = measured[len(measured) // 2], measured[-1]
        assert last["memory_mb"] < half["memory_mb"] * 1.1 + 5
        assert last["database_mb"] < half["database_mb"] * 1.2 + 2
        assert last["rows"] < half["rows"] * 1.5


def measure(pipeline: Pipeline) -> dict[str, float]:
    """Throw away what is old, as the daily job does, and say how large everything is."""
    prune(pipeline.context(), AGES, most_rows=100_000, dry_run=False)
    with pipeline.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        size, connections = connection.execute(text(SIZE)).one()
        rows: Any = connection.execute(text(ROWS)).scalar_one()
    return {
        "database_mb": round(size / 1e6, 1),
        "connections": connections,
        "rows": rows,
        "memory_mb": round(resident_mb(), 1),
    }
