"""What the local identity provider says in words: its errors in Microsoft's form, and the page for the code.

Kept apart from the flow itself, which decides when each of them is sent. The page is plain HTML that works without
scripts, with a keyboard and with a screen reader.
"""

from __future__ import annotations

import html
import uuid
from datetime import UTC, datetime
from typing import Final

from hunter_pipeline.sandbox.https_server import Response, json_response

_FORM: Final = """<h1>Enter the code</h1>
{problem}
<form method="post">
<p><label for="otc">Code shown by the application</label>
<input id="otc" name="otc" value="{code}" autocomplete="off" autocapitalize="characters" spellcheck="false"
 required autofocus aria-describedby="hint"></p>
<p id="hint">Nine letters and digits; capitals do not matter.</p>
<p><button name="action" value="approve">Sign in</button>
<button name="action" value="decline">Decline</button></p>
</form>"""


def code_form(typed: str = "", *, refused: bool = False) -> Response:
    """The page where a person enters the code; with `refused` it says that the typed one is no good."""
    problem = '<p id="problem" role="alert">That code is not known, was used, or has expired.</p>' if refused else ""
    return _html(_FORM.format(problem=problem, code=html.escape(typed, quote=True)), 400 if refused else 200)


def done_page(headline: str) -> Response:
    """The page after the code was taken."""
    return _html(f"<h1>{html.escape(headline)}</h1>\n<p>You may close this page.</p>", 200)


def _html(body: str, status: int) -> Response:
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Sandbox sign-in</title></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )
    return Response(status, page.encode(), "text/html; charset=utf-8")


def tenant_not_found(tenant: str) -> Response:
    """The answer for a tenant that does not exist."""
    return entra_error(
        "invalid_tenant",
        "AADSTS90002",
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    )


def entra_error(error: str, aadsts: str, text: str, status: int = 400) -> Response:
    """Microsoft's error form: the code leads the description, and stands in `error_codes` as a number."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    number = aadsts.removeprefix("AADSTS")
    return json_response(
        status,
        {
            "error": error,
            "error_description": f"{aadsts}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
            "error_codes": [int(number)],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        },
        {"x-ms-request-id": trace},
    )
