"""Looking up again the domains whose signals have grown old, and telling what changed.

Belongs here: which domains are due, how many in one run, and when to give up. Does not belong here: the
look-up and the writing, which are those of a first scan (`signals`). The stage lock is taken for the writing of a
batch, so that a sync never waits for a look-up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.lineage import ON_CONFLICT
from hunter_pipeline.pipeline.signals import STAGE, LookedUp, Scan, in_batches, write_providers, write_scans
from hunter_pipeline.scan.scan import DomainScan

FEWEST_FOR_VERDICT = 10
"""So many domains, every one with a failed look-up, mean that DNS is in trouble and not the domains."""

DUE = """
SELECT s.domain FROM domain_signals s JOIN companies c USING (domain)
WHERE s.scanned_at < :before ORDER BY s.scanned_at, s.domain LIMIT :limit
"""

WRITE_LINEAGE = f"""
INSERT INTO referral_lineage (referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at)
SELECT l.external_id, '{STAGE}', 'looked up ' || h.domain || ' again', h.changes, h.domain, s.code_version, :run, :now
FROM (
    SELECT domain, 'changed: ' || string_agg(field || ' from ' || old || ' to ' || new, '; ' ORDER BY id) AS changes
    FROM domain_signal_history WHERE run_id = :run AND domain = ANY(:domains) GROUP BY domain
) h JOIN domain_signals s USING (domain) JOIN raw_leads l USING (domain)
{ON_CONFLICT}
"""  # noqa: S608 - constants of this module


def rescan_domains(context: StageContext, scan: Scan, *, older_than: timedelta, limit: int) -> StageReport:
    """Look up again the domains whose last scan is the oldest.

    What failed look-ups leave open keeps its last good value. When every look-up of a batch fails, DNS itself is
    in trouble: the rest is left for the next run.

    :param older_than: age of a scan from which it counts as old.
    :param limit: how many domains at most.
    :returns: counts `rescanned`, `changed_domains`, `rescans_partial`, `still_old`; group `changes` by signal.
    """
    before = context.clock() - older_than
    done, partial, changed, fields = 0, 0, 0, Counter[str]()
    with context.engine.connect() as connection:
        due = grown_old(connection, before, limit)
    with closing(in_batches(scan(due))) as batches:
        for results in batches:
            with context.stage() as connection:
                looked = write_again(connection, context, results)
                connection.commit()
            done += looked.domains
            partial += looked.partial
            changed += len({domain for domain, _ in looked.changes})
            fields.update(change.field for _, change in looked.changes)
            context.progress(f"{done} domains looked up again, {changed} changed, {partial} partly")
            if tells_of_trouble(looked):
                context.progress(
                    "every domain of the last batch had a failed look-up: DNS is in trouble, leaving the rest"
                )
                break
    counts = {"rescanned": done, "changed_domains": changed, "rescans_partial": partial}
    counts["still_old"] = count_grown_old(context, before)
    return StageReport(counts, {"changes": dict(sorted(fields.items()))})


def grown_old(connection: Connection, before: datetime, limit: int) -> list[str]:
    """Domains whose last scan lies before a moment, the oldest first."""
    return list(connection.execute(text(DUE), {"before": before, "limit": limit}).scalars())


def count_grown_old(context: StageContext, before: datetime) -> int:
    """How many domains were last scanned before a moment."""
    with context.engine.connect() as connection:
        left: int = connection.execute(
            text("SELECT count(*) FROM domain_signals s JOIN companies c USING (domain) WHERE s.scanned_at < :before"),
            {"before": before},
        ).scalar_one()
    return left


def write_again(connection: Connection, context: StageContext, results: Sequence[DomainScan]) -> LookedUp:
    """Write what looking domains up again brought; the caller holds the stage lock and commits.

    A company that was erased while it was looked up is left out.
    """
    asked = {"domains": [result.domain for result in results]}
    batch = list(connection.execute(text("SELECT domain FROM companies WHERE domain = ANY(:domains)"), asked).scalars())
    looked = write_scans(connection, context, [result for result in results if result.domain in batch])
    write_providers(connection, context, batch)
    parameters = {"run": context.run_id, "now": context.clock(), "domains": batch}
    connection.execute(text(WRITE_LINEAGE), parameters)
    return looked


def tells_of_trouble(looked: LookedUp) -> bool:
    """Whether so many look-ups failed that DNS is in trouble and not the domains."""
    return looked.domains >= FEWEST_FOR_VERDICT and looked.partial == looked.domains
