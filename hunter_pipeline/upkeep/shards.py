"""A scan that is spread: its domains stand in a line, and shards take them from there, in any process on any machine.

Belongs here: what stands in the line, and what one shard does. Does not belong here: claims and shares
(`pipeline.claims`), the look-up and the writing of a batch (`pipeline.signals`, `rescans`), and what runs shards
(`orchestration.spread`). The stage lock is taken for the writing of a batch alone, as a rescan does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from hunter_pipeline.pipeline import claims
from hunter_pipeline.pipeline.claims import Claims
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.signals import Scan, in_batches, leave_due, report_totals, write_first
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.upkeep.rescans import count_grown_old, grown_old, tells_of_trouble, write_again


@dataclass(frozen=True)
class Spread:
    """How a scan is spread.

    :param shard: domains of one shard; so many are looked up by the run itself.
    :param shares: shards that ask at once, each at that part of the pace.
    :param claim_seconds: how long a claim holds without another sign of its shard.
    :param rescan_age: age from which a domain's signals count as old.
    """

    shard: int
    shares: int
    claim_seconds: float
    rescan_age: timedelta


def scan_or_leave(context: StageContext, scan: Scan, spread: Spread, *, rescan_limit: int) -> StageReport:
    """The stage `domain_signals` where scans are spread: look up what one shard holds, and leave more than that.

    :param scan: looks domains up at the pace of one share.
    :param rescan_limit: domains that have grown old to look up again as well, at most.
    :returns: the counts and groups of `scan_domains` and, with a limit, of `rescan_domains`; and `left`, the domains
        that stand in the line afterwards.
    """
    counts = Counter[str](scanned=0, partial=0, rederived=offer_due(context))
    groups: dict[str, Mapping[str, int]] = {}
    before = context.clock() - spread.rescan_age
    if rescan_limit:
        with context.engine.begin() as connection:
            claims.offer(connection, grown_old(connection, before, rescan_limit), again=True)
        counts.update(rescanned=0, changed_domains=0, rescans_partial=0)
    with context.engine.connect() as connection:
        few = 0 < claims.waiting(connection) <= spread.shard
    if few:
        report = scan_shard(context, scan, spread, wait=0)
        counts.update({name: number for name, number in report.counts.items() if name in counts})
        groups.update(report.groups if rescan_limit else {})
    if rescan_limit:
        counts["still_old"] = count_grown_old(context, before)
    with context.engine.connect() as connection:
        counts["left"] = claims.waiting(connection)
    if counts["left"]:
        context.progress(f"{counts['left']} domains wait for domain_scan_job, which looks them up in shards")
    totals = report_totals(context)
    return StageReport({**counts, **totals.counts}, {**groups, **totals.groups})


def offer_due(context: StageContext) -> int:
    """Put the domains that are due into the line, and do what needs no look-up.

    :returns: how many domains were derived again.
    """

    def leave(connection: Connection, domains: Sequence[str]) -> None:
        claims.offer(connection, domains, again=False)

    return leave_due(context, leave)


def scan_shard(
    context: StageContext, scan: Scan, spread: Spread, *, wait: float, rest_of_run: bool = False
) -> StageReport:
    """Claim domains out of the line and look them up.

    When every look-up of a batch of old domains fails, DNS is in trouble: they leave the line until the next rescan.

    :param scan: looks domains up at the pace of one share.
    :param wait: seconds to wait for a share; 0: when all are taken, nothing is done.
    :param rest_of_run: take what the other shards of the run left, as they have all ended.
    :returns: counts `scanned`, `partial`, `rescanned`, `changed_domains`, `rescans_partial`, and `lost`: look-ups that
        were not written, as another shard had claimed their domains meanwhile; group `changes` by signal.
    :raises TimeoutError: no share was free in time.
    """
    counts = Counter(
        dict.fromkeys(("scanned", "partial", "rescanned", "changed_domains", "rescans_partial", "lost"), 0)
    )
    fields = Counter[str]()
    with claims.share(context.engine, spread.shares, wait) as connection:
        if connection is None:
            if not wait:
                return StageReport(counts)
            raise TimeoutError(
                f"no share of the DNS pace was free within {wait:.0f} s: more shards run at once than"
                f" HUNTER_SCAN_SHARES ({spread.shares}); raise it, or run fewer workers"
            )
        most = None if rest_of_run else spread.shard
        mine = Claims(connection, context.run_id, most, spread.claim_seconds, left_by_run=rest_of_run)
        try:
            with closing(in_batches(mine.renew_in_time(scan(mine.domains())))) as batches:
                for batch in batches:
                    trouble = _write(context, mine, batch, counts, fields)
                    context.progress(f"{counts['scanned'] + counts['rescanned']} domains looked up by this shard")
                    if trouble:
                        context.progress(
                            "every old domain of the last batch failed: DNS is in trouble, leaving the rest"
                        )
                        break
        finally:
            mine.release()
    return StageReport(counts, {"changes": dict(sorted(fields.items()))})


def _write(
    context: StageContext, mine: Claims, batch: Sequence[DomainScan], counts: Counter[str], fields: Counter[str]
) -> bool:
    """Write and commit a batch as far as it is still this shard's; whether DNS is in trouble."""
    again = {result.domain for result in batch if mine.is_again(result.domain)}
    mine.renew()  # before the stage lock is waited for
    with context.stage() as connection:
        owned = mine.finish(connection, [result.domain for result in batch])
        first = [result for result in batch if result.domain in owned - again]
        old = [result for result in batch if result.domain in owned & again]
        counts["lost"] += len(batch) - len(owned)
        trouble = False
        if first:
            looked = write_first(connection, context, first)
            counts.update(scanned=looked.domains, partial=looked.partial)
        if old:
            looked = write_again(connection, context, old)
            counts.update(rescanned=looked.domains, rescans_partial=looked.partial)
            counts["changed_domains"] += len({domain for domain, _ in looked.changes})
            fields.update(change.field for _, change in looked.changes)
            trouble = tells_of_trouble(looked)
            if trouble:
                claims.withdraw_again(connection)
        connection.commit()
    return trouble
