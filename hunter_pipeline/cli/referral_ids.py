"""The referral that a person means who typed its id or just the first characters.

Belongs here: finding the one, and what is said when there is none or several. Does not belong here: the query.
"""

from __future__ import annotations

import typer
from sqlalchemy import Connection

from hunter_pipeline.readers.lineage import find_referrals


def the_referral(connection: Connection, typed: str) -> str:
    """The id that is meant: an id in full means itself, also where others begin with it.

    :raises typer.BadParameter: no referral begins with it, or several.
    """
    found = find_referrals(connection, typed)
    exact = [typed] if typed in found else found
    if len(exact) == 1:
        return exact[0]
    says = (
        f"several begin with it: {', '.join(exact)}"
        if exact
        else "none begins with it; hunter referrals all shows them"
    )
    raise typer.BadParameter(f"{typed!r} names no single referral: {says}", param_hint="REFERRAL_ID")
