"""The application: its commands, and the one place where an error becomes a line and an exit status."""

from __future__ import annotations

import signal
import sys
import warnings

import click
import typer

from hunter_pipeline.cli import database, demo, scan, scoring, servers, show, sign_in, sync
from hunter_pipeline.cli.console import err
from hunter_pipeline.orchestration.metadata import EXPECTED_ERRORS
from hunter_pipeline.orchestration.run_sync import SyncUnderWay

EPILOG = "Settings are HUNTER_ variables, read from the environment and from .env; .env.example lists them all."

app = typer.Typer(
    name="hunter",
    help="Turn Microsoft Partner Center referrals into scored, explained sales leads.\n\n"
    "First look: hunter demo. Real account: hunter login, then hunter sync. Every ten minutes: hunter dev.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, servers, sign_in, sync, show, scoring, scan, database):
    module.register(app)


def main() -> None:
    """Run the command line; exit status 0 only on success, 1 with one line on an error that a person can mend."""
    warnings.filterwarnings("ignore", category=UserWarning, module="dagster")
    # Ends like Ctrl+C does, so that the embedded database is left in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.Abort:
        err().print("stopped")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err().print("stopped")
        sys.exit(130)
    except (*EXPECTED_ERRORS, SyncUnderWay, OSError) as error:
        err().print(f"hunter: {error}", style="bold red", markup=False)
        sys.exit(1)
