"""The referral that a person means who typed its id or just the first characters.

Belongs here: finding the one, and what is said when there is none or several. Does not belong here: the query.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer
from sqlalchemy import Connection

from hunter_pipeline.readers.lineage import find_referrals


def the_referral(connection: Connection, typed: str) -> str:
    """The id that is meant: an id in full means itself, also where others begin with it.

    :raises typer.BadParameter: no referral begins with it, or several.
    """
    says = f"{typed!r} names no single referral"
    return the_one(
        find_referrals(connection, typed),
        typed,
        none=f"{says}: none begins with it; hunter referrals all shows them",
        several=f"{says}: several begin with it",
        hint="REFERRAL_ID",
    )


def the_one(found: Sequence[str], typed: str, *, none: str, several: str, hint: str) -> str:
    """That of the ids found which is meant.

    :param found: ids that begin with what was typed.
    :param none: what is said when there is none; `several`: when there are several, which are named behind it.
    :param hint: the argument or option that it was typed for.
    :raises typer.BadParameter: there is none, or several and none of them in full.
    """
    if typed in found:
        return typed
    if len(found) == 1:
        return found[0]
    raise typer.BadParameter(f"{several}: {', '.join(found)}" if found else none, param_hint=hint)
