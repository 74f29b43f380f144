"""`hunter score` and `hunter rules`: why a lead has its score, and what other rules would change.

Belongs here: options. Does not belong here: how explanations and previews are shown (`explaining`), scoring, and
reading what is stored (`readers.explanation`, `readers.rules_preview`).
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json, ready

group = typer.Typer(
    name="rules",
    help="Check and try scoring rules before they go live.\n\nHUNTER_SCORING_RULES names the file in use; unset, it is "
    "the one that Hunter ships.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(score)
    app.add_typer(group)


def score(
    domain: Annotated[str, typer.Argument(help="The company's domain; a website or e-mail address stands for it")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Explain a lead's score: the parts that add up to it, the facts behind them, and how it changed over time.

    Exit status 1 when the domain has no score.
    """
    from hunter_pipeline.cli.explaining import out_of_date, print_explanation, why_not_scored
    from hunter_pipeline.cli.names import REFUSALS, company_domain, shown
    from hunter_pipeline.readers.explanation import explain_score
    from hunter_pipeline.readers.lead_list import referral_ids
    from hunter_pipeline.store.database import open_database

    settings = ready()
    found, reason = company_domain(domain)
    if found is None:
        assert reason is not None
        raise typer.BadParameter(f"{shown(domain)!r} names no company: {REFUSALS[reason]}", param_hint="DOMAIN")
    with open_database(settings).connect() as connection:
        explanation = explain_score(connection, found)
        ids = referral_ids(connection, [found]).get(found, [])
    if explanation is None or explanation.score is None:
        err().print(f"hunter: {why_not_scored(found, explanation)}", style="bold red", markup=False)
        raise typer.Exit(1)
    note = out_of_date(settings, explanation)
    if as_json:
        content = asdict(explanation)
        print_json({**content, "referral_ids": ids, "up_to_date": note is None})
        return
    print_explanation(explanation, explanation.score)
    if ids:
        out().print(Text("\nReferrals (hunter lineage ID tells their story)", "bold"))
        out().print(Text("  " + "\n  ".join(ids)))
    if note is not None:
        out().print(Text(f"\n{note}", "bold yellow"))


@group.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="Rules file; by default the one in use")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Say what is wrong in a rules file: every fault with its line and what to write instead.

    Needs no database. Exit status 1 when there is a fault.
    """
    from hunter_pipeline.scan.providers import catalogue
    from hunter_pipeline.scoring.document import RulesError
    from hunter_pipeline.scoring.rules_file import load_rules

    path = file or ready().scoring_rules
    name = str(path) if path is not None else "the packaged rules"
    try:
        rules = load_rules(path, catalogue().names)
    except RulesError as error:
        if as_json:
            problems = [asdict(problem) for problem in error.problems]
            print_json({"file": name, "valid": False, "hash": None, "problems": problems})
        else:
            out().print(str(error), markup=False, soft_wrap=True)
            faults = len(error.problems)
            err().print(f"hunter: {faults} fault{'s' if faults != 1 else ''} in {name}", style="bold red", markup=False)
        raise typer.Exit(1) from None
    if as_json:
        print_json({"file": name, "valid": True, "hash": rules.hash, "problems": []})
    else:
        rows = len(rules.signals) + len(rules.hard_fail) + len(rules.segments) + len(rules.commercial_segments)
        out().print(f"{name}: no fault in {rows} rules (version {rules.hash[:12]})", markup=False)


@group.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write; by default standard output")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there")] = False,
) -> None:
    """Write the rules that Hunter ships, with their comments, as a start for your own.

    Change the copy, try it with hunter rules preview, and name it in HUNTER_SCORING_RULES.
    """
    text = (resources.files("hunter_pipeline.scoring") / "rules.yaml").read_text("utf-8")
    if file is None:
        sys.stdout.write(text)
        return
    if file.exists() and not force:
        raise typer.BadParameter(f"{file} is there already; name another file or add --force", param_hint="FILE")
    file.write_text(text, "utf-8")
    err().print(f"written to {file}; put HUNTER_SCORING_RULES={file} into .env to use it", markup=False, soft_wrap=True)


@group.command()
def preview(
    file: Annotated[Path, typer.Argument(help="The rules file to try")],
    tenant_score: Annotated[
        int | None, typer.Option(min=0, max=100, help="Try this score of a declared Azure tenant as well")
    ] = None,
    cosell_bonus: Annotated[
        int | None, typer.Option(min=0, max=100, help="Try this bonus of an open co-sell referral as well")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Say what a rules file would do to the leads as they stand: nothing is written, nothing goes live.

    Compares the scores that the list shows now with those that FILE would give for the same facts, and names the
    twenty biggest movers with the rules that move them.
    """
    from hunter_pipeline.cli.explaining import preview_record, print_preview
    from hunter_pipeline.readers.rules_preview import preview_rules
    from hunter_pipeline.services import make_rules
    from hunter_pipeline.store.database import open_database

    settings = ready()
    rules = make_rules(settings, file)
    found = preview_rules(
        open_database(settings),
        rules,
        tenant_score=settings.partner_center_azure_tenant_score if tenant_score is None else tenant_score,
        cosell_bonus=settings.partner_center_cosell_bonus if cosell_bonus is None else cosell_bonus,
    )
    if as_json:
        print_json(preview_record(file, rules, found))
    else:
        print_preview(file, found)
