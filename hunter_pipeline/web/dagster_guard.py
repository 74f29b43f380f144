"""Who may see and command Dagster: what stands in front of its web server.

Belongs here: the middleware around Dagster's own application, and its sign-in form. Does not belong here: starting
that application (`orchestration.ui`). Dagster has no sign-in, answers to any name and takes mutations over GET, so
any web page could launch runs through the browser of a person who can reach it. Here only own names are answered,
changes and WebSockets come from own pages or from programs, GraphQL is asked by POST, and a token that is set is
needed for everything.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunter_pipeline.settings import Settings
from hunter_pipeline.web.security import (
    RESPONSE_HEADERS,
    SAFE_METHODS,
    Sessions,
    bearer_of,
    client_of,
    error_answer,
    is_local_path,
    is_loopback,
    is_own_origin,
    name_of,
    session_of,
    sign_in_first,
)
from hunter_pipeline.web.sign_in import answer_token
from hunter_pipeline.web.token_gate import WRONG_SECONDS, TokenGate, TooManyGuesses

_GRAPHQL = "/graphql"
_GRAPHQL_TYPES = ("application/json", "application/graphql")
_PROBE = "/server_info"
"""Tells Dagster's version and nothing else; what starts the process looks at it under any name."""

_FOLDER = Path(__file__).parent
_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
)
_templates = Jinja2Templates(env=_environment)

_HEADERS = {
    "x-frame-options": "SAMEORIGIN",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class DagsterGuard:
    """The middleware in front of Dagster's web server.

    :param app: Dagster's application.
    :param settings: name the token and the addresses under which Dagster is reached.
    :param wrong_token_seconds: what a wrong token costs who sends it.
    """

    def __init__(self, app: ASGIApp, settings: Settings, wrong_token_seconds: float = WRONG_SECONDS) -> None:
        self._app = app
        token = settings.web_token.get_secret_value() if settings.web_token else None
        self._sessions = sessions = Sessions(token) if token else None
        self._gate = TokenGate([token, sessions.dagster_key], wrong_token_seconds) if token and sessions else None
        self._public = urlsplit(settings.dagster_public_url) if settings.dagster_public_url else None
        names = {urlsplit(url).hostname for url in (settings.dagster_url, settings.dagster_public_url) if url}
        self._names = {name for name in names if name}
        self._form = _sign_in_form(
            self._sessions, self._gate, secure=bool(self._public and self._public.scheme == "https")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on to Dagster and put the headers on its answer."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        form = (
            self._sessions is not None
            and scope["type"] == "http"
            and scope["path"].startswith(("/sign-in", "/static/"))
        )
        refusal = await self._refusal(scope, form=form)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the client sees 403
            return
        own = form or refusal is not None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (RESPONSE_HEADERS if own else _HEADERS).items():
                    headers.setdefault(name, value)
            await send(message)

        await (refusal or (self._form if form else self._app))(scope, receive, send_with_headers)

    async def _refusal(self, scope: Scope, *, form: bool) -> Response | None:
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if path == _PROBE and scope["type"] == "http":
            return None
        host = headers.get("host", "")
        name = name_of(host)
        if not is_loopback(name) and name not in self._names:
            return error_answer(
                403, f"Dagster is not answered for as {host[:100]!r}; set HUNTER_DAGSTER_PUBLIC_URL to its address"
            )
        method = scope.get("method", "WEBSOCKET")
        if method not in SAFE_METHODS and not is_own_origin(headers, host, self._public):
            return error_answer(403, "The request comes from another site")
        if not form and self._sessions is not None and self._gate is not None:
            try:
                bearer = bearer_of(headers)
                if bearer is None:
                    signed_in = session_of(headers, self._sessions) is not None
                else:
                    signed_in = await self._gate.opens(bearer, client_of(scope))
            except TooManyGuesses as error:
                return error_answer(429, str(error), {"retry-after": "5"})
            if not signed_in:
                return sign_in_first(scope, headers)
        if path == _GRAPHQL and scope["type"] == "http":
            return _graphql_refusal(scope, headers)
        return None


def _graphql_refusal(scope: Scope, headers: Headers) -> Response | None:
    """What is wrong with how GraphQL is asked: a browser sends GET and plain forms for any page."""
    if scope["method"] == "POST":
        if headers.get("content-type", "").partition(";")[0].strip().lower() not in _GRAPHQL_TYPES:
            return error_answer(415, "Send GraphQL as application/json")
    elif scope["query_string"] or "text/html" not in headers.get("accept", ""):
        return error_answer(405, "Send GraphQL by POST", {"allow": "POST"})
    return None


def _sign_in_form(sessions: Sessions | None, gate: TokenGate | None, *, secure: bool) -> ASGIApp:
    def show_form(request: Request, target: str, status: int = 200, problem: str | None = None) -> Response:
        values = {"target": target, "problem": problem, "path": "/sign-in", "csrf": "", "signed_in": False}
        return _templates.TemplateResponse(request, "dagster_sign_in.html", values, status)

    async def show(request: Request) -> Response:
        target = request.query_params.get("next", "/")
        return show_form(request, target if is_local_path(target) else "/")

    async def take(request: Request) -> Response:
        if sessions is None or gate is None:
            return RedirectResponse("/", 303)
        async with request.form(max_files=0, max_fields=4) as fields:
            token, target = str(fields.get("token", "")), str(fields.get("next", "/"))
        again = partial(show_form, request, target if is_local_path(target) else "/")
        return await answer_token(request, sessions, gate, token, target, secure=secure, show_form=again)

    return Starlette(
        routes=[
            Route("/sign-in", show, methods=["GET"]),
            Route("/sign-in", take, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_FOLDER / "static")),
        ]
    )
