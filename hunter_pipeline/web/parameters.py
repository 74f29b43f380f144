"""What an address of the API may ask for: a name that is misspelt is refused, since what it should narrow would not be.

Belongs here: refusing names and values that there are not, in the form in which the framework refuses others. Does not
belong here: pages, which ignore a name that they do not know, as links get some added on their way (`utm_source`); and
what others call: Microsoft's webhook, `/metrics` and `/healthz`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute


def refusal(name: str, value: object, message: str) -> RequestValidationError:
    """The answer to a parameter that cannot be taken."""
    return RequestValidationError([{"type": "value_error", "loc": ("query", name), "msg": message, "input": value}])


async def _only_known(request: Request) -> None:
    """Refuse a parameter that the route does not take."""
    if not request.query_params:
        return
    known = list(_parameters(cast(APIRoute, request.scope["route"]).dependant))
    for name, value in request.query_params.items():
        if name not in known:
            there_are = f"there are {', '.join(known)}" if known else "there are none here"
            raise refusal(name, value, f"there is no parameter {name[:50]!r}; {there_are}")


def _parameters(of: Dependant) -> Iterator[str]:
    # Not from the document: making it takes a third of a second, in which the first caller and all others would wait.
    for each in of.dependencies:
        yield from _parameters(each)
    yield from (field.alias for field in of.query_params)


ONLY_KNOWN = Depends(_only_known)
"""For routers of the API."""
