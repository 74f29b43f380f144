"""The terminal table at any width, and help that teaches with examples that work."""

import shlex

import pytest
from rich.console import Console

from hunter_pipeline.cli.lead_table import lead_table
from hunter_pipeline.cli.main import COMMANDS as LISTED
from hunter_pipeline.cli.main import load
from hunter_pipeline.cli.teaching import EXAMPLES
from hunter_pipeline.readers.lead_columns import COLUMNS, PRINTED_FROM
from hunter_pipeline_tests.unit.readers.test_export import LEAD


def is_group(command: object) -> bool:
    return hasattr(command, "commands")


LOADED = {name: load(name) for name in LISTED}
COMMANDS = {
    f"{group} {name}".strip(): command
    for group, found in [("", LOADED), *((name, found.commands) for name, found in LOADED.items() if is_group(found))]
    for name, command in found.items()
    if not is_group(command)
}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 160, 200, 300])
def test_the_table_fits_and_tells_what_matters(width: int):
    console = Console(width=width, emoji=False, color_system=None)
    with console.capture() as capture:
        console.print(lead_table([LEAD], width))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= width
    for value in ("65", "P1", "Contoso", "Co-sell", "because"):
        assert value in text, value
    labels = {column.name: column.label for column in COLUMNS}
    for name, least in PRINTED_FROM.items():
        assert (labels[name] in text.splitlines()[1]) == (least <= width) or name == "company_name", name


def test_every_command_has_examples():
    assert set(COMMANDS) == set(EXAMPLES)


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_the_options_of_an_example_exist(line: str):
    words = [word for word in shlex.split(line) if "=" not in word]
    assert words[0] == "hunter"
    name = max((name for name in COMMANDS if " ".join(words[1:]).startswith(name)), key=len)
    command = COMMANDS[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
