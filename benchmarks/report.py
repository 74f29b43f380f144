"""Rows of a benchmark and how they are printed.

Belongs here: the shape of a result. Does not belong here: measuring.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One line of a result.

    :param what: what was measured.
    :param figure: the number with its unit.
    :param ratio: how it stands to the peer or limit; empty for the peer itself.
    """

    what: str
    figure: str
    ratio: str = ""


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the rows of one benchmark."""
    table = Table(title=title, title_justify="left", header_style="bold", title_style="bold")
    table.add_column("Measured")
    table.add_column("Figure", justify="right")
    table.add_column("Ratio", justify="right")
    for row in rows:
        table.add_row(row.what, row.figure, row.ratio)
    console = Console()
    Console(width=console.width if console.is_terminal else 150, highlight=False).print(table)


def times(number: float) -> str:
    """A ratio such as `2.5x`."""
    return f"{number:.0f}x" if number >= 10 else f"{number:.2f}x"


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
