"""`hunter scan --against`: a list of expected providers, held against what a scan finds now.

Belongs here: reading and refusing the list, and the table of what was taken for what. Does not belong here: the scan
and its explanation (`cli/scan`). Of the list only domain and provider are read and shown, since such lists come from
address books.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.names import company_domain, shown
from hunter_pipeline.scan.providers import catalogue
from hunter_pipeline.scan.scan import DomainScan

UNDETERMINED: Final = "undetermined"
"""What is found where a failed look-up leaves the provider open."""


class AgainstError(ValueError):
    """The list cannot be used; the text is one line that names the place and the fix."""


@dataclass(frozen=True)
class Difference:
    """A domain whose provider is not the expected one.

    :param found: a provider, or `UNDETERMINED`.
    """

    domain: str
    expected: str
    found: str
    confidence: str
    evidence: tuple[str, ...]


def read_expected(path: Path) -> dict[str, str]:
    """Read the expected provider of each domain from a CSV file with the columns `domain` and `provider`.

    Columns are separated by commas or semicolons, in any order and beside others, which are not read. A domain may be
    written as a website or an e-mail address.

    :raises AgainstError: the file cannot be read, a column is missing, or a line names no company or no provider.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text; save it as CSV in UTF-8"
        raise AgainstError(f"{path} cannot be read: {reason}") from None
    lines = content.splitlines(keepends=True)
    head = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if head.count(";") > head.count(",") else ",", strict=True)
    expected: dict[str, str] = {}
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in ("domain", "provider") if name not in columns]:
            raise AgainstError(f"{path}: no column {' and no column '.join(missing)}; write domain,provider on line 1")
        place = columns.index("domain"), columns.index("provider")
        for row in reader:
            if any(cell.strip() for cell in row):
                domain, provider = _read_row(row, place, f"{path} line {reader.line_num}")
                if expected.setdefault(domain, provider) != provider:
                    raise AgainstError(f"{path} line {reader.line_num}: {domain} stands twice with different providers")
    except csv.Error as error:
        raise AgainstError(f"{path} line {reader.line_num}: is no CSV: {error}") from None
    if not expected:
        raise AgainstError(f"{path}: holds no domain; write one on each line, as contoso.com,M365")
    return expected


def _read_row(row: list[str], place: tuple[int, int], where: str) -> tuple[str, str]:
    text, name = (row[column].strip() if column < len(row) else "" for column in place)
    domain = company_domain(text).domain
    if domain is None:
        raise AgainstError(f"{where}: {shown(text)!r} names no company's domain")
    names = {each.lower(): each for each in catalogue().names}
    if name.lower() not in names:
        raise AgainstError(f"{where}: {shown(name)!r} is no provider; there are {', '.join(names.values())}")
    return domain, names[name.lower()]


class Comparison:
    """What was expected and what was found, scan by scan."""

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = expected
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.differences: list[Difference] = []

    def add(self, done: DomainScan) -> bool:
        """Take a scan in; return whether it is as expected."""
        signals, expected = done.signals, self._expected[done.domain]
        is_open = bool({"mx", "provider"} & set(signals.undetermined))
        found = UNDETERMINED if is_open else signals.provider
        self.pairs[expected, found] += 1
        if found == expected:
            return True
        self.differences.append(Difference(done.domain, expected, found, signals.confidence, signals.evidence))
        return False

    def to_json(self) -> dict[str, Any]:
        """The counts, the confusion table by expected and then by found provider, and the differences."""
        confusion: dict[str, dict[str, int]] = {}
        for (expected, found), count in sorted(self.pairs.items()):
            confusion.setdefault(expected, {})[found] = count
        return {
            "compared": self.pairs.total(),
            "as_expected": self.pairs.total() - len(self.differences),
            "confusion": confusion,
            "differences": [
                {
                    "domain": each.domain,
                    "expected": each.expected,
                    "found": each.found,
                    "confidence": each.confidence,
                    "evidence": list(each.evidence),
                }
                for each in self.differences
            ],
        }

    def print(self, console: Console) -> None:
        """Print the confusion table, each difference with its evidence, and the count."""
        names = [name for name in (*catalogue().names, UNDETERMINED) if any(name in pair for pair in self.pairs)]
        table = Table(box=box.SIMPLE, title="Expected (down) and found (across)", title_justify="left")
        table.add_column("Expected")
        for name in names:
            table.add_column(name, justify="right")
        for expected in names:
            if any(pair[0] == expected for pair in self.pairs):
                counts = (self.pairs[expected, found] for found in names)
                cells = (
                    Text(str(count) if count else ".", "" if found == expected else "bold red" if count else "dim")
                    for found, count in zip(names, counts, strict=True)
                )
                table.add_row(expected, *cells)
        console.print(table)
        for each in self.differences:
            told = UNDETERMINED if each.found == UNDETERMINED else f"{each.found} ({each.confidence} confidence)"
            console.print(Text(f"{each.domain}: expected {each.expected}, found {told}", "bold"))
            for line in each.evidence:
                console.print(Text(f"  {line}"))
        good = self.pairs.total() - len(self.differences)
        console.print(f"{good} of {self.pairs.total()} as expected")
