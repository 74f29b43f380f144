"""The versions of referrals: how an item of the API becomes a row that is kept, and which version is current.

Belongs here: reading an item no further than its id and time of update, and the writes that the pages
(`fetch`) and the one-by-one requests (`details`) share. Does not belong here: asking the API. An item that has no
usable id, or that the database cannot hold, becomes a `Failure` with its exact text.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.partner_center.referral import UnreadableReferral, referral_id_of, updated_at_of
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.erasures import Erased, Screen
from hunter_pipeline.pipeline.failures import Failure, item_key_of_text, write_each
from hunter_pipeline.pipeline.lineage import record_lineage
from hunter_pipeline.pipeline.sync_runs import partition_day
from hunter_pipeline.store.jsonb import to_jsonb
from hunter_pipeline.store.tables import partner_center_referrals_raw as raw
from hunter_pipeline.store.upsert import upsert

STAGE = "partner_center_referrals_raw"
FETCH_VERSION = "1"
"""Raise it when what is kept of an item changes; versions already kept are not fetched again by it."""

RUN_PREFIX = "action-"
"""Begins the run id of rows that a person's change wrote; there is no such run in Dagster."""

SEEN_AGAIN = ("last_seen_at", "last_seen_run_id", "gone_at", "unseen_since")
"""What is written anew on a version that is known: it was seen, so it is there."""

CHOOSE_CURRENT = """
WITH newest AS (
    SELECT DISTINCT ON (referral_id) id FROM partner_center_referrals_raw
    WHERE referral_id = ANY(:ids) AND (last_seen_run_id = :run OR (
        starts_with(last_seen_run_id, :prefix)
        AND last_seen_at > (SELECT s.started_at FROM sync_runs s WHERE s.run_id = :run)))
    ORDER BY referral_id, coalesce(source_updated_at, last_seen_at) DESC, last_seen_at DESC, id DESC
)
UPDATE partner_center_referrals_raw SET is_current = {current}
WHERE referral_id = ANY(:ids) AND is_current <> {current} AND id {test} (SELECT id FROM newest)
"""
"""What was seen last is current; the source's own time decides only between copies that one run has seen. What a
person's change brought while the run was under way is such a copy: its page may have been asked for before that."""


def content_hash(value: object) -> str:
    """SHA-256 of an item's content, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_item(context: StageContext, item: RawItem, today: date, screen: Screen) -> dict[str, Any] | Failure | Erased:
    """The row of an item in the form in which it was listed, or why there is none.

    The hash is that of the item as it came, also where an erased seller is left out of what is kept: what did not
    change at the source is no new version.

    :param today: the day for which an item counts that has no date of its own.
    :param screen: what of these items was erased on request.
    """
    if erased := screen.refuses(item):
        return erased
    if item.problem is not None:
        return Failure(item_key_of_text(item.text), item.problem, item.text)
    try:
        referral_id = referral_id_of(item.value)
    except UnreadableReferral as error:
        return Failure(item_key_of_text(item.text), str(error), item.text)
    assert isinstance(item.value, dict)
    try:
        held = to_jsonb(screen.kept_of(item.value))
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
        "last_seen_run_id": context.run_id,
        "gone_at": None,
        "unseen_since": None,
        "run_id": context.run_id,
    }


def known_versions(connection: Connection, keys: Mapping[tuple[str, str], Any]) -> set[tuple[str, str]]:
    """The versions, as id and hash, that are kept of the referrals of `keys`."""
    rows = connection.execute(
        text("SELECT referral_id, content_hash FROM partner_center_referrals_raw WHERE referral_id = ANY(:ids)"),
        {"ids": [referral_id for referral_id, _ in keys]},
    )
    return {(row.referral_id, row.content_hash) for row in rows}


def write_versions(
    connection: Connection, context: StageContext, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Failure]]:
    """Write versions, or that known ones were seen again, and choose the current ones; the caller commits.

    :returns: the rows that were written, and the failures of the others.
    """

    rows = _current_at_once(connection, rows)

    def write(batch: Sequence[Mapping[str, Any]]) -> None:
        upsert(connection, raw, batch, key=["referral_id", "content_hash"], replace=SEEN_AGAIN)

    def failed(row: Mapping[str, Any], error: str) -> Failure:
        return Failure(row["referral_id"], error, json.dumps(row["payload"]))

    kept, failures = write_each(connection, rows, write, failed)
    parameters = {"ids": [row["referral_id"] for row in kept], "run": context.run_id, "prefix": RUN_PREFIX}
    for current, test in (("false", "NOT IN"), ("true", "IN")):  # in this order: one current version each
        connection.execute(text(CHOOSE_CURRENT.format(current=current, test=test)), parameters)
    return kept, failures


def _current_at_once(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that say which of them are current: the only version of a referral is, and need not be written twice."""
    copies = Counter(row["referral_id"] for row in rows)
    known = set(
        connection.execute(
            text("SELECT referral_id FROM partner_center_referrals_raw WHERE referral_id = ANY(:ids)"),
            {"ids": list(copies)},
        ).scalars()
    )
    return [{**row, "is_current": copies[row["referral_id"]] == 1 and row["referral_id"] not in known} for row in rows]


def write_items(connection: Connection, context: StageContext, keys: Sequence[str]) -> None:
    """Note which items this run has seen; the caller commits."""
    connection.execute(
        text(
            "INSERT INTO sync_run_items (run_id, item_key) SELECT :run, key FROM unnest(CAST(:keys AS text[])) AS key"
            " ON CONFLICT DO NOTHING"
        ),
        {"run": context.run_id, "keys": list(keys)},
    )


def tell(connection: Connection, context: StageContext, rows: Sequence[Mapping[str, Any]], decision: str = "") -> None:
    """Write the lineage of versions that this run kept; the caller commits.

    :param decision: what was decided; by default, in what form the version is kept.
    """
    latest = {row["referral_id"]: row for row in rows}
    record_lineage(
        connection,
        [
            {
                "referral_id": referral_id,
                "stage": STAGE,
                "input": "Partner Center referrals API",
                "decision": decision or _decision(row),
                "row_key": f"version {row['content_hash'][:12]}",
                "code_version": FETCH_VERSION,
                "run_id": context.run_id,
                "recorded_at": context.clock(),
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
