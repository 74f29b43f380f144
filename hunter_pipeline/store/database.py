"""The Hunter database of some settings: found or started, its schema checked, one engine a process.

Belongs here: the step from settings to a usable engine. Does not belong here: how to connect (`engine`), how
to start a server (`embedded`), what a revision does (`migrate`).
"""

from __future__ import annotations

from sqlalchemy import Engine

from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.store.engine import (
    READING_SETTING,
    DatabaseUrls,
    database_urls,
    make_engine,
    normalize_url,
    one_engine,
)
from hunter_pipeline.store.migrate import SchemaNewer, SchemaStatus, status, upgrade


class SchemaOutdated(RuntimeError):  # noqa: N818 - the name says what is the case
    """The tables in the configured database are not those of this version of Hunter."""


def urls_of(settings: Settings) -> DatabaseUrls:
    """The addresses of Hunter's and Dagster's databases; starts the embedded server when none is set.

    :raises SettingsError: an address is no PostgreSQL address.
    :raises DatabaseUnavailable: the server does not answer, or the embedded one cannot start.
    """
    try:
        return database_urls(
            settings.database_url.get_secret_value() if settings.database_url else None,
            settings.dagster_database_url.get_secret_value() if settings.dagster_database_url else None,
            settings.home,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None


def open_database(settings: Settings) -> Engine:
    """An engine on Hunter's database with today's tables; the same one for the whole process.

    The embedded database is upgraded by itself. A configured server is not touched: its owner decides when.

    :raises SchemaOutdated: the configured server's tables are older than this version's.
    :raises SchemaNewer: they are newer.
    :raises DatabaseUnavailable: the server does not answer.
    """
    return _open(urls_of(settings).hunter, settings.database_url is None)


def open_reading(settings: Settings) -> Engine:
    """An engine for what only reads the database: over the lead list's own address, or that of `open_database`.

    Nothing that is read over it may rest on a session that lasts longer than a transaction.

    :raises SettingsError: the address is no PostgreSQL address.
    :raises SchemaOutdated: it leads to tables that are older than this version's, or to none.
    :raises SchemaNewer: they are newer.
    :raises DatabaseUnavailable: nothing answers there.
    """
    if settings.web_database_url is None:
        return open_database(settings)
    try:
        url = normalize_url(settings.web_database_url.get_secret_value(), READING_SETTING)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    _check(status(url, READING_SETTING), f" where {READING_SETTING} leads")
    return make_engine(url)


@one_engine
def _open(url: str, embedded: bool) -> Engine:
    if embedded:
        upgrade(url)
    else:
        _check(status(url))
    return make_engine(url)


def _check(schema: SchemaStatus, where: str = "") -> None:
    if not schema.known:
        raise SchemaNewer(schema)
    if not schema.up_to_date:
        raise SchemaOutdated(
            f"the tables{where} are at revision {schema.current or 'none'}, this version needs {schema.head}; "
            "run `hunter db upgrade`"
        )
