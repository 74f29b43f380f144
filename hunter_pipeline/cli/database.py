"""`hunter db`: the tables' revision, up and down."""

from __future__ import annotations

from typing import Annotated

import typer

from hunter_pipeline.cli.console import out, print_json, ready

group = typer.Typer(
    name="db",
    help="Look at and change the revision of Hunter's tables.\n\nThe embedded database upgrades itself; a server in "
    "HUNTER_DATABASE_URL is changed only by these commands.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(group)


@group.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Revision to go up to; the newest by default")] = "head",
) -> None:
    """Create Hunter's and Dagster's tables or bring them up to date. Safe to repeat, also beside running syncs."""
    from hunter_pipeline.store import migrate
    from hunter_pipeline.store.database import urls_of
    from hunter_pipeline.store.engine import describe

    settings = ready()
    urls = urls_of(settings)
    state = migrate.upgrade(urls.hunter, revision)
    out().print(f"{describe(urls.hunter)}: at revision {state.current}", markup=False, soft_wrap=True)
    from hunter_pipeline.orchestration.dagster_tables import upgrade_dagster  # imports Dagster, which takes seconds

    dagster = upgrade_dagster(settings)
    out().print(f"{describe(urls.dagster)}: at revision {dagster.current}", markup=False, soft_wrap=True)


@group.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="Revision to go back to, such as -1 or 0001; base drops everything")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Take the tables back to an older revision. What the newer ones held is lost; take a backup first."""
    from hunter_pipeline.store import migrate
    from hunter_pipeline.store.database import urls_of
    from hunter_pipeline.store.engine import describe

    url = urls_of(ready()).hunter
    if not yes:
        typer.confirm(f"Rows of newer tables in {describe(url)} will be lost. Go on?", abort=True)
    state = migrate.downgrade(url, revision)
    out().print(f"{describe(url)}: at revision {state.current or 'base (no tables)'}")


@group.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Say where the tables stand. Exit status 1 when an upgrade is waiting."""
    from hunter_pipeline.store import migrate
    from hunter_pipeline.store.database import urls_of
    from hunter_pipeline.store.engine import describe

    url = urls_of(ready()).hunter
    state = migrate.status(url)
    if as_json:
        print_json({"database": describe(url), "current": state.current, "head": state.head})
    elif not state.known:
        raise migrate.SchemaNewer(state)
    else:
        fix = "up to date" if state.up_to_date else "run `hunter db upgrade`"
        out().print(f"{describe(url)}: at revision {state.current or 'none'}, newest is {state.head}: {fix}")
    if not state.up_to_date:
        raise typer.Exit(1)
