"""The versions of referrals: how an item of the API becomes a row that is kept, and which version is current.

Belongs here: reading an item no further than its id and time of update, and the writes that the pages
(`fetch`) and the one-by-one requests (`details`) share. Does not belong here: asking the API. An item that has no
usable id, or that the database cannot hold, becomes a `Failure` with its exact text.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
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
from hunter_pipeline.store.jsonb import canonical_json, to_jsonb

STAGE = "partner_center_referrals_raw"
FETCH_VERSION = "1"
"""Raise it when what is kept of an item changes; versions already kept are not fetched again by it."""

RUN_PREFIX = "action-"
"""Begins the run id of rows that a person's change wrote; there is no such run in Dagster."""

KEEP = """
INSERT INTO partner_center_referrals_raw (referral_id, content_hash, etag, source_updated_at, partition_day, payload,
    payload_original, payload_form, is_current, fetched_at, last_seen_at, last_seen_run_id, run_id)
SELECT referral_id, content_hash, etag, source_updated_at, partition_day, CAST(payload AS jsonb),
    payload_original, payload_form, is_current, seen_at, seen_at, :run, :run
FROM unnest(CAST(:referral_id AS text[]), CAST(:content_hash AS text[]), CAST(:etag AS text[]),
    CAST(:source_updated_at AS timestamptz[]), CAST(:partition_day AS date[]), CAST(:payload_text AS text[]),
    CAST(:payload_original AS text[]), CAST(:payload_form AS text[]), CAST(:is_current AS bool[]),
    CAST(:seen_at AS timestamptz[]))
    AS r(referral_id, content_hash, etag, source_updated_at, partition_day, payload, payload_original, payload_form,
        is_current, seen_at)
"""
"""A payload travels as the text that was hashed, in an array of its own: as a part of one JSON text for all rows,
PostgreSQL would read it three times."""

SEEN_AGAIN = """
UPDATE partner_center_referrals_raw
SET last_seen_at = :seen_at, last_seen_run_id = :run, gone_at = NULL, unseen_since = NULL WHERE id = ANY(:ids)
"""
"""A version that is known was seen again, so it is there. Its payload stays where it is: in a sweep nearly all are."""

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


def content_hash(canonical: str) -> str:
    """SHA-256 of an item's content as `canonical_json` writes it."""
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
        kept = screen.kept_of(item.value)
        held = to_jsonb(kept)
        as_it_came = held.text if kept is item.value and held.original is None else canonical_json(item.value)
    except (ValueError, RecursionError) as error:
        return Failure(referral_id, f"the payload cannot be kept: {error}", item.text)
    updated_at = updated_at_of(item.value)
    etag = item.value.get("eTag")
    return {
        "referral_id": referral_id,
        "content_hash": content_hash(as_it_came),
        "etag": etag.replace("\0", "")[:200] if isinstance(etag, str) and held.original is None else None,
        "source_updated_at": updated_at,
        "partition_day": partition_day(updated_at, today),
        "payload": held.payload,
        "payload_text": held.text,
        "payload_original": held.original,
        "payload_form": "list",
        "seen_at": context.clock(),
    }


def known_versions(connection: Connection, referral_ids: Collection[str]) -> dict[tuple[str, str], int]:
    """The versions, as id and hash, that are kept of some referrals, and the number of each row."""
    rows = connection.execute(
        text("SELECT referral_id, content_hash, id FROM partner_center_referrals_raw WHERE referral_id = ANY(:ids)"),
        {"ids": list(referral_ids)},
    )
    return {(row.referral_id, row.content_hash): row.id for row in rows}


def write_versions(
    connection: Connection, context: StageContext, rows: Sequence[dict[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]], list[Failure]]:
    """Write versions, or that known ones were seen again, and choose the current ones; the caller commits.

    :returns: the rows that were written, those of them that were not known, and the failures of the others.
    """
    copies = Counter(row["referral_id"] for row in rows)
    known = known_versions(connection, copies)
    with_others = {referral_id for referral_id, _ in known} | {key for key, number in copies.items() if number > 1}
    for row in rows:  # the only version of a referral is the current one, and need not be written twice
        row["is_current"] = row["referral_id"] not in with_others

    def write(batch: Sequence[Mapping[str, Any]]) -> None:
        columns = {name: [row[name] for row in batch] for name in batch[0] if name != "payload"}
        connection.execute(text(KEEP), {**columns, "run": context.run_id})

    def failed(row: Mapping[str, Any], error: str) -> Failure:
        return Failure(row["referral_id"], error, json.dumps(row["payload"]))

    again = [row for row in rows if _key(row) in known]
    if again:
        numbers = [known[_key(row)] for row in again]
        seen_at = max(row["seen_at"] for row in again)
        connection.execute(text(SEEN_AGAIN), {"ids": numbers, "seen_at": seen_at, "run": context.run_id})
    new, failures = write_each(connection, [row for row in rows if _key(row) not in known], write, failed)
    kept = [*again, *new]
    if ids := [row["referral_id"] for row in kept if not row["is_current"]]:
        parameters = {"ids": ids, "run": context.run_id, "prefix": RUN_PREFIX}
        for current, test in (("false", "NOT IN"), ("true", "IN")):  # in this order: one current version each
            connection.execute(text(CHOOSE_CURRENT.format(current=current, test=test)), parameters)
    return kept, new, failures


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["referral_id"], row["content_hash"]


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
