"""The work queue as an API call: a page of it, or all of a tab as a file.

Belongs here: parameters and the answer's form. Does not belong here: the queries (`readers.referral_queue`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import AwareDatetime

from hunter_pipeline.domains.normalize import SkipReason
from hunter_pipeline.readers.export import record_of
from hunter_pipeline.readers.queue_columns import COLUMNS, TAB_HELP, Tab
from hunter_pipeline.readers.referral_queue import (
    MAX_PAGE,
    QUEUE_SORTS,
    QueueFilter,
    count_queue,
    iter_queue,
    list_queue,
)
from hunter_pipeline.vocabulary import ReferralTypeFilter
from hunter_pipeline.web import schemas
from hunter_pipeline.web.downloads import CSV, XLSX, file_of
from hunter_pipeline.web.parameters import ONLY_KNOWN
from hunter_pipeline.web.problems import problems
from hunter_pipeline.web.security import WAYS_IN
from hunter_pipeline.web.services import Use

router = APIRouter(prefix="/api", dependencies=[*WAYS_IN, ONLY_KNOWN])


@router.get(
    "/referrals/queue",
    response_model=schemas.QueuePage,
    summary="The work queue",
    responses={**problems(400), 200: {"content": {CSV: {}, XLSX: {}}}},
)
def queue(
    services: Use,
    tab: Annotated[Tab, Query(description="; ".join(f"`{tab}`: {text}" for tab, text in TAB_HELP.items()))] = "answer",
    q: Annotated[str | None, Query(max_length=200, description="Words of company, domain, id or own reference")] = None,
    referral_type: Annotated[ReferralTypeFilter | None, Query(description="`none`: it cannot be told")] = None,
    skip_reason: Annotated[SkipReason | None, Query(description="Why there is no company domain")] = None,
    since: Annotated[
        AwareDatetime | None,
        Query(description="Only what came in or changed after this; ISO 8601 with its zone"),
    ] = None,
    sort: Annotated[str, Query(description=f"One of {', '.join(QUEUE_SORTS)}")] = "expires",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    after: Annotated[str | None, Query(max_length=2000)] = None,
    format: Annotated[  # noqa: A002 - the parameter's public name
        Literal["json", "csv", "xlsx"], Query(description="csv and xlsx hold the whole tab, without contacts")
    ] = "json",
) -> Any:
    """Every referral by what is to be done with it, also those without a domain and those that failed."""
    if sort not in QUEUE_SORTS:
        raise HTTPException(400, f"There is no order {sort[:50]!r}; there are {', '.join(QUEUE_SORTS)}")
    wanted = QueueFilter(tab, q, referral_type, skip_reason.value if skip_reason else None, since)
    now, rates = services.clock(), services.settings.exchange_rates
    if format != "json":
        return file_of(
            services.reading,
            "referrals",
            format,
            COLUMNS,
            lambda connection: iter_queue(connection, wanted, now, sort, rates),
        )
    with services.reading.connect() as connection:
        page = list_queue(connection, wanted, now, sort, limit, after, rates)
        return {
            "referrals": [record_of(referral, COLUMNS) for referral in page.referrals],
            "total": count_queue(connection, wanted, now),
            "next": page.next,
        }
