"""Sending the daily digest: once a day, whoever asks, and told again where it could not be delivered.

Belongs here: since when the digest counts, that one day has one digest, and its delivery. Does not belong here: what
it says (`readers.digest`) and when it is asked for. The mark of a day stands among the alerts, which share the channel.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from hunter_pipeline.quality.alerts import deliver
from hunter_pipeline.readers.digest import digest_text, read_digest

FIRST_SPAN = timedelta(days=1)
"""How far back the first digest looks."""

LONGEST_SPAN = timedelta(days=7)
"""How far back one looks after a silence: older news is in the list."""


class DigestNotDelivered(RuntimeError):  # noqa: N818 - it says what became of it
    """The channel did not take the digest; it is told again when it is asked for again."""


def send_digest(engine: Engine, url: str, now: datetime, link: str | None) -> str | None:
    """Send the digest of the day, unless it was sent.

    :param url: address of the channel's incoming webhook, a secret.
    :param link: address of the work queue; None: nobody can reach it.
    :returns: the text that was sent; None when the day had its digest.
    :raises DigestNotDelivered: the channel did not take it.
    """
    mark = f"digest {now:%Y-%m-%d}"
    with engine.begin() as connection:
        since = _since(connection, now)
        # The row is locked until the channel has answered: a second daemon waits for it, and finds the day done.
        taken = connection.execute(
            text(
                "INSERT INTO alerts (fingerprint, occurrences, first_seen_at, last_seen_at, sent_at)"
                " VALUES (:mark, 1, :now, :now, :now) ON CONFLICT (fingerprint) DO NOTHING RETURNING 1"
            ),
            {"mark": mark, "now": now},
        ).scalar()
        if taken is None:
            return None
        content = digest_text(read_digest(connection, since, now), link)
        if not deliver(url, content):
            raise DigestNotDelivered(
                "the channel in HUNTER_ALERT_WEBHOOK_URL did not take the digest; the log says why, and the next "
                "run of digest_job tries again"
            )
    return content


def _since(connection: Connection, now: datetime) -> datetime:
    last: datetime | None = connection.execute(
        text("SELECT max(sent_at) FROM alerts WHERE fingerprint LIKE 'digest 2%'")
    ).scalar()
    return now - FIRST_SPAN if last is None else max(last, now - LONGEST_SPAN)
