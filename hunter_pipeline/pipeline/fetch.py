"""Stage `partner_center_referrals_raw`: every version of every referral, kept as it came.

Belongs here: the pages of the list, streamed and written one transaction each, so that memory stays flat and a
killed run keeps what it had. Does not belong here: the referrals that are asked for one by one after the pages
(`details`), and what a kept version looks like (`versions`). Nothing is held while the API is asked: no transaction,
and no lock but the one that keeps a second fetch out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, text

from hunter_pipeline.partner_center.errors import PartnerCenterError, Throttled
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.partner_center.referral import needs_detail
from hunter_pipeline.pipeline.context import FETCH_LOCK, StageContext, StageReport
from hunter_pipeline.pipeline.details import ask_one_by_one, mark_unseen
from hunter_pipeline.pipeline.erasures import Erased, refuse, renew_key, screen_of
from hunter_pipeline.pipeline.failures import Failure, record_failures, resolve_failures
from hunter_pipeline.pipeline.sync_runs import (
    SourceMismatch,
    Window,
    begin_sync,
    check_pause,
    check_tenant,
    end_fetch,
    fail_sync,
    limit_watermark,
    note_tenant,
)
from hunter_pipeline.pipeline.versions import (
    FETCH_VERSION,
    STAGE,
    read_item,
    tell,
    write_items,
    write_versions,
)

if TYPE_CHECKING:
    from hunter_pipeline.partner_center.client import Page

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far our clock may be ahead of the API's before the operator is told."""


class ReferralSource(Protocol):
    """Where referrals come from: `PartnerCenterClient`."""

    @property
    def host(self) -> str:
        """Host name of the API."""

    @property
    def tenant(self) -> str | None:
        """The partner's tenant whose referrals are read; None when it is not known."""

    def iter_pages(self, since: datetime | None) -> Iterator[Page]:
        """Pages, newest update first, until everything since `since` was seen."""

    def get_referral(self, referral_id: str) -> RawItem:
        """One referral in full."""


@dataclass
class _Tally:
    items: int = 0
    pages: int = 0
    new: int = 0
    failed: int = 0
    altered: int = 0
    erased: set[str] = field(default_factory=set)


def fetch_referrals(context: StageContext, source: ReferralSource, window: Window) -> StageReport:
    """Fetch the updates of `window` and keep every version.

    :param source: the client; it is asked for pages and, where the list form lacks the contacts, for one referral.
    :param window: the days that are asked for.
    :returns: counts `fetched`, `new_versions`, `unchanged`, `failed`, `pages`, `details`, `details_left`, `gone`,
        `altered_for_storage`, and `erased`: those that were returned and are erased on request, in none of the others.
    :raises SyncPaused: Partner Center has asked for no request before a moment that is not there yet.
    :raises SourceMismatch: the database holds referrals of another host or partner.
    :raises PartnerCenterError: sign-in, network or API trouble; what was read until then is kept.
    :raises ErasuresUnreadable: something was erased on request, and it cannot be told what.
    """
    tally = _Tally()
    with context.alone(FETCH_LOCK):
        with context.stage() as connection:
            check_pause(connection, context.clock())
            renew_key(connection, context)
            begin_sync(connection, context, window, source.host)
            connection.commit()
        try:
            _read_pages(context, source, window, tally)
            if window.sweeps(context.clock().date()):
                mark_unseen(context)
            asked = ask_one_by_one(context, source)
            tally.erased |= asked.erased
        except (PartnerCenterError, SourceMismatch) as error:
            with context.stage() as connection:
                fail_sync(connection, context, str(error), error.until if isinstance(error, Throttled) else None)
                connection.commit()
            raise
        with context.stage() as connection:
            end_fetch(connection, context, tally.new + asked.versions, len(tally.erased), asked.throttled_until)
            connection.commit()
            fetched = connection.execute(
                text("SELECT fetched FROM sync_runs WHERE run_id = :run"), {"run": context.run_id}
            ).scalar_one()
    return StageReport(
        {
            "fetched": fetched,
            "new_versions": tally.new + asked.versions,
            "unchanged": fetched - tally.new - asked.versions - tally.failed,
            "failed": tally.failed,
            "pages": tally.pages,
            "details": asked.details,
            "details_left": asked.left,
            "gone": asked.gone,
            "altered_for_storage": tally.altered,
            "erased": len(tally.erased),
        }
    )


def _read_pages(context: StageContext, source: ReferralSource, window: Window, tally: _Tally) -> None:
    began, tenant, noted = context.clock(), source.tenant, False
    with context.engine.connect() as connection:
        check_tenant(connection, tenant)
    for page in source.iter_pages(window.since):
        tally.pages += 1
        with context.stage() as connection:
            # What is lost when the server crashes within a second is fetched again: the watermark has not moved yet,
            # and the commit that moves it waits for the disk for all of them.
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            if page.number == 1 and page.served_at is not None and page.served_at < began:
                limit_watermark(connection, context, page.served_at)
            _keep_page(connection, context, page, window, tally)
            if page.items and not noted:
                note_tenant(connection, context, tenant)
                noted = True
            connection.commit()
        if page.number == 1 and page.served_at is not None and page.served_at < began - CLOCK_TOLERANCE:
            context.progress(
                f"this machine's clock is ahead of Partner Center's by {began - page.served_at}: set it right; "
                "the next sync goes by theirs"
            )
        total = f" of about {page.total}" if page.total else ""
        context.progress(f"page {page.number}: {tally.items} referrals{total}, {tally.new} new versions")


def _keep_page(connection: Connection, context: StageContext, page: Page, window: Window, tally: _Tally) -> None:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    failures: list[Failure] = []
    # The time is taken under the stage lock: a gate of another run goes by it.
    today: date = context.clock().date()
    screen = screen_of(connection, context, page.items)
    erased: list[Erased] = []
    for item in page.items:
        row = read_item(context, item, today, screen)
        if isinstance(row, Erased):
            erased.append(row)
        elif isinstance(row, Failure):
            failures.append(row)
        elif window.holds(row["partition_day"]):
            rows[row["referral_id"], row["content_hash"]] = row
    if erased:
        refuse(connection, context, erased)
        tally.erased.update(each.item for each in erased)
        ids = {each.referral_id for each in erased}  # another copy on this page may name nobody
        rows = {key: row for key, row in rows.items() if row["referral_id"] not in ids}
        failures = [failure for failure in failures if failure.item_key not in ids]
    tally.items += len(rows) + len(failures)
    for row in rows.values():
        if needs_detail(row["payload"]):
            row["payload_form"] = "detail_pending"
    kept, new, refused = write_versions(connection, context, list(rows.values()))
    failures += refused
    write_items(connection, context, [row["referral_id"] for row in rows.values()] + [f.item_key for f in failures])
    record_failures(connection, context, STAGE, FETCH_VERSION, failures)
    resolve_failures(connection, context, STAGE, [row["referral_id"] for row in kept])
    tell(connection, context, new)
    tally.new += len(new)
    tally.failed += len(failures)
    tally.altered += sum(row["payload_original"] is not None for row in new)
