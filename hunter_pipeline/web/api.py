"""The JSON API: syncs, leads, referrals, lineage.

Belongs here: parameters, status codes, and the step from rows to the shapes of `schemas`. Does not belong here:
queries and rules. Errors that several routes share are turned into answers in `app`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, AwareDatetime

from hunter_pipeline.partner_center.referral import STATUSES
from hunter_pipeline.readers import stories
from hunter_pipeline.readers.choices import statuses_in_use
from hunter_pipeline.readers.cursor import storable
from hunter_pipeline.readers.export import lead_record
from hunter_pipeline.readers.lead_columns import EXPORTED
from hunter_pipeline.readers.lead_list import (
    CHOICES,
    MAX_PAGE,
    LeadFilter,
    choice,
    iter_leads,
    list_leads,
)
from hunter_pipeline.readers.lineage import LineageStep, latest_steps, read_lineage
from hunter_pipeline.web import schemas
from hunter_pipeline.web.downloads import CSV, XLSX, file_of
from hunter_pipeline.web.parameters import ONLY_KNOWN, refusal
from hunter_pipeline.web.problems import DISABLED, problems
from hunter_pipeline.web.security import WAYS_IN
from hunter_pipeline.web.services import Services, Use
from hunter_pipeline.web.sync import FINAL, SyncState, start_sync, sync_state

_POLL_SECONDS = 0.5

router = APIRouter(prefix="/api", dependencies=[*WAYS_IN, ONLY_KNOWN])


def _one_of(parameter: str, description: str) -> tuple[Any, Any]:
    """What a parameter says that takes one of the list's choices, in any case."""

    def known(value: str | None) -> str | None:
        return None if value is None else choice(parameter, value)

    return AfterValidator(known), Query(description=description, json_schema_extra={"enum": [*CHOICES[parameter]]})


async def lead_filter(
    referral_type: Annotated[str | None, *_one_of("referral_type", "`none`: it cannot be told")] = None,
    segment: Annotated[str | None, *_one_of("segment", "How the lead can be sold to")] = None,
    provider: Annotated[str | None, *_one_of("provider", "Mailbox provider")] = None,
    category: Annotated[str | None, *_one_of("category", "P1 to P6, or `unscored`")] = None,
    min_score: Annotated[int | None, Query(ge=0, le=100)] = None,
    max_score: Annotated[int | None, Query(ge=0, le=100)] = None,
    q: Annotated[
        str | None, Query(max_length=200, description="Words of the company's name or domain, in any order")
    ] = None,
    since: Annotated[
        AwareDatetime | None,
        Query(description="Only what came in or changed after this; ISO 8601 with its zone"),
    ] = None,
) -> LeadFilter:
    """The filter that a request's parameters name."""
    return LeadFilter(referral_type, segment, provider, category, min_score, max_score, q, since=since)


Filter = Annotated[LeadFilter, Depends(lead_filter)]
Cursor = Annotated[str | None, Query(max_length=2000)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
ReferralId = Annotated[str, Path(min_length=1, max_length=255)]


@router.post(
    "/referrals/sync",
    status_code=202,
    response_model=schemas.Sync,
    summary="Start a sync",
    responses={
        **problems(400, 413, 502),
        200: {"model": schemas.Sync, "description": "The sync ended within `wait`"},
        202: {"description": "The sync is queued or running"},
        409: {"model": schemas.SyncConflict, "description": "A sync is under way"},
    },
)
async def start(
    services: Use,
    response: Response,
    options: Annotated[schemas.SyncRequest | None, Body()] = None,
    wait: Annotated[float, Query(ge=0, le=600, description="Seconds to wait for the end")] = 0,
) -> schemas.Sync:
    """Start a Dagster run that fetches what changed since the last sync and takes it all the way to scores."""
    if not services.settings.partner_center_enabled:
        raise HTTPException(400, DISABLED)
    force = options is not None and options.force
    run_id = await run_in_threadpool(
        start_sync,
        services.engine,
        services.dagster,
        services.clock,
        services.settings.partner_center_sync_max_runtime,
        force=force,
        trigger="web",
    )
    deadline = time.monotonic() + wait
    state = SyncState(run_id, "queued")
    while time.monotonic() < deadline and state.status not in FINAL:
        await asyncio.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        found = await run_in_threadpool(sync_state, services.engine, services.dagster, run_id)
        state = found or state
    if state.status in FINAL:
        response.status_code = 200
    else:
        response.headers["location"] = f"/api/referrals/sync/{run_id}"
    return _sync(services, state)


@router.get(
    "/referrals/sync/{run_id}",
    response_model=schemas.Sync,
    summary="How a sync stands",
    responses=problems(404, 502),
)
def sync_status(services: Use, run_id: Annotated[str, Path(max_length=100)]) -> schemas.Sync:
    """Status and counts of a sync: the run's state in Dagster, joined with its books."""
    state = sync_state(services.engine, services.dagster, run_id) if storable(run_id) else None
    if state is None:
        raise HTTPException(404, "There is no sync of this id")
    return _sync(services, state)


@router.get(
    "/leads",
    response_model=schemas.LeadPage,
    summary="The lead list",
    responses={**problems(400), 200: {"content": {CSV: {}, XLSX: {}}}},
)
def leads(
    services: Use,
    chosen: Filter,
    sort: Annotated[str, *_one_of("sort", "`rank`: category, then score; `-`: from high to low")] = "rank",
    limit: Limit = 50,
    after: Cursor = None,
    before: Cursor = None,
    format: Annotated[  # noqa: A002 - the parameter's public name
        Literal["json", "csv", "xlsx"], Query(description="csv and xlsx hold all leads of the filter, not a page")
    ] = "json",
) -> Any:
    """Company domains with at least one referral, ranked; one page, or all of them as a file."""
    rates = services.settings.exchange_rates
    if format != "json":
        return file_of(
            services.reading, "leads", format, EXPORTED, lambda connection: iter_leads(connection, chosen, sort, rates)
        )
    with services.reading.connect() as connection:
        page = list_leads(connection, chosen, sort, limit, after, before, rates)
        return {
            "leads": [lead_record(lead) for lead in page.leads],
            "total": services.totals.read(connection, chosen),
            "next": page.next,
            "previous": page.previous,
        }


@router.get("/leads/{domain}", response_model=schemas.LeadDetail, summary="One lead", responses=problems(404))
def lead(services: Use, domain: Annotated[str, Path(max_length=255)]) -> Any:
    """A lead with its score point by point, its signals with their evidence, its referrals and its history."""
    with services.reading.connect() as connection:
        story = stories.lead_story(connection, domain.lower())
    if story is None:
        raise HTTPException(404, "There is no lead of this domain")
    return {
        **lead_record(story.lead),
        "breakdown": story.breakdown,
        "signals": story.signals,
        "registration": story.registration,
        "referral_list": story.referrals,
        "history": story.history,
        "signal_changes": story.signal_changes,
    }


@router.get("/referrals", response_model=schemas.ReferralPage, summary="The referrals", responses=problems(400))
def referrals(
    services: Use,
    referral_type: Annotated[str | None, *_one_of("referral_type", "`none`: it cannot be told")] = None,
    status: Annotated[
        str | None, Query(max_length=200, description=f"{', '.join(STATUSES)}, or another that some referral has")
    ] = None,
    domain: Annotated[str | None, Query(max_length=255)] = None,
    is_open: Annotated[bool | None, Query(description="Whether it still counts for scoring")] = None,
    limit: Limit = 50,
    after: Cursor = None,
) -> Any:
    """Every tracked referral, with or without a company domain, the last synced first."""
    with services.reading.connect() as connection:
        if status is not None:
            there_are = dict.fromkeys((*STATUSES, *statuses_in_use(connection)))
            found_status = next((each for each in there_are if each.casefold() == status.strip().casefold()), None)
            if found_status is None:
                raise refusal("status", status, f"there is no status {status[:50]!r}; use {', '.join(there_are)}")
            status = found_status
        chosen = stories.ReferralFilter(referral_type, status, domain.lower() if domain else None, is_open)
        found, cursor = stories.list_referrals(connection, chosen, limit, after)
    return {"referrals": found, "next": cursor}


@router.get(
    "/referrals/{referral_id:path}/lineage",
    response_model=schemas.Lineage,
    summary="The story of a referral",
    responses=problems(404),
)
def lineage(services: Use, referral_id: ReferralId) -> Any:
    """What each stage took in, decided and wrote, from payload to score."""
    with services.reading.connect() as connection:
        steps = read_lineage(connection, referral_id) if storable(referral_id) else []
        if not steps and stories.referral_story(connection, referral_id) is None:
            raise HTTPException(404, "There is no referral of this id")
    return {
        "referral_id": referral_id,
        "current": [_step(services, step) for step in latest_steps(steps)],
        "steps": [_step(services, step) for step in steps],
    }


@router.get(
    "/referrals/{referral_id:path}",
    response_model=schemas.ReferralDetail,
    summary="One referral",
    responses=problems(404),
)
def referral(services: Use, referral_id: ReferralId) -> Any:
    """A referral as tracked, as received, and what became of it."""
    with services.reading.connect() as connection:
        story = stories.referral_story(connection, referral_id)
    if story is None:
        raise HTTPException(404, "There is no referral of this id")
    return {
        "referral_id": story.referral_id,
        "referral": story.referral,
        "warnings": story.warnings,
        "decision": story.decision,
        "failures": story.failures,
        "payload": story.payload,
    }


def _sync(services: Services, state: SyncState) -> schemas.Sync:
    return schemas.Sync(
        **asdict(state),
        status_url=f"/api/referrals/sync/{state.run_id}",
        run_url=services.run_url(state.run_id),
    )


def _step(services: Services, step: LineageStep) -> dict[str, Any]:
    return {**asdict(step), "run_url": services.step_url(step.run_id), "asset_url": services.asset_url(step.stage)}
