"""The work queue: every referral, also those without a domain and those that failed, by what is to be done with it.

Belongs here: the counts of the tabs, and the pages of one. Does not belong here: what a row says (`queue_columns`), and
the story of one referral (`stories`). A page is cut by the keys of its order alone, in an index or out of the few rows
of its tab, and only its rows are read in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.cursor import InvalidCursor, decode_cursor, encode_cursor, storable
from hunter_pipeline.readers.keyset import Key, Rates, beyond, worth
from hunter_pipeline.readers.lead_list import MOST_WORDS
from hunter_pipeline.readers.queue_columns import COLUMNS, TABS, QueuedReferral, Tab
from hunter_pipeline.vocabulary import NO_TYPE

EXPIRING = timedelta(days=3)
"""How long before its end an unanswered referral counts as expiring, as the claim about unanswered ones does."""

MAX_PAGE = 200

_SORTED: Mapping[str, Declared] = {column.sort.name: column for column in COLUMNS if column.sort is not None}
QUEUE_SORTS: tuple[str, ...] = tuple(f"{sign}{name}" for name in _SORTED for sign in ("", "-"))
"""Names of the orders; `-` means from high to low."""

_OPEN_FAILURE = "f.resolved_at IS NULL AND f.dismissed_at IS NULL"
_TO_ANSWER = "t.is_open AND t.status = 'New' AND (t.expires_at IS NULL OR t.expires_at > :now)"
# Without statistics PostgreSQL takes it for rare that a value is null: gone and closed are asked for in other words.
_TAB_SQL: Mapping[Tab, str] = {
    "answer": _TO_ANSWER,
    "expiring": f"{_TO_ANSWER} AND t.expires_at < :soon",
    "open": "t.is_open",
    "no_domain": "t.domain IS NULL",
    "failed": f"t.referral_id IN (SELECT f.item_key FROM referral_failures f WHERE {_OPEN_FAILURE})",  # noqa: S608
    "gone": "t.gone_at > '-infinity'",
    "closed": "CASE WHEN t.is_open THEN false ELSE t.gone_at IS NULL END",
    "all": "true",
}
_LARGE_TABS = ("closed", "all")
"""Tabs that hold most of all referrals in the long run: an index gives their order. The others are sorted."""

_UNTRACKED_TABS = ("failed", "all")
_UNTRACKED = f"""(SELECT DISTINCT ON (f.item_key) f.item_key AS referral_id, f.first_seen_at AS received_at, f.error
    FROM referral_failures f
    WHERE {_OPEN_FAILURE} AND NOT EXISTS (SELECT FROM partner_center_referrals t WHERE t.referral_id = f.item_key)
    ORDER BY f.item_key, f.last_seen_at DESC) u"""  # noqa: S608 - constants of this module
"""Items that failed before they could be tracked."""

_ROWS = f"""
    SELECT t.referral_id, t.company_name, t.domain, CASE WHEN t.domain IS NULL THEN
            (SELECT d.skip_reason FROM normalized_domains d WHERE d.referral_id = t.referral_id) END AS skip_reason,
        t.referral_type, t.status, t.substatus, t.is_open, t.deal_value, t.currency, t.expires_at, t.received_at,
        t.source_updated_at AS updated_at, t.gone_at, t.created_at, t.changed_at,
        (SELECT f.error FROM referral_failures f WHERE f.item_key = t.referral_id AND {_OPEN_FAILURE}
            ORDER BY f.last_seen_at DESC LIMIT 1) AS error
    FROM partner_center_referrals t
    WHERE t.referral_id = ANY(:ids)
UNION ALL
    SELECT u.referral_id, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, u.received_at, NULL, NULL,
        u.received_at, u.received_at, u.error
    FROM {_UNTRACKED} WHERE u.referral_id = ANY(:ids)
"""  # noqa: S608 - constants of this module
"""Some referrals in full."""

_KEYS = "t.referral_id, t.expires_at, t.received_at, t.sort_name, t.deal_currency, t.deal_value, t.currency"
"""What an order rests on."""

_UNTRACKED_KEYS = (
    "u.referral_id, CAST(NULL AS timestamptz) AS expires_at, u.received_at, CAST(NULL AS text) AS sort_name,"
    " CAST(NULL AS text) AS deal_currency, CAST(NULL AS numeric) AS deal_value, CAST(NULL AS text) AS currency"
)

_STREAM_ROWS = 1000
_WHOLE_ID = 8
"""Letters from which a word may be the beginning of an id; shorter ones would be found in thousands of ids."""

_GRAM = 3
"""Letters from which the index over threes tells anything."""

_MOST_DIGITS = 1000


@dataclass(frozen=True)
class QueueFilter:
    """Which referrals; None does not restrict.

    :param text: words that stand in the company's name, the domain or the own reference, in any order; case and accents
        do not matter, nor does the dot of an i. One word alone may be an id, or eight letters or more of its beginning.
    :param referral_type: `none`: it could not be told.
    :param since: only what came in or changed after this moment.
    """

    tab: Tab = "answer"
    text: str | None = None
    referral_type: str | None = None
    skip_reason: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class QueuePage:
    """A page of the queue, and the cursor of the next one (None: this is the last)."""

    referrals: tuple[QueuedReferral, ...]
    next: str | None


@dataclass(frozen=True)
class _Selection:
    """The conditions of a filter.

    :param tracked: on referrals, `t`.
    :param untracked: on items that could not be tracked, `u`; None: there are none of these among them.
    :param few: whether the rows are found first and then sorted, rather than looked for in the order of an index;
        without statistics PostgreSQL would not know which is better.
    """

    tracked: str
    untracked: str | None
    few: bool
    parameters: Mapping[str, Any]


def count_tabs(connection: Connection, now: datetime) -> dict[Tab, int]:
    """How many referrals each tab holds.

    :param now: the present, aware.
    """
    # Each is counted for itself, in the small index of its tab; what is closed is the rest.
    small = [tab for tab in TABS if tab not in ("failed", "closed", "all")]
    counted = "".join(
        f"(SELECT count(*) FROM partner_center_referrals t WHERE {_TAB_SQL[tab]}) AS {tab}, "  # noqa: S608 - constants
        for tab in small
    )
    row = connection.execute(
        text(
            f"SELECT {counted}(SELECT count(*) FROM partner_center_referrals) AS tracked,"  # noqa: S608 - constants
            f" (SELECT count(*) FROM partner_center_referrals t WHERE {_TAB_SQL['gone']} AND NOT t.is_open) AS ended,"
            f" (SELECT count(*) FROM {_UNTRACKED}) AS untracked,"
            f" (SELECT count(DISTINCT f.item_key) FROM referral_failures f WHERE {_OPEN_FAILURE}) AS failed"
        ),
        {"now": now, "soon": now + EXPIRING},
    ).one()
    found = {"all": row.tracked + row.untracked, "closed": row.tracked - row.open - row.ended, "failed": row.failed}
    return {tab: found[tab] if tab in found else getattr(row, tab) for tab in TABS}


def count_queue(connection: Connection, wanted: QueueFilter, now: datetime) -> int:
    """How many referrals pass the filter."""
    selection = _select(connection, wanted, now)
    counts = [f"(SELECT count(*) FROM partner_center_referrals t WHERE {selection.tracked})"]  # noqa: S608
    if selection.untracked is not None:
        counts.append(f"(SELECT count(*) FROM {_UNTRACKED} WHERE {selection.untracked})")  # noqa: S608
    found: int = connection.execute(text(f"SELECT {' + '.join(counts)}"), selection.parameters).scalar_one()
    return found


def list_queue(
    connection: Connection,
    wanted: QueueFilter,
    now: datetime,
    sort: str = "expires",
    limit: int = 50,
    after: str | None = None,
    rates: Rates | None = None,
) -> QueuePage:
    """One page of a tab. Referrals without a value to sort by stand last; the id decides between equals.

    :param limit: number of referrals, 1 to `MAX_PAGE`.
    :param after: cursor from `QueuePage.next`.
    :param rates: what one of each currency is worth in one of them all, to sort deal values by; without any, the list
        is sorted within each currency.
    :raises InvalidCursor: the cursor is none of this order.
    """
    keys = _keys(sort, rates)
    unset, values = _decode(after, sort, keys) if after is not None else (False, None)
    selection = _select(connection, wanted, now)
    cut = _cut(connection, selection, keys, unset, values, limit + 1)
    found = cut[:limit]
    more = len(cut) > limit
    return QueuePage(_read(connection, [_id_of(row) for row in found]), _encode(found[-1], sort) if more else None)


def iter_queue(
    connection: Connection, wanted: QueueFilter, now: datetime, sort: str = "expires", rates: Rates | None = None
) -> Iterator[QueuedReferral]:
    """Every referral of a tab in order, a thousand at a time by their keys; memory stays flat.

    One snapshot when the connection's transaction gives one.
    """
    keys = _keys(sort, rates)
    selection = _select(connection, wanted, now)
    unset, values = False, None
    while found := _cut(connection, selection, keys, unset, values, _STREAM_ROWS):
        yield from _read(connection, [_id_of(row) for row in found])
        unset, values = found[-1].unset, _values(found[-1])


def _select(connection: Connection, wanted: QueueFilter, now: datetime) -> _Selection:
    tracked, untracked = [_TAB_SQL[wanted.tab]], ["true"]
    parameters: dict[str, Any] = {"now": now, "soon": now + EXPIRING}
    if wanted.referral_type == NO_TYPE:
        tracked.append("t.referral_type IS NULL")
    elif wanted.referral_type is not None:
        tracked.append("t.referral_type = :referral_type")
        untracked.append("false")
        parameters["referral_type"] = wanted.referral_type
    if wanted.skip_reason is not None:
        tracked.append(
            "t.domain IS NULL AND t.referral_id IN"
            " (SELECT d.referral_id FROM normalized_domains d WHERE d.skip_reason = :skip_reason)"
        )
        untracked.append("false")
        parameters["skip_reason"] = wanted.skip_reason
    if wanted.since is not None:
        tracked.append("t.changed_at > :since")
        untracked.append("u.received_at > :since")
        # PostgreSQL takes no zone beyond 15:59:59, and a caller's may be.
        parameters["since"] = wanted.since.astimezone(UTC)
    words = (wanted.text or "").split()[:MOST_WORDS]
    found = []
    for number, word in enumerate(words):
        parameters[f"word{number}"] = word
        found.append(f"strpos(t.search_text, hunter_fold(:word{number})) > 0")
        if len(word) >= _GRAM:
            # The index finds the referrals that have all of a word's letters by threes, and the text decides.
            found.append(f"hunter_grams(t.search_text) @> hunter_grams(:word{number})")
    # What PostgreSQL cannot hold is in no row either.
    if not all(storable(value) for value in parameters.values() if isinstance(value, str)):
        return _Selection("false", None, True, {})
    if len(words) == 1:
        is_id, identity = _is_id(words[0])
        query = f"SELECT t.referral_id FROM partner_center_referrals t WHERE lower(t.referral_id) {is_id} LIMIT 99"  # noqa: S608
        ids = list(connection.execute(text(query), identity).scalars())
        parameters |= identity
        untracked.append(f"lower(u.referral_id) {is_id}")
        if ids:
            found = [f"({' AND '.join(found)} OR t.referral_id = ANY(:ids))"]
            parameters["ids"] = ids
    elif words:
        untracked.append("false")
    tracked += found
    return _Selection(
        " AND ".join(f"({each})" for each in tracked),
        " AND ".join(untracked) if wanted.tab in _UNTRACKED_TABS else None,
        wanted.tab not in _LARGE_TABS
        or wanted.skip_reason is not None
        or wanted.since is not None
        or any(len(word) >= _GRAM for word in words),
        parameters,
    )


def _is_id(word: str) -> tuple[str, dict[str, str]]:
    """What follows a small id in SQL where a word is it, or is long enough for its beginning."""
    if len(word) < _WHOLE_ID:
        return "= lower(:identity)", {"identity": word}
    return "LIKE lower(:identity)", {"identity": re.sub(r"([\\%_])", r"\\\1", word) + "%"}


def _keys(sort: str, rates: Rates | None) -> tuple[Key, ...]:
    """The keys of an order, all but the last of `t`; the id goes the way of the key before it, as its index does."""
    descending = sort.startswith("-")
    first: tuple[Key, ...]
    match sort.removeprefix("-"):
        case "company":
            first = (Key("t.sort_name", descending, "text", str),)
        case "deal_value" if rates:
            first = (Key(worth("t.deal_value", "t.currency", rates), descending, "numeric", _number),)
        case "deal_value":
            # Amounts in two currencies cannot be compared, so each currency has its own stretch of the list.
            first = (
                Key("t.deal_currency", not descending, "text", str),
                Key("t.deal_value", descending, "numeric", _number),
            )
        case "received":
            first = (Key("t.received_at", descending, "timestamptz", datetime.fromisoformat),)
        case _:
            first = (Key("t.expires_at", descending, "timestamptz", datetime.fromisoformat),)
    return (*first, Key("t.referral_id", descending, "text", str))


def _cut(
    connection: Connection,
    selection: _Selection,
    keys: Sequence[Key],
    unset: bool,
    values: Sequence[object] | None,
    limit: int,
) -> list[Row[Any]]:
    """The keys of the next rows: first of those that have the first key, then of those that lack it.

    :param unset: whether `values`, where they are given, are those of a row that lacks the first key.
    """
    found: list[Row[Any]] = []
    for without in (False, True)[unset:]:
        if (missing := limit - len(found)) > 0:
            found += _cut_one(connection, selection, keys, without, values, missing)
        values = None
    return found


def _cut_one(
    connection: Connection,
    selection: _Selection,
    keys: Sequence[Key],
    without: bool,
    values: Sequence[object] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    place = f"{keys[0].expression} IS {'NULL' if without else 'NOT NULL'}"
    parameters = {**selection.parameters, "limit": limit}
    if values is not None:
        place += f" AND {beyond(keys[-1:] if without else keys)}"
        parameters |= {f"k{number}": value for number, value in enumerate(values)}
    tracked = "partner_center_referrals t"
    place_of_tracked = f"{selection.tracked} AND {place}"
    if selection.few:
        tracked = f"(SELECT {_KEYS} FROM {tracked} WHERE {selection.tracked} OFFSET 0) t"  # noqa: S608 - constants
        place_of_tracked = place
    sources = [(tracked, place_of_tracked)]
    if selection.untracked is not None:
        sources.append((f"(SELECT {_UNTRACKED_KEYS} FROM {_UNTRACKED} WHERE {selection.untracked}) t", place))  # noqa: S608
    # Rows that lack the first key are in the order of its index, too: all of them are equal in it.
    wanted = ", ".join(f"{key.expression} AS k{number}" for number, key in enumerate(keys))
    order = ", ".join(f"k{number} {'DESC' if key.descending else 'ASC'}" for number, key in enumerate(keys))
    branches = " UNION ALL ".join(
        f"(SELECT {wanted} FROM {source} WHERE {condition} ORDER BY {order} LIMIT :limit)"  # noqa: S608 - constants
        for source, condition in sources
    )
    return connection.execute(
        text(f"SELECT *, {without} AS unset FROM ({branches}) page ORDER BY {order} LIMIT :limit"),  # noqa: S608
        parameters,
    ).all()


def _read(connection: Connection, ids: Sequence[str]) -> tuple[QueuedReferral, ...]:
    """Referrals in full, in the order of their ids here; one that went meanwhile is left out."""
    columns = ", ".join(column.column.sql for column in COLUMNS)
    rows = connection.execute(text(f"SELECT {columns} FROM ({_ROWS}) q"), {"ids": list(ids)}).all()  # noqa: S608
    found = {row.referral_id: QueuedReferral(*row) for row in rows}
    return tuple(found[referral_id] for referral_id in ids if referral_id in found)


def _number(value: str) -> Decimal:
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError(value)
    return number


def _id_of(row: Row[Any]) -> str:
    referral_id: str = list(row)[-2]
    return referral_id


def _values(row: Row[Any]) -> list[object]:
    """The values of a row's keys, without those that it lacks."""
    keys = list(row)[:-1]
    return keys[-1:] if row.unset else keys


def _encode(row: Row[Any], sort: str) -> str:
    texts = [value.isoformat() if isinstance(value, datetime) else str(value) for value in _values(row)]
    return encode_cursor(sort, row.unset, texts)


def _decode(cursor: str, sort: str, keys: Sequence[Key]) -> tuple[bool, list[object]]:
    found, unset, texts = decode_cursor(cursor, 3)
    try:
        if found != sort or not isinstance(unset, bool) or not all(isinstance(each, str) for each in texts):
            raise ValueError
        expected = keys[-1:] if unset else keys
        values = [key.parse(each) for key, each in zip(expected, texts, strict=True)]
        if not all(storable(value) for value in values if isinstance(value, str)):
            raise ValueError
    except (ValueError, TypeError, ArithmeticError):
        raise InvalidCursor from None
    return unset, values
