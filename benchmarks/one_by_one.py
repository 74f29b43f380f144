"""New referrals through all stages, against the same work done for one referral after the other.

Peer: a plain loop that takes a referral through the same functions into the same tables, one statement and one commit a
step, as a first version of such a pipeline does. It checks less (no locks, no versions, no failures). DNS answers at
once for both. Passes alternate in one database; the figures are medians.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, text

from benchmarks.filled import database
from benchmarks.flow import bodies, instant_scan, stages
from benchmarks.report import Aim, Row, medians, times
from hunter_pipeline.domains.normalize import decide_domain
from hunter_pipeline.partner_center.pages import RawItem, read_list
from hunter_pipeline.partner_center.referral import parse_referral, referral_id_of
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.leads import WRITE_COMPANIES, WRITE_LEADS
from hunter_pipeline.pipeline.lineage import record_lineage
from hunter_pipeline.pipeline.scores import READ_FACTS, score_inputs
from hunter_pipeline.pipeline.signals import WRITE_LINEAGE, write_providers, write_scans
from hunter_pipeline.pipeline.track import READ
from hunter_pipeline.pipeline.versions import content_hash
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.scoring.score import score
from hunter_pipeline.store import tables
from hunter_pipeline.store.jsonb import canonical_json
from hunter_pipeline.store.upsert import upsert

TITLE = "New referrals through all stages, DNS answered at once"
PASSES = 3
HUNTER, PEER = "Hunter's stages", "one referral and one commit a step at a time"

_runs = count(1)


def run(*, quick: bool) -> list[Row]:
    """Take referrals through, in turns."""
    ours, theirs = (500, 100) if quick else (2_500, 200)
    passes: dict[str, list[float]] = defaultdict(list)
    stage_seconds: dict[str, list[float]] = defaultdict(list)
    answers, scan = bodies(range(ours)), instant_scan(ours)
    with database() as engine:
        for _ in range(1 if quick else PASSES):
            _empty(engine)
            started = time.perf_counter()
            for name, stage in stages(engine, f"run-{next(_runs)}", answers, scan).items():
                before = time.perf_counter()
                stage()
                stage_seconds[name].append((time.perf_counter() - before) * 1000 / ours)
            passes[HUNTER].append(ours / (time.perf_counter() - started))
            _empty(engine)
            started = time.perf_counter()
            _one_by_one(engine, bodies(range(theirs)))
            passes[PEER].append(theirs / (time.perf_counter() - started))
    rates = medians(passes)
    ratio = rates[HUNTER] / rates[PEER]
    aim = Aim(2, "all stages, of one by one", ratio, 6.0)
    return [
        Row(f"{HUNTER} ({ours:,} at once)", f"{rates[HUNTER]:,.0f} referrals/s", f"{times(ratio)} of one by one", aim),
        *(Row(f"  {name}", f"{each:.2f} ms each") for name, each in medians(stage_seconds).items()),
        Row(f"  {PEER}", f"{rates[PEER]:,.0f} referrals/s"),
    ]


def _empty(engine: Engine) -> None:
    names = ", ".join(table.name for table in tables.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


def _one_by_one(engine: Engine, answers: Sequence[bytes]) -> None:
    rules = load_rules()
    context = StageContext(engine, f"run-{next(_runs)}")
    items = [item for body in answers for item in read_list(body).items]
    scans = {result.domain: result for result in instant_scan(len(items))(_domains(items))}
    with engine.connect() as connection:
        for item in items:
            _take(connection, context, item, scans, rules)


def _domains(items: Sequence[RawItem]) -> list[str]:
    read = [parse_referral(item.value) for item in items]
    found = [decide_domain(each.websites, each.emails).domain for each in read]
    return [domain for domain in found if domain]


def _take(
    connection: Connection, context: StageContext, item: RawItem, scans: dict[str, DomainScan], rules: Rules
) -> None:
    now, run_id = datetime.now(UTC), context.run_id
    stamp = {"code_version": "1", "run_id": run_id}

    def done(stage: str, decision: str, key: str) -> None:
        told = {"referral_id": item_id, "stage": stage, "input": "", "decision": decision, "row_key": key}
        record_lineage(connection, [{**told, **stamp, "recorded_at": now}])
        connection.commit()

    read = parse_referral(item.value)
    item_id = referral_id_of(item.value)
    raw: dict[str, Any] = {
        "referral_id": item_id,
        "content_hash": content_hash(canonical_json(item.value)),
        "source_updated_at": read.source_updated_at,
        "partition_day": now.date(),
        "payload": item.value,
        "payload_form": "list",
        "fetched_at": now,
        "last_seen_at": now,
        "is_current": True,
        "run_id": run_id,
    }
    upsert(connection, tables.partner_center_referrals_raw, [raw], key=["referral_id", "content_hash"])
    raw_id = connection.execute(
        text("SELECT id FROM partner_center_referrals_raw WHERE referral_id = :id"), {"id": item_id}
    ).scalar_one()
    done("partner_center_referrals_raw", "kept", raw["content_hash"])

    decision = decide_domain(read.websites, read.emails)
    assert decision.domain is not None
    attempts = [{"kind": each.kind, "path": each.path, "raw": each.raw} for each in decision.attempts]
    row = {"referral_id": item_id, "raw_id": raw_id, "domain": decision.domain, "source": decision.source}
    row |= {"attempts": attempts, **stamp, "decided_at": now}
    upsert(connection, tables.normalized_domains, [row], key=["referral_id"])
    done("normalized_domains", decision.domain, item_id)

    row = {"referral_id": item_id, "raw_id": raw_id, **{name: getattr(read, name) for name in READ}}
    row |= {"domain": decision.domain, "is_open": read.is_open, "warnings": list(read.warnings), "raw_data": item.value}
    row |= {**stamp, "synced_at": now, "changed_at": now, "created_at": now, "updated_at": now}
    upsert(connection, tables.partner_center_referrals, [row], key=["referral_id"])
    done("partner_center_referrals", "tracked", item_id)

    connection.execute(text(WRITE_LEADS), {"run": run_id, "now": now, "items": [item_id]})
    connection.commit()
    of_domain = {"run": run_id, "now": now, "items": [decision.domain]}
    connection.execute(text(WRITE_COMPANIES), of_domain)
    connection.commit()

    write_scans(connection, context, [scans[decision.domain]])
    connection.commit()
    write_providers(connection, context, [decision.domain])
    connection.execute(text(WRITE_LINEAGE), of_domain)
    connection.commit()

    facts = connection.execute(text(READ_FACTS), of_domain).one().inputs
    judged = score(score_inputs(facts), rules, tenant_score=55, cosell_bonus=15)
    names: tuple[str, ...] = ("score", "segment", "reason", "priority_score", "technical_heat", "commercial_segment")
    names += ("commercial_heat", "category", "category_label")
    scored = {"domain": decision.domain, **{name: getattr(judged, name) for name in names}}
    scored |= {"breakdown": [vars(part) if hasattr(part, "__dict__") else part for part in judged.breakdown]}
    scored |= {"rules_hash": rules.hash, "inputs": facts, "inputs_hash": json.dumps(facts)[:32]}
    upsert(connection, tables.lead_scores, [{**scored, "run_id": run_id, "scored_at": now}], key=["domain"])
    done("lead_scores", judged.reason, decision.domain)
