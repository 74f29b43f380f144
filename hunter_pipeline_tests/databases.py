"""Databases of the test server: made from a template, and dropped at the end of what needed them."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from functools import cache

from sqlalchemy import Engine, create_engine, make_url, text

_numbers = itertools.count(1)


@contextlib.contextmanager
def fresh_database(server_url: str, template: str) -> Iterator[str]:
    """The name of a new database that is a copy of `template`, until the block ends."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    # Files are copied, and with them what a first connection would work out: half the time of copying by the log.
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield name
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def url_of(server_url: str, name: str) -> str:
    """Address of one database of the test server."""
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def administer(server_url: str, *statements: str) -> None:
    """Execute statements outside a transaction, as making a database asks."""
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def leave(server_url: str) -> None:
    """Close the connection that `fresh_database` keeps to a server, which is about to be stopped."""
    _administration(server_url).dispose()
    _administration.cache_clear()


@cache
def _administration(server_url: str) -> Engine:
    return create_engine(server_url, isolation_level="AUTOCOMMIT")


def _execute(server_url: str, statement: str) -> None:
    with _administration(server_url).connect() as connection:
        connection.execute(text(statement))
