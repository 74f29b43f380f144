"""Who may see the lead list, and what a browser may do with it.

Belongs here: the token, the session cookie, the checks against requests that other sites cause, the size limit
and the response headers. All of it sits in front of the application, so that no route can forget it. Does not
belong here: the signature of webhooks. With a token set every request needs it; without one only this machine
is served, under its own name.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from fastapi import Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.web.token_gate import TokenGate, TooManyGuesses

COOKIE = "hunter_session"
CSRF_HEADER = "x-csrf-token"
SESSION_SECONDS = 12 * 3600
MAX_BODY_BYTES = 64 * 1024
"""Nothing that this server takes is larger than a sign-in form, a flag or an event."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/sign-in", "/healthz", "/healthz/live", "/healthz/ready", "/ingest/partnercenter"})
_OPEN_PREFIX = "/static/"
_WEBHOOK_PATH = "/ingest/partnercenter"

WAYS_IN = [
    Security(HTTPBearer(auto_error=False, description="HUNTER_WEB_TOKEN")),
    Security(APIKeyCookie(name=COOKIE, auto_error=False, description="Set by the sign-in form")),
]
"""For routers of the API: what the OpenAPI document says of the sign-in. `Guard` is what checks it."""

RESPONSE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # `no-referrer` would make browsers send `Origin: null` with forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Session:
    """A signed-in browser; `csrf` must come with everything that it changes."""

    csrf: str


class Sessions:
    """Signs and reads session cookies. They hold no secret, and a new token ends all of them.

    :param token: the token that opens the server.
    """

    def __init__(self, token: str) -> None:
        self._key = hashlib.sha256(b"hunter session key\0" + token.encode()).digest()

    @property
    def dagster_key(self) -> str:
        """What the lead list shows to Dagster's guard in place of the token, so that the token stays here."""
        return self._sign("key", "dagster")

    def cookie(self, now: float) -> str:
        """The value of a new session cookie.

        :param now: seconds since the epoch.
        """
        content = f"{int(now) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{content}.{self._sign('cookie', content)}"

    def read(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie; None when it is forged, broken or too old."""
        content, _, signature = cookie.rpartition(".")
        if not cookie.isascii() or not hmac.compare_digest(signature, self._sign("cookie", content)):
            return None
        if int(content.partition(".")[0]) < now:
            return None
        return Session(self._sign("csrf", content))

    def _sign(self, purpose: str, content: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{content}".encode(), hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    name = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def check_exposure(settings: Settings, host: str) -> None:
    """Make sure that nobody else can reach a server that asks for no token.

    :param host: address that it listens on.
    :raises SettingsError: the host is not loopback and no token is set.
    """
    if settings.web_token is None and not is_loopback(host):
        raise SettingsError(
            f"{host} is reachable from other machines and HUNTER_WEB_TOKEN is not set; "
            'set a token (python -c "import secrets; print(secrets.token_urlsafe(32))" makes one) or use 127.0.0.1'
        )


def is_local_path(path: str) -> bool:
    """Whether a redirect to `path` stays on this site."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()


class _BodyTooLargeError(Exception):
    pass


class Guard:
    """The middleware in front of the application.

    It puts `state["session"]` (a `Session` or None) on every request that it lets through.
    """

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions | None, gate: TokenGate | None) -> None:
        self._app = app
        self._sessions = sessions
        self._gate = gate
        self._public = urlsplit(settings.web_public_url) if settings.web_public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on and put the headers on its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = too_large = False
        size = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in RESPONSE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def send_unless_too_large(message: Message) -> None:
            # The framework makes a 400 of what breaks while a body is read.
            if not too_large or started:
                await send_with_headers(message)

        async def receive_limited() -> Message:
            nonlocal size, too_large
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                too_large = True
                raise _BodyTooLargeError
            return message

        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        with contextlib.suppress(_BodyTooLargeError):
            await self._app(scope, receive_limited, send_unless_too_large)
        if too_large and not started:
            await _too_large()(scope, receive, send_with_headers)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        path: str = scope["path"]
        scope.setdefault("state", {})["session"] = None
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return _too_large()
        if path == _WEBHOOK_PATH:
            return None
        host = headers.get("host", "")
        if self._sessions is None and not self._is_own_name(name_of(host)):
            return error_answer(
                403, f"This server answers on this machine only, not as {host[:100]!r}; set HUNTER_WEB_TOKEN"
            )
        # Before the token: a proxy may add it to whatever a browser sends.
        if scope["method"] not in SAFE_METHODS and not is_own_origin(headers, host, self._public):
            return error_answer(403, "The request comes from another site")
        if self._sessions is None or self._gate is None or path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX):
            return None
        bearer = bearer_of(headers)
        if bearer is not None:
            try:
                return None if await self._gate.opens(bearer, client_of(scope)) else sign_in_first(scope, headers)
            except TooManyGuesses as error:
                return error_answer(429, str(error), {"retry-after": "5"})
        session = session_of(headers, self._sessions)
        if session is None:
            return sign_in_first(scope, headers)
        if scope["method"] not in SAFE_METHODS and path.startswith("/api/"):
            given = headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode(), session.csrf.encode()):
                return error_answer(403, "The CSRF token is missing or wrong; load the page again")
        scope["state"]["session"] = session
        return None

    def _is_own_name(self, name: str) -> bool:
        return is_loopback(name) or (self._public is not None and name == self._public.hostname)


def name_of(host: str) -> str:
    """The name in a `Host` header, without the port; empty when it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_own_origin(headers: Headers, host: str, public: SplitResult | None) -> bool:
    """Whether a request comes from a page of this site, or from no page at all.

    :param host: the request's `Host` header.
    :param public: address under which a reverse proxy serves this site.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in {"same-origin", "none"}
    place = origin.partition("://")[2]
    return bool(place) and (place == host or (public is not None and place == public.netloc))


def bearer_of(headers: Headers) -> str | None:
    """The bearer token of a request; None without one."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def session_of(headers: Headers, sessions: Sessions) -> Session | None:
    """The session of a request's cookie; None without a good one."""
    cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
    return sessions.read(cookie, time.time()) if cookie else None


def client_of(scope: Scope) -> str:
    """The address of who sends a request."""
    client = scope.get("client")
    return str(client[0]) if client else "an unknown address"


def sign_in_first(scope: Scope, headers: Headers) -> Response:
    """Lead a browser to the sign-in form and back, and tell a program that it needs the token."""
    path: str = scope["path"]
    page = scope.get("method") in SAFE_METHODS and "text/html" in headers.get("accept", "")
    if page and not path.startswith("/api/"):
        query = scope["query_string"].decode("latin-1")
        wanted = quote(path, safe="/") + (f"?{query}" if query else "")
        return RedirectResponse(f"/sign-in?next={quote(wanted, safe='/')}", 303)
    return error_answer(401, "Send the token: `Authorization: Bearer ...`", {"www-authenticate": "Bearer"})


def error_answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal in the API's form."""
    return JSONResponse({"detail": detail}, status, headers=dict(headers or {}))


def _too_large() -> Response:
    return error_answer(413, f"The body is larger than {MAX_BODY_BYTES} bytes")
