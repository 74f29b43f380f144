"""Stage `normalized_domains`: the company domain of each referral, or the reason why it has none.

Takes the current versions that were not decided at today's rules, reads the payload, decides and writes.
A payload that cannot be read goes to `referral_failures` and is tried again when it changes, when the rules
change, or with force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from hunter_pipeline.domains.normalize import DomainDecision, decide_domain, normalizer_version
from hunter_pipeline.partner_center.referral import REFERRAL_VERSION, UnreadableReferral, parse_referral
from hunter_pipeline.pipeline.context import BATCH, StageContext, StageReport
from hunter_pipeline.pipeline.failures import Failure, record_failures, resolve_failures, write_each
from hunter_pipeline.pipeline.lineage import record_lineage
from hunter_pipeline.pipeline.queue import Queue, Totals
from hunter_pipeline.store.tables import normalized_domains
from hunter_pipeline.store.upsert import upsert

STAGE = "normalized_domains"


def code_version() -> str:
    """The version of everything that decides a domain: how the payload is read, the rules and their lists."""
    return f"{REFERRAL_VERSION}.{normalizer_version()}"


"""A decision rests on how the payload is read and on how the domain is cut: either change decides anew."""

PENDING = """
SELECT r.id AS raw_id, r.referral_id, r.payload, r.gone_at
FROM partner_center_referrals_raw r
LEFT JOIN normalized_domains d ON d.referral_id = r.referral_id
LEFT JOIN referral_failures f ON f.item_key = r.referral_id AND f.stage = :stage
    AND (f.resolved_at IS NULL OR r.gone_at IS NOT NULL)
WHERE r.referral_id = ANY(:items) AND r.is_current AND (
    (:force AND EXISTS (SELECT FROM sync_run_items i WHERE i.run_id = :run AND i.item_key = r.referral_id))
    OR ((d.raw_id IS DISTINCT FROM r.id OR d.code_version <> :version OR f.raw_id <> r.id)
        AND (f.raw_id IS DISTINCT FROM r.id OR f.code_version <> :version)))
ORDER BY r.id
"""

TOTALS = "SELECT count(*) AS total, count(*) - count(domain) AS without_domain FROM normalized_domains"

EVERYTHING = "SELECT referral_id FROM partner_center_referrals_raw WHERE is_current"


def normalize_domains(context: StageContext) -> StageReport:
    """Decide the domain of every referral that is not decided yet.

    :returns: counts `processed`, `with_domain`, `skipped`, `failed` of this run, `total` and `without_domain` of the
        whole table; groups `skip_reasons`, `sources` of this run.
    """
    counts = {"processed": 0, "with_domain": 0, "skipped": 0, "failed": 0}
    reasons: dict[str, int] = {}
    sources: dict[str, int] = {}
    with context.stage() as connection:
        parameters = {"stage": STAGE, "version": code_version(), "force": context.force, "run": context.run_id}
        queue = Queue(context, connection, STAGE, code_version())
        for items in queue.items(EVERYTHING, BATCH):
            batch = connection.execute(text(PENDING), {**parameters, "items": items}).all()
            rows, failures = _decide(context, batch)
            written, refused = _write(connection, rows)
            failures += refused
            gone = {version.referral_id for version in batch if version.gone_at is not None}
            record_failures(connection, context, STAGE, code_version(), failures, gone)
            resolve_failures(connection, context, STAGE, [row["referral_id"] for row in written])
            record_lineage(connection, [_lineage(context, row) for row in written])
            counts["processed"] += len(batch)
            counts["failed"] += len(failures)
            for row in written:
                counts["with_domain" if row["domain"] else "skipped"] += 1
                group, name = (sources, row["source"]) if row["domain"] else (reasons, row["skip_reason"])
                group[name] = group.get(name, 0) + 1
        totals = queue.totals(lambda: _totals(connection))
        connection.commit()
    return StageReport({**counts, **totals}, {"skip_reasons": reasons, "sources": sources}, queue.seen)


def _totals(connection: Connection) -> Totals:
    return dict(connection.execute(text(TOTALS)).mappings().one())


def _decide(context: StageContext, batch: Sequence[Row[Any]]) -> tuple[list[dict[str, Any]], list[Failure]]:
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for version in batch:
        try:
            referral = parse_referral(version.payload)
        except UnreadableReferral as error:
            failures.append(Failure(version.referral_id, str(error), raw_id=version.raw_id))
            continue
        decision = decide_domain(referral.websites, referral.emails)
        rows.append(
            {
                "referral_id": version.referral_id,
                "raw_id": version.raw_id,
                "domain": decision.domain,
                "source": decision.source,
                "found_at": decision.path,
                "raw_text": decision.raw,
                "skip_reason": decision.skip_reason and decision.skip_reason.value,
                "attempts": _attempts(decision),
                "code_version": code_version(),
                "run_id": context.run_id,
                "decided_at": context.clock(),
            }
        )
    return rows, failures


def _attempts(decision: DomainDecision) -> list[dict[str, Any]]:
    return [
        {
            "kind": each.kind,
            "path": each.path,
            "raw": each.raw,
            "domain": each.domain,
            "reason": each.reason and each.reason.value,
        }
        for each in decision.attempts
    ]


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Failure]]:
    def write(batch: Sequence[Mapping[str, Any]]) -> None:
        upsert(connection, normalized_domains, batch, key=["referral_id"])

    return write_each(
        connection, rows, write, lambda row, error: Failure(row["referral_id"], error, raw_id=row["raw_id"])
    )


def _lineage(context: StageContext, row: Mapping[str, Any]) -> dict[str, Any]:
    tried = "; ".join(f"{each['path']}: {each['domain'] or each['reason']}" for each in row["attempts"])
    decision = (
        f"domain {row['domain']}, from the {row['source']} at {row['found_at']}"
        if row["domain"]
        else f"skipped: {row['skip_reason']}"
    )
    return {
        "referral_id": row["referral_id"],
        "stage": STAGE,
        "input": tried or "no website and no customer e-mail in the payload",
        "decision": decision,
        "row_key": row["referral_id"],
        "code_version": code_version(),
        "run_id": context.run_id,
        "recorded_at": row["decided_at"],
    }
