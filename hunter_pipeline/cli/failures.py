"""`hunter failures`: what a stage could not take, and which of it is known and no news.

Belongs here: listing, dismissing, and undoing that. Does not belong here: mending; a failure is resolved by the
stages when the referral changes, or with force.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import out, print_json, ready

if TYPE_CHECKING:
    from sqlalchemy import Connection

LIST = """
SELECT item_key AS referral_id, stage, error, occurrences, first_seen_at, last_seen_at, dismissed_at, resolved_at,
    run_id, payload
FROM referral_failures WHERE :everything OR resolved_at IS NULL
ORDER BY resolved_at IS NOT NULL, dismissed_at IS NOT NULL, last_seen_at DESC, item_key, stage
"""

OPEN_ITEMS = """
SELECT DISTINCT item_key FROM referral_failures WHERE resolved_at IS NULL AND starts_with(item_key, :prefix)
ORDER BY item_key LIMIT 5
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(failures)


def failures(
    everything: Annotated[bool, typer.Option("--all", help="Also those that went through later")] = False,
    dismiss: Annotated[
        str | None,
        typer.Option("--dismiss", metavar="ID", help="Take the open failures of a referral for known; see above"),
    ] = None,
    undo: Annotated[
        str | None, typer.Option("--undo-dismiss", metavar="ID", help="Let dismissed failures be news again")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the exact payload of each item")] = False,
) -> None:
    """List the referrals that a stage could not take, with stage and error.

    They are kept and tried again when they change; hunter sync --force tries all that it fetches. Exit status 0
    also when there are some.

    A failure that stays can be dismissed by the referral's id, or its first characters. It stays open and in this
    list, and is tried again as before, but no check warns of it. Failing for another reason ends the dismissal.
    """
    from sqlalchemy import text

    from hunter_pipeline.pipeline.failures import dismiss_failures, undo_dismissal
    from hunter_pipeline.store.database import open_database

    if dismiss is not None and undo is not None:
        raise typer.BadParameter("give one of the two", param_hint="--dismiss, --undo-dismiss")
    engine = open_database(ready())
    with engine.begin() as connection:
        if dismiss is not None:
            item = _item(connection, dismiss, "--dismiss")
            _tell(dismiss_failures(connection, item, datetime.now(UTC)), item, "dismissed")
        elif undo is not None:
            item = _item(connection, undo, "--undo-dismiss")
            _tell(undo_dismissal(connection, item), item, "no longer dismissed")
        found = [dict(row) for row in connection.execute(text(LIST), {"everything": everything}).mappings()]
    if as_json:
        print_json(found)
    elif dismiss is None and undo is None:
        _print(found)


def _item(connection: Connection, prefix: str, option: str) -> str:
    from sqlalchemy import text

    from hunter_pipeline.cli.referral_ids import the_one

    return the_one(
        list(connection.execute(text(OPEN_ITEMS), {"prefix": prefix}).scalars()),
        prefix,
        none=f"no open failure is of a referral that starts with {prefix!r}; hunter failures shows the ids",
        several=f"several referrals start with {prefix!r}",
        hint=option,
    )


def _tell(number: int, item: str, done: str) -> None:
    many = f"{number} failure{'s' if number != 1 else ''}" if number else "nothing to do: no failure"
    typer.echo(f"{many} of {item} {done}", err=True)


def _print(found: list[dict[str, Any]]) -> None:
    if not found:
        out().print("No failures.")
        return
    table = Table(header_style="bold")
    for name in ("Referral", "Stage", "Error", "Times", "Last seen (UTC)", "State"):
        table.add_column(name, overflow="fold")
    for row in found:
        table.add_row(
            Text(row["referral_id"]),
            row["stage"],
            Text(row["error"]),
            str(row["occurrences"]),
            f"{row['last_seen_at']:%Y-%m-%d %H:%M}",
            _state(row),
        )
    out().print(table)


def _state(row: Mapping[str, Any]) -> str:
    if row["resolved_at"]:
        return "resolved"
    return f"dismissed {row['dismissed_at']:%Y-%m-%d}" if row["dismissed_at"] else "open"
