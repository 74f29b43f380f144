"""Referrals that a stage could not take: recorded, shown, dismissed by a person, resolved.

Belongs here: the rows of `referral_failures` and the fall-back from one statement for a batch to one for
each row, so that a single bad row costs only itself. Does not belong here: what counts as bad, which each
stage decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, null, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.lineage import record_lineage
from hunter_pipeline.store.tables import referral_failures

HASHED = "sha256:"
"""Beginning of the key of an item that has no usable id."""


@dataclass(frozen=True)
class Failure:
    """One item that one stage refused.

    :param item_key: referral id, or `item_key_of_text` of an item without one.
    :param error: what is wrong, without personal data.
    :param payload: exact JSON text of the item; None when its version is kept under `raw_id`.
    :param raw_id: the version that failed, when it is kept.
    """

    item_key: str
    error: str
    payload: str | None = None
    raw_id: int | None = None


def item_key_of_text(item: str) -> str:
    """The key of an item that has no usable id: the hash of its text, so that the same item fails once."""
    return HASHED + hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest()


def record_failures(
    connection: Connection,
    context: StageContext,
    stage: str,
    code_version: str,
    failures: Sequence[Failure],
    gone: Collection[str] = (),
) -> None:
    """Write failures of `stage`, counting those seen before; the caller commits.

    One that went through meanwhile, or fails for another reason, is a new failure: it is news, whatever was dismissed.
    What was not refused before, or for another version or reason, is told in the lineage too.

    :param gone: referrals that Partner Center has no more. Nobody can mend them: their failures are kept as resolved.
    """
    if not failures:
        return
    now = context.clock()
    rows: list[dict[str, Any]] = [
        {
            "item_key": failure.item_key,
            "stage": stage,
            "error": failure.error.replace("\0", "\N{REPLACEMENT CHARACTER}")[:2000],
            "payload": failure.payload,
            "raw_id": failure.raw_id,
            "code_version": code_version,
            "run_id": context.run_id,
            "first_seen_at": now,
            "last_seen_at": now,
            "resolved_at": now if failure.item_key in gone else None,
        }
        for failure in {failure.item_key: failure for failure in failures}.values()
    ]
    known = {
        (row.item_key, row.error, row.raw_id)
        for row in connection.execute(
            text(
                "SELECT item_key, error, raw_id FROM referral_failures"
                " WHERE stage = :stage AND resolved_at IS NULL AND item_key = ANY(:keys)"
            ),
            {"stage": stage, "keys": [row["item_key"] for row in rows]},
        )
    }
    statement = insert(referral_failures).values(rows)
    old, new = referral_failures.c, statement.excluded
    the_same = old.resolved_at.is_(None) & (old.error == new.error)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["item_key", "stage"],
            set_={
                "error": new.error,
                "payload": new.payload,
                "raw_id": new.raw_id,
                "code_version": new.code_version,
                "run_id": new.run_id,
                "first_seen_at": case((the_same, old.first_seen_at), else_=new.first_seen_at),
                "last_seen_at": new.last_seen_at,
                "occurrences": case((the_same, old.occurrences + 1), else_=1),
                "resolved_at": new.resolved_at,
                "dismissed_at": case((the_same, old.dismissed_at), else_=null()),
            },
        )
    )
    record_lineage(
        connection,
        [
            {
                "referral_id": row["item_key"],
                "stage": stage,
                "input": "the referral's payload",
                "decision": f"refused: {row['error']}",
                "row_key": None,
                "code_version": code_version,
                "run_id": context.run_id,
                "recorded_at": now,
            }
            for row in rows
            if not row["item_key"].startswith(HASHED) and (row["item_key"], row["error"], row["raw_id"]) not in known
        ],
    )


def resolve_failures(connection: Connection, context: StageContext, stage: str, item_keys: Sequence[str]) -> None:
    """Mark open failures of `stage` as resolved for items that went through; the caller commits."""
    if item_keys:
        connection.execute(
            text(
                "UPDATE referral_failures SET resolved_at = :now"
                " WHERE stage = :stage AND resolved_at IS NULL AND item_key = ANY(:keys)"
            ),
            {"now": context.clock(), "stage": stage, "keys": list(item_keys)},
        )


def resolve_all_failures(connection: Connection, context: StageContext, item_key: str) -> None:
    """Mark the open failures of an item that is there no more as resolved, in every stage; the caller commits."""
    connection.execute(
        text("UPDATE referral_failures SET resolved_at = :now WHERE item_key = :key AND resolved_at IS NULL"),
        {"now": context.clock(), "key": item_key},
    )


def resolve_unseen(connection: Connection, context: StageContext, stage: str, since: datetime | None) -> None:
    """Mark open failures of `stage` as resolved whose items are there no more; the caller commits.

    Rows move while pages are read, and such an item cannot be asked for by itself: it takes two sweeps in a row that
    did not see it.

    :param since: when the sweep before this one began; None: there was none.
    """
    connection.execute(
        text(
            "UPDATE referral_failures f SET resolved_at = :now"
            " WHERE stage = :stage AND resolved_at IS NULL AND last_seen_at < :since AND NOT EXISTS ("
            "   SELECT FROM sync_run_items i WHERE i.run_id = :run AND i.item_key = f.item_key)"
        ),
        {"now": context.clock(), "stage": stage, "since": since, "run": context.run_id},
    )


def dismiss_failures(connection: Connection, item_key: str, now: datetime) -> int:
    """Note that the open failures of an item are known and no news; the caller commits.

    They stay open: what they say is still so, and they are tried again as before.

    :returns: how many were not dismissed before.
    """
    return connection.execute(
        text(
            "UPDATE referral_failures SET dismissed_at = :now"
            " WHERE item_key = :key AND resolved_at IS NULL AND dismissed_at IS NULL"
        ),
        {"now": now, "key": item_key},
    ).rowcount


def undo_dismissal(connection: Connection, item_key: str) -> int:
    """Let the open failures of an item be news again; the caller commits.

    :returns: how many were dismissed before.
    """
    return connection.execute(
        text(
            "UPDATE referral_failures SET dismissed_at = NULL"
            " WHERE item_key = :key AND resolved_at IS NULL AND dismissed_at IS NOT NULL"
        ),
        {"key": item_key},
    ).rowcount


def write_each(
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    write: Callable[[Sequence[Mapping[str, Any]]], None],
    failed: Callable[[Mapping[str, Any], str], Failure],
) -> tuple[list[Mapping[str, Any]], list[Failure]]:
    """Write `rows` in one statement; if the database refuses, one by one, so that only the bad ones fail.

    :param write: executes the statement for some rows on `connection`.
    :param failed: makes the failure of a row from the database's error code.
    :returns: the rows that were written, and the failures of the others.
    """
    if not rows:
        return [], []
    try:
        with connection.begin_nested():
            write(rows)
        return list(rows), []
    except (DataError, IntegrityError, ProgrammingError) as error:
        if len(rows) == 1:
            code = getattr(error.orig, "pgcode", None) or type(error.orig).__name__
            return [], [failed(rows[0], f"PostgreSQL refuses the row (SQLSTATE {code})")]
    middle = len(rows) // 2
    written, failures = write_each(connection, rows[:middle], write, failed)
    more, others = write_each(connection, rows[middle:], write, failed)
    return written + more, failures + others
