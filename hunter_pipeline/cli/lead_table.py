"""The list of leads as a table in a terminal, which `hunter leads` and `hunter demo` print.

Belongs here: how a lead is laid out in so many columns. Does not belong here: options and files (`show`), which leads
(`readers.lead_list`), and what a column is called (`readers.lead_columns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich import box
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from hunter_pipeline.cli.console import out
from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.columns import chosen as columns_named
from hunter_pipeline.readers.lead_columns import COLUMNS, PRINTED_FROM, Lead
from hunter_pipeline.readers.lead_list import LeadFilter, count_leads, iter_leads
from hunter_pipeline.vocabulary import badge, provider_label

SEGMENT_STYLES = {"Existing": "cyan", "Migration": "bold green", "Cold": "blue", "Skip": "dim"}


def read_leads(engine: Engine, chosen: LeadFilter, limit: int | None) -> list[Lead]:
    """The first leads of the ranking.

    :param limit: at most so many; None: all.
    """
    with engine.connect() as connection:
        rows: list[Lead] = []
        for lead in iter_leads(connection, chosen):
            if limit is not None and len(rows) >= limit:
                break
            rows.append(lead)
    return rows


def print_leads(engine: Engine, chosen: LeadFilter | None = None, limit: int | None = None) -> None:
    """Print leads as a table. Text from payloads is shown as text, never as markup."""
    rows = read_leads(engine, chosen or LeadFilter(), limit)
    with engine.connect() as connection:
        total = count_leads(connection, chosen)
        everything = total if chosen is None else count_leads(connection)
    if not rows and everything:
        out().print(f"No lead passes this filter; there are {everything:,} without it.")
        return
    if not rows:
        out().print("No leads. Fetch some with hunter sync, or see samples with hunter demo.")
        return
    out().print(lead_table(rows, out().width))
    out().print(_counted(len(rows), total))


def lead_table(rows: Sequence[Lead], width: int) -> Table:
    """Leads as a table that fits `width` characters: what has no room is left out, and the reason goes below the name.

    Nothing is cut to zero width, so that a narrow terminal still tells score, category, company and referral.
    """
    columns = columns_named(COLUMNS, *(name for name, least in PRINTED_FROM.items() if least <= width))
    below = "reason" not in {column.name for column in columns}
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, width=width)
    for column in columns:
        wide = column.name in ("company_name", "reason")
        table.add_column(
            column.label,
            justify="right" if column.is_number else "left",
            ratio=1 if wide else None,
            min_width=None if wide else len(column.label),
            overflow="fold",
            no_wrap=column.kind in ("moment", "expiry"),
        )
    for lead in rows:
        cells = [_cell(lead, column) for column in columns]
        if below:
            name = [column.name for column in columns].index("company_name")
            cells[name] = Text.assemble(cells[name], "\n", (lead.reason or "no signals yet", "dim"))
        table.add_row(*cells)
    return table


def _counted(shown: int, total: int) -> str:
    leads = f"{total:,} lead{'s' if total != 1 else ''}"
    return leads if shown == total else f"{shown:,} of {leads}, best first"


def _cell(lead: Lead, column: Declared) -> Text:
    """The value of a declared column, by the column's kind."""
    value = getattr(lead, column.name)
    if column.kind == "referral_type":
        return Text(badge(value))
    if column.kind == "segment":
        return Text(value or "not scored", SEGMENT_STYLES.get(value or "", ""))
    if isinstance(value, tuple):
        return Text(" + ".join(f"{deal.value:,} {deal.currency or ''}".rstrip() for deal in value) or "-")
    if value is None:
        return Text("no signals yet" if column.name == "reason" else "-")
    if isinstance(value, datetime):
        return Text(f"{value.astimezone(UTC):%Y-%m-%d}")
    if column.kind == "provider":
        return Text(provider_label(value))
    return Text(f"{value:,}" if isinstance(value, Decimal) else str(value))
