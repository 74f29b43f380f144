"""What each answer of a scan decided, in the order of the questions.

Here belongs the account of a scan, so that a wrong provider can be argued about with evidence. Nothing is told twice:
the signals are derived from the first answer, the first two, and so on, and what changed with an answer is what it
decided. How the account is shown is in the command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hunter_pipeline.scan.reply import Reply
from hunter_pipeline.scan.scan import Signals, derive_signals


@dataclass(frozen=True)
class Step:
    """One question's reply, and in words what it decided: each signal that changed, and each new line of evidence."""

    reply: Reply
    decided: tuple[str, ...]


def explain(domain: str, replies: Sequence[Reply]) -> list[Step]:
    """The steps of a scan.

    :param replies: in the order of their questions, as a scan returns and stores them.
    :returns: one step for each reply. A signal is `unknown` until the answers that it needs are there.
    """
    steps = []
    before = derive_signals(domain, ())
    for count, reply in enumerate(replies, 1):
        after = derive_signals(domain, replies[:count])
        steps.append(Step(reply, tuple(_differences(before, after))))
        before = after
    return steps


def _differences(before: Signals, after: Signals) -> list[str]:
    lines = []
    for name, shown in _SHOWN.items():
        old, new = shown(before), shown(after)
        if old != new:
            lines.append(f"{name}: {old} -> {new}")
    if before.undetermined != after.undetermined:
        lines.append(f"still open: {', '.join(after.undetermined) or 'nothing'}")
    lines += [f"evidence: {line}" for line in after.evidence if line not in before.evidence]
    lines += [f"warning: {line}" for line in after.warnings if line not in before.warnings]
    return lines


def _state(state: str, *details: object) -> str:
    told = ", ".join(str(detail) for detail in details if detail)
    return f"{state} ({told})" if told else state


_SHOWN: Final[dict[str, Callable[[Signals], str]]] = {
    "provider": lambda signals: _state(
        signals.provider, signals.confidence != "none" and f"{signals.confidence} confidence"
    ),
    "gateway": lambda signals: signals.gateway or "none",
    "hosted by": lambda signals: signals.local_hoster or "nobody",
    "tenant size": lambda signals: signals.tenant_size or "unknown",
    "MX": lambda signals: _state(signals.mx_state, *signals.mx_hosts),
    "SPF": lambda signals: _state(signals.spf_state, signals.spf_all and f"all {signals.spf_all}"),
    "DKIM": lambda signals: _state(signals.dkim_state, *signals.dkim_selectors),
    "DMARC": lambda signals: _state(signals.dmarc_state, signals.dmarc_policy and f"policy {signals.dmarc_policy}"),
    "name servers": lambda signals: (
        "unknown" if "ns" in signals.undetermined else _state("known", *signals.name_servers)
    ),
}
