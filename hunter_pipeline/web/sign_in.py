"""What the sign-in forms of the lead list and of Dagster's guard do alike: a token in, a session cookie out.

Belongs here: the answer to a token that was typed in. Does not belong here: what a cookie holds (`security`), how fast
tokens may be tried (`token_gate`), the form itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hunter_pipeline.web.security import COOKIE, SESSION_SECONDS, Sessions, client_of, is_local_path
from hunter_pipeline.web.token_gate import TokenGate, TooManyGuesses


async def answer_token(
    request: Request,
    sessions: Sessions,
    gate: TokenGate,
    token: str,
    target: str,
    *,
    secure: bool,
    show_form: Callable[[int, str], Response],
) -> Response:
    """Hand out a session cookie for the right token, else show the form again.

    :param target: where to go then; the start page when it is on another site.
    :param secure: whether the cookie may travel over HTTPS only.
    :param show_form: makes the form from a status and a problem.
    """
    try:
        if not await gate.opens(token.strip(), client_of(request.scope)):
            return show_form(401, "This is not the token")
    except TooManyGuesses as error:
        return show_form(429, str(error))
    response = RedirectResponse(target if is_local_path(target) else "/", 303)
    response.set_cookie(
        COOKIE,
        sessions.cookie(time.time()),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=secure or request.url.scheme == "https",
    )
    return response
