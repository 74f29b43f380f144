"""What every `--help` adds to a command's own words: examples, and paragraphs that fill the width.

Belongs here: the examples, one place for all commands. Does not belong here: what a command does, which its docstring
says. Typer keeps the line ends of a docstring as they stand in the source; here they become paragraphs.
"""

from __future__ import annotations

import inspect

import typer

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("hunter demo", "HUNTER_HOME=/tmp/look hunter demo"),
    "sandbox": ("hunter sandbox", "hunter sandbox --port 9443 --dns-port 5354 --json"),
    "dev": ("hunter dev", "hunter dev --sandbox --port 3001"),
    "daemon": ("hunter daemon", "hunter daemon --wait 300"),
    "worker": ("hunter worker", "hunter worker --wait 300"),
    "ui": ("hunter ui", "hunter ui --port 3001"),
    "web": ("hunter web",),
    "init": (
        "hunter init",
        "hunter init --client-id 0a1b2c3d-0000-4000-8000-000000000001 --tenant-id contoso.com --yes",
    ),
    "login": ("hunter login",),
    "logout": ("hunter logout",),
    "sync": ("hunter sync", "hunter sync --since 2026-11-01 --until 2026-11-07", "hunter sync --dry-run --json"),
    "leads": (
        "hunter leads --category P1 --min-score 60",
        "hunter leads --search 'celik istanbul' --limit 20",
        "hunter leads --format xlsx --output leads.xlsx",
    ),
    "lineage": ("hunter lineage 0a1b2c3d", "hunter lineage 0a1b2c3d --history --json"),
    "referrals": ("hunter referrals", "hunter referrals expiring", "hunter referrals no_domain --format json"),
    "referral accept": ("hunter referral accept 0a1b2c3d --reference CRM-1042",),
    "referral decline": ("hunter referral decline 0a1b2c3d --reason 'Outside our region'",),
    "referral won": ("hunter referral won 0a1b2c3d --value 12500 --currency EUR",),
    "referral lost": ("hunter referral lost 0a1b2c3d --reason 'Chose another supplier'",),
    "referral set": ("hunter referral set 0a1b2c3d --value 20000 --closing 2027-03-31",),
    "failures": (
        "hunter failures",
        "hunter failures --all --json",
        "hunter failures --dismiss 0a1b2c3d",
        "hunter failures --undo-dismiss 0a1b2c3d",
    ),
    "erase": (
        "hunter erase --email anna@contoso.com --dry-run",
        "hunter erase --domain contoso.com",
        "hunter erase --referral 0a1b2c3d-0000-4000-8000-000000000001 --forget",
    ),
    "score": ("hunter score contoso.com", "hunter score https://www.contoso.com --json"),
    "scan": (
        "hunter scan contoso.com",
        "hunter scan --file names.txt --json",
        "hunter scan --explain contoso.com",
        "hunter scan --against expected.csv --format json",
    ),
    "doctor": ("hunter doctor",),
    "settings": ("hunter settings", "hunter settings --json"),
    "rules export": ("hunter rules export my-rules.yaml",),
    "rules check": ("hunter rules check my-rules.yaml",),
    "rules preview": ("hunter rules preview my-rules.yaml", "hunter rules preview my-rules.yaml --cosell-bonus 20"),
    "db upgrade": ("hunter db upgrade",),
    "db downgrade": ("hunter db downgrade 0002",),
    "db status": ("hunter db status",),
}
"""Commands by their full name; a test holds that each has examples and that the options in them exist."""


def teach(app: typer.Typer, prefix: str = "") -> None:
    """Give every command of `app`, and of its groups, its paragraphs and examples."""
    for command in app.registered_commands:
        assert command.callback is not None
        name = prefix + (command.name or command.callback.__name__.replace("_", "-"))
        command.help = paragraphs(command.help or inspect.getdoc(command.callback) or "")
        if examples := EXAMPLES.get(name):
            # Typer shows each block between blank lines on a line of its own.
            command.epilog = "\n\n".join(("[bold]Examples[/bold]", *(f"  {line}" for line in examples)))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            teach(group.typer_instance, f"{prefix}{group.name or group.typer_instance.info.name} ")


def paragraphs(text: str) -> str:
    """A text whose lines run on until a blank line."""
    return "\n\n".join(" ".join(block.split()) for block in text.split("\n\n"))
