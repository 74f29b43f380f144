"""Acting on a referral over HTTP: the two steps of the page, and the same as API calls.

Belongs here: reading what a person asks for, and answering with what became of it. Does not belong here: any of the
acting itself (`actions.act`). `app` includes these routes only where HUNTER_PARTNER_CENTER_WRITE_ENABLED is set, so
that a server which may only read has no address to write to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from hunter_pipeline.actions.act import Proposal, Result, carry_out, propose
from hunter_pipeline.partner_center.changes import ACTIONS, Action, ChangeRefused, Wish
from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.services import make_acting
from hunter_pipeline.web import schemas
from hunter_pipeline.web.parameters import ONLY_KNOWN
from hunter_pipeline.web.people import actor_of
from hunter_pipeline.web.problems import problems
from hunter_pipeline.web.render import render
from hunter_pipeline.web.security import WAYS_IN
from hunter_pipeline.web.services import Use

pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
api = APIRouter(prefix="/api", dependencies=[*WAYS_IN, ONLY_KNOWN])

ReferralId = Annotated[str, Path(min_length=1, max_length=255)]

_STATUS_OF = {"done": 200, "moved": 409}
"""How the API answers; a change that did not come about otherwise is 502, with the reason."""


@pages.post("/referrals/{referral_id:path}/change")
async def change(request: Request, services: Use, referral_id: ReferralId) -> Response:
    """First step: say in words what would change. Second step, with the eTag of the first: do it."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    session = getattr(request.state, "session", None)
    if session is not None and form.get("csrf") != session.csrf:
        raise HTTPException(403, "The CSRF token is missing or wrong; load the page again")

    def work() -> Proposal | Result:
        wish = _wish(form)
        acting = make_acting(services.settings, services.engine, services.clock)
        if not form.get("etag"):
            return propose(acting, referral_id, wish)
        return carry_out(
            acting, referral_id, wish, form["etag"], actor=actor_of(request, services.settings), channel="web"
        )

    values: dict[str, Any] = {
        "referral_id": referral_id,
        "form": form,
        "proposal": None,
        "result": None,
        "problem": None,
    }
    try:
        outcome = await run_in_threadpool(work)
    except (ChangeRefused, PartnerCenterError) as error:
        return render(request, "change.html", 409, **{**values, "problem": str(error)})
    if isinstance(outcome, Proposal):
        return render(request, "change.html", **{**values, "proposal": outcome})
    if outcome.outcome == "done":
        return RedirectResponse(f"/referrals/{quote(referral_id, safe='')}#actions", 303)
    return render(request, "change.html", 409, **{**values, "result": outcome})


@api.post(
    "/referrals/{referral_id:path}/actions/preview",
    response_model=schemas.ActionPreview,
    summary="What a change would do",
    responses=problems(409, 502),
)
def preview(services: Use, referral_id: ReferralId, wish: schemas.ActionWish) -> Any:
    """Read the referral afresh and say field by field what would change. Nothing is sent."""
    acting = make_acting(services.settings, services.engine, services.clock)
    try:
        proposal = propose(acting, referral_id, _wish_of(wish))
    except ChangeRefused as error:
        raise HTTPException(409, str(error)) from None
    except PartnerCenterError as error:
        raise HTTPException(502, str(error)) from None
    return asdict(proposal)


@api.post(
    "/referrals/{referral_id:path}/actions",
    response_model=schemas.ActionResult,
    summary="Accept, decline, win, lose or update a referral",
    responses={
        **problems(),
        409: {
            "model": schemas.ActionResult,
            "description": "It has changed since the preview; nothing was overwritten",
        },
        502: {"model": schemas.ActionResult, "description": "Refused, not arrived or not known: see `outcome`"},
    },
)
def act(
    request: Request, response: Response, services: Use, referral_id: ReferralId, order: schemas.ActionOrder
) -> Any:
    """Send the change to Partner Center once, for just the version that the preview showed."""
    acting = make_acting(services.settings, services.engine, services.clock)
    actor = actor_of(request, services.settings)
    try:
        result = carry_out(acting, referral_id, _wish_of(order), order.etag, actor=actor, channel="api")
    except ChangeRefused as error:
        result = Result("refused", str(error))
        response.status_code = 409
    except PartnerCenterError as error:
        result = Result("failed", f"Nothing was sent: {error}")
        response.status_code = 502
    else:
        response.status_code = _STATUS_OF.get(result.outcome, 502)
    return asdict(result)


def _wish_of(wish: schemas.ActionWish) -> Wish:
    return Wish(wish.action, wish.reason, wish.deal_value, wish.currency, wish.closing, wish.reference)


def _wish(form: Mapping[str, str]) -> Wish:
    """The wish of a form; an empty field leaves the value as it is.

    :raises ChangeRefused: a field cannot be read.
    """
    given = {name: value.strip() for name, value in form.items() if value.strip()}
    if given.get("action") not in ACTIONS:
        raise ChangeRefused("choose what to do with the referral")
    try:
        value = Decimal(given["deal_value"].replace(" ", "")) if "deal_value" in given else None
    except InvalidOperation:
        raise ChangeRefused("the deal value is no number; write 12500 or 12500.50") from None
    try:
        closing = date.fromisoformat(given["closing"]) if "closing" in given else None
    except ValueError:
        raise ChangeRefused("the closing date is no date; write it as 2026-12-31") from None
    return Wish(
        action=cast(Action, given["action"]),
        reason=given.get("reason"),
        deal_value=value,
        currency=given.get("currency"),
        closing=closing,
        reference=given.get("reference"),
    )
