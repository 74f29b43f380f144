"""`hunter leads`, `lineage`, `failures`: look at what the pipeline made."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine, text

from hunter_pipeline.cli.console import err, out, print_json, ready
from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.export import lead_record, write_csv, write_xlsx
from hunter_pipeline.readers.lead_columns import PRINTED, Lead
from hunter_pipeline.readers.lead_list import LeadFilter, iter_leads
from hunter_pipeline.readers.lineage import LineageStep, find_referrals, latest_steps, read_lineage
from hunter_pipeline.store.database import open_database
from hunter_pipeline.vocabulary import ReferralTypeFilter, badge

SEGMENT_STYLES = {"Existing": "cyan", "Migration": "bold green", "Cold": "blue", "Skip": "dim"}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(leads)
    app.command()(lineage)
    app.command()(failures)


def leads(
    form: Annotated[
        Literal["table", "csv", "json", "xlsx"], typer.Option("--format", "-f", help="How to print the list")
    ] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file; xlsx needs one")] = None,
    category: Annotated[str | None, typer.Option(help="Only this category: P1 to P6")] = None,
    segment: Annotated[str | None, typer.Option(help="Only this segment: Existing, Migration, Cold, Skip")] = None,
    provider: Annotated[str | None, typer.Option(help="Only this mailbox provider, such as M365 or Google")] = None,
    referral: Annotated[
        ReferralTypeFilter | None,
        typer.Option(help="Only leads whose referrals are of this type"),
    ] = None,
    min_score: Annotated[int | None, typer.Option(min=0, max=100, help="Only leads with at least this score")] = None,
    search: Annotated[str | None, typer.Option(help="Part of the company's name or domain")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Print at most so many")] = None,
) -> None:
    """Print the ranked list of leads: best category first, then the highest score, each with its reason.

    The table goes to the terminal; csv and json go to standard output or a file; xlsx goes to a file. Every row
    stands for one company domain.
    """
    if form == "xlsx" and output is None:
        raise typer.BadParameter("an Excel file cannot be printed; name a file with --output leads.xlsx")
    engine = open_database(ready())
    chosen = LeadFilter(
        referral_type=referral,
        segment=segment,
        provider=provider,
        category=category,
        min_score=min_score,
        text=search,
    )
    if form == "table":
        print_leads(engine, chosen, limit)
        return
    rows = _read(engine, chosen, limit)
    if form == "json":
        content = [lead_record(lead) for lead in rows]
        if output is None:
            print_json(content)
        else:
            with output.open("w", encoding="utf-8") as file:
                print_json(content, file)
    elif form == "csv" and output is None:
        sys.stdout.writelines(write_csv(rows))
    elif form == "csv":
        assert output is not None
        with output.open("w", encoding="utf-8", newline="") as file:
            file.writelines(write_csv(rows))
    else:
        assert output is not None
        output.write_bytes(write_xlsx(rows))
    if output is not None:
        err().print(f"{len(rows)} leads written to {output}", markup=False)


def _read(engine: Engine, chosen: LeadFilter, limit: int | None) -> list[Lead]:
    with engine.connect() as connection:
        rows: list[Lead] = []
        for lead in iter_leads(connection, chosen):
            if limit is not None and len(rows) >= limit:
                break
            rows.append(lead)
    return rows


def print_leads(engine: Engine, chosen: LeadFilter | None = None, limit: int | None = None) -> None:
    """Print leads as a table. Text from payloads is shown as text, never as markup."""
    rows = _read(engine, chosen or LeadFilter(), limit)
    if not rows:
        out().print("No leads. Fetch some with hunter sync, or see samples with hunter demo.")
        return
    table = Table(header_style="bold", row_styles=("", "on grey11") if out().is_terminal else ())
    for column in PRINTED:
        table.add_column(column.label, **_LAYOUT.get(column.name, {}), justify="right" if column.is_number else "left")
    for lead in rows:
        table.add_row(*(_cell(lead, column) for column in PRINTED))
    out().print(table)


_LAYOUT: dict[str, Any] = {
    "company_name": {"max_width": 28, "no_wrap": True},
    "domain": {"no_wrap": True},
    "reason": {"ratio": 1},
}


def _cell(lead: Lead, column: Declared) -> Text:
    """The value of a declared column, by the column's kind."""
    value = getattr(lead, column.name)
    if column.kind == "referral_type":
        return Text(badge(value))
    if column.kind == "segment":
        return Text(value or "not scored", SEGMENT_STYLES.get(value or "", ""))
    if value is None:
        return Text("no signals yet" if column.name == "reason" else "-")
    return Text(f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value))


def lineage(
    referral_id: Annotated[str, typer.Argument(help="Partner Center's id of the referral, or its first characters")],
    history: Annotated[bool, typer.Option("--history", help="Every step ever, not the newest of each stage")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Tell the story of one referral: what each stage took in, what it decided and why, and which run did it."""
    engine = open_database(ready())
    with engine.connect() as connection:
        found = find_referrals(connection, referral_id)
        exact = [referral_id] if referral_id in found else found
        if not exact:
            raise typer.BadParameter(
                f"no referral starts with {referral_id!r}; hunter leads and the Dagster UI show ids",
                param_hint="REFERRAL_ID",
            )
        if len(exact) > 1:
            raise typer.BadParameter(
                f"several referrals start with {referral_id!r}: {', '.join(exact)}", param_hint="REFERRAL_ID"
            )
        steps = read_lineage(connection, exact[0])
    shown = steps if history else latest_steps(steps)
    if as_json:
        print_json({"referral_id": exact[0], "steps": [asdict(step) for step in shown]})
    else:
        print_steps(exact[0], shown)


def print_steps(referral_id: str, steps: list[LineageStep]) -> None:
    """Print the steps as a story from payload to score."""
    out().print(f"Referral {referral_id}", style="bold", markup=False)
    for step in steps:
        out().print(Text.assemble(("\n  " + step.stage, "bold cyan"), f"  {step.recorded_at:%Y-%m-%d %H:%M:%S} UTC"))
        out().print(Text(f"    in:   {step.input or '-'}"))
        out().print(Text(f"    did:  {step.decision}"))
        out().print(Text(f"    row:  {step.row_key or '-'}    run {step.run_id}    rules {step.code_version}", "dim"))
    if not steps:
        out().print("  no stage has taken it yet; run hunter sync")


def failures(
    everything: Annotated[bool, typer.Option("--all", help="Also those that went through later")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the exact payload of each item")] = False,
) -> None:
    """List the referrals that a stage could not take, with stage and error.

    They are kept and tried again when they change; hunter sync --force tries all that it fetches. Exit status 0
    also when there are some.
    """
    engine = open_database(ready())
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT item_key, stage, error, occurrences, first_seen_at, last_seen_at, resolved_at, run_id, payload"
                " FROM referral_failures WHERE :everything OR resolved_at IS NULL ORDER BY last_seen_at DESC, item_key"
            ),
            {"everything": everything},
        ).mappings()
        found = [dict(row) for row in rows]
    if as_json:
        print_json(found)
        return
    if not found:
        out().print("No failures.")
        return
    table = Table(header_style="bold")
    for name in ("Referral", "Stage", "Error", "Times", "Last seen (UTC)", "State"):
        table.add_column(name, overflow="fold")
    for row in found:
        table.add_row(
            Text(row["item_key"]),
            row["stage"],
            Text(row["error"]),
            str(row["occurrences"]),
            f"{row['last_seen_at']:%Y-%m-%d %H:%M}",
            "resolved" if row["resolved_at"] else "open",
        )
    out().print(table)
