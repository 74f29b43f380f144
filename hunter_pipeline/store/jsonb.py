"""Values for JSONB columns.

PostgreSQL's JSONB holds less than JSON can say: no NUL character, no half of a surrogate pair, and no infinite number.
Here such a value is made storable, and its exact text is handed back beside it, so that nothing is lost. Which column
takes which of the two is the caller's affair.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_NESTING = 500
"""Levels of lists and objects that are taken: PostgreSQL takes thousands, but Python's `json` reads back under 1000."""

_TOO_DEEP = f"The value is nested deeper than {MAX_NESTING} levels, more than can be stored as JSONB and read back."

# Strikes on everything that may have to be replaced, and on a few harmless texts.
_SUSPECT = re.compile(r"\\u(?:0000|d[89a-f])|NaN|Infinity")
# Every escape is matched whole, so that the second half of one (`\\u0000` is a backslash and text) is never taken for
# another. Whole surrogate pairs come first, so that what is matched as a surrogate after them is a lone one.
_ESCAPE = re.compile(r"\\(?:u(?:d[89ab]..\\ud[c-f]..|(?P<bad>0000|d[89a-f]..)|....)|.)")


@dataclass(frozen=True)
class JsonbText:
    """A JSON value in the form that can be stored.

    :param payload: what a JSONB column can hold.
    :param text: the payload as `canonical_json` writes it.
    :param original: the exact JSON text, in ASCII, when the payload differs from it; else None. `json.loads` reads it.
    """

    payload: Any
    text: str
    original: str | None


def canonical_json(value: object) -> str:
    """The JSON text of a value in ASCII, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def to_jsonb(value: object) -> JsonbText:
    """Return a value as a JSONB column can hold it, with the exact text when something had to be replaced.

    NUL characters and lone surrogates become U+FFFD, in keys as well; a key that thereby meets an earlier one gets the
    suffix `~2`, `~3` and so on. Numbers that are none become the texts `NaN`, `Infinity` and `-Infinity`.

    :param value: as `json.loads` returns it: str, int, float, bool, None, lists, and dicts with str keys.
    :raises ValueError: it is nested deeper than 500 levels, or contains itself, or has an integer of more digits than
        Python writes.
    :raises TypeError: it holds something that JSON does not know.
    """
    try:
        canonical = canonical_json(value)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    # Each level has a bracket: with few of them, also those inside texts, there is nothing to walk through.
    if canonical.count("[") + canonical.count("{") > MAX_NESTING:
        _check_nesting(value)
    if _SUSPECT.search(canonical) is None:
        return JsonbText(value, canonical, None)
    original = json.dumps(value)
    replaced = False

    def storable_escape(match: re.Match[str]) -> str:
        nonlocal replaced
        if match["bad"] is None:
            return match[0]
        replaced = True
        return r"\ufffd"

    def storable_number(name: str) -> str:
        nonlocal replaced
        replaced = True
        return name

    text = _ESCAPE.sub(storable_escape, original)
    payload = json.loads(text, parse_constant=storable_number, object_pairs_hook=_with_every_key)
    return JsonbText(payload, canonical_json(payload), original if replaced else None)


def _with_every_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    names = {name for name, _ in pairs}
    for name, item in pairs:
        free, count = name, 1
        while free in result or (count > 1 and free in names):
            count += 1
            free = f"{name}~{count}"
        result[free] = item
    return result


def _check_nesting(value: object) -> None:
    """Raise when the value has too many levels. Without recursion, so that the stack cannot end before the limit."""
    level = [value]
    for _ in range(MAX_NESTING):
        below: list[object] = []
        for each in level:
            if isinstance(each, Mapping):
                below.extend(item for item in each.values() if isinstance(item, (Mapping, list, tuple)))
            elif isinstance(each, (list, tuple)):
                below.extend(item for item in each if isinstance(item, (Mapping, list, tuple)))
        if not below:
            return
        level = below
    raise ValueError(_TOO_DEEP)
