"""Messages to a chat channel about what somebody should look at: one message for one fault.

Belongs here: when a fault is worth a message, and its delivery. Does not belong here: what counts as a fault,
which is Dagster's to tell (`orchestration.alerts`). Texts are made of names of jobs and checks, counts and our
own error texts: no personal data. The address is a secret: whoever has it can write to the channel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Engine, text

REMIND_AFTER = timedelta(hours=24)
"""A fault that goes on is told again after this time."""

OVER_AFTER = timedelta(hours=3)
"""A fault that was not seen for this long was over: when it comes back, it is a new one."""

TIMEOUT = 10.0
"""Seconds to wait for the channel's server."""

WORKFLOW_HOSTS = (".logic.azure.com", ".api.powerplatform.com")
"""Hosts of Microsoft Teams' workflow webhooks, which take cards; all others take Slack's `text`."""

SHOULD_SEND = """
INSERT INTO alerts AS a (fingerprint, occurrences, first_seen_at, last_seen_at) VALUES (:fingerprint, 1, :now, :now)
ON CONFLICT (fingerprint) DO UPDATE SET last_seen_at = :now,
    occurrences = CASE WHEN a.last_seen_at < :over THEN 1 ELSE a.occurrences + 1 END,
    first_seen_at = CASE WHEN a.last_seen_at < :over THEN :now ELSE a.first_seen_at END,
    sent_at = CASE WHEN a.last_seen_at < :over THEN NULL ELSE a.sent_at END
RETURNING occurrences, first_seen_at, sent_at IS NULL OR sent_at <= :remind AS due
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Alert:
    """A fault.

    :param about: what it is about: job and step, or asset and check.
    :param reason: what is wrong and what to do, in one line and without personal data.
    :param link: where to look; None: nowhere.
    :param run: short id of the run that showed it; None: none did.
    """

    about: str
    reason: str
    link: str | None = None
    run: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same fault: ids, times and counts in the reason do not make another."""
        return f"{self.about}: {re.sub(r'[0-9a-fA-F]{8}[0-9a-fA-F-]*|[0-9]+', '#', self.reason)}"[:500]


def send_alerts(engine: Engine, url: str, alerts: Sequence[Alert], now: datetime) -> int:
    """Send what was not told before; return the number of messages. Trouble of the channel is logged, not raised.

    :param url: address of the incoming webhook.
    """
    sent = 0
    for alert in alerts:
        # The row is locked until the channel has answered: another sensor that saw the same fault waits for it, and
        # finds it told. One that ends in between has told what the next one tells again, which is better than nobody.
        with engine.begin() as connection:
            seen = connection.execute(
                text(SHOULD_SEND),
                {
                    "fingerprint": alert.fingerprint,
                    "now": now,
                    "over": now - OVER_AFTER,
                    "remind": now - REMIND_AFTER,
                },
            ).one()
            if not seen.due:
                continue
            again = f" (seen {seen.occurrences} times since {seen.first_seen_at:%Y-%m-%d %H:%M} UTC)"
            if deliver(url, message(alert, again if seen.occurrences > 1 else ""), alert.link):
                connection.execute(
                    text("UPDATE alerts SET sent_at = :now WHERE fingerprint = :fingerprint"),
                    {"now": now, "fingerprint": alert.fingerprint},
                )
                sent += 1
    return sent


def message(alert: Alert, again: str = "") -> str:
    """The text of a message, but for the link."""
    run = f", run {alert.run}" if alert.run else ""
    return f"Hunter: {alert.about}{run}{again}\n{alert.reason}"


def body_for(url: str, content: str, link: str | None = None) -> dict[str, Any]:
    """The JSON that the server behind `url` understands.

    Slack (api.slack.com/messaging/webhooks) and most others take `text`, in which an address can be clicked; Teams'
    workflow webhooks take an adaptive card, in which only a button can
    (learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).

    :param link: where to look; None: nowhere.
    """
    if not (urlsplit(url).hostname or "").endswith(WORKFLOW_HOSTS):
        return {"text": f"{content}\n{link}" if link else content}
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [{"type": "TextBlock", "text": line, "wrap": True} for line in content.splitlines()],
    }
    if link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": link}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def deliver(url: str, content: str, link: str | None = None) -> bool:
    """Send one message; whether the channel took it. Trouble is logged, not raised.

    :param url: address of the incoming webhook, a secret.
    :param link: where to look; None: nowhere.
    """
    import requests

    # Only the host is logged: the rest of the address is the secret.
    log = _log.bind(host=urlsplit(url).hostname)
    try:
        answer = requests.post(url, json=body_for(url, content, link), timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        log.warning("alert_not_delivered", reason=type(error).__name__)
        return False
    if not 200 <= answer.status_code < 300:
        log.warning("alert_not_delivered", reason=f"HTTP status {answer.status_code}")
        return False
    return True
