"""`hunter demo` and `hunter sandbox`: everything the real way, against services on this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json, ready
from hunter_pipeline.cli.loading import loading
from hunter_pipeline.cli.sign_in import sign_in
from hunter_pipeline.store.embedded.users import EmbeddedError, start_embedded

if TYPE_CHECKING:
    from hunter_pipeline.sandbox.sandbox import Sandbox
    from hunter_pipeline.settings import Settings

BEST_REFERRAL = """
SELECT l.external_id FROM raw_leads l JOIN lead_scores s USING (domain)
ORDER BY s.category, s.score DESC, l.external_id LIMIT 1
"""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(demo)
    app.command()(sandbox)


def demo() -> None:
    """See the whole product in a minute: sample referrals become ranked leads on this machine.

    Starts a sandbox (Partner Center over HTTPS, sign-in, DNS; all on loopback), signs in by device code, syncs
    through Dagster into PostgreSQL, looks the domains up, scores them and prints the list. Nothing leaves this
    machine. Run it again: nothing new, no row twice, no domain looked up again.
    """
    from hunter_pipeline.settings import load_settings

    ready()
    with sandbox_settings() as world:
        settings = load_settings()
        database = _database_ahead(settings)
        with loading():
            from sqlalchemy import text

            from hunter_pipeline.cli.lead_table import print_leads
            from hunter_pipeline.cli.syncing import show_books, sync_now
            from hunter_pipeline.orchestration.run_sync import evaluate_standing_checks
            from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
            from hunter_pipeline.services import make_sign_in
            from hunter_pipeline.store.database import open_database

        database.join()
        engine = open_database(settings)
        err().print("Signing in to the sandbox (its identity provider approves the code by itself)")
        sign_in(make_sign_in(settings, engine))
        books = sync_now(settings, engine, Window(FIRST_DAY, datetime.now(UTC).date()))
        with err().status("checking"):  # otherwise hourly: so that the Dagster UI shows them
            evaluate_standing_checks(settings)
        scanned = "DNS was asked" if world.dns.questions else "DNS was not asked: every domain is known"
        print_leads(engine, limit=10)
        show_books(engine, books)
        with engine.connect() as connection:
            example = connection.execute(text(BEST_REFERRAL)).scalar() or "REFERRAL_ID"
    hunter = "hunter" if shutil.which("hunter") else shlex.quote(os.path.relpath(sys.argv[0]))
    out().print(f"{scanned}.\n")
    out().print("Next, try:", style="bold")
    tips = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    tips.add_column(no_wrap=True)
    tips.add_column()
    for command, use in (
        (f"{hunter} lineage {example[:8]}", "the story of one referral, from payload to score"),
        (f"{hunter} leads --format csv", "the list, for a spreadsheet"),
        (f"{hunter} dev --sandbox", "the Dagster UI on the same data (make dev)"),
    ):
        tips.add_row(Text(command), use)
    out().print(tips)


def _database_ahead(settings: Settings) -> threading.Thread:
    """Have the embedded database made and started while Dagster is loaded, which takes as long.

    What goes wrong is told by who asks for the database next.
    """
    embedded = settings.database_url is None
    if embedded and settings.dagster_database_url is None:
        # A commit need not wait for the disk: what a server loses that crashes within the second, the next demo makes.
        os.environ["PGOPTIONS"] = f"{os.environ.get('PGOPTIONS', '')} -c synchronous_commit=off"

    def start() -> None:
        # Only what is loaded already: two threads that load modules at once may find each other's half loaded.
        if embedded:
            with suppress(EmbeddedError):
                start_embedded(settings.home)

    thread = threading.Thread(target=start)
    thread.start()
    return thread


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="HTTPS port of Partner Center and sign-in; 0 picks a free one")
    ] = 8443,
    dns_port: Annotated[
        int, typer.Option(min=0, max=65535, help="UDP and TCP port of the DNS server; 0 picks a free one")
    ] = 5353,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON")] = False,
) -> None:
    """Serve a local Partner Center with sample referrals until stopped, and print the settings that point at it.

    Put the printed lines into another shell, and every other command works on the samples there: hunter login,
    hunter sync, hunter leads, hunter dev. In a .env file they work but for REQUESTS_CA_BUNDLE, which is no setting of
    Hunter's: the sandbox's certificate is trusted only where that variable stands in the environment.
    """
    settings = ready()
    world = _make_sandbox(settings.home / "sandbox", port, dns_port)
    with _explain_ports(port, dns_port), world:
        if as_json:
            print_json(world.environment)
        else:
            for name, value in world.environment.items():
                out().print(f"export {name}={shlex.quote(value)}", markup=False, soft_wrap=True)
        err().print("Serving until Ctrl+C.", style="dim")
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        stop.wait()


@contextmanager
def sandbox_settings() -> Iterator[Sandbox]:
    """A running sandbox, with this process's settings pointing at it and at nothing of a real account.

    The folder, the database and the rhythm stay the configured ones; a database never mixes samples with real
    referrals.
    """
    from hunter_pipeline.settings import load_settings

    settings = load_settings()
    kept = {
        "HUNTER_HOME": str(settings.home),
        "HUNTER_PARTNER_CENTER_SYNC_INTERVAL": str(settings.partner_center_sync_interval),
    }
    for name, secret in (
        ("HUNTER_DATABASE_URL", settings.database_url),
        ("HUNTER_DAGSTER_DATABASE_URL", settings.dagster_database_url),
    ):
        if secret is not None:
            kept[name] = secret.get_secret_value()
    world = _make_sandbox(settings.home / "sandbox")
    with world:
        before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith("HUNTER_")]:
            del os.environ[name]
        os.environ.update(kept | world.environment | {"HUNTER_ENV_FILE": os.devnull})
        try:
            yield world
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _explain_ports(https: int, dns: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"port {https} or {dns} is taken ({error.strerror}); choose others with --port and --dns-port"
        ) from error


def _make_sandbox(directory: Path, https: int = 0, dns: int = 0) -> Sandbox:
    """A sandbox that is not started yet; its packages are an extra, which production does without.

    :raises SettingsError: they are not installed.
    """
    from hunter_pipeline.settings import SettingsError

    try:
        from hunter_pipeline.sandbox.sandbox import Ports, Sandbox
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the sandbox needs the package {error.name}; install it with: pip install 'hunter-pipeline[sandbox]'"
        ) from None
    return Sandbox(directory=directory, ports=Ports(https=https, dns=dns))
