"""`hunter init` and `hunter settings`: from nothing to a signed-in machine, also where there is no clone.

Belongs here: what is asked, and the file that is written. Does not belong here: what the settings are (`settings`,
whose list this file copies), the sign-in (`sign_in`), whether all is well (`doctor`).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hunter_pipeline.cli.console import err, print_json, ready

if TYPE_CHECKING:
    from hunter_pipeline.settings import Settings

CLIENT, TENANT = "partner_center_client_id", "partner_center_tenant_id"
SECRET, DATABASE = "partner_center_client_secret", "database_url"

QUESTIONS = {
    CLIENT: "Application (client) ID of the app registration",
    TENANT: "Directory (tenant) ID of the app registration",
    SECRET: "Client secret, for a confidential client (empty: none)",
    DATABASE: "PostgreSQL server, as postgresql://user:password@host/hunter (empty: the embedded one)",
}
"""What a person is asked, in this order; the first two need an answer."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(init)
    app.command()(settings)


def init(
    client_id: Annotated[str | None, typer.Option(help="Application (client) ID of the app registration")] = None,
    tenant_id: Annotated[str | None, typer.Option(help="Directory (tenant) ID of the app registration")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="PostgreSQL server to use; '' for the embedded one. Asked for when left out")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults, replace the file")] = False,
    login: Annotated[bool, typer.Option("--login/--no-login", help="Sign in when the settings are written")] = True,
) -> None:
    """Set up a real account: write .env, make the database, sign in, and check everything.

    Asks for what is not given as an option. The file has every setting with its comment, mode 0600, since it may hold
    secrets; one that is there already is replaced only when you say so, and kept beside it. The file is .env in this
    folder, or the one that HUNTER_ENV_FILE names. README, 'Connect a real account', tells where the ids come from.
    """
    from hunter_pipeline.settings import env_file, variable_name

    target = env_file()
    if target.exists() and not yes:
        _need_terminal("--yes")
        typer.confirm(f"{target} is there already. Write a new one (the old one is kept)?", abort=True, err=True)
    os.environ["HUNTER_ENV_FILE"] = os.devnull  # the file that is to be written may be missing or wrong
    given = {CLIENT: client_id, TENANT: tenant_id, DATABASE: database_url}
    if yes:
        given[DATABASE] = database_url or ""
    values = {field: _answer(field, given.get(field), ask=not (yes and field == SECRET)) for field in QUESTIONS}
    chosen = {variable_name(field): value for field, value in values.items() if value}
    written = write_env(target, chosen | {"HUNTER_PARTNER_CENTER_ENABLED": "true"})
    err().print(f"{written} written" if written == target else f"{target} written, the old one is {written}")
    os.environ["HUNTER_ENV_FILE"] = str(target.absolute())
    _prepare(login=login)
    from hunter_pipeline.cli.check_up import doctor

    doctor(as_json=False)


def _prepare(*, login: bool) -> None:
    """The database and the sign-in; what fails is told, and the check that follows names what comes next."""
    from hunter_pipeline.cli.database import upgrade
    from hunter_pipeline.cli.sign_in import sign_in
    from hunter_pipeline.errors import one_line
    from hunter_pipeline.services import make_sign_in
    from hunter_pipeline.store.database import open_database

    made = ready()
    try:
        upgrade("head")
        if login:
            sign_in(make_sign_in(made, open_database(made)))
    except Exception as error:
        told = one_line(error)
        if told is None:
            raise
        err().print(f"hunter: {told}", style="bold red", markup=False, soft_wrap=True)


def _need_terminal(option: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask at; give it as an option", param_hint=option)


def _answer(field: str, given: str | None, *, ask: bool) -> str:
    """A checked value of a setting: the option's, the one in the environment, or a person's."""
    from hunter_pipeline.settings import variable_name

    if given is None:
        given = os.environ.get(variable_name(field))
    needed = field in (CLIENT, TENANT)
    option = f"--{field.removeprefix('partner_center_').replace('_', '-')}"
    if given is not None or not (ask and (needed or sys.stdin.isatty())):
        value = (given or "").strip()
        if wrong := _wrong(field, value, needed=needed):
            raise typer.BadParameter(wrong, param_hint=option)
        return value
    _need_terminal(option)
    while True:
        value = typer.prompt(
            QUESTIONS[field], default=None if needed else "", show_default=False, hide_input=field == SECRET, err=True
        ).strip()
        wrong = _wrong(field, value, needed=needed)
        if wrong is None:
            return str(value)
        err().print(wrong, style="red", markup=False, soft_wrap=True)


def _wrong(field: str, value: str, *, needed: bool) -> str | None:
    """What is wrong with a value; None when nothing is."""
    from hunter_pipeline.settings import load_settings, variable_name

    if not value:
        return f"{variable_name(field)} has no value" if needed else None
    from hunter_pipeline.store.engine import normalize_url

    try:
        load_settings(**{field: value})
        if field == DATABASE:
            normalize_url(value)
    except ValueError as error:  # SettingsError is one
        return str(error)
    return None


def write_env(target: Path, values: dict[str, str]) -> Path:
    """Write the list of all settings with `values` set in it, for its owner only.

    :param target: file to write; one that is there is kept beside it.
    :param values: by variable.
    :returns: where the old file is now; `target` when there was none.
    :raises SettingsError: a value cannot be written so that it is read as it is.
    """
    from dotenv import dotenv_values

    from hunter_pipeline.settings import SettingsError, example_file

    text = example_file().read_text("utf-8")
    text = text[text.index("\n\n## ") + 2 :]
    for name, value in values.items():
        line = f"{name}={_quoted(value)}"
        text = re.sub(rf"^# {name}=.*$", lambda _, line=line: line, text, flags=re.MULTILINE)  # type: ignore[misc]
    head = "# Hunter's settings, written by `hunter init`. What is commented out stands at its default.\n\n"
    new = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(head + text)
        read = dotenv_values(new)
        for name, value in values.items():
            if read.get(name) != value:
                raise SettingsError(
                    f"{name} holds characters that a settings file cannot hold; set it in the environment"
                )
        old = target
        if target.exists():
            old = target.with_name(f"{target.name}.before")
            target.replace(old)
            old.chmod(0o600)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    return old


def _quoted(value: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9@%+=:,./_-]*", value)
    return value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print name, default, meaning and whether it is set")] = False,
) -> None:
    """Print every setting with its comment and default, as a start for your own .env.

    A clone has the same list as .env.example. Values that are set are not shown, since some are secrets.
    """
    from hunter_pipeline.settings import Settings, example_file, load_settings

    if not as_json:
        sys.stdout.write(example_file().read_text("utf-8"))
        return
    found = load_settings()
    print_json([_described(field, found) for field in Settings.model_fields])


def _described(field: str, found: Settings) -> dict[str, Any]:
    from hunter_pipeline.settings import variable_name

    info = type(found).model_fields[field]
    default = list(info.default) if isinstance(info.default, tuple) else info.default
    return {
        "name": variable_name(field),
        "default": default,
        "description": info.description,
        "is_set": field in found.model_fields_set,
    }
