"""A list as a file: the answer that a browser saves.

Belongs here: names, media types and the way of the rows. Does not belong here: what stands in the file
(`readers.export`), and which rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection, Engine

from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.export import write_csv, write_xlsx

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def csv_file(
    engine: Engine, name: str, columns: Sequence[Declared], read: Callable[[Connection], Iterable[object]]
) -> Response:
    """Rows as a CSV file, sent while they are read.

    :param name: of the file, without its ending.
    :param read: the rows, from a connection that is theirs alone.
    """

    def pieces() -> Iterator[str]:
        with engine.connect() as connection:
            yield from write_csv(read(connection), columns)

    started = pieces()
    # The connection is made now, so that a database that is down still becomes an error and not half a file.
    content = chain([next(started)], started)
    return StreamingResponse(content, media_type=f"{CSV}; charset=utf-8", headers=_attachment(f"{name}.csv"))


def xlsx_file(
    engine: Engine, name: str, columns: Sequence[Declared], read: Callable[[Connection], Iterable[object]]
) -> Response:
    """Rows as an Excel workbook with one sheet; parameters as for `csv_file`."""
    with engine.connect() as connection:
        content = write_xlsx(read(connection), columns, name.capitalize())
    return Response(content, media_type=XLSX, headers=_attachment(f"{name}.xlsx"))


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
