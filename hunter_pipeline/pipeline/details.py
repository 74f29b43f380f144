"""The referrals that a fetch asks for one by one, after the pages.

Belongs here: the contacts that the list form lacks, and the question whether a referral that a sweep did not see is
gone. What the API cannot or will not give now stays pending and is asked for again, later each time; one referral
never holds up another. Does not belong here: pages (`fetch`). No lock and no transaction is held while the API is
asked; answers are written some at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from hunter_pipeline.partner_center.errors import (
    ApiError,
    NetworkError,
    PartnerCenterError,
    ReadLimit,
    Throttled,
    TokenCacheBusy,
    UnreadablePage,
)
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.pipeline.context import StageContext, retry_delay
from hunter_pipeline.pipeline.erasures import Erased, Screen, refuse, screen_of
from hunter_pipeline.pipeline.failures import (
    Failure,
    record_failures,
    resolve_all_failures,
    resolve_failures,
    resolve_unseen,
)
from hunter_pipeline.pipeline.sync_runs import last_sweep
from hunter_pipeline.pipeline.versions import FETCH_VERSION, STAGE, read_item, tell, write_items, write_versions

DETAILS = "referral_details"
"""The stage of a failure of a one-by-one request."""

MOST_ASKED = 5000
"""Referrals that one fetch asks for one by one; at the default pace its time is over before."""

WRITE_EVERY = 25
"""Answers that are written in one transaction: as many a killed run asks for again."""

GIVE_UP_AFTER = 3
"""Failures in a row after which the rest is left to the next sync: it is not the single referral then."""

REFUSED_AGAIN = timedelta(days=1)
"""How long one that the account may not read is left alone, unless with force."""

UNAUTHORIZED = 401
GONE = (404, 410)

WAITING = """
SELECT id, referral_id, content_hash, payload_form, ask_attempts, unseen_since, run_id
FROM partner_center_referrals_raw
WHERE is_current AND (payload_form = 'detail_pending' OR unseen_since IS NOT NULL)
    AND (:force OR ask_after IS NULL OR ask_after <= :now)
ORDER BY ask_after NULLS FIRST, id LIMIT :limit
"""

MARK_UNSEEN = """
UPDATE partner_center_referrals_raw r SET unseen_since = :now, ask_after = NULL, ask_attempts = 0
WHERE is_current AND gone_at IS NULL AND unseen_since IS NULL AND NOT EXISTS (
    SELECT FROM sync_run_items i WHERE i.run_id = :run AND i.item_key = r.referral_id OFFSET 0)
"""
"""OFFSET 0 has each referral looked up for itself: with statistics from before the run's items came, PostgreSQL would
compare all with all."""

STILL_THE_SAME = """
UPDATE partner_center_referrals_raw SET unseen_since = NULL, ask_after = NULL, ask_attempts = 0,
    last_seen_at = :now, last_seen_run_id = :run WHERE id = :id AND payload = :payload
"""

TAKE_DETAIL = """
UPDATE partner_center_referrals_raw SET payload = :payload, payload_original = :original, payload_form = 'detail',
    ask_after = NULL, ask_attempts = 0, unseen_since = NULL, gone_at = NULL, run_id = :run WHERE id = :id
"""


class SingleSource(Protocol):
    """Where one referral comes from: `PartnerCenterClient`."""

    def get_referral(self, referral_id: str) -> RawItem:
        """One referral in full."""


@dataclass
class Asked:
    """What the one-by-one requests of a fetch came to.

    :param details: versions whose contacts were fetched.
    :param versions: versions that were not known before.
    :param gone: referrals that are there no more.
    :param left: referrals that are still to be asked for.
    :param erased: digests of those that turned out to name somebody who is erased on request.
    :param throttled_until: when the API takes the next request, if it asked for a pause that was too long.
    """

    details: int = 0
    versions: int = 0
    gone: int = 0
    left: int = 0
    throttled_until: datetime | None = None
    erased: set[str] = field(default_factory=set)


def mark_unseen(context: StageContext) -> None:
    """Note the referrals that this run's sweep did not see. Whether they are gone is asked one by one: rows move
    while pages are read, and a role that sees less would make everything look deleted."""
    with context.stage() as connection:
        connection.execute(text(MARK_UNSEEN), {"now": context.clock(), "run": context.run_id})
        resolve_unseen(connection, context, STAGE, last_sweep(connection))
        connection.commit()


def ask_one_by_one(context: StageContext, source: SingleSource) -> Asked:
    """Ask for every referral that waits for it, until all are asked, time is up, or the API is in trouble.

    :returns: what came of it; what is left waits for the next sync.
    :raises PartnerCenterError: the sign-in no longer holds.
    """
    with context.engine.connect() as connection:
        waiting = connection.execute(
            text(WAITING), {"now": context.clock(), "force": context.force, "limit": MOST_ASKED}
        )
        rows = waiting.mappings().all()
    asked, answers, reason, in_a_row = Asked(), [], "", 0
    try:
        for number, row in enumerate(rows):
            try:
                answer: RawItem | PartnerCenterError = source.get_referral(row["referral_id"])
            except (Throttled, ReadLimit) as error:
                asked.throttled_until = error.until if isinstance(error, Throttled) else None
                reason = str(error)
                break
            except (ApiError, NetworkError, UnreadablePage, TokenCacheBusy) as error:
                if isinstance(error, ApiError) and error.status == UNAUTHORIZED:
                    raise
                answer = error
            answers.append((row, answer))
            if isinstance(answer, RawItem) or (isinstance(answer, ApiError) and answer.status in GONE):
                in_a_row = 0
            else:
                in_a_row += 1
                reason = str(answer)
                if in_a_row == GIVE_UP_AFTER:
                    break
            if len(answers) == WRITE_EVERY:
                _write(context, answers, asked)
                answers = []
                context.progress(f"{number + 1} of {len(rows)} referrals asked for one by one")
    finally:
        _write(context, answers, asked)
    with context.engine.connect() as connection:
        asked.left = connection.execute(
            text(
                "SELECT count(*) FROM partner_center_referrals_raw"
                " WHERE is_current AND (payload_form = 'detail_pending' OR unseen_since IS NOT NULL)"
            )
        ).scalar_one()
    if asked.left:
        context.progress(f"{asked.left} referrals are left to be asked for by the next sync: {reason or 'not due yet'}")
    return asked


def _write(
    context: StageContext, answers: Sequence[tuple[RowMapping, RawItem | PartnerCenterError]], asked: Asked
) -> None:
    if not answers:
        return
    with context.stage() as connection:
        screen = screen_of(connection, context, [answer for _, answer in answers if isinstance(answer, RawItem)])
        still_there = set(
            connection.execute(
                text("SELECT id FROM partner_center_referrals_raw WHERE id = ANY(:ids)"),
                {"ids": [row["id"] for row, _ in answers]},
            ).scalars()
        )
        for row, answer in answers:
            if row["id"] not in still_there:  # erased on request while the API was asked
                continue
            problem = (
                answer
                if isinstance(answer, PartnerCenterError)
                else _take(connection, context, row, answer, asked, screen)
            )
            if isinstance(problem, ApiError) and problem.status in GONE:
                _there_is_none(connection, context, row, asked)
            elif problem is not None:
                _postpone(connection, context, row, problem)
        connection.commit()


def _take(
    connection: Connection, context: StageContext, row: RowMapping, item: RawItem, asked: Asked, screen: Screen
) -> UnreadablePage | None:
    """Keep what was answered; the problem if it cannot be kept as this referral's."""
    version = read_item(context, item, context.clock().date(), screen)
    if isinstance(version, Erased) and version.referral_id == row["referral_id"]:
        refuse(connection, context, [version])
        asked.erased.add(version.item)
        return None
    if isinstance(version, Erased):
        return UnreadablePage("Asked for by itself, Partner Center gives another referral", transient=False)
    if isinstance(version, Failure):
        return UnreadablePage(f"Asked for by itself, the referral cannot be taken: {version.error}", transient=False)
    if version["referral_id"] != row["referral_id"]:
        return UnreadablePage("Asked for by itself, Partner Center gives another referral", transient=False)
    if row["payload_form"] == "detail_pending":
        _take_detail(connection, context, row, version)
        asked.details += 1
    elif not connection.execute(
        text(STILL_THE_SAME).bindparams(bindparam("payload", type_=JSONB)),
        {"now": context.clock(), "run": context.run_id, "id": row["id"], "payload": version["payload"]},
    ).rowcount:
        kept, _, failures = write_versions(connection, context, [{**version, "payload_form": "detail"}])
        record_failures(connection, context, STAGE, FETCH_VERSION, failures)
        tell(connection, context, kept)
        asked.versions += len(kept)
    write_items(connection, context, [row["referral_id"]])
    resolve_failures(connection, context, DETAILS, [row["referral_id"]])
    return None


def _take_detail(connection: Connection, context: StageContext, row: RowMapping, version: dict[str, Any]) -> None:
    connection.execute(
        text(TAKE_DETAIL).bindparams(bindparam("payload", type_=JSONB)),
        {
            "payload": version["payload"],
            "original": version["payload_original"],
            "run": context.run_id,
            "id": row["id"],
        },
    )
    for table in ("normalized_domains", "referral_failures"):  # decides this version anew
        connection.execute(
            text(f"UPDATE {table} SET code_version = '' WHERE raw_id = :id"),  # noqa: S608 - literals above
            {"id": row["id"]},
        )
    told = {**version, "content_hash": row["content_hash"], "payload_form": "detail"}
    late = "" if row["run_id"] == context.run_id else "fetched one by one the contacts that the list lacks"
    tell(connection, context, [told], late)


def _there_is_none(connection: Connection, context: StageContext, row: RowMapping, asked: Asked) -> None:
    """A referral that was listed and has no form of its own keeps the list form; one that was not seen is gone."""
    parameters = {"id": row["id"], "now": context.clock()}
    if row["unseen_since"] is None:
        connection.execute(
            text("UPDATE partner_center_referrals_raw SET payload_form = 'list' WHERE id = :id"), parameters
        )
        return
    connection.execute(
        text(
            "UPDATE partner_center_referrals_raw SET gone_at = :now, unseen_since = NULL, ask_after = NULL,"
            " payload_form = CASE payload_form WHEN 'detail_pending' THEN 'list' ELSE payload_form END WHERE id = :id"
        ),
        parameters,
    )
    resolve_all_failures(connection, context, row["referral_id"])
    tell(connection, context, [dict(row)], "gone: a sweep did not see it, and asking for it finds nothing")
    asked.gone += 1


def _postpone(connection: Connection, context: StageContext, row: RowMapping, problem: PartnerCenterError) -> None:
    """Ask again later: the next sync at first, then after a growing wait; a refusal is a matter of the account."""
    now, attempts = context.clock(), row["ask_attempts"] + 1
    refused = isinstance(problem, ApiError) and not problem.transient
    wait = REFUSED_AGAIN if refused else retry_delay(attempts - 1) if attempts > 1 else timedelta()
    connection.execute(
        text("UPDATE partner_center_referrals_raw SET ask_after = :after, ask_attempts = :attempts WHERE id = :id"),
        {"after": now + wait, "attempts": min(attempts, 1000), "id": row["id"]},
    )
    if not problem.transient:
        # Without the ids of the request, so that the same refusal reads the same each time.
        reason = problem.reason if isinstance(problem, ApiError) else problem
        again = "; then `hunter sync --force` asks again at once, and a sync a day later by itself" if refused else ""
        failure = Failure(row["referral_id"], f"{reason}{again}", raw_id=row["id"])
        record_failures(connection, context, DETAILS, FETCH_VERSION, [failure])
