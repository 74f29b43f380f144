"""Whether the server lives, whether it can work, and its figures for Prometheus.

Belongs here: `/healthz` and `/metrics`. Does not belong here: alarms, which are Dagster's checks. Being live and
being ready are two questions: a database that is down must not get the server restarted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunter_pipeline.readers.known import Known
from hunter_pipeline.readers.summary import summary
from hunter_pipeline.readers.vitals import read_vitals
from hunter_pipeline.web import schemas
from hunter_pipeline.web.problems import problems
from hunter_pipeline.web.services import Use

router = APIRouter()


class Metrics:
    """The figures of one application: requests as they pass, and the counts of the database when asked."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        signed_in_until: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hunter_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "hunter_http_request_seconds", "Time to the start of the answer", ["route"], registry=self.registry
        )
        self.registry.register(_Counts(engine, clock, signed_in_until))


class _Counts(Collector):
    """Counts that are read from the database at each scrape; none while it does not answer."""

    def __init__(
        self, engine: Engine, clock: Callable[[], datetime], signed_in_until: Callable[[], datetime | None]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._signed_in_until = signed_in_until
        self._known = Known(summary)

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead: registering must not ask the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The figures as they are now."""
        up = GaugeMetricFamily("hunter_database_up", "Whether the database answers")
        try:
            with self._engine.connect() as connection:
                counts = self._known.read(connection)
                vitals = read_vitals(connection, self._clock())
        except SQLAlchemyError:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        leads = GaugeMetricFamily("hunter_leads", "Leads by category", labels=["category"])
        for category, _, number in counts.categories:
            leads.add_metric([category], number)
        leads.add_metric(["unscored"], counts.unscored)
        skipped = GaugeMetricFamily("hunter_referrals_skipped", "Referrals without a domain", labels=["reason"])
        for reason, number in counts.skipped.items():
            skipped.add_metric([reason], number)
        syncs = GaugeMetricFamily("hunter_syncs", "Syncs of the last day by result", labels=["result"])
        for result, number in vitals.syncs.items():
            syncs.add_metric([result], number)
        figures = [up, leads, skipped, syncs]
        plain: list[tuple[str, str, float]] = [
            ("hunter_referrals", "Referrals fetched and kept", counts.referrals),
            ("hunter_referrals_with_domain", "Referrals with a company domain", counts.with_domain),
            ("hunter_open_failures", "Items that a stage refused", counts.open_failures),
            (
                "hunter_dismissed_failures",
                "Of those refused, taken for known",
                counts.dismissed_failures,
            ),
        ]
        plain += [
            ("hunter_referrals_to_answer", "Referrals that wait for an answer", vitals.to_answer),
            ("hunter_referrals_expiring", "Of these, closed by Partner Center within three days", vitals.expiring),
            ("hunter_partial_lookups", "Domains of which a look-up failed", vitals.partial_lookups),
        ]
        if vitals.last_sync_seconds is not None:
            plain.append(("hunter_last_sync_duration_seconds", "How long the last sync took", vitals.last_sync_seconds))
        moments = (
            ("hunter_last_sync_timestamp_seconds", "When the last good sync ended", counts.last_success_at),
            (
                "hunter_oldest_unprocessed_timestamp_seconds",
                "Since when the oldest fetched referral waits",
                vitals.oldest_unprocessed,
            ),
            (
                "hunter_sign_in_expires_timestamp_seconds",
                "When the sign-in ends if nothing uses it",
                self._signed_in_until(),
            ),
        )
        plain += [(name, text_, moment.timestamp()) for name, text_, moment in moments if moment is not None]
        for name, help_text, value in plain:
            figures.append(GaugeMetricFamily(name, help_text, value=value))
        return figures


class MeasuredRequests:
    """Middleware that counts and times every request under the route that took it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The pattern, not the path: paths hold domains and ids, and have no end.
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in {"GET", "POST"} else "other"
                self._metrics.requests.labels(method, route, str(message["status"])).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, measured)


@router.get("/healthz/live", response_model=schemas.Health, summary="Is the server alive")
def live() -> schemas.Health:
    """200 as long as the process answers."""
    return schemas.Health(live=True, ready=None, problem=None)


@router.get(
    "/healthz/ready",
    response_model=schemas.Health,
    summary="Can the server work",
    responses={503: {"model": schemas.Health, "description": "It cannot"}},
)
@router.get(
    "/healthz",
    response_model=schemas.Health,
    summary="Does the server live, and can it work",
    responses={503: {"model": schemas.Health, "description": "It lives, and cannot work"}},
)
def ready(services: Use, response: Response) -> schemas.Health:
    """200 when the database answers with the tables in place, else 503 with the reason."""
    try:
        for engine in {services.engine, services.reading}:
            with engine.connect() as connection:
                connection.execute(text("SELECT FROM companies LIMIT 1"))
    except SQLAlchemyError as error:
        response.status_code = 503
        # The driver's text may name hosts and users, and this answer is open to everybody.
        return schemas.Health(live=True, ready=False, problem=f"the database does not work ({type(error).__name__})")
    return schemas.Health(live=True, ready=True, problem=None)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={**problems(), 200: {"content": {CONTENT_TYPE_LATEST: {}}}},
)
def metrics(request: Request) -> Response:
    """Requests, leads, referrals, failures and the time of the last good sync."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
