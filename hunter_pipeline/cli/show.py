"""`hunter leads`, `lineage`: look at what the pipeline made."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json, ready

if TYPE_CHECKING:
    from hunter_pipeline.readers.lineage import LineageStep


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(leads)
    app.command()(lineage)


def leads(
    form: Annotated[
        Literal["table", "csv", "json", "xlsx"], typer.Option("--format", "-f", help="How to print the list")
    ] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file; xlsx needs one")] = None,
    category: Annotated[str | None, typer.Option(help="Only this category: P1 to P6, or unscored")] = None,
    segment: Annotated[str | None, typer.Option(help="Only this segment: Existing, Migration, Cold, Skip")] = None,
    provider: Annotated[str | None, typer.Option(help="Only this mailbox provider, such as M365 or Google")] = None,
    referral: Annotated[
        str | None, typer.Option(help="Only this type of referral: co-sell, marketplace, solution-provider, none")
    ] = None,
    min_score: Annotated[int | None, typer.Option(min=0, max=100, help="Only leads with at least this score")] = None,
    search: Annotated[str | None, typer.Option(help="Words of the company's name or domain, in any order")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Print at most so many")] = None,
) -> None:
    """Print the ranked list of leads: best category first, then the highest score, each with its reason.

    The table goes to the terminal; csv and json go to standard output or a file; xlsx goes to a file. Every row
    stands for one company domain.
    """
    from hunter_pipeline.cli.lead_table import print_leads, read_leads
    from hunter_pipeline.readers.export import lead_record, write_csv, write_xlsx
    from hunter_pipeline.readers.lead_list import LeadFilter, referral_ids
    from hunter_pipeline.store.database import open_database
    from hunter_pipeline.vocabulary import provider_named

    if form == "xlsx" and output is None:
        raise typer.BadParameter("an Excel file cannot be printed; name a file with --output leads.xlsx")
    engine = open_database(ready())
    chosen = LeadFilter(
        referral_type=_one_of("referral_type", referral, "--referral"),
        segment=_one_of("segment", segment, "--segment"),
        provider=_one_of("provider", provider and provider_named(provider), "--provider"),
        category=_one_of("category", category, "--category"),
        min_score=min_score,
        text=search,
    )
    if form == "table":
        print_leads(engine, chosen, limit)
        return
    rows = read_leads(engine, chosen, limit)
    if form == "json":
        with engine.connect() as connection:
            ids = referral_ids(connection, [lead.domain for lead in rows])
        content = [{**lead_record(lead), "referral_ids": ids.get(lead.domain, [])} for lead in rows]
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
        with output.open("wb") as workbook:
            workbook.writelines(write_xlsx(rows))
    if output is not None:
        err().print(f"{len(rows)} leads written to {output}", markup=False)


def _one_of(parameter: str, value: str | None, option: str) -> str | None:
    from hunter_pipeline.readers.lead_list import choice

    try:
        return None if value is None else choice(parameter, value)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def lineage(
    referral_id: Annotated[str, typer.Argument(help="Partner Center's id of the referral, or its first characters")],
    history: Annotated[bool, typer.Option("--history", help="Every step ever, not the newest of each stage")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Tell the story of one referral: what each stage took in, what it decided and why, and which run did it."""
    from hunter_pipeline.cli.referral_ids import the_referral
    from hunter_pipeline.readers.lineage import latest_steps, read_lineage
    from hunter_pipeline.store.database import open_database

    engine = open_database(ready())
    with engine.connect() as connection:
        referral_id = the_referral(connection, referral_id)
        steps = read_lineage(connection, referral_id)
    shown = steps if history else latest_steps(steps)
    if as_json:
        print_json({"referral_id": referral_id, "steps": [asdict(step) for step in shown]})
    else:
        print_steps(referral_id, shown)


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
