"""Referrals made wrong at random, by a seed: values of every wrong kind at every place, and texts that are no JSON.

Belongs here: the making. Does not belong here: what must become of them. The brackets of a text stay in balance, since
one that breaks the page around it is a fault of the page, not of the referral.
"""

import copy
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hunter_pipeline.sandbox.samples import load_samples

WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, 10**400, -0.0, 1.5, "", " ", "\0", "\ud800", "a\0b", "\u202e", "é" * 300,
    "x" * 70_000, "x@", "@x", "a@b@c", "http://", "https://[::1]", "www.", "..", "2099-01-01T00:00:00Z", "0001-01-01",
    "9999-99-99T99:99:99Z", [], {}, [None], [[]], {"": ""}, {"\0": "\0"}, [{}], "NaN", "<img src=x onerror=1>",
    "=cmd|' /C calc'!A0", "Robert'); DROP TABLE companies;--", "%s%n", "🦊" * 40, "xn--", "a." * 130 + "com",
)  # fmt: skip
"""Values that stand where another kind is expected."""

BROKEN = ("NaN", "-Infinity", "1e999", "01", "tru", "'a'", "\x01", '"\\x"', '"\\ud800"', "1.", "[1,]", '{"a":}')
"""Texts that stand where a JSON value is expected."""


def fuzzed(seed: int, count: int) -> Iterator[str]:
    """So many texts of referrals, most of them wrong somewhere; the same for the same seed."""
    chance = random.Random(seed)
    good = []
    for sample in load_samples(datetime(2026, 11, 24, tzinfo=UTC)):
        try:
            value = json.loads(sample.text)
        except ValueError:
            continue
        if isinstance(value, dict):
            good.append(value)
    for number in range(count):
        payload = json.loads(json.dumps(chance.choice(good)))
        payload["id"] = f"fuzz-{number}"
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
            _spoil(chance, payload)
        if chance.random() < 0.03:
            payload["id"] = f"fuzz-{chance.randrange(number + 1)}"  # a second one of the same id
        text = json.dumps(payload)
        if chance.random() < 0.1:
            text = text.replace('"' + chance.choice(("New", "Active", "EUR", "Shared")) + '"', chance.choice(BROKEN))
        if chance.random() < 0.02:
            text = f'{{"id": "deep-{number}", "a": {"[" * 1500}{"]" * 1500}}}'
        yield text


def _spoil(chance: random.Random, payload: dict[str, Any]) -> None:
    holder, key = chance.choice(list(_places(payload)))
    kind = chance.random()
    if kind < 0.15:
        del holder[key]
    elif kind < 0.2:
        holder[key] = {"id": "inner", "customerProfile": [], "status": "Closed"}
    elif kind < 0.25:
        nested: Any = "x"
        for _ in range(chance.choice((10, 499, 501, 900))):
            nested = [nested]
        holder[key] = nested
    else:
        holder[key] = copy.deepcopy(chance.choice(WRONG))


def _places(value: Any, levels: int = 20) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if levels and isinstance(value[key], dict | list):
            yield from _places(value[key], levels - 1)
