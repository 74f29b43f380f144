"""Stages `domain_registrations` and `domain_tenants`: slow public facts about domains, off the fast path.

Belongs here: which domains are due, and what is kept of an answer. Does not belong here: the question itself
(`scan.registration`, `scan.tenant`). No score rests on these facts, and no stage waits for them: they take no
stage lock and write domain by domain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, func, or_, select

from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.store.tables import companies, domain_registrations, domain_tenants
from hunter_pipeline.store.upsert import upsert

if TYPE_CHECKING:
    from hunter_pipeline.scan.registration import Registration
    from hunter_pipeline.scan.tenant import TenantDiscovery

CACHE = timedelta(hours=24)
"""No domain is asked about twice within this time, whatever came of the first time."""

FAILURES_IN_A_ROW = 20
"""So many failures one after another mean that the way out is closed, not that the domains are bad."""

FACTS_VERSION = "1"
"""Raise it when what is kept of an answer changes."""

RegistrationLookup = Callable[[str, datetime], "Registration"]
TenantLookup = Callable[[str], "TenantDiscovery"]


def look_up_registrations(
    context: StageContext, lookup: RegistrationLookup, *, refresh_after: timedelta, limit: int
) -> StageReport:
    """Ask the registries about domains that were never asked about, then about those whose answer is old.

    :param lookup: asks about one domain, given the present time; never raises for what it is told.
    :param refresh_after: age at which an answer with data is asked for again; one without is after a day.
    :param limit: how many domains at most.
    :returns: counts `looked_up`, `still_due`, `total`; groups `outcomes` of this run, `registrations` over all.
    """

    def values(domain: str, now: datetime) -> dict[str, Any]:
        answer = lookup(domain, now)
        return {
            "status": answer.status,
            "reason": answer.reason,
            "registrar": answer.registrar,
            "registered_at": answer.created_at,
            "expires_at": answer.expires_at,
            "name_servers": list(answer.name_servers),
        }

    definite = ("found", "unregistered")
    return _look_up(context, domain_registrations, values, definite, refresh_after, limit, "registrations")


def look_up_tenants(
    context: StageContext, lookup: TenantLookup, *, refresh_after: timedelta, limit: int
) -> StageReport:
    """Ask Microsoft whether domains have an Entra tenant; parameters and counts as `look_up_registrations`.

    :returns: group `tenants` over all in place of `registrations`.
    """

    def values(domain: str, _: datetime) -> dict[str, Any]:
        answer = lookup(domain)
        return {
            "status": answer.status,
            "reason": answer.reason,
            "tenant_id": answer.tenant_id,
            "region": answer.region,
        }

    return _look_up(context, domain_tenants, values, ("found", "none"), refresh_after, limit, "tenants")


def _look_up(
    context: StageContext,
    table: Table,
    values: Callable[[str, datetime], dict[str, Any]],
    definite: tuple[str, ...],
    refresh_after: timedelta,
    limit: int,
    group: str,
) -> StageReport:
    """The loop of both stages. An outcome that is not `definite` leaves what was known before."""
    outcomes = Counter[str]()
    in_a_row = 0
    with context.engine.connect() as connection:
        started = context.clock()
        due = _due(connection, table, started, refresh_after, limit)
        connection.commit()
        for number, domain in enumerate(due, 1):
            now = context.clock()
            answer = values(domain, now)
            _write(connection, table, domain, answer, answer["status"] in definite, context.run_id, now)
            connection.commit()
            outcomes[answer["status"]] += 1
            in_a_row = in_a_row + 1 if answer["status"] == "failed" else 0
            if number % 50 == 0 or number == len(due):
                context.progress(f"{number} of {len(due)} domains asked about")
            if in_a_row >= FAILURES_IN_A_ROW:
                context.progress(f"{in_a_row} failures in a row, the last: {answer['reason']}; leaving the rest")
                break
        left = len(_due(connection, table, started, refresh_after, None))
        stand = connection.execute(
            select(table.c.status, func.count().label("n")).group_by(table.c.status).order_by(table.c.status)
        ).all()
    statuses = {row.status: row.n for row in stand}
    counts = {"looked_up": outcomes.total(), "still_due": left, "total": sum(statuses.values())}
    return StageReport(counts, {"outcomes": dict(sorted(outcomes.items())), group: statuses})


def _due(connection: Connection, table: Table, now: datetime, refresh_after: timedelta, limit: int | None) -> list[str]:
    stale = (table.c.looked_up_at < now - CACHE) & (
        (table.c.status != "found") | (table.c.looked_up_at < now - refresh_after)
    )
    statement = (
        select(companies.c.domain)
        .join(table, table.c.domain == companies.c.domain, isouter=True)
        .where(or_(table.c.domain.is_(None), stale))
        .order_by(table.c.looked_up_at.nulls_first(), companies.c.id)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def _write(
    connection: Connection,
    table: Table,
    domain: str,
    answer: Mapping[str, Any],
    definite: bool,
    run_id: str,
    now: datetime,
) -> None:
    found = {"found_at": now} if answer["status"] == "found" else {}
    row = {"domain": domain, "run_id": run_id, "looked_up_at": now, **answer, **found}
    replaced = [name for name in row if definite or name in ("status", "reason", "run_id", "looked_up_at")]
    upsert(connection, table, [row], key=["domain"], replace=replaced)
