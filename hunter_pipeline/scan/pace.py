"""How many questions a second a server gets: more while answers come clean, fewer at the first sign of trouble.

Here belongs the pace of one server and nothing else: additive patience and halving, as TCP finds its rate. A refusal
or a time-out is trouble; a SERVFAIL is about the domain, and a lost packet that was sent again is nobody's will.
"""

from __future__ import annotations

import math
from typing import Final

_BURST: Final = 0.1  # seconds' worth of questions that may go at once
_WINDOW: Final = 0.25  # seconds' worth of replies that are judged together
_FEWEST: Final = 20  # replies of a window
_RISE: Final = 1.25
_TROUBLE: Final = 0.05  # the share of a window that makes the pace fall; one dead domain does not
_SLOWEST: Final = 5.0  # questions a second


class Pace:
    """A token bucket whose rate adapts. Times are those of one monotonic clock, in seconds."""

    def __init__(self, start: float, most: float) -> None:
        self.rate = start
        self.fastest = start
        self._most = max(start, most)
        self._least = min(start, _SLOWEST)
        self._next = -math.inf
        self._clean = self._bad = 0
        self._held_back = False
        self._fell = -math.inf

    def turn(self, now: float) -> float:
        """Take a token; return the seconds until it is there, at most 0 when it is there already."""
        self._next = max(self._next, now) + 1 / self.rate
        wait = self._next - self._burst() - now
        self._held_back = self._held_back or wait > 0
        return wait

    def free_at(self) -> float:
        """The time at which the next token is there."""
        return self._next - self._burst()

    def note(self, asked: float, now: float, *, trouble: bool) -> None:
        """Learn from the reply to a question asked at that time."""
        if asked < self._fell:
            return  # asked at the pace that is given up already
        if trouble:
            self._bad += 1
        else:
            self._clean += 1
        size = max(_FEWEST, self.rate * _WINDOW)
        if self._bad >= max(2, _TROUBLE * size):
            self.rate = max(self._least, self.rate / 2)
            self._fell = now
        elif self._clean + self._bad < size:
            return
        elif not self._bad and self._held_back:
            self.rate = min(self._most, self.rate * _RISE)
            self.fastest = max(self.fastest, self.rate)
        self._clean = self._bad = 0
        self._held_back = False

    def _burst(self) -> float:
        return max(1 / self.rate, _BURST)
