"""What a route says when it cannot do what was asked.

Belongs here: texts and the documentation of errors that several routes share. Does not belong here: turning an
exception into an answer, which `app` does for all routes.
"""

from __future__ import annotations

from typing import Any

from hunter_pipeline.web import schemas

DISABLED = "Partner Center integration is disabled"
"""What a sync that is asked for with the feature flag off is answered."""


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of the errors that a route may answer with."""
    texts = {
        400: "The request cannot be met as it stands",
        401: "No token, or a wrong one",
        403: "The request comes from another site, or lacks the CSRF token",
        404: "There is none of this name",
        409: "The state of things does not allow it",
        413: "The body is too large",
        500: "An error of the server",
        502: "Dagster answers, but not with what was asked for",
        503: "The database or Dagster does not answer, a setting is missing, or Partner Center has asked for a pause:"
        " see `Retry-After`",
    }
    return {code: {"model": schemas.Problem, "description": texts[code]} for code in (401, 403, 500, 503, *codes)}
