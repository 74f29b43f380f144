"""How values read on a page: times, money, signals.

Belongs here: pure functions from a value to a text. Does not belong here: markup, which the templates add. Every
text from a payload goes through the templates' escaping; nothing here marks anything as safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hunter_pipeline.readers.lead_columns import Deal
from hunter_pipeline.vocabulary import provider_label

_STATES = {
    "present": "present",
    "ok": "valid",
    "none": "not there",
    "null": "declares that it takes no mail",
    "unknown": "could not be looked up",
    "permerror": "broken",
    "found": "key found",
    "revoked": "key revoked",
    "unknown_selector": "keys under a name that cannot be guessed",
    "invalid": "broken",
}


_UNITS = (
    ("year", 365 * 86_400, 2),
    ("month", 30 * 86_400, 2),
    ("day", 86_400, 1),
    ("hour", 3600, 1),
    ("minute", 60, 1),
)


def moment(value: datetime | None) -> str:
    """A time to the minute, in UTC."""
    return "-" if value is None else f"{value.astimezone(UTC).isoformat(' ', 'minutes')[:16]} UTC"


def distance(value: datetime | None, now: datetime) -> str:
    """How far away a time is, to one unit: `in 3 days`, `2 hours ago`; days to two months, months to two years."""
    if value is None:
        return "-"
    seconds = (value - now).total_seconds()
    for name, size, least in _UNITS:
        number = int(abs(seconds) // size)
        if number >= least:
            amount = f"{number} {name}{'s' if number > 1 else ''}"
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"


def expiry(value: datetime | None, now: datetime) -> str:
    """When an open referral expires, or that it has."""
    if value is None:
        return "-"
    return distance(value, now) if value > now else f"expired {distance(value, now)}"


def expires_soon(value: datetime | None, now: datetime) -> bool:
    """Whether an open referral expires within three days or has."""
    return value is not None and value - now < timedelta(days=3)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 referral`, `2,000 referrals`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def money(value: Decimal | float | None, currency: str | None) -> str:
    """An amount with its currency; decimals only where there are some."""
    if value is None:
        return "-"
    amount = Decimal(str(value))
    shown = f"{amount:,.0f}" if amount == amount.to_integral_value() else f"{amount:,.2f}"
    return f"{shown} {currency}" if currency else shown


def deal(deals: Sequence[Deal]) -> str:
    """A lead's deal value, each currency for itself."""
    return " + ".join(money(each.value, each.currency) for each in deals) or "-"


@dataclass(frozen=True)
class Signal:
    """A row of the signals table: what, how it stands, what says so, and whether it could not be told."""

    name: str
    state: str
    evidence: tuple[str, ...]
    open: bool = False


def signal_rows(signals: Mapping[str, Any]) -> list[Signal]:
    """The signals of a scan (the JSON of `scan.Signals`) as rows; a field that is missing is left out."""
    undetermined = set(signals.get("undetermined") or ())
    warnings = [str(text) for text in signals.get("warnings") or ()]

    def row(name: str, key: str, state: str, *evidence: object) -> Signal:
        texts = [str(text) for text in evidence if text not in (None, "")]
        texts += [text for text in warnings if text.lower().startswith(key)]
        return Signal(name, state, tuple(texts), key in undetermined)

    provider = provider_label(str(signals.get("provider") or "Unknown"))
    if signals.get("gateway"):
        provider += f", behind {signals['gateway']}"
    if signals.get("confidence"):
        provider += f" ({signals['confidence']} confidence)"
    policy = signals.get("dmarc_policy")
    dmarc = f"policy {policy}" if policy else _state(signals.get("dmarc_state"))
    return [
        row("Mailbox provider", "provider", provider, *(signals.get("evidence") or ())),
        row("MX (mail servers)", "mx", _state(signals.get("mx_state")), *(signals.get("mx_hosts") or ())),
        row("SPF (who may send)", "spf", _state(signals.get("spf_state")), signals.get("spf_record")),
        row("DKIM (signed mail)", "dkim", _state(signals.get("dkim_state")), *(signals.get("dkim_selectors") or ())),
        row("DMARC (what happens to fakes)", "dmarc", dmarc, signals.get("dmarc_record")),
        row(
            "Name servers",
            "ns",
            "present" if signals.get("name_servers") else "not known",
            *(signals.get("name_servers") or ()),
        ),
    ]


def _state(value: object) -> str:
    return _STATES.get(str(value), str(value))
