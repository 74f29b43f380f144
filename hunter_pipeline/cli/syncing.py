"""What `hunter sync` and `hunter demo` do: run a sync with a line of progress, or ask what one would find.

Belongs here: the days that are meant, progress, and how books and previews are shown. Does not belong here: options
(`sync`), and the run itself (`orchestration.run_sync`).
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, date, datetime

import typer
from rich.table import Table
from sqlalchemy import Engine, RowMapping

from hunter_pipeline.cli.console import err, out, print_json
from hunter_pipeline.cli.loading import loading
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.fetch_preview import Preview, preview_fetch
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window, asked_window, last_success, read_sync, skip_reasons
from hunter_pipeline.services import make_client, make_keys, make_sign_in
from hunter_pipeline.settings import Settings


def sync_now(settings: Settings, engine: Engine, window: Window, *, force: bool = False) -> RowMapping:
    """Run a sync with a progress line and return its books.

    :raises typer.Exit: it failed; the reason was printed.
    """
    # Dagster takes seconds to import, which a dry run need not pay.
    with loading():
        from hunter_pipeline.orchestration.run_sync import run_sync

    console = err()
    started = time.monotonic()
    with console.status("syncing") as status:

        def show(line: str) -> None:
            if console.is_terminal:
                status.update(line)
            else:
                console.print(line, markup=False)

        outcome = run_sync(settings, window, force=force, show=show)
    if outcome.error is not None:
        console.print(f"hunter: the sync failed: {outcome.error}", style="bold red", markup=False)
        raise typer.Exit(1)
    with engine.connect() as connection:
        books = read_sync(connection, outcome.run_id)
    assert books is not None
    console.print(f"synced in {time.monotonic() - started:.1f} s, run {outcome.run_id}", style="dim", markup=False)
    return books


def preview(settings: Settings, engine: Engine, window: Window) -> Preview:
    """Ask the API what a sync would find, with a progress line. Nothing is written but a renewed sign-in."""
    with err().status("asking") as status:
        context = StageContext(engine, "dry run", progress=status.update, keys=lambda: make_keys(settings))
        return preview_fetch(context, make_client(settings, make_sign_in(settings, engine)), window)


def show_preview(found: Preview, window: Window, *, force: bool, as_json: bool) -> None:
    """Print what a sync would find, day by day."""
    days = {day.isoformat(): asdict(count) for day, count in sorted(found.days.items())}
    totals = {kind: sum(day[kind] for day in days.values()) for kind in ("new", "changed", "unchanged")}
    if as_json:
        print_json(
            {
                "dry_run": True,
                "since": window.start.isoformat(),
                "until": window.end.isoformat(),
                **totals,
                "unreadable": found.unreadable,
                "erased": found.erased,
                "days": days,
            }
        )
        return
    table = Table(box=None, pad_edge=False)
    for name in ("day", *totals):
        table.add_column(name, justify="left" if name == "day" else "right")
    for day, count in days.items():
        if force or count["new"] or count["changed"]:
            table.add_row(day, *(str(number) for number in count.values()))
    table.add_row("all days", *(str(number) for number in totals.values()), style="bold")
    out().print(table)
    if found.unreadable:
        out().print(f"{found.unreadable} cannot be read and would be listed by hunter failures")
    if found.erased:
        out().print(f"{found.erased} are erased on request and would not be kept")
    again = "all of them" if force else "the new and changed ones"
    out().print(f"Nothing was written. The same command without --dry-run processes {again}.")


def show_books(engine: Engine, books: RowMapping) -> None:
    """Print where the fetched referrals went; the lines add up."""
    with engine.connect() as connection:
        reasons = skip_reasons(connection, books["run_id"])
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_row(str(books["fetched"]), f"fetched ({books['new_versions']} new or changed)")
    table.add_row(str(books["succeeded"]), "= with a lead")
    skipped = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in reasons.items()) or "none"
    table.add_row(str(books["skipped"]), f"+ skipped: {skipped}")
    known = f"{books['failed_before']} known from before; " if books["failed_before"] else ""
    failed = f" ({known}see hunter failures)" if books["failed"] else ""
    table.add_row(str(books["failed"]), f"+ failed{failed}")
    if books["erased"]:
        table.add_row(str(books["erased"]), "beside these: erased on request, not kept")
    out().print(table)


def window_of(engine: Engine, since: str | None, until: str | None, *, force: bool) -> Window:
    """The days that a sync goes over, from what was given of them.

    :raises typer.BadParameter: they are no days, or none that can be fetched.
    """
    today = datetime.now(UTC).date()
    end = _day(until, "--until") if until else today
    if end > today:
        raise typer.BadParameter(f"{end} is in the future; today is {today} (UTC)", param_hint="--until")
    if since:
        start = max(_day(since, "--since"), FIRST_DAY)
    elif until:
        start = FIRST_DAY
    else:
        with engine.connect() as connection:
            start = asked_window(last_success(connection), today, force=force).start
    if start > end:
        raise typer.BadParameter(f"{start} is after {end}; give an earlier day", param_hint="--since")
    return Window(start, end)


def _day(value: str, option: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no date; write it like 2026-11-24", param_hint=option) from None
