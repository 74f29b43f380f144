"""An erasure as a whole: Hunter's tables and Dagster's storage, in an order in which a kill at any moment is mended by
doing it again.

Belongs here: that order. Does not belong here: what goes (`upkeep.erase`, `published`). Dagster's storage is cleaned
while Hunter's deletions stand in an open transaction: until that is committed, a second try finds everything again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Engine

from hunter_pipeline.orchestration.published import erase_published
from hunter_pipeline.orchestration.storage_tables import ensure_tables
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.erasures import make_key
from hunter_pipeline.services import make_keys, make_stages
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.database import urls_of
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.upkeep.erase import Request, erase

RUN_PREFIX = "erase-"
"""Begins the run id of rows that are written anew after an erasure; there is no such run in Dagster."""


@dataclass(frozen=True)
class Done:
    """What an erasure took, or would take: rows by table, of Hunter's and of Dagster's."""

    referrals: int
    removed: Counter[str]
    altered: Counter[str]
    dagster_removed: Counter[str]
    dagster_altered: Counter[str]


def erase_everywhere(
    settings: Settings, engine: Engine, request: Request, *, dry_run: bool, progress: Callable[[str], None]
) -> Done:
    """Erase, or count what an erasure would take and take nothing.

    Beside a running sync it waits for the stage that is writing. Whatever the sync reads after that is held against
    what was erased.

    :raises TimeoutError: another run's stage held the lock for too long.
    :raises ErasuresUnreadable: something was erased before, under a key that is lost.
    """
    context = StageContext(
        engine, f"{RUN_PREFIX}{uuid4()}", lambda: datetime.now(UTC), progress, keys=lambda: make_keys(settings)
    )
    address = urls_of(settings).dagster
    ensure_tables(address)
    dagster = make_engine(address, pool_size=2)
    try:
        with context.stage() as connection, dagster.connect() as published:
            key = make_key(connection, lambda: make_keys(settings))
            found = erase(connection, context, request, key)
            progress(f"{len(found.referral_ids)} referrals found; looking through Dagster's storage")
            domains = {*found.domains, *request.spellings} if request.kind == "domain" else {*found.domains}
            addresses = request.spellings if request.kind == "email" else ()
            removed, altered = erase_published(published, found.referral_ids, sorted(domains), addresses)
            done = Done(len(found.referral_ids), +found.removed, +found.altered, +removed, +altered)
            if dry_run:
                connection.rollback()
                published.rollback()
                return done
            published.commit()
            connection.commit()
    finally:
        dagster.dispose()
    progress("bringing the leads and scores that are left up to date")
    for stage in make_stages(settings):
        stage(context)
    return done
