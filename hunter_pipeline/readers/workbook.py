"""An Excel workbook that is sent while its rows are still read.

Belongs here: a workbook with one sheet as a stream of bytes. Does not belong here: what stands in a cell (`export`).
openpyxl makes everything but the rows: it can only give a file that is complete. So it makes the workbook of a header
and one sample row, and the rows of the stream are written where the sample stood, in the formats that it has.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from itertools import islice
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_ROWS = 500
"""Rows that are compressed at once: small enough for a first byte at once, large enough to cost little."""

_SHEET = "xl/worksheets/sheet1.xml"
_RELATIONS = "xl/worksheets/_rels/sheet1.xml.rels"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_FIRST_DAY = datetime(1899, 12, 30)  # noqa: DTZ001 - Excel's dates know no zone
_SAMPLE_ROW = 2
_MOST_LINKS = 65_000
"""Excel repairs a sheet with more than 65,530 links by throwing them away."""


@dataclass(frozen=True)
class SheetColumn:
    """A column of the sheet.

    :param width: in characters.
    :param number_format: Excel's; None: as it likes.
    """

    label: str
    width: int
    number_format: str | None = None


def stream_workbook(
    title: str, columns: Sequence[SheetColumn], rows: Iterable[Sequence[Any]], link_column: int | None = None
) -> Iterator[bytes]:
    """The workbook in pieces; memory stays flat, apart from the links.

    :param rows: values by column: text, number, date and time without a zone, True or False, or None.
    :param link_column: the column whose text is a domain that its cell leads to.
    """
    parts, before, after, styles = _template(title, columns)
    pipe = _Pipe()
    links: list[str] = []
    count = 0
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:  # type: ignore[call-overload]
        with book.open(_SHEET, "w", force_zip64=True) as sheet:
            sheet.write(before)
            yield pipe.take()
            source = iter(rows)
            while chunk := list(islice(source, _ROWS)):
                sheet.write("".join(_row(number, row, styles) for number, row in enumerate(chunk, count + 2)).encode())
                if link_column is not None:
                    links += [str(row[link_column] or "") for row in chunk[: _MOST_LINKS - len(links)]]
                count += len(chunk)
                yield pipe.take()
            sheet.write(_links(link_column, links).join(_filter(after, count + 1)).encode())
        if any(links):
            book.writestr(_RELATIONS, _targets(links))
        for name, content in parts.items():
            # The rows of the filter stand in the workbook as a name, too.
            book.writestr(name, content.replace(f"${_SAMPLE_ROW}</", f"${count + 1}</"))
    yield pipe.take()


class _Pipe:
    """What a ZIP file is written to: a stream that cannot go back, and whose bytes are taken as they come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        """The bytes since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _template(title: str, columns: Sequence[SheetColumn]) -> tuple[dict[str, str], bytes, str, list[str]]:
    """The parts of a workbook, its sheet before and behind the rows, and the style of each column's cells."""
    from openpyxl import Workbook  # here, because most commands never need it
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet = book.active
    sheet.title = title
    sheet.freeze_panes = "A2"
    for number, column in enumerate(columns, 1):
        sheet.cell(1, number, column.label).font = Font(bold=True)
        sample = sheet.cell(_SAMPLE_ROW, number, 0)
        if column.number_format:
            sample.number_format = column.number_format
        sheet.column_dimensions[get_column_letter(number)].width = column.width
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{_SAMPLE_ROW}"
    content = BytesIO()
    book.save(content)
    with zipfile.ZipFile(content) as made:
        parts = {name: made.read(name).decode() for name in made.namelist()}
    # How large the sheet is, which may be left out, is not known yet.
    whole = re.sub(r"<dimension [^>]*/>", "", parts.pop(_SHEET))
    before, rest = whole.split(f'<row r="{_SAMPLE_ROW}"', 1)
    row, after = rest.split("</row>", 1)
    styles = [f' s="{style}"' if style else "" for style in re.findall(r'<c r="[A-Z]+\d+"(?: s="(\d+)")?', row)]
    return parts, before.encode(), after, styles


def _row(number: int, values: Sequence[Any], styles: Sequence[str]) -> str:
    cells = "".join(_cell(value, style) for value, style in zip(values, styles, strict=True))
    return f'<row r="{number}">{cells}</row>'


def _cell(value: Any, style: str) -> str:
    if value is None:
        return f"<c{style}/>"
    if isinstance(value, bool):
        return f'<c{style} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float | Decimal):
        return f"<c{style}><v>{value}</v></c>"
    if isinstance(value, datetime):
        return f"<c{style}><v>{(value - _FIRST_DAY).total_seconds() / 86_400!r}</v></c>"
    return f'<c{style} t="inlineStr"><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'


def _filter(after: str, last: int) -> list[str]:
    """The sheet behind its rows, with a filter over all of them, parted where links belong."""
    before, behind = after.split("<pageMargins", 1)
    return [re.sub(rf"{_SAMPLE_ROW}(?=\")", str(last), before), f"<pageMargins{behind}"]


def _links(column: int | None, links: Sequence[str]) -> str:
    if column is None or not any(links):
        return ""
    from openpyxl.utils import get_column_letter  # here, because most commands never need it

    letter = get_column_letter(column + 1)
    each = "".join(
        f'<hyperlink ref="{letter}{number + 2}" r:id="rId{number}"/>' for number, link in enumerate(links) if link
    )
    return f'<hyperlinks xmlns:r="{_OFFICE}/relationships">{each}</hyperlinks>'


def _targets(links: Sequence[str]) -> str:
    each = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/relationships/hyperlink"'
        f' Target={quoteattr(f"https://{link}/")} TargetMode="External"/>'
        for number, link in enumerate(links)
        if link
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{each}</Relationships>'
