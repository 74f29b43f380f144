"""The story of a referral for people, in Markdown, and which stories have something new to tell.

Belongs here: reading many referrals' chains at once, writing one as Markdown, and the feed of changed
referrals by the ids of `referral_lineage`. Does not belong here: the rows themselves (`lineage`) and where the
text is published. Text from payloads is shown as text, never as markup, and e-mail addresses are masked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from hunter_pipeline.masking import mask_email
from hunter_pipeline.readers.lineage import LineageStep, latest_steps

LONGEST_TEXT = 400
"""Characters of one text in a story."""

LONGEST_RUN = timedelta(hours=1)
"""After so long, a run that never ended no longer holds its rows back from the feed."""

_EMAIL = re.compile(r"[^\s<>()\[\],;:\"'|]+@[^\s<>()\[\],;:\"'|]+")
_MARKUP = re.compile(r"([\\`*\[\]<>|#~!]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_]))")
"""What Markdown could read as markup; an underscore inside a word is none, nor an ampersand that begins no entity."""


@dataclass(frozen=True)
class Story:
    """One referral: how it stands, and what each stage decided last.

    :param company: the customer's name, or None.
    :param score: of the referral's domain, or None while there is none; segment, category and reason likewise.
    :param steps: the newest step of each stage, in the order of the stages.
    :param earlier: number of older steps.
    """

    referral_id: str
    company: str | None
    domain: str | None
    referral_type: str | None
    status: str | None
    expires_at: datetime | None
    score: int | None
    segment: str | None
    category: str | None
    reason: str | None
    steps: tuple[LineageStep, ...]
    earlier: int


@dataclass(frozen=True)
class Change:
    """A referral with news.

    :param lineage_id: its newest row in `referral_lineage`.
    """

    referral_id: str
    lineage_id: int


def changed_referrals(
    connection: Connection, after: int, limit: int, unfinished_runs: Sequence[str], now: datetime
) -> list[Change]:
    """Referrals with rows newer than `after`, in the order of their newest row.

    Stages write one at a time, so ids are committed in order and none shows up late. Whoever has handled a
    change continues after its `lineage_id`: a referral comes up once for all of its rows until then. One that is
    fetched and not yet decided is left out (in a backfill another run decides): the decision or the refusal is
    a newer row, with which it comes up.

    :param after: id of the last row that was handled; 0 at first.
    :param unfinished_runs: runs whose rows wait, so that a story is not told in pieces; for an hour at most.
    """
    rows = connection.execute(
        text(
            """
            SELECT referral_id, last FROM (
                SELECT referral_id, max(id) AS last FROM referral_lineage
                WHERE id > :after AND id < coalesce(
                    (SELECT min(id) FROM referral_lineage WHERE run_id = ANY(:runs) AND id > :after
                        AND recorded_at > :stale), 9223372036854775807)
                GROUP BY referral_id
            ) x
            WHERE NOT EXISTS (
                SELECT FROM partner_center_referrals_raw r LEFT JOIN normalized_domains d USING (referral_id)
                WHERE r.referral_id = x.referral_id AND r.is_current AND r.gone_at IS NULL
                    AND d.raw_id IS DISTINCT FROM r.id
                    AND NOT EXISTS (SELECT FROM referral_failures f WHERE f.item_key = r.referral_id
                        AND f.raw_id = r.id AND f.resolved_at IS NULL))
            ORDER BY last LIMIT :limit
            """
        ),
        {"after": after, "runs": list(unfinished_runs), "stale": now - LONGEST_RUN, "limit": limit},
    )
    return [Change(row.referral_id, row.last) for row in rows]


def newest_lineage_id(connection: Connection) -> int:
    """The highest id that `referral_lineage` ever gave out; 0 when none. A smaller one than before: a new table."""
    found: int | None = connection.execute(
        text("SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence('referral_lineage', 'id') AS regclass))")
    ).scalar_one()
    return found or 0


def read_stories(connection: Connection, referral_ids: Sequence[str]) -> dict[str, Story]:
    """The stories of some referrals; those that no stage has taken are not in it."""
    ids = {"ids": list(referral_ids)}
    steps: dict[str, list[LineageStep]] = {}
    for row in connection.execute(
        text(
            "SELECT referral_id, stage, input, decision, row_key, code_version, run_id, recorded_at"
            " FROM referral_lineage WHERE referral_id = ANY(:ids) ORDER BY recorded_at, id"
        ),
        ids,
    ):
        steps.setdefault(row.referral_id, []).append(LineageStep(*row[1:]))
    standing = {
        row["referral_id"]: dict(row)
        for row in connection.execute(
            text(
                "SELECT t.referral_id, t.company_name, t.domain, t.referral_type,"
                " t.status || coalesce('/' || t.substatus, '') AS status, t.expires_at,"
                " s.score, s.segment, s.category, s.reason"
                " FROM partner_center_referrals t LEFT JOIN lead_scores s USING (domain)"
                " WHERE t.referral_id = ANY(:ids)"
            ),
            ids,
        ).mappings()
    }
    stories = {}
    for referral_id, told in steps.items():
        newest = latest_steps(told)
        now = standing.get(referral_id, {})
        stories[referral_id] = Story(
            referral_id=referral_id,
            company=now.get("company_name"),
            domain=now.get("domain"),
            referral_type=now.get("referral_type"),
            status=now.get("status"),
            expires_at=now.get("expires_at"),
            score=now.get("score"),
            segment=now.get("segment"),
            category=now.get("category"),
            reason=now.get("reason"),
            steps=tuple(newest),
            earlier=len(told) - len(newest),
        )
    return stories


def in_short(story: Story) -> str:
    """The story on one line of plain text: company, type, status, score, and why it has that score or none."""
    name = story.company or "Unnamed customer"
    facts = [story.referral_type or "type undecided", f"status {story.status}" if story.status else "not tracked"]
    if story.score is None:
        facts.append("not scored")
        reason = story.steps[-1].decision if story.steps else "no stage has taken it"
    else:
        facts.append(f"score {story.score}, {story.segment}, {story.category}")
        reason = story.reason or ""
    return _one_line(f"{name}: {', '.join(facts)}: {reason}")


def to_markdown(story: Story) -> str:
    """The story from payload to score. Runs are linked by their path in the Dagster UI."""
    score = (
        "not scored" if story.score is None else f"score {story.score}, {plain(story.segment)}, {plain(story.category)}"
    )
    facts = [
        f"referral {plain(story.referral_id)}",
        plain(story.domain) if story.domain else "no company domain",
        plain(story.referral_type) if story.referral_type else "type undecided",
    ]
    if story.status:
        facts.append(f"status {plain(story.status)}")
    if story.expires_at:
        facts.append(f"expires {story.expires_at:%Y-%m-%d}")
    lines = [f"### {plain(story.company) if story.company else 'Unnamed customer'}: {score}", "", ", ".join(facts), ""]
    for number, step in enumerate(story.steps, 1):
        lines += [
            f"{number}. **{step.stage}**: {plain(step.decision)}",
            f"    - came in: {plain(step.input) if step.input else 'nothing'}",
            f"    - wrote: {plain(step.row_key) if step.row_key else 'nothing'}",
            f"    - by rules {plain(step.code_version)} in [run {plain(step.run_id[:8])}](/runs/{step.run_id}),"
            f" {step.recorded_at:%Y-%m-%d %H:%M:%S} UTC",
        ]
    if story.earlier:
        lines += ["", f"{story.earlier} earlier steps: `hunter lineage --history` prints them."]
    return "\n".join(lines)


def plain(value: str | None) -> str:
    """Text that Markdown shows as it is, on one line, shortened, with e-mail addresses masked."""
    return _MARKUP.sub(r"\\\1", _one_line(value or "-"))


def _one_line(value: str) -> str:
    line = _EMAIL.sub(lambda found: mask_email(found[0]), " ".join(value.split()))
    return line[:LONGEST_TEXT] + "…" if len(line) > LONGEST_TEXT else line
