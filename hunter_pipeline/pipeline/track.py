"""Stage `partner_center_referrals`: where each referral stands now.

Every referral whose payload could be read is tracked, with or without a company domain. Rows are rewritten
only when a newer version came in or the domain was decided anew, so `updated_at` means a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, text

from hunter_pipeline.partner_center.referral import REFERRAL_VERSION, Referral, UnreadableReferral, parse_referral
from hunter_pipeline.pipeline.context import BATCH, StageContext, StageReport
from hunter_pipeline.pipeline.failures import Failure, record_failures, resolve_failures, write_each
from hunter_pipeline.pipeline.lineage import record_lineage
from hunter_pipeline.pipeline.queue import Queue
from hunter_pipeline.store.tables import partner_center_referrals
from hunter_pipeline.store.upsert import upsert

STAGE = "partner_center_referrals"

READ = tuple(
    field.name for field in fields(Referral) if field.name in partner_center_referrals.c and field.name != "warnings"
)
"""What is read out of a payload and stands in a column of the same name."""

PENDING = """
SELECT r.id AS raw_id, r.referral_id, r.payload, r.gone_at, d.domain, d.skip_reason,
    CASE WHEN t.raw_id = r.id AND t.domain IS NOT DISTINCT FROM d.domain AND t.gone_at IS NOT DISTINCT FROM r.gone_at
        AND t.raw_data = r.payload THEN t.changed_at END AS changed_at
FROM partner_center_referrals_raw r
JOIN normalized_domains d ON d.referral_id = r.referral_id AND d.raw_id = r.id
LEFT JOIN partner_center_referrals t ON t.referral_id = r.referral_id
WHERE r.referral_id = ANY(:items) AND r.is_current AND (
    (:force AND EXISTS (SELECT FROM sync_run_items i WHERE i.run_id = :run AND i.item_key = r.referral_id))
    OR t.raw_id IS DISTINCT FROM r.id OR t.domain IS DISTINCT FROM d.domain OR t.code_version <> :version
    OR t.synced_at < d.decided_at OR t.gone_at IS DISTINCT FROM r.gone_at)
ORDER BY r.id
"""

PAYLOAD = "(SELECT v.payload FROM partner_center_referrals_raw v WHERE v.id = r.raw_id)"

EVERYTHING = "SELECT referral_id FROM normalized_domains"

TYPES = """
SELECT coalesce(referral_type, 'undecided') AS type, count(*) AS n, count(*) FILTER (WHERE is_open) AS open
FROM partner_center_referrals GROUP BY 1 ORDER BY 1
"""


def track_referrals(context: StageContext) -> StageReport:
    """Bring the life-cycle row of every changed referral up to date.

    :returns: counts `tracked` (rows written), `failed`, `total` (rows in the table), `open`; group `types` over the
        whole table.
    """
    counts = {"tracked": 0, "failed": 0}
    with context.stage() as connection:
        queue = Queue(context, connection, STAGE, REFERRAL_VERSION)
        parameters = {"version": REFERRAL_VERSION, "force": context.force, "run": context.run_id}
        refused_items: list[str] = []
        for items in queue.items(EVERYTHING, BATCH):
            batch = connection.execute(text(PENDING), {**parameters, "items": items}).all()
            rows, failures = _read(context, batch)
            written, refused = _write(connection, rows)
            gone = {version.referral_id for version in batch if version.gone_at is not None}
            record_failures(connection, context, STAGE, REFERRAL_VERSION, failures + refused, gone)
            resolve_failures(connection, context, STAGE, [row["referral_id"] for row in written])
            skips = {version.referral_id: version.skip_reason for version in batch}
            record_lineage(connection, [_lineage(context, row, skips[row["referral_id"]]) for row in written])
            refused_items += [each.item_key for each in failures + refused if each.item_key not in gone]
            counts["tracked"] += len(written)
            counts["failed"] += len(failures) + len(refused)
        queue.mark(refused_items)  # each run tries again
        totals = queue.totals(lambda: _totals(connection))
        connection.commit()
    return StageReport({**counts, **totals["counts"]}, {"types": totals["types"]}, queue.seen)


def _totals(connection: Connection) -> Mapping[str, Any]:
    types = connection.execute(text(TYPES)).all()
    return {
        "counts": {"total": sum(row.n for row in types), "open": sum(row.open for row in types)},
        "types": {row.type: row.n for row in types},
    }


def _read(context: StageContext, batch: Sequence[Row[Any]]) -> tuple[list[dict[str, Any]], list[Failure]]:
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for version in batch:
        try:
            referral = parse_referral(version.payload)
        except UnreadableReferral as error:
            failures.append(Failure(version.referral_id, str(error), raw_id=version.raw_id))
            continue
        now = context.clock()
        rows.append(
            {
                "referral_id": version.referral_id,
                "raw_id": version.raw_id,
                **{name: getattr(referral, name) for name in READ},
                "domain": version.domain,
                "is_open": referral.is_open and version.gone_at is None,
                "gone_at": version.gone_at,
                "warnings": list(referral.warnings),
                "code_version": REFERRAL_VERSION,
                "run_id": context.run_id,
                "synced_at": now,
                # What is merely read again, by force or by other rules, is no news to anybody.
                "changed_at": version.changed_at or now,
                "created_at": now,
                "updated_at": now,
            }
        )
    return rows, failures


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Failure]]:
    def write(batch: Sequence[Mapping[str, Any]]) -> None:
        upsert(
            connection,
            partner_center_referrals,
            batch,
            key=["referral_id"],
            keep=["created_at"],
            computed={"raw_data": PAYLOAD},
        )

    return write_each(
        connection, rows, write, lambda row, error: Failure(row["referral_id"], error, raw_id=row["raw_id"])
    )


def _lineage(context: StageContext, row: Mapping[str, Any], skip_reason: str | None) -> dict[str, Any]:
    kind = row["referral_type"] or "of undecided type"
    state = row["status"] + (f"/{row['substatus']}" if row["substatus"] else "")
    lead = f"company {row['domain']}" if row["domain"] else f"makes no lead ({skip_reason})"
    gone = "gone, " if row["gone_at"] else ""
    unread = f"; could not read {', '.join(row['warnings'])}" if row["warnings"] else ""
    return {
        "referral_id": row["referral_id"],
        "stage": STAGE,
        "input": f"type {row['deal_type'] or '-'}, qualification {row['qualification'] or '-'}, status {state}",
        "decision": f"{gone}{kind}, {'open' if row['is_open'] else 'closed'}, {lead}{unread}",
        "row_key": row["referral_id"],
        "code_version": REFERRAL_VERSION,
        "run_id": context.run_id,
        "recorded_at": row["synced_at"],
    }
