"""The project's own habits: workflows, hooks, what is said of it, and that a wheel has what a clone has."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from hunter_pipeline.settings import example_file

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_fits_its_schema_and_runs_what_a_person_runs(path: Path):
    checked = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    steps = [step for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert commands
    assert all(command == ".ci/run" or command.removeprefix("make ") in targets for command in commands)


def test_the_pythons_that_are_tested_are_those_that_are_named():
    tested = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text("utf-8"))["jobs"]["check"]["strategy"]
    named = [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"] if "Python :: 3." in name]
    assert tested["matrix"]["python"] == named
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_hooks_leave_alone_what_the_settings_leave_out():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    migration = next((ROOT / "hunter_pipeline/store/migrations/versions").glob("0*.py"))
    before = migration.read_bytes()
    for hook in hooks:
        if "ruff" in hook["entry"]:  # pre-commit gives file names, which would stand above `extend-exclude`
            command = hook["entry"].replace(".venv/bin", str(BIN)).replace("ruff format", "ruff format --check").split()
            done = subprocess.run([*command, migration], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
    assert migration.read_bytes() == before


def test_a_wheel_has_the_files_of_a_clone():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included[".env.example"] == "hunter_pipeline/settings.env"
    assert example_file() == ROOT / ".env.example"
    assert all((ROOT / name).is_file() for name in included)


def test_the_newest_changes_are_told():
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert any(head.startswith(PROJECT["project"]["version"]) for head in heads)
