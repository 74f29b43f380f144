"""`hunter scan`: ask DNS about any domains now, and show what was found and what could not be found out.

Belongs here: the options. Does not belong here: what is done with them (`scanning`), which questions are asked and what
replies mean (`scan`). Needs no database and writes nothing, so that it is safe to try on domains that are no leads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hunter_pipeline.cli.console import err, ready


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(scan)


def scan(
    domains: Annotated[
        list[str] | None, typer.Argument(help="Domains, websites or e-mail addresses; - reads them from standard input")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Read names from this file, one or more a line, # starts a comment; - as above"),
    ] = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Tell of each question in order who answered what, and what it decided")
    ] = False,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with the columns domain and provider of this CSV file")
    ] = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="How to print it")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="As --format json: every reply in full")] = False,
) -> None:
    """Look domains up and print signals, mailbox provider with its evidence, and the status of every look-up.

    A website or an e-mail address stands for its company's domain, by the rules that referrals go through. Nothing
    is stored, and no database is needed. With --explain and --against, e-mail addresses in records are masked: what
    they print can be sent to whoever keeps the catalogue of providers.

    Exit status 1 when a name was refused, or when a provider is not the expected one of --against; the others are
    looked up all the same. A look-up that failed is shown as such, and its signal as unknown.
    """
    from hunter_pipeline.cli.names import REFUSALS, shown
    from hunter_pipeline.cli.scanning import compare, print_all, print_scan, read_names, scan_all
    from hunter_pipeline.services import make_dns_settings

    settings = ready()
    as_json = as_json or form == "json"
    if against is not None:
        if domains or file is not None:
            raise typer.BadParameter("--against takes its domains from the file; leave the others away")
        compare(against, make_dns_settings(settings), as_json=as_json, explained=explained)
        return
    names = read_names(domains or [], file)
    if not names.domains and not names.refused:
        raise typer.BadParameter("no domain given; try hunter scan example.com, or --file names.txt")
    for given, reason in names.refused:
        err().print(f"hunter: {shown(given)!r} was not looked up: {REFUSALS[reason]}", style="bold red", markup=False)
    results = scan_all(list(names.domains), make_dns_settings(settings))
    if as_json:
        print_all(names, results, explained=explained)
    else:
        for result in results:
            print_scan(result, names.domains[result.domain], explained=explained)
    if names.refused:
        raise typer.Exit(1)
