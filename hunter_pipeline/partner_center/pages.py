"""Reads an API answer so that nothing in it is lost and one odd item does not spoil the others.

Belongs here: text to items. Does not belong here: HTTP (client.py) and the meaning of an item
(referral.py). Each item keeps its exact text. A number that a double cannot hold stays as its digits in a
string. An item that the parser does not take, nested too deeply or no JSON, is cut out by counting brackets and
reported on its own.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from hunter_pipeline.partner_center.errors import UnreadablePage

_SPACE = re.compile(r"[ \t\n\r]*")
# A string that never ends is one match to the end of the text, as trying again at each quote in it would take long.
_STRING_OR_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]+|[\]}]+', re.DOTALL)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True)
class RawItem:
    """One referral as it came."""

    text: str
    """Its exact JSON text, with everything outside ASCII escaped; a byte that is no UTF-8 is a lone surrogate."""
    value: object | None
    """The parsed text, None when there is a problem. Numbers that a double cannot hold are strings of their digits."""
    problem: str | None = None
    """Why it could not be parsed."""


@dataclass(frozen=True)
class ListAnswer:
    """One answer of the list call."""

    items: tuple[RawItem, ...]
    next_link: str | None
    total: int | None


def read_list(body: bytes) -> ListAnswer:
    """Read an answer of the list call: an object with the list `value`, `@odata.nextLink` and `@odata.count`.

    :param body: UTF-8, with or without a byte order mark. Bytes that are none are kept as lone surrogates.
    :raises UnreadablePage: it is no JSON (RFC 8259) beyond what can be laid to a single item, or not such an object.
    """
    text = _decode(body)
    items: list[RawItem] | None = None
    fields: dict[str, object] = {}
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        raise UnreadablePage(_no_page("a JSON object", body))
    position = _skip(text, position + 1)
    while text[position : position + 1] != "}":
        name, position = _value(text, position)
        position = _expect(text, position, ":")
        if name.value == "value" and text[position : position + 1] == "[":
            if items is not None:
                raise UnreadablePage(_no_page("one `value` list but two", body))
            items, position = _elements(text, position)
        elif isinstance(name.value, str):
            field, position = _value(text, position)
            fields[name.value] = field.value
        else:
            raise UnreadablePage(_no_page("JSON", body))
        position = _separator(text, position, "}")
    if _skip(text, position + 1) != len(text):
        raise UnreadablePage(_no_page("one JSON object alone", body))
    if items is None:
        raise UnreadablePage(_no_page("an object with a `value` list", body))
    link, total = fields.get("@odata.nextLink"), fields.get("@odata.count")
    if not isinstance(link, str | None):
        raise UnreadablePage("The page's @odata.nextLink is no text: the pages after it cannot be read")
    return ListAnswer(tuple(items), link or None, total if type(total) is int else None)


def read_item(body: bytes) -> RawItem:
    """Read an answer that is one referral.

    :param body: as in `read_list`.
    :raises UnreadablePage: no JSON.
    """
    text = _decode(body)
    item, position = _value(text, _skip(text, 0))
    if _skip(text, position) != len(text):
        raise UnreadablePage(_no_page("JSON", body))
    return item


def _decode(body: bytes) -> str:
    return body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="surrogateescape")


def _elements(text: str, position: int) -> tuple[list[RawItem], int]:
    """The elements of the array whose bracket is at `position`, and where it ends."""
    items: list[RawItem] = []
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        item, position = _element(text, position)
        items.append(item)
        position = _separator(text, position, "]")
    return items, _skip(text, position + 1)


def _element(text: str, start: int) -> tuple[RawItem, int]:
    """The element at `start`. One that is no JSON costs only itself, if its brackets tell where it ends."""
    try:
        return _value(text, start)
    except UnreadablePage:
        if text[start : start + 1] not in ("{", "["):
            raise
        end = _end_of_nested(text, start)
        position = _skip(text, end)
        if text[position : position + 1] not in (",", "]"):
            raise
        return RawItem(_in_ascii(text[start:end]), None, "is no JSON"), position


def _value(text: str, start: int) -> tuple[RawItem, int]:
    """The JSON value at `start` and where the space after it ends."""
    problem = value = None
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        problem, end = "nested too deeply to be parsed", _end_of_nested(text, start)
    except ValueError:
        raise UnreadablePage(_no_page("JSON", text[start:].encode(errors="replace"))) from None
    return RawItem(_in_ascii(text[start:end]), value, problem), _skip(text, end)


def _end_of_nested(text: str, start: int) -> int:
    depth = 0
    for match in _STRING_OR_BRACKETS.finditer(text, start):
        length = match.end() - match.start()
        if match[0][0] in "[{":
            depth += length
        elif match[0][0] in "]}":
            if length >= depth:
                return match.start() + depth
            depth -= length
    raise UnreadablePage("The page ends in the middle of an item: it came through incomplete")


def _separator(text: str, position: int, closing: str) -> int:
    """Where the next member or element begins, or `position` when the closing bracket is there."""
    if text[position : position + 1] == closing:
        return position
    position = _expect(text, position, ",")
    if text[position : position + 1] == closing:
        raise UnreadablePage(_no_page("JSON", text.encode(errors="replace")))
    return position


def _expect(text: str, position: int, character: str) -> int:
    if text[position : position + 1] != character:
        raise UnreadablePage(_no_page("JSON", text.encode(errors="replace")))
    return _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _in_ascii(text: str) -> str:
    return text if text.isascii() else _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _no_page(expected: str, body: bytes) -> str:
    """The error's text. It tells a web page from broken JSON and quotes nothing, as referrals hold personal data."""
    kind = "an HTML page" if body.lstrip()[:1] == b"<" else "nothing" if not body.strip() else f"{len(body)} bytes"
    return (
        f"Partner Center's answer is not {expected} (it is {kind}): check HUNTER_PARTNER_CENTER_BASE_URL and whether "
        "a proxy answers in its place"
    )


def _integer(digits: str) -> int | str:
    # 309 digits are the most that a double reaches; int() itself refuses 4,300.
    if len(digits) > 310:
        return digits
    try:
        exact = float(digits) == int(digits)
    except OverflowError:
        return digits
    return int(digits) if exact else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    try:
        exact = math.isfinite(number) and Decimal(repr(number)) == Decimal(digits)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        exact = False
    return number if exact else digits


# NaN and Infinity are no JSON, and a control character in a text is none either; both can be kept without loss.
_DECODER: json.JSONDecoder = json.JSONDecoder(
    parse_int=_integer, parse_float=_float, parse_constant=float, strict=False
)


def text_of(value: object, name: str) -> str | None:
    """The text in a field of an item, None when the item has no such field or it holds no text."""
    field: Any = value.get(name) if isinstance(value, dict) else None
    return field if isinstance(field, str) else None
