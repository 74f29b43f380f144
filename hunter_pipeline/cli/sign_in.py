"""`hunter login`, `hunter logout`: the one time a person is asked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from hunter_pipeline.cli.console import err, out, ready

if TYPE_CHECKING:
    from hunter_pipeline.partner_center.auth import Account, DeviceCode, SignIn


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(login)
    app.command()(logout)


def login() -> None:
    """Sign in to Partner Center once, with a code on any device; everything later runs without asking.

    The person who signs in needs the role Referrals Admin in Partner Center: a Referrals User sees only the
    referrals that name them, and the rest would be missing without a word.

    The sign-in is kept encrypted and renews itself with every sync. It is lost after 90 days without a sync, or
    when the person's password or the tenant's policy changes; then run this again.
    """
    from hunter_pipeline.pipeline.sync_runs import SourceMismatch, check_tenant
    from hunter_pipeline.services import make_sign_in
    from hunter_pipeline.store.database import open_database

    settings = ready()
    engine = open_database(settings)
    account = sign_in(make_sign_in(settings, engine))
    with engine.connect() as connection:
        try:
            check_tenant(connection, account.tenant_id)
        except SourceMismatch as error:
            err().print(f"hunter: no sync will run with this sign-in: {error}", style="bold yellow", markup=False)


def sign_in(session: SignIn) -> Account:
    """Show the code, wait for the person, say who signed in and until when."""
    console = err()
    with console.status("asking Microsoft for a code") as status:

        def show(code: DeviceCode) -> None:
            console.print(f"Open [bold]{code.verification_uri}[/bold] and enter the code [bold]{code.user_code}[/bold]")
            status.update(f"waiting for you to sign in (the code is valid until {_local(code.expires_at)})")

        account = session.device_login(show)
    out().print(
        f"Signed in as {account.username}, tenant {account.tenant_id}. "
        f"Lasts until {account.signed_in_until:%Y-%m-%d}; each sync renews it."
    )
    return account


def logout() -> None:
    """Forget the stored sign-in, also one that can no longer be read. Run hunter login to sign in again."""
    from hunter_pipeline.services import make_sign_in
    from hunter_pipeline.store.database import open_database

    settings = ready()
    make_sign_in(settings, open_database(settings)).forget()
    out().print("Signed out: the stored tokens are gone. Microsoft's own session of the person is not touched.")


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M}"
