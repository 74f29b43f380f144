"""Leads as files (CSV, Excel) and as plain records, one row at a time.

Belongs here: what a file format demands of a cell. Does not belong here: the columns (`lead_columns`), which leads,
and where the file goes. Texts come from strangers: one that a spreadsheet would read as a formula gets an
apostrophe in front (OWASP, "CSV Injection"), in both spreadsheet formats.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from itertools import islice
from typing import Any

from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.lead_columns import COLUMNS, EXPORTED, Lead
from hunter_pipeline.readers.workbook import SheetColumn, stream_workbook

_CHUNK = 1000
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")
_EXCEL_REFUSES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Characters that XML 1.0 cannot hold."""

_EXCEL_CELL_LIMIT = 32_767


def lead_record(lead: Lead) -> dict[str, Any]:
    """A lead as plain values under JSON's names: every column. Times are ISO 8601 in UTC."""
    return record_of(lead, COLUMNS)


def record_of(row: object, columns: Sequence[Declared]) -> dict[str, Any]:
    """A row as plain values under JSON's names."""
    return {column.name: _plain(getattr(row, column.name)) for column in columns}


def write_csv(records: Iterable[object], columns: Sequence[Declared] = EXPORTED) -> Iterator[str]:
    """CSV text (RFC 4180, with a header line) in pieces of a thousand records.

    :param records: leads, or records of the class whose columns are given.

    It begins with the byte-order mark, without which Excel takes a file for one in the machine's old code page. Write
    it to files opened with `newline=""`.
    """
    yield "\N{ZERO WIDTH NO-BREAK SPACE}"
    names = [column.name for column in columns]
    piece = StringIO(newline="")
    rows = csv.writer(piece)
    rows.writerow(names)
    source = iter(records)
    while chunk := list(islice(source, _CHUNK)):
        rows.writerows(_cells(record, names) for record in chunk)
        yield piece.getvalue()
        piece.seek(0)
        piece.truncate()
    if piece.tell():  # no record, but the header
        yield piece.getvalue()


def write_xlsx(
    records: Iterable[object], columns: Sequence[Declared] = EXPORTED, title: str = "Leads"
) -> Iterator[bytes]:
    """An Excel workbook with one sheet, in pieces: columns wide enough to read, a filter, real dates (UTC) and numbers.

    Its header row is frozen, and a domain links to the company's site.

    :param records: leads, or records of the class whose columns are given.
    :param title: name of the sheet.
    """
    names = [column.name for column in columns]
    sheet = [
        SheetColumn(_header(column), _WIDTHS.get(column.name, _WIDTH), _FORMATS.get(column.kind)) for column in columns
    ]
    rows = ([_excel(getattr(record, name)) for name in names] for record in records)
    return stream_workbook(title, sheet, rows, names.index("domain"))


_FORMATS = {
    "moment": "yyyy-mm-dd hh:mm",
    "expiry": "yyyy-mm-dd hh:mm",
    "money": "#,##0.00",
    "score": "0",
    "number": "0",
}
_WIDTH = 16
_WIDTHS = {"domain": 32, "company_name": 36, "category_label": 30, "reason": 70, "azure_tenant_id": 38, "score": 8}
"""Widths in characters, by column."""


def _header(column: Declared) -> str:
    return f"{column.label} (UTC)" if column.type is datetime else column.label


def _cells(record: object, names: Sequence[str]) -> list[Any]:
    return [_safe(getattr(record, name)) for name in names]


def _safe(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, tuple):
        value = " + ".join(str(each) for each in value)
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_START):
        return "'" + value
    return value


def _excel(value: Any) -> Any:
    if isinstance(value, datetime):
        # Excel's dates know no time zone.
        return value.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    if isinstance(value, str | tuple):
        return _EXCEL_REFUSES.sub("\N{REPLACEMENT CHARACTER}", _safe(value))[:_EXCEL_CELL_LIMIT]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, tuple):
        return [{name: _plain(part) for name, part in vars(each).items()} for each in value]
    return value
