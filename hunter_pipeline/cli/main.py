"""The application: its commands, and the one place where an error becomes a line and an exit status."""

from __future__ import annotations

import signal
import sys

import typer

from hunter_pipeline.cli import acting, database, demo, doctor, queue, scan, scoring, servers, show, sign_in, sync
from hunter_pipeline.cli.console import err
from hunter_pipeline.cli.teaching import teach
from hunter_pipeline.errors import EXPECTED_ERRORS

EPILOG = "Settings are HUNTER_ variables, read from the environment and from .env; .env.example lists them all."

app = typer.Typer(
    name="hunter",
    help="Turn Microsoft Partner Center referrals into scored, explained sales leads.\n\n"
    "First look: hunter demo. Real account: hunter login, then hunter sync. Every ten minutes: hunter dev.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they may hold tokens and personal data
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, servers, sign_in, sync, show, queue, acting, scoring, scan, doctor, database):
    module.register(app)

teach(app)


def run() -> None:
    """Run the command line; exit status 0 only on success, 1 with one line on an error that a person can mend."""
    # Ends like Ctrl+C does, so that the embedded database is left in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()  # shows wrong usage itself, and ends with the status that a command asks for
    except (*EXPECTED_ERRORS, OSError) as error:
        err().print(f"hunter: {error}", style="bold red", markup=False)
        sys.exit(1)
