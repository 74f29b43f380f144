"""A dry run of the fetch: says what a sync would find, and writes nothing.

Belongs here: the counting. Does not belong here: how an item is read (`versions`), which the real fetch shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.erasures import Erased, screen_of
from hunter_pipeline.pipeline.failures import Failure
from hunter_pipeline.pipeline.fetch import ReferralSource
from hunter_pipeline.pipeline.sync_runs import Window, check_source, check_tenant
from hunter_pipeline.pipeline.versions import known_versions, read_item


@dataclass
class DayCount:
    """What a fetch would find for one day partition: versions that are new, changed, and known as they are."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass
class Preview:
    """What a fetch would find.

    :param days: counts of each day partition.
    :param unreadable: items that would go to `referral_failures`.
    :param erased: items that are erased on request and would not be kept.
    """

    days: dict[date, DayCount] = field(default_factory=dict)
    unreadable: int = 0
    erased: int = 0
    pages: int = 0


def preview_fetch(context: StageContext, source: ReferralSource, window: Window) -> Preview:
    """Ask for the updates of `window` and say what is new, without writing anything.

    :raises SourceMismatch: the database holds referrals of another host or partner.
    :raises PartnerCenterError: sign-in, network or API trouble.
    """
    preview = Preview()
    seen: set[tuple[str, str]] = set()
    today = context.clock().date()
    with context.engine.execution_options(postgresql_readonly=True).connect() as connection:
        check_source(connection, source.host)
        check_tenant(connection, source.tenant)
        connection.commit()
        for page in source.iter_pages(window.since):
            screen = screen_of(connection, context, page.items)
            read = [read_item(context, item, today, screen) for item in page.items]
            rows = [row for row in read if not isinstance(row, Erased)]
            versions = {
                (row["referral_id"], row["content_hash"]): row["partition_day"]
                for row in rows
                if not isinstance(row, Failure) and window.holds(row["partition_day"])
            }
            known = known_versions(connection, {referral_id for referral_id, _ in versions})
            connection.commit()
            ids = {referral_id for referral_id, _ in known}
            for version, day in versions.items():
                if version not in seen:
                    count = preview.days.setdefault(day, DayCount())
                    kind = "unchanged" if version in known else "changed" if version[0] in ids else "new"
                    setattr(count, kind, getattr(count, kind) + 1)
            seen |= set(versions)
            preview.unreadable += sum(isinstance(row, Failure) for row in rows)
            preview.erased += len(read) - len(rows)
            preview.pages += 1
            context.progress(f"page {page.number}: {len(seen)} referrals{f' of about {page.total}' * bool(page.total)}")
    return preview
