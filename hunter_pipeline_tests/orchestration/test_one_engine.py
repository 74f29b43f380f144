"""A process has one pool for each database, however many ticks ask for it first and at the same moment."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import dagster as dg
import pytest
from sqlalchemy import Engine

from hunter_pipeline.orchestration import queue, storage
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import open_database, urls_of

TICKS = 8
OPENED: dict[str, Callable[[], Engine]] = {
    "Hunter's tables": lambda: open_database(load_settings()),
    "Dagster's storage": lambda: storage.pooled_engine(urls_of(load_settings()).hunter),
    "signs of life": lambda: storage._sign_engine(urls_of(load_settings()).hunter),
    "the queue's door": lambda: queue._engine(urls_of(load_settings()).hunter),
}


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Threads take turns after each step, as they may at any time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("pool", OPENED)
def test_threads_that_ask_for_the_first_time_at_once_are_given_the_same_pool(
    instance: dg.DagsterInstance, often_switched: None, pool: str
):
    together = Barrier(TICKS)

    def tick(_: int) -> Engine:
        together.wait()
        return OPENED[pool]()

    with ThreadPoolExecutor(TICKS) as ticks:
        engines = list(ticks.map(tick, range(TICKS)))
    assert len({id(engine) for engine in engines}) == 1
