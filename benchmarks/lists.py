"""Pages, counts, searches and exports of the lead list and the work queue, with 100,000 referrals.

Limit, on the same server in the same run: fifty rows of the table by its primary key. Each figure is the time within
which 19 of 20 are answered, first without any statistics, as after a restore, then looked over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from benchmarks.filled import database, vacuum
from benchmarks.filling import fill
from benchmarks.report import Row, times
from hunter_pipeline.readers.export import write_csv, write_xlsx
from hunter_pipeline.readers.lead_list import SORTS, LeadFilter, count_leads, iter_leads, list_leads
from hunter_pipeline.readers.queue_columns import COLUMNS, TABS
from hunter_pipeline.readers.referral_queue import (
    QUEUE_SORTS,
    QueueFilter,
    count_queue,
    count_tabs,
    iter_queue,
    list_queue,
)
from hunter_pipeline.readers.summary import summary

TITLE = "Lists of 100,000 referrals"

WORDS = ("IŞIK", "ısparta", "celik", "UNAL", "ünal tekstil")
NOW = datetime.now(UTC)

Work = Callable[[Connection], object]


def run(*, quick: bool) -> list[Row]:
    """Fill a database and read it in every way that a page does."""
    count = 10_000 if quick else 100_000
    with database() as engine:
        fill(engine, count, count * 17 // 20)
        rows = list(_measured(engine, "without statistics", 3))
        vacuum(engine)
        return [*rows, *_measured(engine, "looked over", 3 if quick else 10)]


def _measured(engine: Engine, state: str, repeats: int) -> Iterator[Row]:
    def measure(works: Iterable[Work]) -> float:
        return _within(engine, works, repeats)

    bare = measure(
        [lambda each: each.execute(text("SELECT * FROM partner_center_referrals ORDER BY id LIMIT 50")).all()]
    )
    yield Row(f"50 rows by primary key, {state}", f"{bare:.1f} ms")
    for what, works in _works():
        figure = measure(works)
        yield Row(f"{what}, {state}", f"{figure:.0f} ms", times(figure / bare))


def _works() -> Iterator[tuple[str, list[Work]]]:
    def page(tab: str, sort: str, words: str | None = None) -> Work:
        wanted = QueueFilter(tab, words)  # type: ignore[arg-type]
        return lambda each: list_queue(each, wanted, NOW, sort)

    yield "Queue: a page, every tab and order", [page(tab, sort) for tab in TABS for sort in QUEUE_SORTS]
    yield "Queue: counts of the tabs", [lambda each: count_tabs(each, NOW)]
    yield "Queue: a search", [page(tab, "expires", words) for tab in ("answer", "all") for words in WORDS]
    yield "Queue: count of a search", [_counting(words) for words in WORDS]
    yield (
        "Leads: a page by category, company, domain",
        [_leads(sort) for sort in ("rank", "company", "-company", "domain")],
    )
    yield "Leads: a page by score", [_leads(sort) for sort in SORTS if "score" in sort]
    yield (
        "Leads: a page by what referrals add up to",
        [_leads(sort) for sort in SORTS if sort.strip("-") in ("deal_value", "expires", "synced")],
    )
    yield "Leads: a search", [_leads("rank", words) for words in WORDS]
    yield "Leads: count of a search", [_counting_leads(words) for words in WORDS]
    yield "Leads: summary", [summary]
    yield "First bytes of leads as CSV", [lambda each: _begin(write_csv(iter_leads(each)))]
    yield "First bytes of leads as Excel", [lambda each: _begin(write_xlsx(iter_leads(each)))]
    yield (
        "First bytes of the queue as Excel",
        [lambda each: _begin(write_xlsx(iter_queue(each, QueueFilter("all"), NOW), COLUMNS, "Referrals"))],
    )


def _counting(words: str) -> Work:
    return lambda each: count_queue(each, QueueFilter("all", words), NOW)


def _counting_leads(words: str) -> Work:
    return lambda each: count_leads(each, LeadFilter(text=words))


def _leads(sort: str, words: str | None = None) -> Work:
    return lambda each: list_leads(each, LeadFilter(text=words), sort)


def _begin(pieces: Iterator[str] | Iterator[bytes]) -> None:
    """Take the piece that a browser gets first, and the first that holds rows."""
    next(pieces)
    next(pieces)


def _within(engine: Engine, works: Iterable[Work], repeats: int) -> float:
    """Milliseconds within which 19 of 20 of these are done."""
    taken = []
    for work in works:
        for _ in range(repeats):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                started = time.perf_counter()
                work(connection)
                taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)[len(taken) * 19 // 20 - (len(taken) % 20 == 0)]
