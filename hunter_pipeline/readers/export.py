"""Leads as files (CSV, Excel) and as plain records, one row at a time.

Belongs here: what a file format demands of a cell. Does not belong here: the columns (`lead_columns`), which leads,
and where the file goes. Texts come from strangers: one that a spreadsheet would read as a formula gets an
apostrophe in front (OWASP, "CSV Injection"), in both spreadsheet formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from itertools import islice
from typing import Any

from hunter_pipeline.readers.lead_columns import COLUMNS, EXPORTED, Lead

_NAMES = tuple(column.name for column in EXPORTED)

_CHUNK = 1000
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")
_EXCEL_REFUSES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Characters that XML 1.0 cannot hold."""

_EXCEL_CELL_LIMIT = 32_767


def lead_record(lead: Lead) -> dict[str, Any]:
    """A lead as plain values under JSON's names: every column. Times are ISO 8601 in UTC."""
    return {column.name: _plain(getattr(lead, column.name)) for column in COLUMNS}


def write_csv(leads: Iterable[Lead]) -> Iterator[str]:
    """CSV text (RFC 4180, with a header line) in pieces of a thousand leads.

    Write it to files opened with `newline=""`; with the encoding `utf-8-sig` Excel reads its letters right.
    """
    import pandas as pd  # here, because it takes a second to import

    rows = iter(leads)
    chunk: list[Lead] | None = None
    while chunk is None or len(chunk) == _CHUNK:
        header = chunk is None
        chunk = list(islice(rows, _CHUNK))
        frame = pd.DataFrame([_cells(lead) for lead in chunk], columns=list(_NAMES), dtype=object)
        yield frame.to_csv(index=False, header=header, lineterminator="\r\n")


def write_xlsx(leads: Iterable[Lead]) -> bytes:
    """An Excel workbook with one sheet, its header row frozen. Rows are collected in a temporary file."""
    from openpyxl import Workbook  # here, because most commands never need it

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Leads")
    sheet.freeze_panes = "A2"
    sheet.append(list(_NAMES))
    for lead in leads:
        sheet.append([_excel(cell) for cell in _cells(lead)])
    content = BytesIO()
    book.save(content)
    return content.getvalue()


def _cells(lead: Lead) -> list[Any]:
    return [_safe(getattr(lead, name)) for name in _NAMES]


def _safe(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_START):
        return "'" + value
    return value


def _excel(value: Any) -> Any:
    if isinstance(value, str):
        return _EXCEL_REFUSES.sub("\N{REPLACEMENT CHARACTER}", value)[:_EXCEL_CELL_LIMIT]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return list(value) if isinstance(value, tuple) else value
