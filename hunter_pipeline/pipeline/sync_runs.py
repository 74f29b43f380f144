"""Syncs: their window, their books and the watermark.

Belongs here: the rows of `sync_runs`, from which the next window is worked out, and the counts that must
add up (fetched = succeeded + skipped + failed). Does not belong here: when a sync is started, which is the
schedule's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, RowMapping, text

from hunter_pipeline.masking import mask_id
from hunter_pipeline.pipeline.context import StageContext

FIRST_DAY = date(2026, 1, 1)
"""First day partition. A window that starts here takes everything that the API returns, however old."""

OVERLAP = timedelta(hours=1)
"""How far before the last successful sync the next one starts, for updates that the API showed late."""

ERRORS_KEPT = 20
"""Texts of failures kept with a sync; all of them are in `referral_failures`."""


@dataclass(frozen=True)
class Window:
    """The days (UTC, both included) whose updates a sync asks for.

    :param start: first day; `FIRST_DAY` means everything, however old.
    :param end: last day.
    """

    start: date
    end: date

    @property
    def since(self) -> datetime | None:
        """The oldest moment asked for; None: everything."""
        return None if self.start <= FIRST_DAY else datetime.combine(self.start, time.min, UTC)

    def sweeps(self, today: date) -> bool:
        """Whether everything is asked for that the API has, however old, up to the present."""
        return self.since is None and self.end >= today

    def holds(self, day: date) -> bool:
        """Whether a day partition lies inside."""
        return self.start <= day <= self.end


def partition_day(updated_at: datetime | None, today: date) -> date:
    """The day under which a version shows: its update's day, kept between `FIRST_DAY` and today.

    One without a date or dated in the future counts for today, one before the first partition for the first.
    """
    if updated_at is None or updated_at.date() > today:
        return today
    return max(updated_at.date(), FIRST_DAY)


def next_window(last_success: datetime | None, today: date) -> Window:
    """The window that catches up: from the last successful sync (less an overlap) to today, or everything.

    :param last_success: when the newest sync that reached to the present began; None: there was none.
    """
    if last_success is None:
        return Window(FIRST_DAY, today)
    return Window(min(max((last_success - OVERLAP).date(), FIRST_DAY), today), today)


def asked_window(last_success: datetime | None, today: date, *, force: bool) -> Window:
    """The window of a sync for which no days were named, wherever it is asked for.

    :param last_success: when the newest sync that caught up began.
    :param force: process again what is fetched; then everything is, however old.
    """
    return Window(FIRST_DAY, today) if force else next_window(last_success, today)


def last_success(connection: Connection) -> datetime | None:
    """When the newest sync that fetched everything up to its present began; None when there was none."""
    found: datetime | None = connection.execute(
        text(
            "SELECT max(window_end) FROM sync_runs WHERE covers_to_now AND status IN ('fetched', 'success', 'partial')"
        )
    ).scalar_one()
    return found


class SyncPaused(RuntimeError):  # noqa: N818 - the name says what is the case
    """Partner Center has asked for a pause that is not over.

    :param until: when it takes the next request.
    """

    def __init__(self, until: datetime) -> None:
        super().__init__(
            f"Partner Center has asked for no request before {until:%Y-%m-%d %H:%M:%S} UTC (too many requests, or it "
            "is in trouble); the first sync after that catches up"
        )
        self.until = until


class SourceMismatch(RuntimeError):  # noqa: N818 - the name says what is the case
    """The database holds referrals of another Partner Center, or of another partner, than those that are set."""


def last_sweep(connection: Connection) -> datetime | None:
    """When the newest sync of everything, however old, began; None when there was none."""
    found: datetime | None = connection.execute(
        text(
            "SELECT max(started_at) FROM sync_runs"
            " WHERE window_start IS NULL AND covers_to_now AND status IN ('fetched', 'success', 'partial')"
        )
    ).scalar_one()
    return found


def check_source(connection: Connection, source: str) -> None:
    """Make sure that earlier syncs came from the same host: samples and real leads must not mix.

    :raises SourceMismatch: they came from another.
    """
    other = connection.execute(
        text("SELECT source FROM sync_runs WHERE source <> :source LIMIT 1"), {"source": source}
    ).scalar()
    if other is not None:
        raise SourceMismatch(
            f"this database holds referrals of {other}, and the settings point at {source}; set HUNTER_HOME to another "
            "folder (or HUNTER_DATABASE_URL to another database), or empty this one with `hunter db downgrade base`"
        )


def check_tenant(connection: Connection, tenant: str | None) -> None:
    """Make sure that earlier syncs read the same partner's referrals: two on one host must not mix.

    :param tenant: of the account that is signed in; None: not known, and the sign-in itself says why.
    :raises SourceMismatch: they read another partner's.
    """
    other = connection.execute(
        text("SELECT tenant FROM sync_runs WHERE tenant <> :tenant LIMIT 1"), {"tenant": tenant}
    ).scalar()
    if other is not None:
        raise SourceMismatch(
            f"this database holds referrals of the partner tenant {mask_id(other)}, and the account that is signed in "
            f"belongs to {mask_id(tenant or '')}; give each account a database of its own (HUNTER_DATABASE_URL, or "
            "HUNTER_HOME for the embedded one), or run `hunter login` with an account of the first"
        )


def note_tenant(connection: Connection, context: StageContext, tenant: str | None) -> None:
    """Note whose referrals this sync reads, once it has read any; the caller commits."""
    connection.execute(
        text("UPDATE sync_runs SET tenant = :tenant WHERE run_id = :run AND tenant IS NULL"),
        {"tenant": tenant, "run": context.run_id},
    )


def pause_until(connection: Connection, now: datetime) -> datetime | None:
    """When Partner Center takes the next request, if the newest sync was told to pause for longer than it could."""
    until: datetime | None = connection.execute(
        text("SELECT retry_at FROM sync_runs ORDER BY started_at DESC LIMIT 1")
    ).scalar()
    return until if until is not None and until > now else None


def check_pause(connection: Connection, now: datetime) -> None:
    """Make sure that Partner Center takes requests again.

    :raises SyncPaused: it asked for a pause that is not over.
    """
    until = pause_until(connection, now)
    if until is not None:
        raise SyncPaused(until)


def begin_sync(connection: Connection, context: StageContext, window: Window, source: str) -> None:
    """Open the books of this run and close those of runs that died while fetching; the caller commits.

    Safe to repeat: a step that is retried starts its books again. Only called by a fetch that keeps others out,
    which is why any other sync still `running` must be dead.

    The watermark may move only for a window that begins where catching up would have begun, or before: one of some
    days (a backfill, today's partition) would leave a gap behind it that nobody looks into again.

    :param source: host of the API that is asked.
    :raises SourceMismatch: earlier syncs came from another host.
    """
    now = context.clock()
    check_source(connection, source)
    connection.execute(
        text("UPDATE sync_runs SET status = 'failed', finished_at = :now WHERE status = 'running' AND run_id <> :run"),
        {"now": now, "run": context.run_id},
    )
    connection.execute(text("DELETE FROM sync_runs WHERE run_id = :run"), {"run": context.run_id})
    connection.execute(
        text(
            "INSERT INTO sync_runs"
            " (run_id, status, source, forced, window_start, window_end, covers_to_now, started_at)"
            " VALUES (:run, 'running', :source, :forced, :start, :now, :covers, :now)"
        ),
        {
            "run": context.run_id,
            "source": source,
            "forced": context.force,
            "start": window.since,
            "covers": window.end >= now.date()
            and window.start <= next_window(last_success(connection), now.date()).start,
            "now": now,
        },
    )


def limit_watermark(connection: Connection, context: StageContext, served_at: datetime) -> None:
    """Let the watermark go no further than the API's clock; the caller commits.

    :param served_at: when the API gave the first page, by its own clock; ours may be ahead.
    """
    connection.execute(
        text("UPDATE sync_runs SET window_end = :at WHERE run_id = :run AND window_end > :at"),
        {"run": context.run_id, "at": served_at},
    )


def fail_sync(connection: Connection, context: StageContext, error: str, retry_at: datetime | None = None) -> None:
    """Close the books of a run whose fetch broke off, with the reason; the caller commits.

    :param retry_at: when the API takes the next request, if it asked for a pause.
    """
    connection.execute(
        text(
            "UPDATE sync_runs SET status = 'failed', finished_at = :now, retry_at = :retry_at,"
            " errors = jsonb_build_array(CAST(:error AS text))"
            " WHERE run_id = :run"
        ),
        {"now": context.clock(), "run": context.run_id, "error": error, "retry_at": retry_at},
    )


def end_fetch(
    connection: Connection,
    context: StageContext,
    new_versions: int,
    erased: int = 0,
    retry_at: datetime | None = None,
) -> None:
    """Note that everything in the window is kept: from now on the watermark counts; the caller commits.

    :param erased: referrals that were returned and are erased on request.
    :param retry_at: when the API takes the next request, if it asked for a pause after the pages.
    """
    connection.execute(
        text(
            "UPDATE sync_runs SET status = 'fetched', new_versions = :new, erased = :erased, retry_at = :retry_at"
            " WHERE run_id = :run"
        ),
        {"run": context.run_id, "new": new_versions, "erased": erased, "retry_at": retry_at},
    )
    count_items(connection, "s.run_id = :run", {"run": context.run_id})


def count_items(connection: Connection, which: str, parameters: Mapping[str, object]) -> None:
    """Count the books of the syncs that `which` names; the caller commits.

    A referral that failed counts as known when none of its failures began in the sync. One that was gone before any
    stage could read it counts as failed, though nothing is left to mend.

    :param which: condition on `sync_runs s`, a literal of the caller's own; values only as `parameters`.
    """
    # The items of a run are few among all that were ever fetched; statistics from before the rows came say otherwise.
    # One message to the server for all of it.
    connection.execute(
        text(
            f"""
            SET LOCAL enable_seqscan = off;
            UPDATE sync_runs SET fetched = c.fetched, succeeded = c.succeeded, skipped = c.skipped, failed = c.failed,
                failed_before = c.failed_before, errors = c.errors
            FROM (
                SELECT s.run_id, n.* FROM sync_runs s CROSS JOIN LATERAL (
                    SELECT count(i.item_key) AS fetched,
                        count(*) FILTER (WHERE f.item_key IS NULL AND n.domain IS NOT NULL) AS succeeded,
                        count(*) FILTER (WHERE f.item_key IS NULL AND n.skip_reason IS NOT NULL) AS skipped,
                        count(f.item_key) AS failed,
                        count(*) FILTER (WHERE f.first_seen_at < s.started_at) AS failed_before,
                        coalesce(jsonb_path_query_array(
                            jsonb_agg(f.item_key || ': ' || f.error ORDER BY f.item_key)
                                FILTER (WHERE f.first_seen_at >= s.started_at), '$[0 to {ERRORS_KEPT - 1}]'), '[]')
                            AS errors
                    FROM sync_run_items i
                    LEFT JOIN LATERAL (
                        SELECT d.raw_id, d.domain, d.skip_reason FROM normalized_domains d
                        JOIN partner_center_referrals_raw r ON r.id = d.raw_id AND r.is_current
                        WHERE d.referral_id = i.item_key LIMIT 1
                    ) n ON true
                    LEFT JOIN LATERAL (
                        SELECT item_key, error, first_seen_at FROM referral_failures
                        WHERE item_key = i.item_key AND (resolved_at IS NULL OR n.raw_id IS NULL AND EXISTS (
                            SELECT FROM partner_center_referrals_raw r
                            WHERE r.referral_id = i.item_key AND r.is_current AND r.gone_at IS NOT NULL))
                        ORDER BY first_seen_at DESC, last_seen_at DESC LIMIT 1
                    ) f ON true
                    WHERE i.run_id = s.run_id
                ) n
                WHERE {which}
            ) c
            WHERE sync_runs.run_id = c.run_id;
            SET LOCAL enable_seqscan = on
            """  # noqa: S608 - see above
        ),
        parameters,
    )


def read_sync(connection: Connection, run_id: str) -> RowMapping | None:
    """The books of one sync; None when the run fetched nothing (yet)."""
    return connection.execute(text("SELECT * FROM sync_runs WHERE run_id = :run"), {"run": run_id}).mappings().first()


def skip_reasons(connection: Connection, run_id: str) -> dict[str, int]:
    """Why referrals of a sync make no lead, most frequent first; the counts add up to its `skipped`."""
    rows = connection.execute(
        text(
            "SELECT n.skip_reason, count(*) AS n FROM sync_run_items i"
            " JOIN normalized_domains n ON n.referral_id = i.item_key"
            " WHERE i.run_id = :run AND n.skip_reason IS NOT NULL AND NOT EXISTS (SELECT FROM referral_failures f"
            "   WHERE f.item_key = i.item_key AND f.resolved_at IS NULL)"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        ),
        {"run": run_id},
    )
    return {row.skip_reason: row.n for row in rows}
