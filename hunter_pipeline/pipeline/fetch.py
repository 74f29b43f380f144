"""Stage `partner_center_referrals_raw`: every version of every referral, kept as it came.

Pages are streamed and written one transaction each, so memory stays flat and a killed run keeps what it had.
Nothing is interpreted here beyond the id and the time of update. An item that has no usable id, or that the
database cannot hold, goes to `referral_failures` with its exact text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, text

from hunter_pipeline.partner_center.client import Page
from hunter_pipeline.partner_center.errors import ApiError, PartnerCenterError, UnreadablePage
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.partner_center.referral import UnreadableReferral, needs_detail, referral_id_of, updated_at_of
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.failures import Failure, item_key_of_text, record_failures, resolve_failures, write_each
from hunter_pipeline.pipeline.lineage import record_lineage
from hunter_pipeline.pipeline.sync_runs import Window, begin_sync, check_source, end_fetch, fail_sync, partition_day
from hunter_pipeline.store.jsonb import to_jsonb
from hunter_pipeline.store.tables import partner_center_referrals_raw as raw
from hunter_pipeline.store.upsert import upsert

STAGE = "partner_center_referrals_raw"
FETCH_VERSION = "1"
"""Raise it when what is kept of an item changes; versions already kept are not fetched again by it."""

DETAIL_RETRIES = 50
"""Referrals whose single GET failed earlier and that one run asks for again: a minute at the default pace."""

UNAUTHORIZED = 401
"""The sign-in no longer holds: a matter of the whole sync, not of one referral."""


class ReferralSource(Protocol):
    """Where referrals come from: `PartnerCenterClient`."""

    @property
    def host(self) -> str:
        """Host name of the API."""

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
    details: int = 0
    altered: int = 0


def fetch_referrals(context: StageContext, source: ReferralSource, window: Window) -> StageReport:
    """Fetch the updates of `window` and keep every version.

    :param source: the client; it is asked for pages and, where the list form lacks the contacts, for one referral.
    :param window: the days that are asked for.
    :returns: counts `fetched`, `new_versions`, `unchanged`, `failed`, `pages`, `details`, `altered_for_storage`.
    :raises PartnerCenterError: sign-in, network or API trouble; what was read until then is kept.
    """
    tally = _Tally()
    today = context.clock().date()
    with context.stage() as connection:
        begin_sync(connection, context, window, source.host)
        connection.commit()
        try:
            _retry_details(connection, context, source, tally)
            for page in source.iter_pages(window.since):
                tally.pages += 1
                _keep_page(connection, context, source, page, window, today, tally)
                connection.commit()
                total = f" of about {page.total}" if page.total else ""
                context.progress(f"page {page.number}: {tally.items} referrals{total}, {tally.new} new versions")
        except PartnerCenterError as error:
            connection.rollback()
            fail_sync(connection, context, str(error))
            connection.commit()
            raise
        end_fetch(connection, context, tally.new)
        connection.commit()
        fetched = connection.execute(
            text("SELECT fetched FROM sync_runs WHERE run_id = :run"), {"run": context.run_id}
        ).scalar_one()
    return StageReport(
        {
            "fetched": fetched,
            "new_versions": tally.new,
            "unchanged": fetched - tally.new - tally.failed,
            "failed": tally.failed,
            "pages": tally.pages,
            "details": tally.details,
            "altered_for_storage": tally.altered,
        }
    )


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
    """

    days: dict[date, DayCount] = field(default_factory=dict)
    unreadable: int = 0
    pages: int = 0


def preview_fetch(context: StageContext, source: ReferralSource, window: Window) -> Preview:
    """Ask for the updates of `window` and say what is new, without writing anything.

    :raises SourceMismatch: the database holds referrals of another host.
    :raises PartnerCenterError: sign-in, network or API trouble.
    """
    preview = Preview()
    seen: set[tuple[str, str]] = set()
    today = context.clock().date()
    with context.engine.execution_options(postgresql_readonly=True).connect() as connection:
        check_source(connection, source.host)
        connection.commit()
        for page in source.iter_pages(window.since):
            rows = [_read_item(context, item, today) for item in page.items]
            versions = {
                (row["referral_id"], row["content_hash"]): row["partition_day"]
                for row in rows
                if not isinstance(row, Failure) and window.holds(row["partition_day"])
            }
            known = _known_versions(connection, versions)
            connection.commit()
            ids = {referral_id for referral_id, _ in known}
            for version, day in versions.items():
                if version not in seen:
                    count = preview.days.setdefault(day, DayCount())
                    kind = "unchanged" if version in known else "changed" if version[0] in ids else "new"
                    setattr(count, kind, getattr(count, kind) + 1)
            seen |= set(versions)
            preview.unreadable += sum(isinstance(row, Failure) for row in rows)
            preview.pages += 1
            context.progress(f"page {page.number}: {len(seen)} referrals{f' of about {page.total}' * bool(page.total)}")
    return preview


def content_hash(value: object) -> str:
    """SHA-256 of an item's content, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _keep_page(
    connection: Connection,
    context: StageContext,
    source: ReferralSource,
    page: Page,
    window: Window,
    today: date,
    tally: _Tally,
) -> None:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    failures: list[Failure] = []
    for item in page.items:
        row = _read_item(context, item, today)
        if isinstance(row, Failure):
            failures.append(row)
        elif window.holds(row["partition_day"]):
            rows[row["referral_id"], row["content_hash"]] = row
    tally.items += len(rows) + len(failures)
    known = _known_versions(connection, rows)
    for key, row in rows.items():
        if key not in known and needs_detail(row["payload"]):
            _complete(source, row, tally)
    kept, refused = _write_versions(connection, list(rows.values()))
    failures += refused
    _write_items(connection, context, [row["referral_id"] for row in rows.values()] + [f.item_key for f in failures])
    record_failures(connection, context, STAGE, FETCH_VERSION, failures)
    resolve_failures(connection, context, STAGE, [row["referral_id"] for row in kept])
    new = [row for row in kept if (row["referral_id"], row["content_hash"]) not in known]
    _write_lineage(connection, context, new)
    tally.new += len(new)
    tally.failed += len(failures)
    tally.altered += sum(row["payload_original"] is not None for row in new)


def _read_item(context: StageContext, item: RawItem, today: date) -> dict[str, Any] | Failure:
    if item.problem is not None:
        return Failure(item_key_of_text(item.text), item.problem, item.text)
    try:
        referral_id = referral_id_of(item.value)
    except UnreadableReferral as error:
        return Failure(item_key_of_text(item.text), str(error), item.text)
    assert isinstance(item.value, dict)
    try:
        held = to_jsonb(item.value)
        hashed = content_hash(item.value)
    except (ValueError, RecursionError) as error:
        return Failure(referral_id, f"the payload cannot be kept: {error}", item.text)
    updated_at = updated_at_of(item.value)
    etag = item.value.get("eTag")
    now = context.clock()
    return {
        "referral_id": referral_id,
        "content_hash": hashed,
        "etag": etag.replace("\0", "")[:200] if isinstance(etag, str) and held.original is None else None,
        "source_updated_at": updated_at,
        "partition_day": partition_day(updated_at, today),
        "payload": held.payload,
        "payload_original": held.original,
        "payload_form": "list",
        "fetched_at": now,
        "last_seen_at": now,
        "run_id": context.run_id,
    }


def _known_versions(connection: Connection, keys: Mapping[tuple[str, str], Any]) -> set[tuple[str, str]]:
    rows = connection.execute(
        text("SELECT referral_id, content_hash FROM partner_center_referrals_raw WHERE referral_id = ANY(:ids)"),
        {"ids": [referral_id for referral_id, _ in keys]},
    )
    return {(row.referral_id, row.content_hash) for row in rows}


def _complete(source: ReferralSource, row: dict[str, Any], tally: _Tally) -> None:
    """Replace a list-form payload by the full one.

    What the API cannot give now stays pending and is asked for again by later runs. What it refuses for good, or
    gives in a form that cannot be kept, leaves the list form standing: one referral never holds up the others.
    """
    row["payload_form"] = "list"
    try:
        item = source.get_referral(row["referral_id"])
        if item.problem is not None or referral_id_of(item.value) != row["referral_id"]:
            return
        held = to_jsonb(item.value)
    except ApiError as error:
        if error.status == UNAUTHORIZED:
            raise
        if error.transient:
            row["payload_form"] = "detail_pending"
        return
    except (UnreadablePage, UnreadableReferral, ValueError, RecursionError):
        return
    row |= {"payload": held.payload, "payload_original": held.original, "payload_form": "detail"}
    tally.details += 1


def _retry_details(connection: Connection, context: StageContext, source: ReferralSource, tally: _Tally) -> None:
    pending = connection.execute(
        text(
            "SELECT id, referral_id, payload, payload_original FROM partner_center_referrals_raw"
            " WHERE payload_form = 'detail_pending' AND is_current ORDER BY id LIMIT :limit"
        ),
        {"limit": DETAIL_RETRIES},
    ).mappings()
    for version in pending.all():
        row: dict[str, Any] = dict(version)
        _complete(source, row, tally)
        if row["payload_form"] == "detail_pending":
            continue
        given = {name: row[name] for name in ("payload", "payload_original", "payload_form")}
        connection.execute(raw.update().where(raw.c.id == version["id"]).values(**given, run_id=context.run_id))
        for table in ("normalized_domains", "referral_failures"):  # decides this version anew
            connection.execute(
                text(f"UPDATE {table} SET code_version = '' WHERE raw_id = :id"),  # noqa: S608 - literals above
                {"id": version["id"]},
            )
        connection.commit()


def _write_versions(
    connection: Connection, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Failure]]:
    def write(batch: Sequence[Mapping[str, Any]]) -> None:
        upsert(connection, raw, batch, key=["referral_id", "content_hash"], replace=["last_seen_at"])

    def failed(row: Mapping[str, Any], error: str) -> Failure:
        return Failure(row["referral_id"], error, json.dumps(row["payload"]))

    kept, failures = write_each(connection, rows, write, failed)
    parameters = {"ids": [row["referral_id"] for row in kept]}
    newest = """
        SELECT DISTINCT ON (referral_id) id FROM partner_center_referrals_raw WHERE referral_id = ANY(:ids)
        ORDER BY referral_id, coalesce(source_updated_at, last_seen_at) DESC, last_seen_at DESC, id DESC
    """
    for is_current, test in (("false", "NOT IN"), ("true", "IN")):  # in this order: one current version each
        connection.execute(
            text(
                f"UPDATE partner_center_referrals_raw SET is_current = {is_current}"  # noqa: S608 - literals above
                f" WHERE referral_id = ANY(:ids) AND is_current <> {is_current} AND id {test} ({newest})"
            ),
            parameters,
        )
    return kept, failures


def _write_items(connection: Connection, context: StageContext, keys: Sequence[str]) -> None:
    connection.execute(
        text(
            "INSERT INTO sync_run_items (run_id, item_key) SELECT :run, key FROM unnest(CAST(:keys AS text[])) AS key"
            " ON CONFLICT DO NOTHING"
        ),
        {"run": context.run_id, "keys": list(keys)},
    )


def _write_lineage(connection: Connection, context: StageContext, rows: Sequence[Mapping[str, Any]]) -> None:
    latest = {row["referral_id"]: row for row in rows}
    record_lineage(
        connection,
        [
            {
                "referral_id": referral_id,
                "stage": STAGE,
                "input": "Partner Center referrals API",
                "decision": _decision(row),
                "row_key": f"version {row['content_hash'][:12]}",
                "code_version": FETCH_VERSION,
                "run_id": context.run_id,
                "recorded_at": row["fetched_at"],
            }
            for referral_id, row in latest.items()
        ],
    )


def _decision(row: Mapping[str, Any]) -> str:
    parts = ["kept a new version"]
    if row["payload_form"] != "list":
        state = "fetched" if row["payload_form"] == "detail" else "still to be fetched"
        parts.append(f"{state} one by one because the list lacks the contacts")
    if row["payload_original"] is not None:
        parts.append("with characters that JSONB cannot hold replaced (exact text kept beside it)")
    return ", ".join(parts)
