"""The web application: routes, what stands in front of them, and how errors are answered.

Belongs here: putting the parts together. Does not belong here: any route. `create_app` takes everything it needs,
so a test and `hunter web` make the same application.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from hunter_pipeline.pipeline.sync_runs import SyncPaused
from hunter_pipeline.readers.cursor import InvalidCursor
from hunter_pipeline.runs.sync_request import SyncUnderWay
from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.web import acts, api, health, ingest, pages, queue_api, queue_page
from hunter_pipeline.web.dagster_client import DagsterClient, DagsterRefused, DagsterUnavailable
from hunter_pipeline.web.reference import add_examples
from hunter_pipeline.web.render import render
from hunter_pipeline.web.security import Guard, Sessions, check_exposure
from hunter_pipeline.web.services import Services, services_of, sign_in_end
from hunter_pipeline.web.token_gate import WRONG_SECONDS, TokenGate
from hunter_pipeline.web.webhook import CertificateUnavailable, Verifier, trusted_roots

log = logging.getLogger(__name__)

_MISSING = frozenset({"42P01", "42703"})  # undefined_table, undefined_column
_SCHEMA_OUTDATED = "The database's tables are not those of this version; run `hunter db upgrade`"
_DATABASE_DOWN = "The database does not answer; `hunter db status` says why"


def create_app(
    settings: Settings,
    engine: Engine,
    *,
    reading: Engine | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    verifier: Verifier | None = None,
    wrong_token_seconds: float = WRONG_SECONDS,
) -> FastAPI:
    """The application; nothing is asked of database or Dagster yet.

    :param engine: on Hunter's database.
    :param reading: on the same database, for what only reads; None: `engine`.
    :param clock: gives the present, aware UTC.
    :param verifier: checks webhooks in place of the one that the settings describe.
    :param wrong_token_seconds: what a wrong token costs who sends it.
    :raises SettingsError: the server would be open to other machines without a token, or the webhook's root
        certificates cannot be read.
    """
    check_exposure(settings, settings.web_host)
    app = FastAPI(
        title="Hunter",
        summary="Leads from Microsoft Partner Center referrals, ranked and explained",
        version=version("hunter-pipeline"),
        docs_url=None,  # their pages load scripts from other hosts; `pages` has one of our own
        redoc_url=None,
    )
    reading = reading or engine
    token = settings.web_token.get_secret_value() if settings.web_token else None
    app.state.sessions = sessions = Sessions(token) if token else None
    app.state.gate = gate = TokenGate([token], wrong_token_seconds) if token else None
    dagster = DagsterClient(settings.dagster_url, sessions.dagster_key if sessions else None)
    app.state.services = Services(settings, engine, reading, dagster, clock, verifier or _verifier(settings, clock))
    app.state.metrics = health.Metrics(reading, clock, lambda: sign_in_end(settings, engine))
    app.include_router(health.router)
    if settings.partner_center_write_enabled:
        # These come before the API's, whose path of one referral would take them in.
        app.include_router(acts.api)
        app.include_router(acts.pages)
    app.include_router(queue_api.router)
    app.include_router(api.router)
    app.include_router(ingest.router)
    app.include_router(queue_page.router)
    app.include_router(pages.router)
    app.mount("/static", _Static(directory=Path(__file__).parent / "static"), name="static")
    add_examples(app, (settings.web_public_url or "http://127.0.0.1:8000").rstrip("/"))
    _answer_errors(app)
    app.add_middleware(Guard, settings=settings, sessions=sessions, gate=gate)
    app.add_middleware(health.MeasuredRequests, metrics=app.state.metrics)
    return app


class _Static(StaticFiles):
    """Files of the page; they hold nothing private and may be kept for a while."""

    async def get_response(self, path: str, scope: object) -> Response:
        response = await super().get_response(path, scope)  # type: ignore[arg-type]
        response.headers["cache-control"] = "public, max-age=300"
        return response


def _verifier(settings: Settings, clock: Callable[[], datetime]) -> Verifier | None:
    if not settings.webhook_enabled:
        return None
    try:
        roots = trusted_roots(settings.webhook_ca_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"HUNTER_WEBHOOK_CA_FILE: {settings.webhook_ca_file} cannot be read as PEM certificates"
            f" ({type(error).__name__})"
        ) from None
    return Verifier(settings.webhook_certificate_url, roots, clock)


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    def known(request: Request, error: HTTPException) -> Response:
        return _problem(request, error.status_code, error.detail, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        if _wants_page(request):
            return _problem(request, 422, "The address holds something that cannot be read")
        return await request_validation_exception_handler(request, error)

    @app.exception_handler(InvalidCursor)
    def cursor(request: Request, error: InvalidCursor) -> Response:
        return _problem(request, 400, str(error))

    @app.exception_handler(SyncUnderWay)
    def under_way(_: Request, error: SyncUnderWay) -> Response:
        status_url = f"/api/referrals/sync/{error.run_id}"
        return JSONResponse({"detail": str(error), "run_id": error.run_id, "status_url": status_url}, 409)

    @app.exception_handler(SyncPaused)
    def paused(request: Request, error: SyncPaused) -> Response:
        seconds = (error.until - services_of(request).clock()).total_seconds()
        return _problem(request, 503, str(error), {"retry-after": str(max(1, math.ceil(seconds)))})

    @app.exception_handler(SettingsError)
    def not_set_up(request: Request, error: SettingsError) -> Response:
        return _problem(request, 503, str(error))

    @app.exception_handler(DagsterUnavailable)
    @app.exception_handler(CertificateUnavailable)
    def no_answer(request: Request, error: Exception) -> Response:
        log.warning("%s", error)
        return _problem(request, 503, str(error), {"retry-after": "30"})

    @app.exception_handler(DagsterRefused)
    def refused(request: Request, error: DagsterRefused) -> Response:
        log.warning("%s", error)
        return _problem(request, 502, str(error))

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeout)
    def database_down(request: Request, error: Exception) -> Response:
        # The driver's text names hosts and users.
        log.error("the database does not answer: %s", type(error).__name__)
        return _problem(request, 503, _DATABASE_DOWN, {"retry-after": "30"})

    @app.exception_handler(ProgrammingError)
    def outdated(request: Request, error: ProgrammingError) -> Response:
        if getattr(error.orig, "pgcode", None) not in _MISSING:
            return unexpected(request, error)
        log.error("the database lacks a table or a column")
        return _problem(request, 503, _SCHEMA_OUTDATED)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s broke", request.method, request.scope.get("route"), exc_info=error)
        return _problem(request, 500, "An error of the server; its log has the details")


def _wants_page(request: Request) -> bool:
    machine = ("/api/", "/ingest/", "/healthz", "/metrics")
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(machine)


def _problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    if _wants_page(request):
        response = render(request, "error.html", status, code=status, detail=detail)
        response.headers.update(headers or {})
        return response
    return JSONResponse({"detail": detail}, status, headers=headers)
