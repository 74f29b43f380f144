"""Erasing a person, a company or a referral from every table of Hunter's.

Belongs here: what a request means, finding everything that names it, and the rows that are changed because they stay.
Does not belong here: holding it against the next sync (`pipeline.erasures`) and Dagster's own storage
(`orchestration.published`). A referral that names the person or company goes as a whole, since notes and names around
the address are theirs too; a seller is taken out of the deal's team and the referral stays. What is asked for may be
read out of payloads of every version; the last step takes it out of every text column there is, so that a new one is
not forgotten.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ada_url import idna_to_unicode
from sqlalchemy import ARRAY, JSON, Column, Connection, String, Table, UniqueConstraint, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from hunter_pipeline.domains.normalize import SkipReason, domain_from_email, domain_from_website
from hunter_pipeline.partner_center.persons import Named, address_of, apart, named_in, named_in_text, without_sellers
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.erasures import (
    BY_DOMAIN,
    BY_REFERRAL,
    Kind,
    digest,
    domains_of,
    hold,
    remove_companies,
    remove_referrals,
)
from hunter_pipeline.store.tables import metadata

ERASED = "erased"
"""What stands where an address or a domain stood in a text that stays."""

ROWS = 500
"""Rows that are read at once."""

_UNTOUCHED = frozenset({"erasures", "erasure_key", "token_cache"})
_MANY_PEOPLE = (SkipReason.consumer_mail, SkipReason.shared_host, SkipReason.social_or_site_builder)

_PAYLOADS = (
    ("partner_center_referrals_raw", "id", "referral_id", "payload", "payload_original"),
    ("partner_center_referrals", "id", "referral_id", "raw_data", None),
    ("raw_leads", "id", "external_id", "payload", None),
)
"""Table, key, referral's column, payload column, and column of the exact text."""


class WrongRequest(ValueError):  # noqa: N818 - the name says what is the case
    """What was asked to be erased cannot be: the text says why and what to do."""


@dataclass(frozen=True)
class Request:
    """What is to be erased, in the one spelling that is compared.

    :param value: a referral's exact id, an e-mail address, or a company's registrable domain.
    """

    kind: Kind
    value: str

    def is_named(self, value: object) -> bool:
        """Whether a JSON value names it."""
        return self._among(named_in(value))

    def is_named_in(self, text_: str) -> bool:
        """Whether JSON text names it, read as JSON or, where that cannot be, as text."""
        try:
            return self.is_named(json.loads(text_))
        except (ValueError, RecursionError):
            return self._among(named_in_text(text_))

    def _among(self, named: Named) -> bool:
        return named.names(self.value if self.kind == "email" else None, self.value if self.kind == "domain" else None)

    @property
    def spellings(self) -> tuple[str, ...]:
        """The forms in which it may be written: the host in ASCII, and in its own letters."""
        local, at, host = self.value.rpartition("@") if self.kind == "email" else ("", "", self.value)
        own = ".".join(idna_to_unicode(label) for label in host.split("."))
        return tuple(dict.fromkeys((f"{local}{at}{host}", f"{local}{at}{own}")))

    @property
    def like(self) -> list[str]:
        """Patterns of ILIKE that every text with it fits, and some others: a letter may be written in several ways."""
        return [f"%{''.join(_like(letter) for letter in spelling)}%" for spelling in self.spellings]

    @property
    def pattern(self) -> str:
        """Regular expression of PostgreSQL for it in a text; of a domain, with the mailbox or host before it."""
        forms = "|".join("".join(_regex(letter) for letter in spelling) for spelling in self.spellings)
        alone = r"(?<![[:alnum:]._%+-])"
        below = r"(?<![[:alnum:].-])(?:[[:alnum:]._%+-]+@)?(?:[[:alnum:]-]+\.)*"
        before = alone if self.kind == "email" else below
        return rf"{before}(?:{forms})(?![[:alnum:]-]|\.[[:alnum:]])"


@dataclass
class Erasure:
    """What an erasure took.

    :param removed: rows that went, by table.
    :param altered: rows that stay without it, by table.
    :param referral_ids: referrals that went as a whole; for what Dagster shows of them.
    :param domains: companies that went with their last referral.
    """

    removed: Counter[str] = field(default_factory=Counter)
    altered: Counter[str] = field(default_factory=Counter)
    referral_ids: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)


def request_of(referral: str | None, email: str | None, domain: str | None) -> Request:
    """The request out of exactly one of three.

    :raises WrongRequest: it is none or several, an address or domain is none, or the domain is shared by many people.
    """
    if [referral, email, domain].count(None) != 2:
        raise WrongRequest("name what to erase by one of --referral, --email and --domain")
    if referral is not None:
        return Request("referral", referral)
    if email is not None:
        address = address_of(email)
        if address is None:
            raise WrongRequest("what --email gives is no single e-mail address; write it like anna@contoso.com")
        return Request("email", address)
    assert domain is not None
    verdict = domain_from_website(domain)
    shared = verdict.reason or domain_from_email(f"x@{verdict.domain}").reason
    if shared in _MANY_PEOPLE:
        raise WrongRequest(f"{domain} is shared by many people and companies: erase persons there by --email")
    if verdict.domain is None:
        raise WrongRequest(f"{domain!r} is no company's domain; write it like contoso.com")
    return Request("domain", verdict.domain)


def erase(connection: Connection, context: StageContext, request: Request, key: bytes) -> Erasure:
    """Remove everything that names the request, and hold it; the caller holds the stage lock, and commits or not.

    :param key: the key of the hashes.
    :returns: what went. A second time nothing does.
    """
    found = Erasure()
    named = {request.value} if request.kind == "referral" else _naming(connection, request)
    found.referral_ids = sorted(named)
    domains = domains_of(connection, found.referral_ids)
    found.removed.update(remove_referrals(connection, found.referral_ids))
    if request.kind == "domain":
        found.removed.update(remove_companies(connection, [request.value]))
    left = text("SELECT domain FROM companies WHERE domain = ANY(:domains)")
    found.domains = sorted({*domains} - {*connection.execute(left, {"domains": domains}).scalars()})
    if request.kind != "referral":
        _take_out_versions(connection, request, found)
        _take_out_sellers(connection, request, found)
        _sweep(connection, request, found)
    asked = digest(key, request.kind, request.value)
    parameters = {"digest": asked, "kind": request.kind, "now": context.clock()}
    connection.execute(
        text(
            "INSERT INTO erasures (digest, request, kind, erased_at) VALUES (:digest, :digest, :kind, :now)"
            " ON CONFLICT (digest, request) DO UPDATE SET tidied_at = NULL"
        ),
        parameters,
    )
    hold(connection, context, {(digest(key, "referral", each), asked) for each in found.referral_ids})
    return found


def forget(connection: Connection, request: Request, key: bytes | None) -> int:
    """Let what was erased be taken in again; the caller commits.

    :returns: how many hashes were given up: the request's own, and those of the referrals that went with it.
    """
    if key is None:
        return 0
    asked = {"digest": digest(key, request.kind, request.value)}
    return connection.execute(text("DELETE FROM erasures WHERE request = :digest"), asked).rowcount


def forget_all(connection: Connection) -> int:
    """Let everything be taken in again, also when the key of the hashes is lost; the caller commits."""
    given_up = connection.execute(text("DELETE FROM erasures")).rowcount
    connection.execute(text("DELETE FROM erasure_key"))
    return given_up


def _naming(connection: Connection, request: Request) -> set[str]:
    """Ids of the referrals that name the request outside the deal's team, in what is shown or current."""
    found: set[str] = set()
    if request.kind == "domain":
        for table in ("normalized_domains", "partner_center_referrals", "raw_leads"):
            found.update(
                connection.execute(
                    text(f"SELECT {BY_REFERRAL[table]} FROM {table} WHERE domain = :domain"),  # noqa: S608
                    {"domain": request.value},
                ).scalars()
            )
    for table, _, referral, payload, original in _PAYLOADS:
        current = "is_current AND " if original else ""
        texts = f", {original} AS exact" if original else ", NULL AS exact"
        either = f"({payload}::text ILIKE ANY(:like){f' OR {original} IS NOT NULL' if original else ''})"
        query = f"SELECT {referral} AS referral, {payload} AS payload{texts} FROM {table} WHERE {current}{either}"  # noqa: S608
        for row in _rows(connection, query, request):
            if request.is_named(apart(row.payload)[0]) or _exact_names(row.exact, request):
                found.add(row.referral)
    for row in _rows(
        connection,
        "SELECT referral_id AS referral, attempts FROM normalized_domains"
        " WHERE attempts::text ILIKE ANY(:like) OR raw_text ILIKE ANY(:like)",
        request,
    ):
        if request.is_named(row.attempts):
            found.add(row.referral)
    # Every payload here: its text is ASCII with escapes, which no pattern fits.
    for row in _rows(
        connection, "SELECT item_key AS item, payload FROM referral_failures WHERE payload IS NOT NULL", None
    ):
        if _exact_names(row.payload, request):
            found.add(row.item)
    return found


def _exact_names(exact: str | None, request: Request) -> bool:
    """Whether the exact text of an item names the request outside the deal's team."""
    if exact is None:
        return False
    try:
        return request.is_named(apart(json.loads(exact))[0])
    except (ValueError, RecursionError):
        return request.is_named_in(exact)


def _take_out_versions(connection: Connection, request: Request, found: Erasure) -> None:
    """Remove older versions that name the request, of referrals that stay."""
    query = (
        "SELECT id, payload, payload_original AS exact FROM partner_center_referrals_raw"
        " WHERE NOT is_current AND (payload::text ILIKE ANY(:like) OR payload_original IS NOT NULL)"
    )
    ids = [
        row.id
        for row in _rows(connection, query, request)
        if request.is_named(apart(row.payload)[0]) or _exact_names(row.exact, request)
    ]
    gone = connection.execute(text("DELETE FROM partner_center_referrals_raw WHERE id = ANY(:ids)"), {"ids": ids})
    found.removed["partner_center_referrals_raw"] += gone.rowcount


def _take_out_sellers(connection: Connection, request: Request, found: Erasure) -> None:
    """Take sellers out of the payloads of referrals that stay: with the address go name and number."""
    for table, key, _, payload, original in _PAYLOADS:
        exact = original or "NULL"
        either = f"({payload}::text ILIKE ANY(:like){f' OR {original} IS NOT NULL' if original else ''})"
        query = f"SELECT {key} AS id, {payload} AS payload, {exact} AS exact FROM {table} WHERE {either}"  # noqa: S608
        changes = []
        for row in _rows(connection, query, request):
            kept = without_sellers(row.payload, request.is_named)
            exact_text = row.exact and _dumped(row.exact, lambda value: without_sellers(value, request.is_named))
            if kept is not row.payload or exact_text != row.exact:
                changes.append({"row_id": row.id, "kept": kept, "exact": exact_text})
        if not changes:
            continue
        setting = f", {original} = :exact" if original else ""
        connection.execute(
            text(f"UPDATE {table} SET {payload} = :kept{setting} WHERE {key} = :row_id").bindparams(  # noqa: S608
                bindparam("kept", type_=JSONB)
            ),
            changes if original else [{name: each[name] for name in ("row_id", "kept")} for each in changes],
        )
        found.altered[table] += len(changes)


def _dumped(exact: str, change: Callable[[Any], Any]) -> str:
    try:
        value = json.loads(exact)
    except (ValueError, RecursionError):
        return exact
    changed = change(value)
    return exact if changed is value else json.dumps(changed)


def _sweep(connection: Connection, request: Request, found: Erasure) -> None:
    """Take the request out of every text that is left, in whatever column; a row whose key it is goes.

    What other companies publish of a domain (a mail server under it) is left alone: it is theirs, and read as it is.
    """
    parameters = {"like": request.like, "pattern": request.pattern, "erased": ERASED}
    for table in metadata.sorted_tables:
        if table.name in _UNTOUCHED or (request.kind == "domain" and table.name in BY_DOMAIN):
            continue
        for column in table.columns:
            if not _holds_text(column):
                continue
            names = f"{column.name}::text ILIKE ANY(:like) AND {column.name}::text ~* :pattern"
            if column.primary_key or any(column.name in key.columns for key in _keys(table)):
                gone = connection.execute(text(f"DELETE FROM {table.name} WHERE {names}"), parameters)  # noqa: S608
                found.removed[table.name] += gone.rowcount
            else:
                kind = column.type.compile(connection.dialect)
                changed = connection.execute(
                    text(
                        f"UPDATE {table.name} SET {column.name} = CAST("  # noqa: S608 - names out of the schema
                        f"regexp_replace({column.name}::text, :pattern, :erased, 'gi') AS {kind}) WHERE {names}"
                    ),
                    parameters,
                )
                found.altered[table.name] += changed.rowcount


def _keys(table: Table) -> list[UniqueConstraint]:
    return [each for each in table.constraints if isinstance(each, UniqueConstraint)]


def _holds_text(column: Column[Any]) -> bool:
    kind: object = column.type
    return column.computed is None and isinstance(kind, String | JSON | ARRAY)


def _rows(connection: Connection, query: str, request: Request | None) -> Iterator[Any]:
    parameters: Mapping[str, object] = {"like": request.like} if request else {}
    streamed = text(query).execution_options(stream_results=True, max_row_buffer=ROWS)
    yield from connection.execute(streamed, parameters)


def _like(letter: str) -> str:
    if not letter.isascii() or letter in '"\\':
        return "%"
    return f"\\{letter}" if letter in "%_" else letter


def _regex(letter: str) -> str:
    return r"\S{1,3}" if not letter.isascii() or letter in '"\\' else re.escape(letter)
