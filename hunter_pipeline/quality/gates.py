"""The books of a sync: after each stage, everything that came in must have gone somewhere.

Belongs here: the equations that a stage must leave behind, each read in one statement (one moment) and judged
by a pure function. Does not belong here: what a stage does, and what may be open for a while (`claims`).

A stage counts what it looked at, what its run fetched and what stays failed, so that the cost of a gate follows the
change. A full sweep looks at everything, and so does an hourly claim. What is broken stays marked, so that the next run
counts it again.

Another run may write between a stage and its gate, so an equation covers only rows that were complete before
the stage began: the stage lock keeps writers apart, hence the stage has seen all of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.company_sums import SUMS, SUMS_OF_ONE
from hunter_pipeline.pipeline.queue import MOST_SEEN, OF_REFERRALS, mark
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY
from hunter_pipeline.quality.verdicts import Verdict
from hunter_pipeline.readers.examples import EXAMPLES, Examples

PROCESS_AGAIN = (
    f"Rows were changed by hand or a write got lost: run `hunter sync --force --since {FIRST_DAY}`, which processes "
    "everything again, and report it if it comes back."
)


ALSO_COUNTED = """
(SELECT item_key FROM sync_run_items WHERE run_id = :run LIMIT :most)
UNION ALL (SELECT item_key FROM referral_failures WHERE resolved_at IS NULL LIMIT :most)
"""
"""Referrals in a run's books that its stage need not have looked at. One that failed is left alone until it changes,
and is a failed one in the books of every run until then."""


@dataclass(frozen=True)
class Gate:
    """An equation that a stage must leave behind.

    :param stage: name of the stage and of its asset.
    :param name: name of the check.
    :param rule: the equation in words.
    :param total: name of the left side.
    :param parts: names of the terms of the right side.
    :param broken: what one that is in no term is called, as in "3 lost".
    :param rows: SELECT of one row for each item, with `item`, `mark` (what of it stands in the queue of the stage) and
        `part` (a name in `parts`, or anything else). It is given `:before`, when the stage began, and `:all` or
        `:marks`. The driver writes values into the statement, so that the planner sees a condition or none.
    """

    stage: str
    name: str
    rule: str
    total: str
    parts: tuple[str, ...]
    broken: str
    rows: str

    @property
    def description(self) -> str:
        """The equation and what to do when it does not hold."""
        return f"{self.rule} {PROCESS_AGAIN}"


@dataclass(frozen=True)
class Books:
    """What was counted.

    :param total: number of items.
    :param parts: how many of them are in each term.
    :param strays: items in no term, at most `EXAMPLES`.
    :param marks: what of these the stage has to look at again.
    """

    total: int
    parts: Mapping[str, int]
    strays: tuple[str, ...]
    marks: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Items that are in no term."""
        return self.total - sum(self.parts.values())


_FAILED = """(SELECT CASE WHEN bool_and(f.dismissed_at IS NOT NULL) THEN 'dismissed' ELSE 'failed' END
    FROM referral_failures f WHERE f.item_key = r.referral_id AND f.raw_id = r.id AND f.resolved_at IS NULL
    HAVING count(*) > 0)"""
"""What a referral without a result counts as; nothing when it has no open failure. One that is gone at Partner Center
and could not be read has none, as nobody can mend it: it is in no equation."""

GATES = (
    Gate(
        stage="normalized_domains",
        name="fetched_equals_decided_plus_failed",
        rule="The current version of every fetched referral that is not gone has a domain decision or an open failure.",
        total="fetched",
        parts=("decided", "failed", "dismissed"),
        broken="undecided",
        rows=f"""
            SELECT r.referral_id AS item, r.referral_id AS mark,
                CASE WHEN d.raw_id = r.id THEN 'decided' ELSE {_FAILED} END AS part
            FROM partner_center_referrals_raw r LEFT JOIN normalized_domains d USING (referral_id)
            WHERE r.is_current AND r.last_seen_at < :before AND (r.gone_at IS NULL OR d.raw_id = r.id)
                AND (:all OR r.referral_id = ANY(CAST(:marks AS text[])))
        """,  # noqa: S608 - a constant of this module
    ),
    Gate(
        stage="partner_center_referrals",
        name="fetched_equals_tracked_plus_failed",
        rule="The current version of every fetched referral that is not gone is tracked or has an open failure.",
        total="fetched",
        parts=("tracked", "failed", "dismissed"),
        broken="lost",
        rows=f"""
            SELECT item, item AS mark, part FROM (
                SELECT r.referral_id AS item, d.raw_id = r.id AND d.decided_at < :before AS decided,
                    CASE WHEN t.raw_id = r.id THEN 'tracked' ELSE {_FAILED} END AS part
                FROM partner_center_referrals_raw r
                LEFT JOIN normalized_domains d USING (referral_id)
                LEFT JOIN partner_center_referrals t USING (referral_id)
                WHERE r.is_current AND r.last_seen_at < :before AND (r.gone_at IS NULL OR t.raw_id = r.id)
                    AND (:all OR r.referral_id = ANY(CAST(:marks AS text[])))
            ) q WHERE decided OR part IS NOT NULL
        """,  # noqa: S608 - a constant of this module
    ),
    Gate(
        stage="partner_center_referrals",
        name="tracked_equals_with_domain_plus_skipped",
        rule="Every tracked referral has the company domain that was decided, or a reason why it has none.",
        total="tracked",
        parts=("with_domain", "skipped"),
        broken="unaccounted for",
        rows="""
            SELECT t.referral_id AS item, t.referral_id AS mark,
                CASE WHEN t.domain = d.domain THEN 'with_domain'
                     WHEN t.domain IS NULL AND d.skip_reason IS NOT NULL THEN 'skipped' END AS part
            FROM partner_center_referrals t LEFT JOIN normalized_domains d USING (referral_id)
            WHERE (d.referral_id IS NULL OR (d.raw_id = t.raw_id AND d.decided_at < :before))
                AND (:all OR t.referral_id = ANY(CAST(:marks AS text[])))
        """,
    ),
    Gate(
        stage="companies",
        name="one_company_per_domain",
        rule="No two companies have the same domain, whatever the case of its letters.",
        total="companies",
        parts=("domains",),
        broken="double",
        rows="""
            SELECT domain AS item, domain AS mark,
                CASE WHEN row_number() OVER (PARTITION BY lower(domain) ORDER BY id) = 1 THEN 'domains' END AS part
            FROM companies
            WHERE :all OR domain = ANY(CAST(:marks AS text[]))
                OR domain = ANY(ARRAY(SELECT lower(m) FROM unnest(CAST(:marks AS text[])) m))
        """,
    ),
    Gate(
        stage="companies",
        name="no_lead_without_company",
        rule="The domain of every lead has a company.",
        total="leads",
        parts=("with_company",),
        broken="without a company",
        rows="""
            SELECT l.external_id AS item, l.domain AS mark,
                CASE WHEN c.domain IS NOT NULL THEN 'with_company' END AS part
            FROM raw_leads l LEFT JOIN companies c USING (domain)
            WHERE l.updated_at < :before AND (:all OR l.domain = ANY(CAST(:marks AS text[])))
        """,
    ),
    Gate(
        stage="companies",
        name="sums_equal_referrals",
        rule="What is kept with each company is what its referrals add up to.",
        total="companies",
        parts=("exact",),
        broken="wrong",
        # What was marked since is about to be added up anew.
        rows=f"""
            SELECT d.domain AS item, d.domain AS mark, CASE WHEN ({", ".join(f"d.{name}" for name in SUMS)})
                IS NOT DISTINCT FROM ({", ".join(f"q.{name}" for name in SUMS)}) THEN 'exact' END AS part
            FROM companies d CROSS JOIN LATERAL ({SUMS_OF_ONE}) q
            WHERE (:all OR d.domain = ANY(CAST(:marks AS text[])))
                AND NOT EXISTS (SELECT FROM stage_queue m WHERE m.stage = 'companies' AND m.item = d.domain)
        """,  # noqa: S608 - constants
    ),
    Gate(
        stage="lead_scores",
        name="scores_within_range_and_explained",
        rule="Every score is between 0 and 100, and the points of its breakdown add up to it.",
        total="scores",
        parts=("explained",),
        broken="out of range or unexplained",
        rows="""
            SELECT domain AS item, domain AS mark,
                CASE WHEN score BETWEEN 0 AND 100 AND score = (
                    SELECT coalesce(sum(points), 0) FROM jsonb_to_recordset(breakdown) AS part(points numeric)
                ) THEN 'explained' END AS part
            FROM lead_scores WHERE :all OR domain = ANY(CAST(:marks AS text[]))
        """,
    ),
)
"""Every gate, in the order of the stages."""


def gates_of(stage: str) -> tuple[Gate, ...]:
    """The gates behind a stage; none for a stage that has none."""
    return tuple(gate for gate in GATES if gate.stage == stage)


def judge_stage(
    connection: Connection, stage: str, before: datetime, run_id: str, seen: Sequence[str] | None
) -> dict[Gate, Verdict]:
    """Judge the gates behind a stage, and have the next run look again at what is broken; the caller commits.

    :param before: when the stage began, aware.
    :param run_id: the run; what its fetch saw is counted too, and what stays failed, behind the stages whose items are
        referrals.
    :param seen: items that the stage looked at; None: everything.
    """
    marks = seen
    if seen is not None and stage in OF_REFERRALS:
        others = connection.execute(text(ALSO_COUNTED), {"run": run_id, "most": MOST_SEEN + 1}).scalars()
        marks = sorted({*seen, *others})
        marks = None if len(marks) > MOST_SEEN else marks
    verdicts = {}
    for gate in gates_of(stage):
        books = read_books(connection, gate, before, marks)
        mark(connection, stage, books.marks)
        verdicts[gate] = judge_books(gate, books)
    return verdicts


def read_books(connection: Connection, gate: Gate, before: datetime, marks: Sequence[str] | None = None) -> Books:
    """Count what `gate` is about.

    :param before: when the stage began, aware; what other runs wrote since is left out.
    :param marks: items of the stage's queue that are counted; None: everything.
    """
    if marks is not None and not marks:
        return Books(0, dict.fromkeys(gate.parts, 0), ())
    parts = ", ".join(f"count(*) FILTER (WHERE part = '{part}') AS {part}" for part in gate.parts)
    known = ", ".join(f"'{part}'" for part in gate.parts)
    stray = f"FILTER (WHERE part IS NULL OR part NOT IN ({known})))[1:{EXAMPLES}]"
    row = (
        connection.execute(
            text(
                f"SELECT count(*) AS total, {parts}, (array_agg(item ORDER BY item) {stray} AS strays,"  # noqa: S608 - constants above
                f" (array_agg(mark ORDER BY item) {stray} AS marks FROM ({gate.rows}) q"
            ),
            {"before": before, "all": marks is None, "marks": list(marks or ())},
        )
        .mappings()
        .one()
    )
    counted = {part: row[part] for part in gate.parts}
    return Books(row["total"], counted, tuple(row["strays"] or ()), tuple(row["marks"] or ()))


def judge_books(gate: Gate, books: Books) -> Verdict:
    """Whether the terms add up to the total."""
    missing = books.missing
    terms = " + ".join(f"{number} {_words(part)}" for part, number in books.parts.items())
    counts = {gate.total: books.total, **books.parts, "missing": missing}
    if missing == 0:
        return Verdict(True, f"{books.total} {gate.total} = {terms}", counts)
    return Verdict(
        False,
        f"{books.total} {gate.total}, but {terms}: {missing} {gate.broken}. {PROCESS_AGAIN}",
        counts,
        Examples(missing, ("item",), tuple((item,) for item in books.strays)),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
