"""`hunter referrals`: the work queue in a terminal, or as JSON and CSV.

Belongs here: options and the table. Does not belong here: the queries (`readers.referral_queue`).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json, ready


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(referrals)


def referrals(
    tab: Annotated[
        Literal["answer", "expiring", "open", "no_domain", "failed", "gone", "closed", "all"],
        typer.Argument(help="Which referrals", case_sensitive=False),
    ] = "answer",
    search: Annotated[str | None, typer.Option(help="Words of company, domain, id or own reference")] = None,
    sort: Annotated[
        str, typer.Option(help="expires, received, company or deal_value; with - in front from high to low")
    ] = "expires",
    limit: Annotated[int, typer.Option(min=1, help="Print at most so many")] = 50,
    form: Annotated[Literal["table", "json", "csv"], typer.Option("--format", "-f", help="How to print")] = "table",
) -> None:
    """List the referrals by what is to be done with them: to answer, expiring, without a domain, failed and more.

    Contacts are left out of every form.
    """
    from hunter_pipeline.readers.export import record_of, write_csv
    from hunter_pipeline.readers.queue_columns import COLUMNS, TAB_NAMES
    from hunter_pipeline.readers.referral_queue import (
        QUEUE_SORTS,
        QueueFilter,
        count_queue,
        count_tabs,
        iter_queue,
    )
    from hunter_pipeline.store.database import open_database

    if sort not in QUEUE_SORTS:
        raise typer.BadParameter(f"there is no order {sort!r}; there are {', '.join(QUEUE_SORTS)}", param_hint="--sort")
    wanted, now = QueueFilter(tab, search), datetime.now(UTC)
    settings = ready()
    with open_database(settings).connect() as connection:
        total = count_queue(connection, wanted, now)
        counts = count_tabs(connection, now)
        rows = list(islice(iter_queue(connection, wanted, now, sort, settings.exchange_rates), limit))
    if form == "json":
        print_json([record_of(row, COLUMNS) for row in rows])
        return
    if form == "csv":
        sys.stdout.writelines(write_csv(rows, COLUMNS))
        return
    if not rows:
        others = ", ".join(f"{TAB_NAMES[name].lower()} {number}" for name, number in counts.items() if number)
        out().print(f"None. There are: {others}" if others else "No referrals. Fetch some with hunter sync.")
        return
    table = Table(header_style="bold")
    for name in ("Expires", "Company", "Status", "Lead", "Referral"):
        table.add_column(name, overflow="fold")
    for row in rows:
        reason = (row.skip_reason or "not decided yet").replace("_", " ")
        state = "gone" if row.gone_at else " / ".join(part for part in (row.status, row.substatus) if part)
        table.add_row(
            "-" if row.expires_at is None or not row.is_open else f"{row.expires_at:%Y-%m-%d %H:%M}",
            Text(row.company_name or "-"),
            Text(state or "not tracked"),
            Text(row.error or row.domain or f"none: {reason}"),
            Text(row.referral_id),
        )
    out().print(table)
    err().print(f"{len(rows)} of {total} referral{'' if total == 1 else 's'}; times are UTC", markup=False)
