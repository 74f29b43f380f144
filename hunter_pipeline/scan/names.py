"""Host names: what their endings stand for, and the domain that somebody registered.

Here belongs matching by whole labels, as every list of the scan needs it. What stands in the lists is in
`providers.yaml` and `hosters.yaml`, what follows from a match in `providers` and `hosting`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, TypeVar

from hunter_pipeline.suffixes import PublicSuffixes

T = TypeVar("T")

_NUMBER: Final = re.compile(r"\d+")


class Suffixes(dict[str, T]):
    """What domain suffixes stand for; in a suffix `*` is one label, and `#` a number."""

    def __init__(self, entries: Mapping[str, T]) -> None:
        super().__init__(entries)
        self._after_star = tuple(f".{suffix.partition('*.')[2]}" for suffix in entries if "*" in suffix)
        self._numbered = any("#" in suffix for suffix in entries)
        # a scan matches the hosts of a domain after every round of questions
        self._known = lru_cache(maxsize=4096)(self._longest)

    def longest(self, host: str) -> T | None:
        """What the longest suffix that the host ends with stands for, or None. It may be the whole host."""
        return self._known(host)

    def _longest(self, host: str) -> T | None:
        tail = host.lower().rstrip(".")
        starred = tail.endswith(self._after_star)
        while tail:
            if (found := self.get(tail)) is not None:
                return found
            if self._numbered and (found := self.get(_NUMBER.sub("#", tail))) is not None:
                return found
            labels = tail.split(".") if starred else []
            for star in range(len(labels) - 2):
                if (found := self.get(".".join((*labels[:star], "*", *labels[star + 1 :])))) is not None:
                    return found
            tail = tail.partition(".")[2]
        return None


@lru_cache(maxsize=4096)
def registrable(host: str) -> str:
    """The registrable domain of a host by the public suffix list (ICANN section), else its last two labels."""
    return _public_suffixes().registrable(host) or ".".join(host.split(".")[-2:])


@cache
def _public_suffixes() -> PublicSuffixes:
    return PublicSuffixes()
