"""`hunter doctor`: the findings as a table or JSON, and the command that comes next.

Belongs here: how findings are shown. Does not belong here: what is looked at (`doctor`, `examinations`).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json

STEPS = ("hunter init", "hunter db upgrade", "hunter login", "hunter sync", "hunter dev")
"""What can come next, in the order in which it is done."""

MARKS = {"ok": "[green]ok[/green]", "warning": "[yellow]![/yellow]", "problem": "[red]x[/red]", "left out": "-"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON")] = False) -> None:
    """Check settings, database, sign-in, API, DNS, daemon and schedule, and say what to do.

    Exit status 1 when something keeps a sync from working. Warnings, such as the feature flag being off or a daemon
    that does not run, do not. The last line names the command that comes next.
    """
    from hunter_pipeline.cli.doctor import examine

    findings = []
    with err().status("checking") as status:
        for finding in examine(datetime.now(UTC)):
            findings.append(finding)
            status.update(f"checked {finding.check}")
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            table.add_row(MARKS[finding.state], finding.check, Text(finding.detail))
        out().print(table)
        following = [finding.next for finding in findings if finding.next is not None]
        if following:
            out().print(f"\nnext: {min(following, key=STEPS.index)}", style="bold", markup=False, soft_wrap=True)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)
