"""What a command imports: the help of the whole loads nothing of the work, and each command loads its own."""

import subprocess
import sys

import pytest

from hunter_pipeline.cli.main import COMMANDS, load

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
