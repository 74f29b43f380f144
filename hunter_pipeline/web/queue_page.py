"""The page `/referrals`: the work queue with its tabs, filters and order in the address.

Belongs here: reading the address and the values that the template is given. Does not belong here: queries and markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from hunter_pipeline.domains.normalize import SkipReason
from hunter_pipeline.readers.choices import skip_reasons_in_use
from hunter_pipeline.readers.cursor import InvalidCursor
from hunter_pipeline.readers.queue_columns import LISTED, TAB_HELP, TAB_NAMES, TABS, Tab
from hunter_pipeline.readers.referral_queue import (
    QUEUE_SORTS,
    QueueFilter,
    count_queue,
    count_tabs,
    list_queue,
)
from hunter_pipeline.vocabulary import BADGES, NO_TYPE
from hunter_pipeline.web.addresses import PAGE_SIZE, kept, link, sort_link
from hunter_pipeline.web.render import render
from hunter_pipeline.web.services import Use
from hunter_pipeline.web.visits import Visit, read_visit, remember_visit

SKIP_REASONS = tuple(reason.value for reason in SkipReason)
REFERRAL_TYPES = (*BADGES, NO_TYPE)

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/referrals")
def referrals(request: Request, services: Use, sort: str = "expires", after: str | None = None) -> Response:
    """One tab of the queue; what cannot be read in the address is named and left out."""
    now = services.clock()
    visit = read_visit(request, now)
    chosen, problem = _filter(request.query_params, visit)
    if sort not in QUEUE_SORTS:
        problem, sort = f"There is no order {sort[:50]!r}; it is sorted by expiry", "expires"
    parameters = kept(request.query_params, "after")
    try:
        with services.reading.connect() as connection:
            page = list_queue(connection, chosen, now, sort, PAGE_SIZE, after, services.settings.exchange_rates)
            counts = count_tabs(connection, now)
            filtered = chosen != QueueFilter(chosen.tab)
            total = count_queue(connection, chosen, now) if filtered else counts[chosen.tab]
            reasons = skip_reasons_in_use(connection) if chosen.tab in ("no_domain", "all") else []
    except InvalidCursor:
        return RedirectResponse(link("/referrals", parameters), 303)
    since = {} if chosen.since is None else {"since": chosen.since.isoformat()}
    response = render(
        request,
        "referrals.html",
        since=visit.since,
        first_visit=visit.first,
        page=page,
        columns=LISTED,
        counts=counts,
        total=total,
        chosen=chosen,
        problem=problem,
        filtered=filtered,
        sort=sort,
        tabs=TABS,
        tab_names=TAB_NAMES,
        tab_help=TAB_HELP,
        referral_types=REFERRAL_TYPES,
        skip_reasons=reasons,
        tab_link=lambda tab: link("/referrals", parameters, tab=tab),
        sort_link=lambda column: sort_link("/referrals", column.sort, sort, parameters),
        first_link=link("/referrals", parameters) if after else None,
        next_link=link("/referrals", parameters, after=page.next) if page.next else None,
        # The API knows no visits, so that is said as a time.
        export=urlencode({**kept(parameters, "changed"), **since, "tab": chosen.tab, "sort": sort}),
    )
    remember_visit(response, visit, now, secure=services.is_https)
    return response


def _filter(parameters: Mapping[str, str], visit: Visit) -> tuple[QueueFilter, str | None]:
    unreadable = []
    tab = parameters.get("tab") or "answer"
    if tab not in TABS:
        unreadable.append(f"tab (there are {', '.join(TABS)})")
        tab = "answer"
    referral_type = parameters.get("referral_type") or None
    if referral_type not in (None, *REFERRAL_TYPES):
        unreadable.append(f"referral type (there are {', '.join(REFERRAL_TYPES)})")
        referral_type = None
    skip_reason = parameters.get("skip_reason") or None
    if skip_reason not in (None, *SKIP_REASONS):
        unreadable.append(f"reason (there are {', '.join(SKIP_REASONS)})")
        skip_reason = None
    chosen = QueueFilter(
        cast(Tab, tab),
        parameters.get("q", "").strip()[:200] or None,
        referral_type,
        skip_reason,
        visit.since if parameters.get("changed") else None,
    )
    return chosen, f"Left out, since it cannot be read: {', '.join(unreadable)}" if unreadable else None
