"""Stage `domain_signals`: look up each company's domain once, keep the replies, derive what they mean.

A domain that has signals is left alone, unless a look-up stayed open and its retry is due. Signals that were
derived by older rules are derived again from the kept replies, without asking DNS. Look-ups go on while their results
are written as they come in, so a killed run loses at most one batch. Looking up again what has grown old is `rescans`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, text

from hunter_pipeline.pipeline.context import BATCH, StageContext, StageReport, retry_delay
from hunter_pipeline.pipeline.lineage import ON_CONFLICT, not_told
from hunter_pipeline.pipeline.queue import Queue
from hunter_pipeline.pipeline.signal_changes import Change, changes_between, record_changes
from hunter_pipeline.scan.providers import catalogue
from hunter_pipeline.scan.reply import Reply
from hunter_pipeline.scan.scan import SIGNALS_VERSION, DomainScan, Signals, derive_signals, keep_last_good
from hunter_pipeline.store.tables import domain_signals
from hunter_pipeline.store.upsert import upsert

STAGE = "domain_signals"

AT_ONCE = 5000
"""Domains that are looked at together; of these, most need nothing."""

SCAN_BATCH = 200
"""Domains that are written in one transaction."""

SETTLE_BATCH = 1000
"""Domains whose providers and stories are written together, once their signals are."""

Scan = Callable[[Iterable[str]], Iterable[DomainScan]]
"""Looks domains up: takes them as it gets on, and gives one result each as it is finished, in any order."""

DUE = """
SELECT c.domain FROM companies c LEFT JOIN domain_signals s USING (domain)
WHERE c.domain = ANY(:items) AND (s.domain IS NULL OR (s.status = 'partial' AND s.retry_at <= :now))
ORDER BY c.id
"""

RETRIES = "SELECT domain FROM domain_signals WHERE status = 'partial' AND retry_at <= :now"

WRITE_LINEAGE = f"""
INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
SELECT l.external_id, '{STAGE}',
    CASE WHEN s.run_id <> :run THEN 'the company was scanned before'
         WHEN s.scanned_at < s.derived_at THEN 'read the kept replies of ' || s.domain || ' again by newer rules'
         ELSE 'looked up ' || s.domain END,
    'provider ' || s.provider || ' (' || s.confidence || ' confidence), MX ' || s.mx_state || ', SPF ' || s.spf_state
        || ', DKIM ' || s.dkim_state || ', DMARC ' || coalesce(s.dmarc_policy, s.dmarc_state)
        || CASE WHEN s.status = 'partial' THEN '; some look-ups are open and will be tried again' ELSE '' END,
    s.domain, s.code_version, :run, :now
FROM raw_leads l JOIN domain_signals s USING (domain)
WHERE l.domain = ANY(:items) AND (s.run_id = :run OR {not_told(STAGE, "l.external_id", "l.domain")})
{ON_CONFLICT}
"""  # noqa: S608 - constants of this module

WRITE_PROVIDERS = """
UPDATE companies c SET provider = s.provider, run_id = :run, updated_at = :now FROM domain_signals s
WHERE s.domain = c.domain AND c.domain = ANY(:items) AND c.azure_tenant_id IS NULL
    AND c.provider IS DISTINCT FROM s.provider
"""


LOOK_UP_ANEW = """
UPDATE domain_signals SET status = 'partial', retry_at = '-infinity', code_version = :version
WHERE domain = ANY(:domains)
"""

_SIGNALS = TypeAdapter(Signals)


def scan_domains(context: StageContext, scan: Scan) -> StageReport:
    """Look up the domains that are due and derive their signals.

    :returns: counts `scanned`, `partial`, `rederived`, `total`; group `providers` over the whole table.
    """
    with context.stage() as connection:
        work = _begin(connection, context)
        with closing(in_batches(scan(work.due()))) as batches:
            for batch in batches:
                work.write(batch)
        work.settle(work.written)
        connection.commit()
        totals = work.queue.totals(lambda: _totals(connection))
        connection.commit()
    counts = {"scanned": work.scanned, "partial": work.partial, "rederived": work.rederived}
    return StageReport({**counts, "total": totals["total"]}, {"providers": totals["providers"]})


def leave_due(context: StageContext, leave: Callable[[Connection, Sequence[str]], None]) -> int:
    """Do what `scan_domains` does without asking DNS, and leave the look-ups to others.

    :param leave: is given some domains to look up, in a transaction that is committed after it.
    :returns: how many domains were derived again.
    """
    with context.stage() as connection:
        work = _begin(connection, context)
        due = work.due()
        while domains := list(islice(due, AT_ONCE)):
            leave(connection, domains)
            connection.commit()
    return work.rederived


def report_totals(context: StageContext) -> StageReport:
    """The counts over the whole table: `total`, and group `providers`; counted only when something was written."""
    with context.stage() as connection:
        totals = Queue(context, connection, STAGE, SIGNALS_VERSION).totals(lambda: _totals(connection))
        connection.commit()
    return StageReport({"total": totals["total"]}, {"providers": totals["providers"]})


def _begin(connection: Connection, context: StageContext) -> _Pass:
    queue = Queue(context, connection, STAGE, SIGNALS_VERSION)
    queue.mark(list(connection.execute(text(RETRIES), {"now": context.clock()}).scalars()))
    return _Pass(connection, context, queue)


def in_batches(results: Iterable[DomainScan]) -> Generator[list[DomainScan]]:
    """The results as they come, `SCAN_BATCH` at a time. Closing it ends the look-ups, too."""
    coming = iter(results)
    while batch := list(islice(coming, SCAN_BATCH)):
        yield batch


class _Pass:
    """One pass over what there is to look at.

    The look-ups take domains from `due`, some ahead of what is written. A domain's mark stays until its signals and its
    story are written, so that a run that is killed in between leaves it to the next.
    """

    def __init__(self, connection: Connection, context: StageContext, queue: Queue) -> None:
        self.scanned = self.partial = self.rederived = 0
        self.written: list[str] = []
        self._connection = connection
        self._context = context
        self.queue = queue
        self._under_way: set[str] = set()

    def due(self) -> Iterator[str]:
        """The domains to look up, found as they are asked for; those that need no look-up are done on the way."""
        for page in self.queue.items("SELECT domain FROM companies", AT_ONCE, keep=True):
            items = [domain for domain in page if domain not in self._under_way]
            self.rederived += _rederive(self._connection, self._context, items)
            parameters = {"now": self._context.clock(), "items": items}
            due = list(self._connection.execute(text(DUE), parameters).scalars())
            # Not all that is looked at is marked: with other rules than last time it is everything.
            self.queue.mark(due)
            self._under_way.update(due)
            self.settle([domain for domain in items if domain not in self._under_way])
            self._connection.commit()
            yield from due

    def write(self, results: Sequence[DomainScan]) -> None:
        """Write and commit a batch of scans."""
        looked = write_scans(self._connection, self._context, results)
        self._connection.commit()
        self.scanned += looked.domains
        self.partial += looked.partial
        self.written += [result.domain for result in results]
        if len(self.written) >= SETTLE_BATCH:
            self.settle(self.written)
            self._connection.commit()
            self.written = []
        known = self.scanned - len(self.written) + len(self._under_way)
        self._context.progress(f"{self.scanned} of {known} domains looked up, {self.partial} partly")

    def settle(self, domains: Sequence[str]) -> None:
        """Write what follows from the signals of domains, and clear their marks; the caller commits."""
        if not domains:
            return
        settle(self.queue, domains)
        self._under_way.difference_update(domains)


def write_first(connection: Connection, context: StageContext, results: Sequence[DomainScan]) -> LookedUp:
    """Write first look-ups with all that follows from them; the caller holds the stage lock and commits."""
    queue = Queue(context, connection, STAGE, SIGNALS_VERSION)
    queue.keep_quiet()
    queue.forget_totals()
    looked = write_scans(connection, context, results)
    settle(queue, [result.domain for result in results])
    return looked


def settle(queue: Queue, domains: Sequence[str]) -> None:
    """Write what follows from the signals of domains, and clear their marks; the caller commits."""
    write_providers(queue.connection, queue.context, domains)
    parameters = {"run": queue.context.run_id, "now": queue.context.clock(), "items": list(domains)}
    queue.connection.execute(text(WRITE_LINEAGE), parameters)
    queue.done(domains)


def _totals(connection: Connection) -> Mapping[str, Any]:
    providers = connection.execute(
        text("SELECT provider, count(*) AS n FROM domain_signals GROUP BY 1 ORDER BY 2 DESC, 1")
    ).all()
    return {"total": sum(row.n for row in providers), "providers": {row.provider: row.n for row in providers}}


@dataclass(frozen=True)
class LookedUp:
    """What the look-up of one batch brought.

    :param domains: how many were looked up.
    :param partial: of these, those with a look-up that failed.
    :param changes: what changed, each with its domain.
    """

    domains: int
    partial: int
    changes: Sequence[tuple[str, Change]]


def write_scans(connection: Connection, context: StageContext, results: Sequence[DomainScan]) -> LookedUp:
    """Write the signals of one batch of domains, and what changed in them; the caller commits."""
    earlier = _earlier(connection, [result.domain for result in results])
    rows = [_row(context, result, earlier.get(result.domain)) for result in results]
    changes = _write(connection, context, rows, earlier)
    return LookedUp(len(rows), sum(row["status"] == "partial" for row in rows), changes)


def write_providers(connection: Connection, context: StageContext, domains: Sequence[str]) -> None:
    """Take providers over to the companies, except where a declared tenant decides; the caller commits."""
    connection.execute(text(WRITE_PROVIDERS), {"run": context.run_id, "now": context.clock(), "items": list(domains)})


def signals_from_json(data: object) -> Signals | None:
    """The signals that a row of `domain_signals` holds as JSON; keys that this release does not know are left out.

    :returns: None when this release cannot read them, or knows no such provider: another one wrote the row.
    """
    try:
        found = _SIGNALS.validate_python(data)
    except ValidationError:
        return None
    return found if found.provider in catalogue().names else None


def _rederive(connection: Connection, context: StageContext, domains: Sequence[str]) -> int:
    """Read the kept replies again where older rules read them, without asking DNS.

    A domain whose replies cannot be read is looked up anew; it holds up no other.
    """
    done = 0
    while True:
        stale = connection.execute(
            text(
                f"SELECT {_EARLIER} FROM domain_signals"  # noqa: S608 - a constant
                " WHERE domain = ANY(:items) AND code_version <> :version LIMIT :limit"
            ),
            {"version": SIGNALS_VERSION, "limit": BATCH, "items": list(domains)},
        ).all()
        if not stale:
            return done
        rows, unreadable = [], []
        for old in stale:
            try:
                replies = tuple(Reply.from_json(reply) for reply in old.replies)
                fresh = DomainScan(old.domain, replies, derive_signals(old.domain, replies))
            except Exception:  # noqa: BLE001 - whatever another release has written
                unreadable.append(old.domain)
                continue
            row = _row(context, fresh, old)
            # A look-up that only the newer rules find open has no retry yet.
            retry_at = (old.retry_at or context.clock()) if row["status"] == "partial" else None
            rows.append(row | {"attempts": old.attempts, "retry_at": retry_at, "scanned_at": old.scanned_at})
        _write(connection, context, rows, {old.domain: old for old in stale})
        if unreadable:
            connection.execute(text(LOOK_UP_ANEW), {"domains": unreadable, "version": SIGNALS_VERSION})
            context.progress(f"the kept replies of {len(unreadable)} domains cannot be read: they are looked up anew")
        connection.commit()
        done += len(rows)


_EARLIER = "domain, replies, signals, kept, attempts, retry_at, scanned_at"


def _earlier(connection: Connection, domains: Sequence[str]) -> dict[str, Row[Any]]:
    rows = connection.execute(
        text(f"SELECT {_EARLIER} FROM domain_signals WHERE domain = ANY(:domains)"),  # noqa: S608 - a constant
        {"domains": list(domains)},
    )
    return {row.domain: row for row in rows}


def _row(context: StageContext, result: DomainScan, old: Row[Any] | None) -> dict[str, Any]:
    """The row of a scan. What failed look-ups left open keeps its last good value, with that value's time."""
    now = context.clock()
    signals, kept = keep_last_good(result.signals, signals_from_json(old.signals) if old else None)
    known = old.kept if old and isinstance(old.kept, dict) else {}
    attempts = (old.attempts + 1 if old else 1) if signals.status == "partial" else 0
    return {
        "domain": result.domain,
        "status": signals.status,
        "provider": signals.provider,
        "gateway": signals.gateway,
        "confidence": signals.confidence,
        "mx_state": signals.mx_state,
        "spf_state": signals.spf_state,
        "spf_includes": signals.spf_includes,
        "dkim_state": signals.dkim_state,
        "dmarc_state": signals.dmarc_state,
        "dmarc_policy": signals.dmarc_policy,
        "signals": dict(vars(signals)),
        "replies": [reply.to_json() for reply in result.replies],
        "kept": {name: known.get(name) or old.scanned_at.isoformat() for name in kept} if old else {},
        "attempts": attempts,
        "retry_at": now + retry_delay(attempts) if attempts else None,
        "code_version": SIGNALS_VERSION,
        "run_id": context.run_id,
        "scanned_at": now,
        "derived_at": now,
    }


def _write(
    connection: Connection,
    context: StageContext,
    rows: Sequence[Mapping[str, Any]],
    earlier: Mapping[str, Row[Any]],
) -> list[tuple[str, Change]]:
    """Write rows over the earlier ones of their domains, and what changed between them."""
    upsert(connection, domain_signals, rows, key=["domain"])
    changes = []
    for row in rows:
        before = signals_from_json(earlier[row["domain"]].signals) if row["domain"] in earlier else None
        if before is not None and (after := signals_from_json(row["signals"])) is not None:
            changes += [(row["domain"], change) for change in changes_between(before, after)]
    record_changes(connection, context.run_id, context.clock(), changes)
    return changes
