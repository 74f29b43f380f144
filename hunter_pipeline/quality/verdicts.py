"""What a check has to say: whether a rule holds, in numbers, with some examples of what breaks it.

Belongs here: the result that gates (`gates`) and standing claims (`claims`) share. Does not belong here: any rule,
and how a result is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hunter_pipeline.readers.examples import Examples


@dataclass(frozen=True)
class Verdict:
    """Whether a rule holds.

    :param holds: True when it does.
    :param summary: one sentence with the numbers, and what to do when it does not hold.
    :param counts: the numbers by name.
    :param examples: what breaks it; None when nothing does.
    """

    holds: bool
    summary: str
    counts: Mapping[str, int | float] = field(default_factory=dict)
    examples: Examples | None = None
