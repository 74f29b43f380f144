"""The address that Partner Center sends its events to.

Belongs here: what an event starts and what its sender is answered. Does not belong here: the proof that it is
Microsoft's, which is `webhook`'s. An event only makes a sync come sooner: polling stays the source of truth, and
an event that is lost, late or sent twice changes nothing.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from hunter_pipeline.readers.stories import has_change
from hunter_pipeline.runs.sync_request import SyncUnderWay
from hunter_pipeline.web import schemas
from hunter_pipeline.web.problems import DISABLED, problems
from hunter_pipeline.web.services import Services, Use
from hunter_pipeline.web.sync import start_sync
from hunter_pipeline.web.webhook import BadEvent, Event, read_event

log = logging.getLogger(__name__)

EXAMPLE = {
    "EventName": "referral-updated",
    "ResourceUri": "https://api.partner.microsoft.com/v1.0/engagements/referrals/2500ec5a-7a2c-4f21-9c1d-5a4b0f7d8e10",
    "ResourceName": "referral",
    "AuditUri": None,
    "ResourceChangeUtcDate": "2026-11-24T09:00:00Z",
}
"""An event as Partner Center's documents show it."""

router = APIRouter()


@router.post(
    "/ingest/partnercenter",
    status_code=202,
    response_model=schemas.EventAnswer,
    summary="Take an event of Partner Center",
    responses=problems(400, 404, 413, 502),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "examples": [EXAMPLE]}}},
        },
    },
)
async def take_event(services: Use, request: Request) -> schemas.EventAnswer:
    """Signed `referral-created` and `referral-updated` events make the next sync come at once.

    Instead of a token the event carries Microsoft's signature. Answered with 404 while HUNTER_WEBHOOK_ENABLED is off.
    """
    if services.verifier is None:
        raise HTTPException(404, "Events are not taken here; HUNTER_WEBHOOK_ENABLED is off")
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        await run_in_threadpool(services.verifier.verify, headers, body)
    except BadEvent as error:
        log.warning("refused an event: %s", error)
        raise HTTPException(401, str(error)) from None
    try:
        event = read_event(body)
    except BadEvent as error:
        raise HTTPException(400, str(error)) from None
    if event.referral_id is None:
        return schemas.EventAnswer(sync="ignored")
    if not services.settings.partner_center_enabled:
        raise HTTPException(400, DISABLED)
    return await run_in_threadpool(_sync, services, event)


def _sync(services: Services, event: Event) -> schemas.EventAnswer:
    if event.referral_id is not None and event.changed_at is not None:
        with services.engine.connect() as connection:
            if has_change(connection, event.referral_id, event.changed_at):
                return schemas.EventAnswer(sync="not needed")
    try:
        limit = services.settings.partner_center_sync_max_runtime
        run_id = start_sync(services.engine, services.dagster, services.clock, limit, force=False, trigger="webhook")
    except SyncUnderWay as running:
        return schemas.EventAnswer(sync="under way", run_id=running.run_id)
    return schemas.EventAnswer(sync="started", run_id=run_id)
