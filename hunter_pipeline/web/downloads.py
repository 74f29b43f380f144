"""A list as a file: the answer that a browser saves.

Belongs here: names, media types and the way of the rows. Does not belong here: what stands in the file
(`readers.export`), and which rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection, Engine

from hunter_pipeline.readers.columns import Declared
from hunter_pipeline.readers.export import write_csv, write_xlsx

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def file_of(
    engine: Engine,
    name: str,
    form: Literal["csv", "xlsx"],
    columns: Sequence[Declared],
    read: Callable[[Connection], Iterable[object]],
) -> Response:
    """Rows as a file, sent while they are read.

    :param name: of the file, without its ending.
    :param read: the rows, from a connection that is theirs alone.
    """

    def pieces() -> Iterator[bytes]:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            rows = read(connection)
            if form == "csv":
                yield from (text.encode() for text in write_csv(rows, columns))
            else:
                yield from write_xlsx(rows, columns, name.capitalize())

    started = pieces()
    # The connection is made now, so that a database that is down still becomes an error and not half a file.
    content = chain([next(started)], started)
    media_type = f"{CSV}; charset=utf-8" if form == "csv" else XLSX
    return StreamingResponse(content, media_type=media_type, headers=_attachment(f"{name}.{form}"))


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
