"""Rows of a benchmark, how they are printed, and how they are written down.

Belongs here: the shape of a result, the one table, and its place in `docs/performance.md`. Does not belong here:
measuring, and drawing (`plot`).
"""

from __future__ import annotations

import json
import os
import re
import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""Where in the document the table stands."""


@dataclass(frozen=True)
class Aim:
    """How a figure stands to what is aimed at.

    :param number: row of the table in `docs/performance.md`.
    :param name: what is compared, in a few words.
    :param found: the figure.
    :param wanted: the aim.
    :param at_most: whether the figure should be at most the aim; otherwise at least.
    :param unit: behind the aim's number.
    """

    number: int
    name: str
    found: float
    wanted: float
    at_most: bool = False
    unit: str = "x"

    @property
    def reached(self) -> float:
        """Share of the aim that is reached: 1 is just there, 2 is twice as good."""
        shares = (self.wanted, self.found) if self.at_most else (self.found, self.wanted)
        return shares[0] / max(shares[1], 1e-9)

    @property
    def words(self) -> str:
        """The aim in words."""
        return f"{'at most' if self.at_most else 'at least'} {self.wanted:g}{self.unit}"


@dataclass(frozen=True)
class Row:
    """One line of a result.

    :param what: what was measured.
    :param figure: the number with its unit.
    :param ratio: how it stands to the peer or limit; empty for the peer itself.
    :param aim: what the figure is held to, for a line that one of the aims is about.
    """

    what: str
    figure: str
    ratio: str = ""
    aim: Aim | None = None


def show(found: Mapping[str, Sequence[Row]]) -> None:
    """Print the rows of all benchmarks, by title, in one table."""
    table = Table(header_style="bold")
    table.add_column("Row", justify="right")
    table.add_column("Measured")
    table.add_column("Figure", justify="right")
    table.add_column("Ratio", justify="right")
    table.add_column("Aim", justify="right")
    table.add_column("Reached", justify="right")
    for title, rows in found.items():
        table.add_row("", f"[bold]{title}[/bold]", "", "", "", "")
        for row in rows:
            table.add_row(*_cells(row))
        table.add_section()
    console = Console()
    Console(width=console.width if console.is_terminal else 180, highlight=False).print(table)


def _cells(row: Row) -> tuple[str, ...]:
    aim = row.aim
    held = (str(aim.number), aim.words, f"{aim.reached:.0%}") if aim else ("", "", "")
    return held[0], row.what, row.figure, row.ratio, held[1], held[2]


def write_down(document: Path, found: Mapping[str, Sequence[Row]], picture: str, when: str) -> None:
    """Put the table into its place in a document.

    :param picture: address of the plot, as the document sees it.
    :param when: day, machine and load of the run.
    """
    lines = [BEGIN, "", when, "", f"![How much of each aim is reached]({picture})", ""]
    lines += ["| row | measured | figure | ratio | aim | reached |", "|---|---|---|---|---|---|"]
    for title, rows in found.items():
        lines.append(f"| | **{title}** | | | | |")
        for row in rows:
            cells = list(_cells(row))
            indent = len(row.what) - len(row.what.lstrip())
            cells[1] = "&nbsp;" * indent + row.what.strip()
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    text = document.read_text(encoding="utf-8")
    place = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not place.search(text):
        raise SystemExit(f"{document} has no place for the table: put the lines {BEGIN} and {END} there")
    document.write_text(place.sub(lambda _: "\n".join([*lines, "", END]), text), encoding="utf-8")


def write_rows(file: Path, title: str, rows: Sequence[Row]) -> None:
    """Keep the rows of one benchmark for `read_rows` in another process."""
    file.write_text(json.dumps([title, [asdict(row) for row in rows]]), encoding="utf-8")


def read_rows(file: Path) -> tuple[str, list[Row]]:
    """What `write_rows` kept."""
    title, rows = json.loads(file.read_text(encoding="utf-8"))
    return title, [Row(**{**row, "aim": Aim(**row["aim"]) if row["aim"] else None}) for row in rows]


def times(number: float) -> str:
    """A ratio such as `2.5x`."""
    return f"{number:.0f}x" if number >= 10 else f"{number:.2f}x"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values are."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def medians(passes: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each contender's passes."""
    return {name: median(values) for name, values in passes.items()}


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load() -> str:
    """How many processors there are and how busy they were in the last fifteen minutes."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f} in the fifteen minutes before the end"
