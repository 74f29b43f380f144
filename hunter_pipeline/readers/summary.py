"""The lead list in a few numbers: leads by category, and how many referrals got how far.

Belongs here: counts over whole tables that the page, the metrics and the command line show. Does not belong
here: single leads, which are `lead_list`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class LastSync:
    """The newest sync; fields as the columns of `sync_runs`."""

    run_id: str
    status: str
    fetched: int
    succeeded: int
    skipped: int
    failed: int
    failed_before: int
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Summary:
    """Counts at one moment.

    :param categories: leads by category, best first, with the category's label.
    :param referrals: referrals that were fetched and could be kept.
    :param with_domain: of these, with a company domain.
    :param skipped: of these, without one, by reason.
    :param leads: companies that these referrals lead to.
    :param scored: of these, scored.
    :param open_failures: failures of items that have not gone through since, and that nobody dismissed.
    :param dismissed_failures: open failures that somebody took for known.
    :param last_sync: None before the first.
    :param last_success_at: when the newest sync that went through ended.
    """

    categories: tuple[tuple[str, str, int], ...]
    referrals: int
    with_domain: int
    skipped: Mapping[str, int]
    leads: int
    scored: int
    open_failures: int
    dismissed_failures: int
    last_sync: LastSync | None
    last_success_at: datetime | None

    @property
    def unscored(self) -> int:
        """Leads that wait for their score."""
        return self.leads - self.scored


def summary(connection: Connection) -> Summary:
    """Count, in one snapshot when the connection's transaction gives one."""
    is_lead = "EXISTS (SELECT FROM raw_leads l WHERE l.domain = c.domain)"
    categories = connection.execute(
        text(
            # Counted in the index of the ranking alone: the rows, which hold each score's reasons, are wide.
            "SELECT q.category, (SELECT x.category_label FROM lead_scores x WHERE x.category = q.category"  # noqa: S608
            " ORDER BY x.score DESC, x.domain LIMIT 1), q.number"
            f" FROM (SELECT c.category, count(*) AS number FROM lead_scores c WHERE {is_lead} GROUP BY 1) q ORDER BY 1"
        )
    ).all()
    decided = connection.execute(
        text("SELECT skip_reason, count(*) FROM normalized_domains GROUP BY 1 ORDER BY 2 DESC, 1")
    ).all()
    counts = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM partner_center_referrals_raw WHERE is_current) AS referrals,"  # noqa: S608
            f" (SELECT count(*) FROM companies c WHERE {is_lead}) AS leads,"
            " (SELECT count(*) FROM referral_failures WHERE resolved_at IS NULL AND dismissed_at IS NULL) AS failures,"
            " (SELECT count(*) FROM referral_failures WHERE resolved_at IS NULL AND dismissed_at IS NOT NULL)"
            " AS dismissed,"
            " (SELECT max(finished_at) FROM sync_runs WHERE status IN ('success', 'partial')) AS last_success"
        )
    ).one()
    last = connection.execute(
        text(
            "SELECT run_id, status, fetched, succeeded, skipped, failed, failed_before, started_at, finished_at"
            " FROM sync_runs"
            " ORDER BY started_at DESC, run_id LIMIT 1"
        )
    ).first()
    return Summary(
        categories=tuple((row[0], row[1], row[2]) for row in categories),
        referrals=counts.referrals,
        with_domain=sum(number for reason, number in decided if reason is None),
        skipped={reason: number for reason, number in decided if reason is not None},
        leads=counts.leads,
        scored=sum(row[2] for row in categories),
        open_failures=counts.failures,
        dismissed_failures=counts.dismissed,
        last_sync=LastSync(*last) if last else None,
        last_success_at=counts.last_success,
    )
