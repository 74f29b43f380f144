"""The application: its commands, and the one place where an error becomes a line and an exit status.

A command's module is imported when the command is asked for, so that `hunter --help` loads neither the database nor
the sign-in. Here stands only what the list of commands shows; a test holds it against the commands themselves.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from hunter_pipeline.cli.teaching import teach

EPILOG = "Settings are HUNTER_ variables, read from the environment and from .env; hunter settings lists them all."

INTERRUPTED = 130
"""What typer makes of Ctrl+C."""

COMMANDS = {
    "demo": ("demo", "See the whole product in a minute: sample referrals become ranked leads on this machine."),
    "sandbox": (
        "demo",
        "Serve a local Partner Center with sample referrals until stopped, and print the settings that point at it.",
    ),
    "dev": ("servers", "Run Dagster (UI, schedule, sensors, runs) and the lead list on this machine until stopped."),
    "daemon": (
        "servers",
        "Run schedules, sensors and the queue of runs until stopped; nothing happens by itself without it.",
    ),
    "worker": (
        "servers",
        "Look up shards of large scans until stopped, on any machine that reaches the database and Redis.",
    ),
    "ui": ("servers", "Serve the Dagster UI behind Hunter's guard until stopped."),
    "web": ("servers", "Serve the lead list and its API until stopped."),
    "init": ("setting_up", "Set up a real account: write .env, make the database, sign in, and check everything."),
    "login": (
        "sign_in",
        "Sign in to Partner Center once, with a code on any device; everything later runs without asking.",
    ),
    "logout": (
        "sign_in",
        "Forget the stored sign-in, also one that can no longer be read. Run hunter login to sign in again.",
    ),
    "sync": ("sync", "Fetch referrals from Partner Center and take them all the way to scored leads."),
    "leads": (
        "show",
        "Print the ranked list of leads: best category first, then the highest score, each with its reason.",
    ),
    "lineage": (
        "show",
        "Tell the story of one referral: what each stage took in, what it decided and why, and which run did it.",
    ),
    "referrals": (
        "queue",
        "List the referrals by what is to be done with them: to answer, expiring, without a domain, failed and more.",
    ),
    "referral": ("acting", "Accept, decline, win, lose or update a referral at Partner Center."),
    "failures": ("failures", "List the referrals that a stage could not take, with stage and error."),
    "erase": (
        "erase",
        "Remove a person, a company or one referral from every table and from what Dagster shows.",
    ),
    "score": (
        "scoring",
        "Explain a lead's score: the parts that add up to it, the facts behind them, and how it changed over time.",
    ),
    "scan": (
        "scan",
        "Look domains up and print signals, mailbox provider with its evidence, and the status of every look-up.",
    ),
    "doctor": ("check_up", "Check settings, database, sign-in, API, DNS, daemon and schedule, and say what to do."),
    "settings": ("setting_up", "Print every setting with its comment and default, as a start for your own .env."),
    "rules": ("scoring", "Check and try scoring rules before they go live."),
    "db": ("database", "Look at and change the revision of Hunter's tables."),
}
"""Each command, in the order of the list: the module that registers it, and its summary."""


class LazyCommands(TyperGroup):
    """The commands by name: listed by their summaries, and loaded one by one."""

    def get_params(self, ctx: Any) -> Any:
        """The options before a command."""
        options = super().get_params(ctx)
        for option in options:
            # Typer's own (help, completion) begin as None, and to see that this is no value it loads pydantic, which
            # takes as long as all the rest of a command's help.
            if option.default is None:
                option.default = False
        return options

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """A command for the list: its name and summary."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was asked for, with its module loaded."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if found is not None and name in COMMANDS else found, rest


def load(name: str) -> Any:
    """The command itself; imports its module."""
    of_module = typer.Typer(rich_markup_mode="rich", pretty_exceptions_show_locals=False)
    importlib.import_module(f"hunter_pipeline.cli.{COMMANDS[name][0]}").register(of_module)
    teach(of_module)
    return typer.main.get_group(of_module).commands[name]


app = typer.Typer(
    cls=LazyCommands,
    name="hunter",
    help="Turn Microsoft Partner Center referrals into scored, explained sales leads.\n\n"
    "First look: hunter demo. Real account: hunter init, then hunter sync. Every ten minutes: hunter dev.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they may hold tokens and personal data
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"hunter {version('hunter-pipeline')}\n")
        raise typer.Exit


@app.callback()
def hunter(
    _version: Annotated[
        bool, typer.Option("--version", help="Say which version this is", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Every command stands by itself."""


USAGE_ERRORS: Any = typer.BadParameter.__mro__[2]
"""What typer raises on wrong usage; it has no public name, and its module is another one in older versions."""


def run() -> None:
    """Run the command line; exit status 0 only on success, 1 with one line on an error that a person can mend.

    :raises KeyboardInterrupt: a person stopped it.
    """
    # Ends like Ctrl+C does, so that the embedded database is left in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = app(standalone_mode=False)  # a command that ends with a status of its own has it returned
    except USAGE_ERRORS as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # its help has been printed
            context = getattr(error, "ctx", None)
            name = context.command_path if context else "hunter"
            text = " ".join(error.format_message().split()).replace(": Value error, ", ": ")
            _say(f"{name}: {text.rstrip('.')}; see {name} --help")
        sys.exit(2)
    except typer.Abort:
        _say("hunter: nothing was done")
        sys.exit(1)
    except Exception as error:
        from hunter_pipeline.errors import one_line

        line = str(error) if isinstance(error, OSError) else one_line(error)
        if line is None:
            raise
        _say(f"hunter: {line}")
        sys.exit(1)
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    sys.exit(status)


def _say(line: str) -> None:
    from hunter_pipeline.cli.console import err

    # Not broken at the terminal's width: a line stays one when it is copied or logged.
    err().print(line, style="bold red", markup=False, soft_wrap=True)
