"""`hunter erase`: remove a person, a company or a referral from everything, and hold it against the next sync."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hunter_pipeline.cli.console import err, out, print_json, ready

if TYPE_CHECKING:
    from hunter_pipeline.orchestration.erase import Done


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(erase)


def erase(
    referral: Annotated[str | None, typer.Option(help="Partner Center's exact id of one referral")] = None,
    email: Annotated[str | None, typer.Option(help="A person's e-mail address; - reads it from standard input")] = None,
    domain: Annotated[str | None, typer.Option(help="A company's domain, such as contoso.com")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Erase without asking; for scripts")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Lift an earlier erasure: the next full sync may bring it back")
    ] = False,
    forget_all: Annotated[
        bool, typer.Option("--forget-all", help="Lift every erasure, also when its key is lost")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what went as JSON")] = False,
) -> None:
    """Remove a person, a company or one referral from every table and from what Dagster shows.

    Every referral that names the address or domain goes as a whole. A seller in the deal's team is taken out of it, and
    the referral stays. What is left is a keyed hash, by which the next sync counts such referrals as erased on request
    and keeps nothing of them.

    It shows what would go and asks first. It may run beside a sync, and again after a failure.
    """
    from hunter_pipeline.orchestration.erase import erase_everywhere
    from hunter_pipeline.pipeline.erasures import read_key
    from hunter_pipeline.services import make_keys
    from hunter_pipeline.store.database import open_database
    from hunter_pipeline.upkeep.erase import WrongRequest, request_of
    from hunter_pipeline.upkeep.erase import forget as give_up
    from hunter_pipeline.upkeep.erase import forget_all as give_all_up

    settings = ready()
    if email == "-":
        email = sys.stdin.readline().strip()
    if forget_all:
        with open_database(settings).begin() as connection:
            number = give_all_up(connection)
        _show_given_up(number)
        return
    try:
        request = request_of(referral, email, domain)
    except WrongRequest as error:
        raise typer.BadParameter(str(error)) from None
    engine = open_database(settings)
    if forget:
        with engine.begin() as connection:
            number = give_up(connection, request, read_key(connection, lambda: make_keys(settings)))
        if number:
            _show_given_up(number)
        else:
            out().print("It was not erased, or is given up already.")
        return
    console = err()
    with console.status("looking") as status:
        if dry_run or not yes:
            would = erase_everywhere(settings, engine, request, dry_run=True, progress=status.update)
    if dry_run:
        _show(would, "would go", as_json=as_json)
        return
    if not yes:
        _show(would, "would go", as_json=False)
        if not typer.confirm("Erase this for good?", err=True):
            console.print("Nothing was erased.")
            raise typer.Exit(1)
    with console.status("erasing") as status:
        done = erase_everywhere(settings, engine, request, dry_run=False, progress=status.update)
    _show(done, "went", as_json=as_json)


def _show_given_up(number: int) -> None:
    from hunter_pipeline.pipeline.sync_runs import FIRST_DAY

    out().print(f"{number} hashes given up. `hunter sync --since {FIRST_DAY}` brings back what Partner Center has.")


def _show(done: Done, verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json(vars(done))
        return
    table = Table(title=f"{done.referrals} referrals {verb}", title_justify="left", header_style="bold")
    table.add_column("Table")
    table.add_column(f"Rows that {verb}", justify="right")
    table.add_column("Rows that stay without it", justify="right")
    for where, removed, altered in (
        ("", done.removed, done.altered),
        ("Dagster: ", done.dagster_removed, done.dagster_altered),
    ):
        for name in sorted({*removed, *altered}):
            table.add_row(f"{where}{name}", str(removed[name] or ""), str(altered[name] or ""))
    out().print(table)
