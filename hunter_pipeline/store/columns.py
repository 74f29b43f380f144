"""What all tables share: the metadata object with its naming convention, and columns that recur.

Belongs here: what two modules of tables need. Does not belong here: a table. Constraint names follow the
convention, so that migrations can name what they drop.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, func

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def time_column(name: str, comment: str, *, nullable: bool = True, now: bool = False) -> Column[Any]:
    """A moment with time zone.

    :param now: the database fills in the present where nothing is given.
    """
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None, comment=comment
    )


def run_id_column() -> Column[Any]:
    """The Dagster run that wrote a row."""
    return Column("run_id", Text, nullable=False, comment="Dagster run that wrote the row")
