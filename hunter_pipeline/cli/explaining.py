"""How the explanation of a score, and the preview of other rules, are shown in a terminal.

Belongs here: tables and words. Does not belong here: options (`cli.scoring`), and what is explained
(`readers.explanation`, `readers.rules_preview`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import out
from hunter_pipeline.cli.lead_table import SEGMENT_STYLES
from hunter_pipeline.cli.scanning import STATES
from hunter_pipeline.pipeline.scores import rules_version
from hunter_pipeline.readers.explanation import Explanation
from hunter_pipeline.scoring.document import RulesError
from hunter_pipeline.scoring.facts import NUMBER_FACTS, WORD_FACTS
from hunter_pipeline.scoring.preview import Change, Mover, Preview
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.score import Score
from hunter_pipeline.services import make_rules
from hunter_pipeline.settings import Settings
from hunter_pipeline.vocabulary import provider_label

CAUSES = {
    "first": "first scored",
    "signals": "the domain's signals changed",
    "referral": "a referral opened, closed or declared a tenant",
    "rules": "the rules or their settings changed",
}
"""Why a score changed, in words."""


def print_explanation(explanation: Explanation, current: Score) -> None:
    """Print a score with its parts, facts and history. Text from payloads is shown as text, never as markup."""
    console = out()
    company = f"  {explanation.company_name}" if explanation.company_name else ""
    console.print(Text.assemble((explanation.domain, "bold"), company))
    console.print(
        Text.assemble(
            (f"Score {current.score}", "bold"), "  ", (current.segment, SEGMENT_STYLES.get(current.segment, "")),
            f"  {current.category} {current.category_label}  priority {current.priority_score} (1 best, 7 last)",
        )
    )  # fmt: skip
    console.print(Text(current.reason))
    console.print(
        Text(
            f"{current.commercial_segment}, commercial heat {current.commercial_heat}, "
            f"technical heat {current.technical_heat}",
            "dim",
        )
    )
    parts = Table(box=None, pad_edge=False, show_footer=True, padding=(0, 2, 0, 0), header_style="dim")
    parts.add_column(
        "Points", f"{sum(part.points for part in current.breakdown)}", justify="right", footer_style="bold"
    )
    parts.add_column("Why", "the score", footer_style="bold")
    parts.add_column("Rule", style="dim")
    for part in current.breakdown:
        parts.add_row(f"{part.points:+d}" if part.points else "0", Text(part.detail), Text(part.rule))
    console.print()
    console.print(parts)
    console.print(Text("\nFacts", "bold"))
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for label, value in _fact_rows(explanation):
        facts.add_row(f"  {label}", Text(value))
    console.print(facts)
    console.print(Text("\nHistory (newest first, UTC)", "bold"))
    history = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for change in explanation.history:
        history.add_row(
            f"  {change.changed_at:%Y-%m-%d %H:%M}",
            _step(change.old_score, change.new_score),
            _step(change.old_segment, change.new_segment),
            _step(change.old_category, change.new_category),
            CAUSES.get(change.cause, change.cause),
            Text(f"run {change.run_id}", "dim"),
        )
    console.print(history)


def print_preview(file: Path, found: Preview) -> None:
    """Print how many leads would change, from what to what, and who moves most."""
    console = out()
    if not found.total:
        console.print("No lead is scored yet, so there is nothing to compare. Run hunter sync first.")
        return
    console.print(Text(f"{file}: {found.changed} of {found.total} leads would change"))
    if not found.changed:
        return
    for name, changes in (("segment", found.segments), ("category", found.categories)):
        moved = sum(change.count for change in changes)
        console.print(Text(f"\n{moved} would change {name}", "bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(justify="right")
        for change in changes:
            table.add_row(f"  {change.count}", f"{change.before} -> {change.after}")
        if changes:
            console.print(table)
    console.print(
        Text("\nBiggest movers" + (f" (of {found.changed})" if found.changed > len(found.movers) else ""), "bold")
    )
    table = Table(header_style="bold")
    for column in ("Domain", "Score", "Points", "Segment", "Category", "Because of"):
        table.add_column(column, justify="right" if column == "Points" else "left")
    for mover in found.movers:
        before, after = mover.before, mover.after
        table.add_row(
            Text(mover.domain),
            _step(before.score, after.score),
            f"{mover.points:+d}",
            _step(before.segment, after.segment),
            _step(before.category, after.category),
            Text(", ".join(_because(mover))),
        )
    console.print(table)
    console.print("Nothing was written. To go live: point HUNTER_SCORING_RULES at the file and run hunter sync.")


def _because(mover: Mover) -> list[str]:
    """The rules whose points differ, as `name before -> after`; a lead can also move by a moved threshold."""
    before, after = ({part.rule: part.points for part in side.breakdown} for side in (mover.before, mover.after))
    changed = [
        f"{rule} {before.get(rule, 0):+d} -> {after.get(rule, 0):+d}"
        for rule in dict.fromkeys([*before, *after])
        if before.get(rule, 0) != after.get(rule, 0)
    ]
    return changed or ["a threshold"]


def _step(before: object, after: object) -> str:
    return str(after) if before is None or before == after else f"{before} -> {after}"


def _fact_rows(explanation: Explanation) -> list[tuple[str, str]]:
    facts = explanation.facts
    rows: list[tuple[str, str]] = []
    if facts.get("has_signals"):
        policy = facts.get("dmarc_policy")
        rows.append(("Provider (by DNS)", provider_label(facts["provider"])))
        for each in WORD_FACTS:
            more = f", policy {policy}" if each.name == "dmarc" and policy else ""
            rows.append((each.fact.title, _fact(each.name, facts.get(each.name) or "unknown", explanation) + more))
        rows += [(each.fact.title, str(facts[each.name])) for each in NUMBER_FACTS if facts.get(each.name) is not None]
    rows.append(("Scanned", f"{explanation.scanned_at:%Y-%m-%d %H:%M} UTC" if explanation.scanned_at else "never"))
    rows.append(("Declared Azure tenant", "yes" if facts.get("azure_tenant") else "no"))
    rows.append(("Open referrals", ", ".join(facts.get("open_types", [])) or "none whose type is known"))
    return rows


def _fact(name: str, state: str, explanation: Explanation) -> str:
    words = STATES.get((name, state), state)
    if name in explanation.kept:
        return f"{words} (the last look-up failed; this is from the scan of {explanation.kept[name][:16]})"
    return "unknown: the look-up failed" if state == "unknown" else words


def why_not_scored(domain: str, explanation: Explanation | None) -> str:
    """Why a domain has no score, and what gives it one."""
    if explanation is None:
        return f"no referral of {domain} is known; hunter leads lists the companies, hunter sync fetches new ones"
    if explanation.scanned_at is None:
        return f"{domain} has no signals yet, so it has no score; hunter sync looks it up and scores it"
    return f"{domain} was looked up but is not scored yet; hunter sync scores it"


def out_of_date(settings: Settings, explanation: Explanation) -> str | None:
    """A warning when the score was not made by the rules in use; None when it was."""
    try:
        rules = make_rules(settings)
    except RulesError:
        return "The rules file in use has faults, so this score cannot be brought up to date; run hunter rules check."
    version = rules_version(rules, settings.partner_center_azure_tenant_score, settings.partner_center_cosell_bonus)
    if version == explanation.rules_hash:
        return None
    return "The rules or their settings have changed since; the next sync scores this domain again."


def preview_record(file: Path, rules: Rules, found: Preview) -> dict[str, Any]:
    """A preview as plain values under JSON's names."""

    def changes(rows: tuple[Change, ...]) -> list[dict[str, Any]]:
        return [asdict(row) for row in rows]

    return {
        "file": str(file),
        "hash": rules.hash,
        "total": found.total,
        "changed": found.changed,
        "segments": changes(found.segments),
        "categories": changes(found.categories),
        "movers": [
            {
                "domain": mover.domain,
                "points": mover.points,
                "before": asdict(mover.before),
                "after": asdict(mover.after),
            }
            for mover in found.movers
        ],
    }
