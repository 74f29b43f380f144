# mypy: ignore-errors
"""Load pages of referrals with dlt, and print how many seconds that took. A program of its own (see `landing`).

Belongs here: what a user of dlt would write. Does not belong here: anything of Hunter's, as it may run in another
environment. Starting Python, importing dlt and making the pipeline are not counted.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.destinations import postgres


def main() -> None:
    """Read pages, one answer a line, and load their items into the database that the second argument names."""
    pages, socket, folder = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    server = f"postgresql://{socket['user']}:none@localhost/{socket['dbname']}?host={socket['host']}"

    @dlt.resource(name="referrals", max_table_nesting=0, write_disposition="append")
    def referrals() -> Iterator[Any]:
        with Path(pages).open("rb") as file:
            for body in file:
                yield json.loads(body)["value"]

    pipeline = dlt.pipeline(
        "bench", destination=postgres(server), dataset_name="bench_dlt", pipelines_dir=folder, dev_mode=True
    )
    started = time.perf_counter()
    pipeline.run(referrals())
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
