"""The API's document with an example of each call: the body as JSON, and a line for curl.

Belongs here: what is added to FastAPI's OpenAPI document, which the page and other tools read. Does not belong here:
the calls. An example of a body stands with its shape (`schemas`); a path's own values are made up here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

_PATH_VALUES = {
    "domain": "contoso.com",
    "referral_id": "2500ec5a-7a2c-4f21-9c1d-5a4b0f7d8e10",
    "run_id": "6f1c7f0e-0f3e-4a55-9d2b-3a0d8a4f5b11",
}


def add_examples(app: FastAPI, address: str) -> None:
    """Have the application's document hold `x-codeSamples` for each call, and an example of each body.

    :param address: of this server, as browsers and programs reach it.
    """
    plain = app.openapi

    def document() -> dict[str, Any]:
        made = app.openapi_schema is None
        found = plain()
        if made:
            for path, methods in found["paths"].items():
                for method, operation in methods.items():
                    _describe(operation, method, f"{address}{path}", found["components"]["schemas"])
        return found

    # FastAPI's own way to change the document.
    app.openapi = document  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], method: str, address: str, schemas: Mapping[str, Any]) -> None:
    words = ["curl"]
    if "/api/" in address:
        words.append('-H "Authorization: Bearer $HUNTER_WEB_TOKEN"')
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        content["example"] = _example(content["schema"], schemas)
        words += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(content['example']))}"]
    elif method != "get":
        words.append(f"-X {method.upper()}")
    for name, value in _PATH_VALUES.items():
        address = address.replace(f"{{{name}}}", value)
    operation["x-codeSamples"] = [
        {"lang": "Shell", "label": "curl", "source": " ".join([*words, shlex.quote(address)])}
    ]


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """The first example of a body's shape; a body that may be left out has that of the shape that it may have."""
    found = next((each for each in schema.get("anyOf", ()) if "$ref" in each), schema)
    if "$ref" in found:
        found = schemas[found["$ref"].rpartition("/")[2]]
    return next(iter(found.get("examples", ())), {})
