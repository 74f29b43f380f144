"""The pages: lead list, lead, referral, sign-in, API reference.

Belongs here: which values a template is given. Does not belong here: queries, wording, markup. Pages work without
JavaScript; it only adds the sync button's progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from hunter_pipeline.actions.book import read_attempts
from hunter_pipeline.partner_center.changes import NEEDS_REASON, possible
from hunter_pipeline.partner_center.contact import read_contact_sheet
from hunter_pipeline.readers import lead_columns, referral_columns, stories
from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.cursor import InvalidCursor
from hunter_pipeline.readers.lead_list import (
    CHOICES,
    MAX_PAGE,
    SORTS,
    LeadFilter,
    LeadPage,
    choice,
    list_leads,
)
from hunter_pipeline.readers.lineage import latest_steps, read_lineage
from hunter_pipeline.scoring.words import legend, why_category
from hunter_pipeline.web import wording
from hunter_pipeline.web.addresses import PAGE_SIZE, kept, link, sort_link
from hunter_pipeline.web.render import render
from hunter_pipeline.web.security import COOKIE, Sessions, is_local_path
from hunter_pipeline.web.services import Use
from hunter_pipeline.web.sign_in import answer_token
from hunter_pipeline.web.visits import Visit, read_visit, remember_visit

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
def lead_list(
    request: Request,
    services: Use,
    sort: str = "rank",
    limit: str = "",
    after: str | None = None,
    before: str | None = None,
) -> Response:
    """The lead list; filter, order and page stand in the address."""
    now = services.clock()
    visit = read_visit(request, now)
    chosen, problem = _filter(request.query_params, visit)
    try:
        if sort not in SORTS:
            raise InvalidCursor(f"there is no order {sort[:50]!r}")
        with services.reading.connect() as connection:
            page = list_leads(
                connection, chosen, sort, _page_size(limit), after, before, services.settings.exchange_rates
            )
            counts, providers = services.surroundings.read(connection)
            total = counts.leads if chosen == LeadFilter() else services.totals.read(connection, chosen)
    except InvalidCursor:
        # An old bookmark: the first page says more than an error.
        return RedirectResponse(link("/", kept(request.query_params, "sort", "after", "before")), 303)
    parameters = kept(request.query_params, "after", "before")
    rules = services.rules
    response = render(
        request,
        "leads.html",
        since=visit.since,
        first_visit=visit.first,
        legend=legend(rules) if rules else (),
        page=page,
        columns=lead_columns.LISTED,
        summary=counts,
        total=total,
        chosen=chosen,
        problem=problem,
        sort=sort,
        providers=providers,
        segments=CHOICES["segment"],
        categories=CHOICES["category"],
        referral_types=CHOICES["referral_type"],
        filtered=chosen != LeadFilter() or problem is not None,
        pager=_pager(page, parameters),
        sort_link=lambda column: _header(column, sort, parameters),
        export=urlencode(_export(parameters, chosen, sort)),
        sort_names={"rank": "category", **{each.sort.name: each.label for each in lead_columns.COLUMNS if each.sort}},
    )
    remember_visit(response, visit, now, secure=services.is_https)
    return response


@router.get("/leads/{domain}")
def lead(request: Request, services: Use, domain: str) -> Response:
    """Why this score, point by point; what the domain's records say; its referrals; what changed."""
    with services.reading.connect() as connection:
        story = stories.lead_story(connection, domain.lower())
    if story is None:
        raise HTTPException(404, f"There is no lead of the domain {domain[:100]}")
    signals = wording.signal_rows(story.signals["signals"]) if story.signals else []
    rules = services.rules
    why = why_category(rules, vars(story.lead), story.breakdown) if rules and story.lead.category else ()
    return render(
        request,
        "lead.html",
        story=story,
        lead=story.lead,
        facts=lead_columns.FACTS,
        signals=signals,
        why=why,
        referral_columns=referral_columns.LISTED,
        run_url=services.run_url,
    )


@router.get("/referrals/{referral_id:path}")
def referral(request: Request, services: Use, referral_id: str) -> Response:
    """The story of a referral from payload to score."""
    with services.reading.connect() as connection:
        story = stories.referral_story(connection, referral_id)
        steps = read_lineage(connection, referral_id) if story else []
        attempts = read_attempts(connection, referral_id) if story else []
    if story is None:
        raise HTTPException(404, f"There is no referral of the id {referral_id[:100]}")
    sheet = read_contact_sheet(story.payload)
    state = (story.referral.status, story.referral.substatus) if story.referral else (None, None)
    may_write = services.settings.partner_center_write_enabled
    return render(
        request,
        "referral.html",
        story=story,
        facts=referral_columns.FACTS,
        sheet=sheet,
        portal_url=services.portal_url(referral_id, sheet.engagement_id),
        attempts=attempts,
        actions=possible(*state) if may_write else (),
        needs_reason=NEEDS_REASON,
        current=latest_steps(steps),
        earlier=[step for step in steps if step not in latest_steps(steps)],
        step_url=services.step_url,
        asset_url=services.asset_url,
    )


@router.get("/docs")
def reference(request: Request) -> Response:
    """The API, from its own OpenAPI document."""
    return render(request, "docs.html", document=request.app.openapi())


@router.get("/sign-in")
def sign_in_form(request: Request, next: Annotated[str, Query()] = "/") -> Response:  # noqa: A002 - public name
    """The sign-in form; without a token set there is nothing to sign in to."""
    if request.app.state.sessions is None:
        return RedirectResponse("/", 303)
    return render(request, "sign_in.html", target=next if is_local_path(next) else "/", problem=None)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    services: Use,
    token: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002 - public name
) -> Response:
    """Take the token and hand out a session cookie."""
    sessions: Sessions | None = request.app.state.sessions
    if sessions is None:
        return RedirectResponse("/", 303)
    target = next if is_local_path(next) else "/"
    return await answer_token(
        request,
        sessions,
        request.app.state.gate,
        token,
        target,
        secure=services.is_https,
        show_form=lambda status, problem: render(request, "sign_in.html", status, target=target, problem=problem),
    )


@router.post("/sign-out")
def sign_out(request: Request, csrf: Annotated[str, Form()] = "") -> Response:
    """End the session of this browser."""
    session = getattr(request.state, "session", None)
    if session is not None and csrf != session.csrf:
        raise HTTPException(403, "The CSRF token is missing or wrong; load the page again")
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _filter(parameters: Mapping[str, str], visit: Visit) -> tuple[LeadFilter, str | None]:
    """The filter of the page's address; what cannot be read is named and left out."""
    unreadable = []

    def number(name: str) -> int | None:
        value = parameters.get(name, "").strip()
        if not value:
            return None
        if not value.isdecimal() or len(value) > 3 or int(value) > 100:
            unreadable.append(name.replace("_", " "))
            return None
        return int(value)

    def one_of(name: str) -> str | None:
        value = parameters.get(name, "").strip()
        try:
            return choice(name, value) if value else None
        except ValueError as error:
            unreadable.append(f"{name.replace('_', ' ')} ({error})")
            return None

    chosen = LeadFilter(
        referral_type=one_of("referral_type"),
        segment=one_of("segment"),
        provider=one_of("provider"),
        category=one_of("category"),
        min_score=number("min_score"),
        max_score=number("max_score"),
        text=parameters.get("q", "").strip()[:200] or None,
        since=visit.since if parameters.get("changed") else None,
    )
    problem = f"Left out, since it cannot be read: {', '.join(unreadable)}" if unreadable else None
    return chosen, problem


def _export(parameters: Mapping[str, str], chosen: LeadFilter, sort: str) -> dict[str, str]:
    """The API's parameters for the same leads; it knows no visits, so that is said as a time."""
    since = {} if chosen.since is None else {"since": chosen.since.isoformat()}
    return {**kept(parameters, "changed"), **since, "sort": sort}


def _page_size(value: str) -> int:
    fits = value.isdecimal() and len(value) < 4 and 1 <= int(value) <= MAX_PAGE
    return int(value) if fits else PAGE_SIZE


def _pager(page: LeadPage, parameters: Mapping[str, str]) -> dict[str, str | None]:
    return {
        "next": link("/", parameters, after=page.next) if page.next else None,
        "previous": link("/", parameters, before=page.previous) if page.previous else None,
        "first": link("/", parameters) if page.previous else None,
    }


def _header(column: Declared, sort: str, parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Where a column's header leads, and its `aria-sort`; the ranking is that of the category."""
    if column.name == "category":
        return link("/", parameters, sort="rank"), "ascending" if sort == "rank" else "none"
    return sort_link("/", column.sort, sort, parameters)
