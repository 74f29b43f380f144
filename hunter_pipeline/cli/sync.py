"""`hunter sync`: fetch, decide, scan and score now, from a shell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from hunter_pipeline.cli.console import print_json, ready


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(sync)


def sync(
    since: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="First day (UTC); by default that of the last success"),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Last day (UTC); by default today")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Process again what is fetched, changed or not; without days, everything")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be new or changed and for which days, and write nothing")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False,
) -> None:
    """Fetch referrals from Partner Center and take them all the way to scored leads.

    Without options it catches up: from the day of the last successful sync to today, and everything at the first
    time. A day range is a backfill: it is safe at any time, beside the schedule too, and adds no row twice. The
    run shows in the Dagster UI like any other.

    Exit status 0: everything that could be read went through, and what could not is listed by hunter failures.
    """
    from hunter_pipeline.cli.syncing import preview, show_books, show_preview, sync_now, window_of
    from hunter_pipeline.pipeline.sync_runs import check_pause
    from hunter_pipeline.services import check_connection_settings, check_enabled
    from hunter_pipeline.store.database import open_database

    settings = ready()
    check_enabled(settings)
    check_connection_settings(settings)
    engine = open_database(settings)
    window = window_of(engine, since, until, force=force)
    with engine.connect() as connection:
        check_pause(connection, datetime.now(UTC))
    if dry_run:
        show_preview(preview(settings, engine, window), window, force=force, as_json=as_json)
        return
    books = sync_now(settings, engine, window, force=force)
    if as_json:
        # Named as in the API.
        print_json({"total" if name == "fetched" else name: value for name, value in books.items()})
    else:
        show_books(engine, books)
