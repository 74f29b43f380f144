"""The cursor of a list: where its next page begins, as a text that stands in an address.

Belongs here: its form, and what PostgreSQL can hold of it. Does not belong here: what a list's cursor is made of, which
each list checks for itself: a cursor comes from outside like everything else in an address.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any


class InvalidCursor(ValueError):  # noqa: N818 - the name says what is the case
    """A cursor that this list did not hand out, or that belongs to another sort order."""

    def __init__(self, why: str = "this is no cursor of this list in this sort order; start again without it") -> None:
        super().__init__(why)


def encode_cursor(*values: str | int | bool | Sequence[str] | None) -> str:
    """A cursor of some plain values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, count: int) -> list[Any]:
    """The values of a cursor, of whatever type they are.

    :param count: how many values this list's cursors have.
    :raises InvalidCursor: it is none, or none of so many values.
    """
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise InvalidCursor from None
    if not isinstance(values, list) or len(values) != count:
        raise InvalidCursor
    return values


def storable(value: str) -> bool:
    """Whether PostgreSQL can hold a text; one that it cannot is in no row."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
