"""What changed in a domain's signals, and the rows of `domain_signal_history` that say so.

Belongs here: the comparison of two sets of signals. Does not belong here: looking anything up. Only two known
values make a change: a look-up that failed says nothing about the domain, so it never looks like a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert

from hunter_pipeline.scan.scan import Signals
from hunter_pipeline.store.tables import domain_signal_history


class Change(NamedTuple):
    """One signal that is another than before.

    :param field: `provider`, `mx`, `spf`, `dkim` or `dmarc`.
    """

    field: str
    old: str
    new: str


def changes_between(old: Signals, new: Signals) -> list[Change]:
    """The signals that were known before and are known to be others now.

    A provider is known unless it is `Unknown`. MX is compared by its hosts, DMARC by the effective policy, SPF
    and DKIM by their states.
    """
    before, after = _known(old), _known(new)
    return [Change(name, before[name], after[name]) for name in before if name in after and before[name] != after[name]]


def record_changes(connection: Connection, run_id: str, now: datetime, changes: Sequence[tuple[str, Change]]) -> None:
    """Write changes, each with its domain; the caller commits."""
    if changes:
        connection.execute(
            insert(domain_signal_history),
            [{"domain": domain, "run_id": run_id, "changed_at": now, **change._asdict()} for domain, change in changes],
        )


def _known(signals: Signals) -> dict[str, str]:
    values = {
        "provider": "unknown" if signals.provider == "Unknown" else signals.provider,
        "mx": ", ".join(signals.mx_hosts) if signals.mx_state == "present" else signals.mx_state,
        "spf": signals.spf_state,
        "dkim": signals.dkim_state,
        "dmarc": f"p={signals.dmarc_policy}" if signals.dmarc_policy else signals.dmarc_state,
    }
    return {name: value for name, value in values.items() if value not in ("", "unknown")}
