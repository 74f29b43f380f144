"""`hunter referral accept|decline|won|lost|set`: act on a referral at Partner Center from a shell.

Belongs here: options, the question before anything is sent, and how the outcome is told. Does not belong here: any of
the acting itself (`actions.act`), which the page and the API share.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json, ready

ReferralId = Annotated[str, typer.Argument(help="Partner Center's id of the referral, or its first characters")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Send it without asking; for scripts")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")]
Value = Annotated[str | None, typer.Option("--value", help="Deal value, such as 12500 or 12500.50")]
Currency = Annotated[str | None, typer.Option(help="Currency of the deal value, such as EUR")]
Closing = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day on which the deal is expected to close")
]
Reference = Annotated[str | None, typer.Option(help="Your own number for the deal")]
Reason = Annotated[str, typer.Option(help="Why; Partner Center shows it to the other side")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to `app`."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Accept, decline, win, lose or update a referral at Partner Center.\n\n"
        "Off until HUNTER_PARTNER_CENTER_WRITE_ENABLED=true; each command shows what would change and asks first.",
    )
    for command in (accept, decline, won, lost, set_fields):
        group.command("set" if command is set_fields else None)(command)
    app.add_typer(group, name="referral")


def accept(
    referral_id: ReferralId,
    value: Value = None,
    currency: Currency = None,
    closing: Closing = None,
    reference: Reference = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Accept a referral that waits for an answer."""
    _act(referral_id, "accept", None, value, currency, closing, reference, yes=yes, as_json=as_json)


def decline(referral_id: ReferralId, reason: Reason, yes: Yes = False, as_json: AsJson = False) -> None:
    """Decline a referral that waits for an answer."""
    _act(referral_id, "decline", reason, None, None, None, None, yes=yes, as_json=as_json)


def won(
    referral_id: ReferralId,
    value: Value = None,
    currency: Currency = None,
    closing: Closing = None,
    reference: Reference = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Close an accepted referral as won."""
    _act(referral_id, "won", None, value, currency, closing, reference, yes=yes, as_json=as_json)


def lost(referral_id: ReferralId, reason: Reason, yes: Yes = False, as_json: AsJson = False) -> None:
    """Close an accepted referral as lost."""
    _act(referral_id, "lost", reason, None, None, None, None, yes=yes, as_json=as_json)


def set_fields(
    referral_id: ReferralId,
    value: Value = None,
    currency: Currency = None,
    closing: Closing = None,
    reference: Reference = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Update deal value, currency, closing date or own reference; the status stays."""
    _act(referral_id, "set", None, value, currency, closing, reference, yes=yes, as_json=as_json)


def _act(
    referral_id: str,
    action: str,
    reason: str | None,
    value: str | None,
    currency: str | None,
    closing: datetime | None,
    reference: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    from hunter_pipeline.actions.act import carry_out, propose
    from hunter_pipeline.cli.referral_ids import the_referral
    from hunter_pipeline.partner_center.changes import Wish
    from hunter_pipeline.services import check_enabled, make_acting
    from hunter_pipeline.store.database import open_database

    settings = ready()
    check_enabled(settings)
    engine = open_database(settings)
    acting = make_acting(settings, engine, lambda: datetime.now(UTC))
    with engine.connect() as connection:
        referral_id = the_referral(connection, referral_id)
    try:
        amount = Decimal(value) if value is not None else None
    except InvalidOperation:
        raise typer.BadParameter(f"{value!r} is no number; write 12500 or 12500.50", param_hint="--value") from None
    wish = Wish(action, reason, amount, currency, closing.date() if closing else None, reference)  # type: ignore[arg-type]
    proposal = propose(acting, referral_id, wish)
    if not as_json:
        _print_changes(referral_id, proposal.changes)
    if not yes and not typer.confirm("Send this to Partner Center?", err=True):
        err().print("Nothing was sent.")
        raise typer.Exit(1)
    result = carry_out(acting, referral_id, wish, proposal.etag, actor=getpass.getuser(), channel="shell")
    if as_json:
        print_json({"referral_id": referral_id, **asdict(result)})
    elif result.outcome == "done":
        out().print(result.text, markup=False)
    else:
        err().print(f"hunter: {result.text}", style="bold red", markup=False)
        if result.meanwhile:
            _print_changes(referral_id, result.meanwhile)
    if result.outcome != "done":
        raise typer.Exit(1)


def _print_changes(referral_id: str, changes: Sequence[object]) -> None:
    table = Table(title=Text(f"Referral {referral_id}"), title_justify="left", header_style="bold")
    for name in ("Field", "Before", "After"):
        table.add_column(name, overflow="fold")
    for change in changes:
        row = asdict(change)  # type: ignore[call-overload]
        before, after = ("none" if row[key] in (None, "") else str(row[key]) for key in ("before", "after"))
        table.add_row(row["label"], Text(before), Text(after))
    out().print(table)
