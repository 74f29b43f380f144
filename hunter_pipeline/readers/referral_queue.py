"""The work queue: every referral, also those without a domain and those that failed, by what is to be done with it.

Belongs here: the tabs, their counts, and the pages of one tab. Does not belong here: how a row is shown, and the story
of one referral (`stories`). Contacts are never part of a row: a list is looked over shoulders and exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from sqlalchemy import Connection, text

from hunter_pipeline.readers.columns import SQL_TYPES, Amount, Column, Declared, Sort, chosen, declared_columns
from hunter_pipeline.readers.cursor import InvalidCursor, decode_cursor, encode_cursor, storable
from hunter_pipeline.vocabulary import ReferralType

Tab = Literal["answer", "expiring", "open", "no_domain", "failed", "gone", "closed", "all"]
TABS: tuple[Tab, ...] = get_args(Tab)

TAB_NAMES: Mapping[Tab, str] = {
    "answer": "To answer",
    "expiring": "Expiring",
    "open": "Open",
    "no_domain": "Without a domain",
    "failed": "Failed",
    "gone": "Gone",
    "closed": "Closed",
    "all": "All",
}

TAB_HELP: Mapping[Tab, str] = {
    "answer": "Partner Center waits for an answer",
    "expiring": "to answer within three days, or Partner Center closes it",
    "open": "neither closed nor gone",
    "no_domain": "tracked, but makes no lead: no company domain could be found",
    "failed": "a stage could not take it; see the reason",
    "gone": "Partner Center does not list it any more",
    "closed": "won, lost, declined or expired",
    "all": "every referral that was ever fetched",
}

EXPIRING = timedelta(days=3)
"""How long before its end an unanswered referral counts as expiring, as the claim about unanswered ones does."""

MAX_PAGE = 200

_TO_ANSWER = "q.is_open AND q.status = 'New' AND (q.expires_at IS NULL OR q.expires_at > :now)"
_TAB_SQL: Mapping[Tab, str] = {
    "answer": _TO_ANSWER,
    "expiring": f"{_TO_ANSWER} AND q.expires_at < :soon",
    "open": "q.is_open",
    "no_domain": "q.raw_id IS NOT NULL AND q.domain IS NULL",
    "failed": "q.error IS NOT NULL",
    "gone": "q.gone_at IS NOT NULL",
    "closed": "q.raw_id IS NOT NULL AND NOT q.is_open AND q.gone_at IS NULL",
    "all": "true",
}


@dataclass(frozen=True)
class QueuedReferral:
    """One referral as a row of the queue."""

    referral_id: Annotated[str, Column("Referral", "q.referral_id", "Partner Center's id", kind="id")]
    company_name: Annotated[
        str | None, Column("Company", "q.company_name", sort=Sort("company", "lower(q.company_name)"))
    ]
    domain: Annotated[str | None, Column("Company domain", "q.domain", kind="domain")]
    skip_reason: Annotated[
        str | None, Column("No domain because", "q.skip_reason", "Why it has no company domain, out of a closed list")
    ]
    referral_type: Annotated[ReferralType | None, Column("Type", "q.referral_type", kind="referral_type")]
    status: Annotated[str | None, Column("Status", "q.status", "Null while it could not be tracked")]
    substatus: Annotated[str | None, Column("Substatus", "q.substatus")]
    is_open: Annotated[bool, Column("Open", "q.is_open", "Neither closed nor gone", kind="flag")]
    deal_value: Annotated[
        Amount | None,
        Column("Deal value", "q.deal_value", kind="money", sort=Sort("deal_value", largest_first=True)),
    ]
    currency: Annotated[str | None, Column("Currency", "q.currency", "ISO 4217 code of the deal value")]
    expires_at: Annotated[
        datetime | None,
        Column("Expires", "q.expires_at", "When Partner Center closes it", kind="expiry", sort=Sort("expires")),
    ]
    received_at: Annotated[
        datetime,
        Column(
            "Received",
            "q.received_at",
            "When Partner Center made it, else when it was first seen here",
            kind="moment",
            sort=Sort("received", largest_first=True),
        ),
    ]
    updated_at: Annotated[datetime | None, Column("Updated", "q.updated_at", kind="moment")]
    gone_at: Annotated[
        datetime | None, Column("Gone", "q.gone_at", "Since when Partner Center lists it no more", kind="moment")
    ]
    error: Annotated[str | None, Column("Error", "q.error", "Why a stage could not take it")]


COLUMNS = declared_columns(QueuedReferral)

LISTED = chosen(COLUMNS, "company_name", "referral_type", "status", "expires_at", "received_at", "deal_value", "domain")
"""Columns of the page's table, in order."""

_SORTED: Mapping[str, Declared] = {column.sort.name: column for column in COLUMNS if column.sort is not None}
QUEUE_SORTS: tuple[str, ...] = tuple(f"{sign}{name}" for name in _SORTED for sign in ("", "-"))
"""Names of the orders; `-` means from high to low."""


@dataclass(frozen=True)
class QueueFilter:
    """Which referrals; None does not restrict.

    :param text: words that stand in the company's name, the domain, the id or the own reference, in any order.
    :param referral_type: `none`: it could not be told.
    """

    tab: Tab = "answer"
    text: str | None = None
    referral_type: str | None = None
    skip_reason: str | None = None


@dataclass(frozen=True)
class QueuePage:
    """A page of the queue, and the cursor of the next one (None: this is the last)."""

    referrals: tuple[QueuedReferral, ...]
    next: str | None


_OPEN_FAILURE = "f.resolved_at IS NULL AND f.dismissed_at IS NULL"
_QUEUE = f"""(
    SELECT t.referral_id, t.company_name, t.domain, CASE WHEN t.domain IS NULL THEN d.skip_reason END AS skip_reason,
        t.referral_type, t.status, t.substatus, t.is_open, t.deal_value, t.currency, t.expires_at,
        coalesce(t.source_created_at, t.created_at) AS received_at, t.source_updated_at AS updated_at, t.gone_at,
        (SELECT f.error FROM referral_failures f WHERE f.item_key = t.referral_id AND {_OPEN_FAILURE}
            ORDER BY f.last_seen_at DESC LIMIT 1) AS error,
        t.raw_id
    FROM partner_center_referrals t LEFT JOIN normalized_domains d ON d.referral_id = t.referral_id
    UNION ALL
    (SELECT DISTINCT ON (f.item_key) f.item_key, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL,
        CAST(NULL AS timestamptz), f.first_seen_at, CAST(NULL AS timestamptz), CAST(NULL AS timestamptz), f.error,
        CAST(NULL AS bigint)
    FROM referral_failures f
    WHERE {_OPEN_FAILURE} AND NOT EXISTS (
        SELECT FROM partner_center_referrals t WHERE t.referral_id = f.item_key)
    ORDER BY f.item_key, f.last_seen_at DESC)
) q"""  # noqa: S608 - constants of this module
"""Every tracked referral, and every item that failed before it could be tracked."""

_SELECTED = ", ".join(column.column.sql for column in COLUMNS)


def count_tabs(connection: Connection, now: datetime) -> dict[Tab, int]:
    """How many referrals each tab holds.

    :param now: the present, aware.
    """
    counted = ", ".join(f"count(*) FILTER (WHERE {condition}) AS {tab}" for tab, condition in _TAB_SQL.items())
    row = connection.execute(
        text(f"SELECT {counted} FROM {_QUEUE}"),  # noqa: S608 - constants of this module
        {"now": now, "soon": now + EXPIRING},
    ).one()
    return {tab: getattr(row, tab) for tab in TABS}


def count_queue(connection: Connection, wanted: QueueFilter, now: datetime) -> int:
    """How many referrals pass the filter."""
    where, parameters = _conditions(wanted, now)
    found: int = connection.execute(
        text(f"SELECT count(*) FROM {_QUEUE} WHERE {where}"),  # noqa: S608 - constants of this module
        parameters,
    ).scalar_one()
    return found


def list_queue(
    connection: Connection,
    wanted: QueueFilter,
    now: datetime,
    sort: str = "expires",
    limit: int = 50,
    after: str | None = None,
) -> QueuePage:
    """One page of a tab. Referrals without a value to sort by stand last; the id decides between equals.

    :param limit: number of referrals, 1 to `MAX_PAGE`.
    :param after: cursor from `QueuePage.next`.
    :raises InvalidCursor: the cursor is none of this order.
    """
    where, parameters = _conditions(wanted, now)
    expression, sql_type = _key(sort)
    direction = "DESC" if sort.startswith("-") else "ASC"
    if after is not None:
        value, referral_id = _decode(after, sort)
        parameters |= {"value": value, "after_id": referral_id}
        behind = f"({expression} IS NULL AND q.referral_id > :after_id)"
        if value is not None:
            sign, key = "<" if direction == "DESC" else ">", f"CAST(:value AS {sql_type})"
            behind = (
                f"({expression} {sign} {key} OR ({expression} = {key} AND q.referral_id > :after_id)"
                f" OR {expression} IS NULL)"
            )
        where += f" AND {behind}"
    rows = connection.execute(
        text(
            f"SELECT {_SELECTED}, CAST({expression} AS text) AS sort_value FROM {_QUEUE} WHERE {where}"  # noqa: S608
            f" ORDER BY {expression} {direction} NULLS LAST, q.referral_id LIMIT :limit"
        ),
        {**parameters, "limit": limit + 1},
    ).all()
    found = rows[:limit]
    last = found[-1] if len(rows) > limit else None
    return QueuePage(
        tuple(_referral(row) for row in found),
        None if last is None else encode_cursor(sort, last.sort_value, last.referral_id),
    )


def iter_queue(
    connection: Connection, wanted: QueueFilter, now: datetime, sort: str = "expires"
) -> Iterator[QueuedReferral]:
    """Every referral of a tab in order, streamed by a server-side cursor; memory stays flat."""
    where, parameters = _conditions(wanted, now)
    expression, _ = _key(sort)
    direction = "DESC" if sort.startswith("-") else "ASC"
    statement = text(
        f"SELECT {_SELECTED} FROM {_QUEUE} WHERE {where}"  # noqa: S608 - constants of this module
        f" ORDER BY {expression} {direction} NULLS LAST, q.referral_id"
    )
    for row in connection.execute(statement, parameters, execution_options={"yield_per": 1000}):
        yield _referral(row)


def skip_reasons_in_use(connection: Connection) -> list[str]:
    """Reasons for which some referral has no domain, for the filter's choice."""
    return list(
        connection.execute(
            text("SELECT DISTINCT skip_reason FROM normalized_domains WHERE skip_reason IS NOT NULL ORDER BY 1")
        ).scalars()
    )


def _conditions(wanted: QueueFilter, now: datetime) -> tuple[str, dict[str, Any]]:
    conditions = [_TAB_SQL[wanted.tab]]
    parameters: dict[str, Any] = {"now": now, "soon": now + EXPIRING}
    if wanted.referral_type == "none":
        conditions.append("q.referral_type IS NULL")
    elif wanted.referral_type is not None:
        conditions.append("q.referral_type = :referral_type")
        parameters["referral_type"] = wanted.referral_type
    if wanted.skip_reason is not None:
        conditions.append("q.skip_reason = :skip_reason")
        parameters["skip_reason"] = wanted.skip_reason
    for number, word in enumerate((wanted.text or "").split()):
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        conditions.append(
            f"(q.company_name ILIKE :word{number} OR q.domain ILIKE :word{number}"
            f" OR q.referral_id ILIKE :word{number} OR EXISTS (SELECT FROM partner_center_referrals_raw r"
            f" WHERE r.id = q.raw_id AND r.payload->>'externalReferenceId' ILIKE :word{number}))"
        )
        parameters[f"word{number}"] = pattern
    if not all(storable(value) for value in parameters.values() if isinstance(value, str)):
        return "false", {"now": now, "soon": now + EXPIRING}
    return " AND ".join(f"({condition})" for condition in conditions), parameters


def _key(sort: str) -> tuple[str, str]:
    column = _SORTED[sort.removeprefix("-")]
    assert column.sort is not None
    return column.sort.sql or column.column.sql, SQL_TYPES[column.type][0]


def _referral(row: Any) -> QueuedReferral:
    return QueuedReferral(*row[: len(COLUMNS)])


def _decode(cursor: str, sort: str) -> tuple[str | None, str]:
    found, value, referral_id = decode_cursor(cursor, 3)
    try:
        if found != sort or not isinstance(referral_id, str) or not isinstance(value, str | None):
            raise ValueError
        if value is not None:
            SQL_TYPES[_SORTED[sort.removeprefix("-")].type][1](value)
    except (ValueError, TypeError, ArithmeticError):
        raise InvalidCursor from None
    if not storable(referral_id) or (value is not None and not storable(value)):
        raise InvalidCursor
    return value, referral_id
