"""What is imported before anything runs: no help loads anything of the work, and Dagster's definitions little of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hunter_pipeline.cli.main import COMMANDS, load

pytestmark = pytest.mark.processes

HEAVY = {
    "alembic",
    "celery",
    "cryptography",
    "dagster",
    "dns",
    "fastapi",
    "jinja2",
    "msal",
    "openpyxl",
    "prometheus_client",
    "publicsuffixlist",
    "pydantic",
    "requests",
    "sqlalchemy",
    "structlog",
    "tldextract",
    "trustme",
    "uvicorn",
    "yaml",
}

OF_RUNS = {
    "alembic",
    "celery",
    "dagster_postgres",
    "dns",
    "fastapi",
    "jinja2",
    "kubernetes",
    "msal",
    "openpyxl",
    "requests",
    "tldextract",
    "trustme",
    "urllib3",
    "uvicorn",
    "whoisit",
}
"""What the definitions do without: a run, a check or a tick loads it."""


def imported(*arguments: str) -> set[str]:
    """The top-level packages that `hunter` with these arguments has imported at its end."""
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('\\n@', *{name.partition('.')[0] for name in sys.modules}))\n"
        f"sys.argv = ['hunter', *{list(arguments)!r}]\n"
        "from hunter_pipeline.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\n@ ")[2].split())


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_loads_nothing_of_the_work(command: str | None):
    found = imported(*filter(None, [command]), "--help")
    assert "typer" in found
    assert found & HEAVY == set()


def test_the_definitions_load_nothing_that_only_a_run_needs(tmp_path: Path):
    program = "import hunter_pipeline.definitions, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    environment = {**os.environ, "HUNTER_HOME": str(tmp_path), "HUNTER_ENV_FILE": os.devnull}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    found = set(done.stdout.split())
    assert "dagster" in found
    assert found & OF_RUNS == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_each_command_what_the_command_says_of_itself(name: str):
    assert COMMANDS[name][1] == (load(name).help or "").partition("\n\n")[0].replace("\n", " ")


def test_the_list_has_every_command():
    import importlib

    import typer

    registered: set[str] = set()
    for module in {module for module, _ in COMMANDS.values()}:
        app = typer.Typer()
        importlib.import_module(f"hunter_pipeline.cli.{module}").register(app)
        registered |= set(typer.main.get_group(app).commands)
    assert registered == set(COMMANDS)
