"""What was erased on request: held as keyed hashes, so that nothing of it is taken in again, and how it is removed.

Belongs here: the key, the hashes, the question whether an item of the API names anybody erased, and the removal of a
referral from every table. Does not belong here: finding what a person asks to have erased (`upkeep.erase`), and
Dagster's storage. The question is asked under the stage lock, page by page: an erasure beside a running sync counts
from its own commit on.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy import Connection, text

from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.partner_center.persons import Named, apart, named_in, named_in_text, without_sellers
from hunter_pipeline.partner_center.referral import UnreadableReferral, referral_id_of
from hunter_pipeline.pipeline.company_sums import write_sums
from hunter_pipeline.pipeline.context import StageContext

Kind = Literal["referral", "email", "domain"]
Keys = Callable[[], MultiFernet]

BY_REFERRAL = {
    "partner_center_referrals_raw": "referral_id",
    "normalized_domains": "referral_id",
    "partner_center_referrals": "referral_id",
    "raw_leads": "external_id",
    "referral_lineage": "referral_id",
    "referral_failures": "item_key",
    "referral_actions": "referral_id",
    "sync_run_items": "item_key",
}
"""Every table with rows of a referral, and the column that names it. `stage_queue` comes last, after the triggers."""

BY_DOMAIN = (
    "companies",
    "domain_signals",
    "domain_signal_history",
    "domain_registrations",
    "domain_tenants",
    "lead_scores",
    "lead_score_history",
    "scan_claims",
)
"""Every table with rows of a company by its domain: they go with the last of its referrals."""


class ErasuresUnreadable(RuntimeError):  # noqa: N818 - the name says what is the case
    """What is erased cannot be told, as the key of the hashes cannot be decrypted."""


@dataclass(frozen=True)
class Erased:
    """An item that is not taken in.

    :param item: digest by which it is counted once.
    :param referral_id: None when it has none.
    :param because: digests of what was erased and is named in it; that of its own id among them once it is held.
    """

    item: str
    referral_id: str | None
    because: frozenset[str]


@dataclass(frozen=True)
class Screen:
    """What of some items was erased.

    :param held: digests of everything that these items name and that was erased.
    """

    key: bytes = b""
    held: frozenset[str] = frozenset()

    def refuses(self, item: RawItem) -> Erased | None:
        """Why an item is not taken in: it is erased, or it names somebody who is, outside the deal's team."""
        if not self.held:
            return None
        referral_id, rest, _ = _parts(item)
        because = self.held.intersection(_digests(self.key, referral_id, rest))
        if not because:
            return None
        by = digest(self.key, "referral", referral_id if referral_id is not None else item.text)
        return Erased(by, referral_id, because)

    def kept_of(self, payload: Any) -> Any:
        """A payload that is taken in, without the sellers in it who are erased."""
        return without_sellers(payload, self._is_erased) if self.held else payload

    def _is_erased(self, member: object) -> bool:
        return not self.held.isdisjoint(_digests(self.key, None, named_in(member)))


NOTHING_ERASED = Screen()


def screen_of(connection: Connection, context: StageContext, items: Sequence[RawItem]) -> Screen:
    """Look up what some items name. Called under the stage lock, in the transaction that writes them.

    :raises ErasuresUnreadable: something was erased, and the key of the hashes cannot be decrypted.
    """
    key = read_key(connection, context.keys)
    if key is None:
        return NOTHING_ERASED
    digests: set[str] = set()
    for item in items:
        referral_id, rest, team = _parts(item)
        digests.update(_digests(key, referral_id, rest))
        digests.update(_digests(key, None, team))
    held = connection.execute(text("SELECT digest FROM erasures WHERE digest = ANY(:all)"), {"all": list(digests)})
    return Screen(key, frozenset(held.scalars()))


def refuse(connection: Connection, context: StageContext, refused: Sequence[Erased]) -> None:
    """Remove what is kept of items that are refused now, and hold their ids; the caller commits.

    One whose id is held already has nothing kept. The list form of a referral may name nobody: by its id it is refused
    without asking for its contacts.
    """
    key = read_key(connection, context.keys)
    assert key is not None
    new = [each for each in refused if each.referral_id is not None and each.item not in each.because]
    remove_referrals(connection, [each.referral_id for each in new if each.referral_id is not None])
    requests = connection.execute(
        text("SELECT digest, request FROM erasures WHERE digest = ANY(:all)"),
        {"all": list({because for each in new for because in each.because})},
    ).all()
    hold(
        connection,
        context,
        {(each.item, row.request) for each in new for row in requests if row.digest in each.because},
    )


def hold(connection: Connection, context: StageContext, rows: Collection[tuple[str, str]]) -> None:
    """Hold referrals by the digests of their ids and of the requests that they were erased for; the caller commits."""
    connection.execute(
        text(
            "INSERT INTO erasures (digest, request, kind, erased_at)"
            " SELECT d, r, 'referral', :now FROM unnest(CAST(:digests AS text[]), CAST(:requests AS text[])) AS x(d, r)"
            " ON CONFLICT DO NOTHING"
        ),
        {"digests": [row[0] for row in rows], "requests": [row[1] for row in rows], "now": context.clock()},
    )


def remove_referrals(connection: Connection, referral_ids: Sequence[str]) -> dict[str, int]:
    """Remove referrals from every table, and with them the companies that have no other; the caller commits.

    :returns: how many rows went, by table.
    """
    if not referral_ids:
        return {}
    ids = {"ids": list(referral_ids)}
    domains = domains_of(connection, referral_ids)
    counts = {
        table: connection.execute(
            text(f"DELETE FROM {table} WHERE {column} = ANY(:ids)"),  # noqa: S608 - constants above
            ids,
        ).rowcount
        for table, column in BY_REFERRAL.items()
    }
    counts["sync_runs"] = connection.execute(
        text(
            "UPDATE sync_runs s SET errors = (SELECT coalesce(jsonb_agg(e), '[]')"
            " FROM jsonb_array_elements_text(s.errors) e"
            " WHERE NOT EXISTS (SELECT FROM unnest(CAST(:ids AS text[])) i WHERE starts_with(e, i || ': ')))"
            " WHERE EXISTS (SELECT FROM jsonb_array_elements_text(s.errors) e, unnest(CAST(:ids AS text[])) i"
            " WHERE starts_with(e, i || ': '))"
        ),
        ids,
    ).rowcount
    alone = list(
        connection.execute(
            text(
                "SELECT d FROM unnest(CAST(:domains AS text[])) d"
                " WHERE NOT EXISTS (SELECT FROM raw_leads l WHERE l.domain = d)"
                " AND NOT EXISTS (SELECT FROM partner_center_referrals t WHERE t.domain = d)"
            ),
            {"domains": domains},
        ).scalars()
    )
    for table, number in remove_companies(connection, alone).items():
        counts[table] = counts.get(table, 0) + number
    # The name of a company that stays may be that of a referral that went; the stage takes it from the others.
    connection.execute(
        text("UPDATE companies SET canonical_name = NULL WHERE domain = ANY(:domains)"), {"domains": domains}
    )
    write_sums(connection, domains)
    counts["stage_queue"] = (
        counts.get("stage_queue", 0)
        + connection.execute(text("DELETE FROM stage_queue WHERE item = ANY(:ids)"), ids).rowcount
    )
    return counts


def domains_of(connection: Connection, referral_ids: Sequence[str]) -> list[str]:
    """The company domains that stages decided for referrals."""
    return list(
        connection.execute(
            text(
                "SELECT d FROM (SELECT domain FROM normalized_domains WHERE referral_id = ANY(:ids)"
                " UNION SELECT domain FROM partner_center_referrals WHERE referral_id = ANY(:ids)"
                " UNION SELECT domain FROM raw_leads WHERE external_id = ANY(:ids)) x(d) WHERE d IS NOT NULL"
            ),
            {"ids": list(referral_ids)},
        ).scalars()
    )


def remove_companies(connection: Connection, domains: Sequence[str]) -> dict[str, int]:
    """Remove everything that is known of domains; the caller commits.

    :returns: how many rows went, by table.
    """
    if not domains:
        return {}
    named = {"domains": list(domains)}
    counts = {
        table: connection.execute(
            text(f"DELETE FROM {table} WHERE domain = ANY(:domains)"),  # noqa: S608 - constants above
            named,
        ).rowcount
        for table in BY_DOMAIN
    }
    marks = connection.execute(text("DELETE FROM stage_queue WHERE item = ANY(:domains)"), named)
    return {**counts, "stage_queue": marks.rowcount}


def digest(key: bytes, kind: Kind, value: str) -> str:
    """The keyed hash of one id, address or domain."""
    return hmac.digest(key, f"{kind}:{value}".encode("utf-8", "surrogatepass"), "sha256").hex()


def read_key(connection: Connection, keys: Keys | None) -> bytes | None:
    """The key of the hashes; None when nothing was ever erased.

    :param keys: gives the keys of the token cache, under which it is encrypted.
    :raises ErasuresUnreadable: it cannot be decrypted.
    """
    ciphertext = connection.execute(text("SELECT ciphertext FROM erasure_key")).scalar()
    if ciphertext is None:
        return None
    try:
        if keys is not None:
            return keys().decrypt(bytes(ciphertext))
    except InvalidToken:
        pass
    raise ErasuresUnreadable(
        "what was erased on request cannot be told: its key was encrypted under another HUNTER_TOKEN_CACHE_KEY (unset: "
        "token_cache.key in HUNTER_HOME). Put the old key back, behind the new one; or give all erasures up with "
        "`hunter erase --forget-all`"
    )


def make_key(connection: Connection, keys: Keys) -> bytes:
    """The key of the hashes, made when there is none; the caller commits.

    :raises ErasuresUnreadable: there is one and it cannot be decrypted.
    """
    fernet = keys()
    connection.execute(
        text("INSERT INTO erasure_key (id, ciphertext) VALUES (1, :new) ON CONFLICT DO NOTHING"),
        {"new": fernet.encrypt(secrets.token_bytes(32))},
    )
    key = read_key(connection, keys)
    assert key is not None
    return key


def renew_key(connection: Connection, context: StageContext) -> None:
    """Encrypt the key of the hashes under the newest key of the token cache, if there is one; the caller commits.

    Each sync does it: after the first one with a new key, the old key is not needed for it any more.

    :raises ErasuresUnreadable: it cannot be decrypted.
    """
    key = read_key(connection, context.keys)
    if key is not None and context.keys is not None:
        connection.execute(text("UPDATE erasure_key SET ciphertext = :new"), {"new": context.keys().encrypt(key)})


def _parts(item: RawItem) -> tuple[str | None, Named, Named]:
    if item.value is None:
        return None, named_in_text(item.text), named_in(None)
    try:
        referral_id = referral_id_of(item.value)
    except UnreadableReferral:
        referral_id = None
    rest, team = apart(item.value)
    return referral_id, named_in(rest), named_in(team)


def _digests(key: bytes, referral_id: str | None, named: Named) -> Iterator[str]:
    if referral_id is not None:
        yield digest(key, "referral", referral_id)
    for address in named.addresses:
        yield digest(key, "email", address)
    for host in named.hosts:
        yield digest(key, "domain", host)
