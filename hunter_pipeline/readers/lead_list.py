"""The lead list: every company domain that has a lead, ranked, filtered, one page or all of them.

Belongs here: the queries that the web pages, the API, the exports and `hunter leads` share. Does not belong
here: how a lead is shown. A page is found by its sort keys (keyset), never by an offset: it costs the same
anywhere in the list and rows that arrive meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from hunter_pipeline.readers.columns import SQL_TYPES
from hunter_pipeline.readers.cursor import InvalidCursor, decode_cursor, encode_cursor, storable
from hunter_pipeline.readers.keyset import Key, Rates, beyond, worth
from hunter_pipeline.readers.lead_columns import COLUMNS, TYPE_BEFORE_SCORING, Deal, Lead
from hunter_pipeline.scan.providers import catalogue
from hunter_pipeline.scoring.rules import CATEGORIES, SEGMENTS
from hunter_pipeline.vocabulary import BADGES, NO_TYPE

_SORTABLE = {column.sort.name: column for column in COLUMNS if column.sort}

SORTS = ("rank", *(f"{sign}{name}" for name in _SORTABLE for sign in ("", "-")))
"""Names of the orders. `rank` is category, then score from high to low, then domain; `-` means from high to low."""

UNSCORED = "unscored"
"""Value of the category filter for leads that have no score yet."""

CHOICES = {
    "referral_type": (*BADGES, NO_TYPE),
    "segment": SEGMENTS,
    "category": (*CATEGORIES, UNSCORED),
    "provider": catalogue().names,
    "sort": SORTS,
}
"""Values that the list takes, by parameter."""

MOST_WORDS = 12
"""Words of a search that count."""

MAX_PAGE = 200
_STREAM_ROWS = 1000


@dataclass(frozen=True)
class LeadFilter:
    """Which leads; None does not restrict.

    :param referral_type: type of the lead's referrals; `none` for leads where it cannot be told.
    :param category: P1 to P6, or `unscored`.
    :param min_score: lowest score, included; leads without a score are out.
    :param max_score: highest score, included; leads without a score are out.
    :param text: words that all stand in the company's name or domain, in any order; case and accents do not matter,
        nor does the dot of an i.
    :param since: only what came in or changed after this moment.
    """

    referral_type: str | None = None
    segment: str | None = None
    provider: str | None = None
    category: str | None = None
    min_score: int | None = None
    max_score: int | None = None
    text: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class LeadPage:
    """A page of leads and the cursors of its neighbours; None: there is no such page."""

    leads: tuple[Lead, ...]
    next: str | None
    previous: str | None


_RANK = (Key("s.category", False, "text", str), Key("s.score", True, "smallint", int))
_FIELDS = ", ".join(f"{each.column.sql} AS {each.name}" for each in COLUMNS)
_NAMES = tuple(column.name for column in COLUMNS)

_BASE = "FROM companies c LEFT JOIN lead_scores s ON s.domain = c.domain"
_IS_LEAD = "EXISTS (SELECT FROM raw_leads l WHERE l.domain = c.domain)"
_IS_THIS_A_LEAD = "EXISTS (SELECT FROM raw_leads l WHERE l.domain = c.domain OFFSET 0)"
"""The same, asked for one company after the other: a page wants few of them, and PostgreSQL would join them all."""


def choice(parameter: str, value: str) -> str:
    """A value as the list spells it, whatever its case.

    :param parameter: a key of `CHOICES`.
    :raises ValueError: there is no such value; the text names those that there are.
    """
    known = {each.casefold(): each for each in CHOICES[parameter]}
    found = known.get(value.strip().casefold())
    if found is None:
        words = parameter.replace("_", " ")
        raise ValueError(f"there is no {words} {value[:50]!r}; use {', '.join(CHOICES[parameter])}")
    return found


def list_leads(
    connection: Connection,
    lead_filter: LeadFilter | None = None,
    sort: str = "rank",
    limit: int = 50,
    after: str | None = None,
    before: str | None = None,
    rates: Rates | None = None,
) -> LeadPage:
    """One page of the lead list. Leads without a value to sort by stand last, by domain.

    :param lead_filter: None: all leads.
    :param sort: one of `SORTS`.
    :param limit: number of leads, 1 to `MAX_PAGE`.
    :param after: cursor from `LeadPage.next`; the page that follows it.
    :param before: cursor from `LeadPage.previous`; the page that ends before it. Not together with `after`.
    :param rates: what one of each currency is worth in one of them all, to sort deal values by; without a rate for
        each of a lead's currencies it stands among those without a value. Without any rate the list is sorted within
        each currency.
    :raises InvalidCursor: the cursor is none of this sort order.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"limit must be 1 to {MAX_PAGE}, not {limit}")
    if after is not None and before is not None:
        raise InvalidCursor("give either a cursor to follow or one to stop before, not both")
    lead_filter = lead_filter or LeadFilter()
    backwards = before is not None
    keys = _keys(sort, rates)
    cursor = after if after is not None else before
    unset, values = _decode(cursor, sort, keys) if cursor is not None else (backwards, None)
    # Leads that have the sort key and leads that lack it are two lists, one after the other: either is in the
    # order of an index, and together they would not be.
    rows: list[tuple[Row[Any], bool]] = []
    order = [False, True] if not backwards else [True, False]
    for without in order[order.index(unset) :]:
        missing = limit + 1 - len(rows)
        if missing > 0:
            found = _page(connection, lead_filter, keys, without, values, backwards, missing)
            rows += [(row, without) for row in found]
        values = None
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()
    has_next = more if not backwards else cursor is not None
    has_previous = more if backwards else cursor is not None
    return LeadPage(
        tuple(_lead(row) for row, _ in rows),
        _encode(*rows[-1], sort) if rows and has_next else None,
        _encode(*rows[0], sort) if rows and has_previous else None,
    )


def iter_leads(
    connection: Connection, lead_filter: LeadFilter | None = None, sort: str = "rank", rates: Rates | None = None
) -> Iterator[Lead]:
    """Every lead in order, streamed; memory stays flat. One snapshot when the connection's transaction gives one.

    The domains come from a server-side cursor in the order of an index, and the leads a thousand at a time, so that the
    first of them is there at once. The connection is busy until the iterator ends.
    """
    keys = _keys(sort, rates)
    for without in (False, True):
        source, _, order, parameters = _cut(lead_filter or LeadFilter(), keys, without, None, False)
        statement = text(f"SELECT c.domain {source} ORDER BY {order}")
        options = {"yield_per": _STREAM_ROWS}
        streamed = connection.execute(statement, parameters, execution_options=options).scalars()
        for domains in streamed.partitions(_STREAM_ROWS):
            found = {
                row.domain: _lead(row)
                for row in connection.execute(
                    text(f"SELECT {_FIELDS} {_BASE} WHERE c.domain = ANY(:domains)"),
                    {"domains": list(domains)},
                )
            }
            yield from (found[domain] for domain in domains if domain in found)


def count_leads(connection: Connection, lead_filter: LeadFilter | None = None) -> int:
    """How many leads pass the filter."""
    where, parameters = _conditions(lead_filter or LeadFilter(), _IS_LEAD)
    found: int = connection.execute(
        text(f"SELECT count(*) {_BASE} WHERE {where}"),
        parameters,
    ).scalar_one()
    return found


def get_lead(connection: Connection, domain: str) -> Lead | None:
    """The lead of a domain (ASCII, lower case); None when there is none."""
    if not storable(domain):
        return None
    found = connection.execute(
        text(f"SELECT {_FIELDS} {_BASE} WHERE c.domain = :domain AND {_IS_THIS_A_LEAD}"), {"domain": domain}
    ).first()
    return _lead(found) if found else None


def referral_ids(connection: Connection, domains: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the referrals of some leads, by domain, open ones first."""
    rows = connection.execute(
        text(
            "SELECT domain, array_agg(referral_id ORDER BY is_open DESC, referral_id) FROM partner_center_referrals"
            " WHERE domain = ANY(:domains) GROUP BY domain"
        ),
        {"domains": list(domains)},
    )
    return {domain: list(ids) for domain, ids in rows}


def _keys(sort: str, rates: Rates | None) -> tuple[Key, ...]:
    if sort == "rank":
        return _RANK
    descending = sort.startswith("-")
    column = _SORTABLE[sort.removeprefix("-")]
    assert column.sort is not None
    if column.name == "deal_value":
        if rates:
            return (Key(_worth(rates), descending, "numeric", Decimal),)
        # Amounts in two currencies cannot be compared, so each currency has its own stretch of the list.
        return (
            Key("c.deal_currency", not descending, "text", str, indexed=True),
            Key("c.deal_value", descending, "numeric", Decimal, indexed=True),
        )
    expression = column.sort.sql or column.column.sql
    # A lead that has no score has no row there.
    return (Key(expression, descending, *SQL_TYPES[column.type], indexed=expression.startswith("c.")),)


def _worth(rates: Rates) -> str:
    """What a lead's open referrals are worth in the one currency that all rates are in; null without one of them."""
    several = worth("CAST(deal->>1 AS numeric)", "(deal->>0)", rates)
    return (
        f"CASE WHEN c.deal_currency IS NOT NULL THEN {worth('c.deal_value', 'c.currency', rates)}"  # noqa: S608 - constants
        f" WHEN c.deals IS NOT NULL THEN (SELECT CASE WHEN count(*) = count({several}) THEN sum({several}) END"
        " FROM jsonb_array_elements(c.deals) deal) END"
    )


def _conditions(lead_filter: LeadFilter, is_lead: str) -> tuple[str, dict[str, Any]]:
    conditions = [is_lead]
    parameters: dict[str, Any] = {}

    def add(condition: str, **values: object) -> None:
        conditions.append(condition)
        parameters.update(values)

    if lead_filter.referral_type is not None:
        wanted = None if lead_filter.referral_type == NO_TYPE else lead_filter.referral_type
        test = "IS NULL" if wanted is None else "= :referral_type"
        conditions.append(
            f"((s.domain IS NOT NULL AND s.referral_type {test})"
            f" OR (s.domain IS NULL AND {TYPE_BEFORE_SCORING} {test}))"
        )
        parameters |= {} if wanted is None else {"referral_type": wanted}
    if lead_filter.segment is not None:
        add("s.segment = :segment", segment=lead_filter.segment)
    if lead_filter.provider is not None:
        add("c.provider = :provider", provider=lead_filter.provider)
    if lead_filter.category == UNSCORED:
        add("s.domain IS NULL")
    elif lead_filter.category is not None:
        add("s.category = :category", category=lead_filter.category)
    if lead_filter.min_score is not None:
        add("s.score >= :min_score", min_score=lead_filter.min_score)
    if lead_filter.max_score is not None:
        add("s.score <= :max_score", max_score=lead_filter.max_score)
    for number, word in enumerate((lead_filter.text or "").split()[:MOST_WORDS]):
        # The index finds the leads that have all of a word's letters by threes, and the text decides.
        name = f"word{number}"
        add(
            f"c.search_grams @> hunter_grams(:{name}) AND strpos(c.search_text, hunter_fold(:{name})) > 0",
            **{name: word},
        )
    if lead_filter.since is not None:
        add(
            "c.domain IN (SELECT t.domain FROM partner_center_referrals t WHERE t.changed_at > :since"
            " UNION ALL SELECT h.domain FROM lead_score_history h"
            " WHERE h.changed_at > :since AND h.old_score IS NOT NULL)",
            # PostgreSQL takes no zone beyond 15:59:59, and a caller's may be.
            since=lead_filter.since.astimezone(UTC),
        )
    # What PostgreSQL cannot hold is in no row either.
    if not all(_fits(value) for value in parameters.values()):
        return "false", {}
    return " AND ".join(conditions), parameters


def _page(
    connection: Connection,
    lead_filter: LeadFilter,
    keys: Sequence[Key],
    without: bool,
    values: Sequence[object] | None,
    backwards: bool,
    limit: int,
) -> Sequence[Row[Any]]:
    source, ordered, order, parameters = _cut(lead_filter, keys, without, values, backwards)
    outer = ", ".join(f"page.k{number} {_way(key, backwards)}" for number, key in enumerate(ordered))
    wanted = ", ".join(f"{key.expression} AS k{number}" for number, key in enumerate(ordered))
    # Only the leads of the page are read in full.
    return connection.execute(
        text(
            f"SELECT {_FIELDS}, page.* FROM"  # noqa: S608 - constants of this module
            f" (SELECT {wanted} {source} ORDER BY {order} LIMIT :limit) page"
            f" JOIN companies c ON c.domain = page.k{len(ordered) - 1} LEFT JOIN lead_scores s ON s.domain = c.domain"
            f" ORDER BY {outer}"
        ),
        {**parameters, "limit": limit},
    ).all()


def _cut(
    lead_filter: LeadFilter,
    keys: Sequence[Key],
    without: bool,
    values: Sequence[object] | None,
    backwards: bool,
) -> tuple[str, tuple[Key, ...], str, dict[str, Any]]:
    """The leads that have the first key, or those that lack it.

    :returns: FROM and WHERE; the keys that tell two of them apart; ORDER BY; parameters.
    """
    where, parameters = _conditions(lead_filter, _IS_THIS_A_LEAD)
    # The domain goes the way of the key before it, as in the index of the order; in that of the ranking it does not.
    turned = keys[-1].descending and keys is not _RANK
    # Of scores it is their own, so that a cursor is a place in their index.
    own = "s.domain" if keys[0].expression.startswith("s.") and not without else "c.domain"
    order: tuple[Key, ...] = (*keys, Key(own, turned, "text", str))
    ordered = order
    if without:
        # They stand by their domains, and in that order in the index as well: all are equal in what they lack.
        held = tuple(key for key in keys if key.indexed)
        order = tuple(replace(key, descending=key.descending is not turned) for key in (*held, order[-1]))
        ordered = order[-1:]
    where += f" AND {keys[0].expression} IS {'NULL' if without else 'NOT NULL'}"
    if values is not None:
        where += " AND " + beyond(ordered, backwards)
        parameters |= {f"k{number}": value for number, value in enumerate(values)}
    by = ", ".join(f"{key.expression} {_way(key, backwards)}" for key in order)
    return f"{_BASE} WHERE {where}", ordered, by, parameters


def _way(key: Key, backwards: bool) -> str:
    return "DESC" if key.descending is not backwards else "ASC"


def _encode(row: Row[Any], unset: bool, sort: str) -> str:
    values = row[len(_NAMES) :]
    texts = [value.isoformat() if isinstance(value, datetime) else str(value) for value in values]
    return encode_cursor(sort, unset, texts)


def _decode(cursor: str, sort: str, keys: Sequence[Key]) -> tuple[bool, list[object]]:
    found, unset, texts = decode_cursor(cursor, 3)
    try:
        parsers = ([] if unset else [key.parse for key in keys]) + [str]
        if found != sort or not isinstance(unset, bool) or not all(isinstance(each, str) for each in texts):
            raise ValueError
        values = [parse(each) for parse, each in zip(parsers, texts, strict=True)]
        if not all(_fits(value) for value in values):
            raise ValueError
    except (ValueError, TypeError, ArithmeticError):
        raise InvalidCursor from None
    return unset, values


def _fits(value: object) -> bool:
    """Whether PostgreSQL can take a value that a cursor or a filter holds."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value.adjusted()) < 1000
    return not isinstance(value, int) or -32768 <= value <= 32767


def _lead(row: Row[Any]) -> Lead:
    values: dict[str, Any] = dict(zip(_NAMES, row[: len(_NAMES)], strict=True))
    deals = tuple(Deal(currency, Decimal(value)) for currency, value in values["deals"] or ())
    return Lead(**{**values, "deals": deals})
