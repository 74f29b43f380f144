"""Rows of a benchmark and how they are printed.

Belongs here: the shape of a result. Does not belong here: measuring.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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


def show(found: Mapping[str, Sequence[Row]]) -> None:
    """Print the rows of all benchmarks, by title, in one table."""
    table = Table(header_style="bold")
    table.add_column("Measured")
    table.add_column("Figure", justify="right")
    table.add_column("Ratio", justify="right")
    for title, rows in found.items():
        table.add_row(f"[bold]{title}[/bold]", "", "")
        for row in rows:
            table.add_row(row.what, row.figure, row.ratio)
        table.add_section()
    console = Console()
    Console(width=console.width if console.is_terminal else 150, highlight=False).print(table)


def write_rows(file: Path, title: str, rows: Sequence[Row]) -> None:
    """Keep the rows of one benchmark for `read_rows` in another process."""
    file.write_text(json.dumps([title, [asdict(row) for row in rows]]), encoding="utf-8")


def read_rows(file: Path) -> tuple[str, list[Row]]:
    """What `write_rows` kept."""
    title, rows = json.loads(file.read_text(encoding="utf-8"))
    return title, [Row(**row) for row in rows]


def times(number: float) -> str:
    """A ratio such as `2.5x`."""
    return f"{number:.0f}x" if number >= 10 else f"{number:.2f}x"


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
