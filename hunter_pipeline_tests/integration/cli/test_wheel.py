"""The wheel in an environment that has no clone, in a folder whose path holds a space and a letter beyond ASCII."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder; it borrows all packages but Hunter from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel") / "ein hünter"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], cwd=ROOT, check=True
    )
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    [wheel] = (folder / "dist").glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    [own] = (folder / "venv").glob("lib/python*/site-packages")
    # A plain path file: what is installed here stands before it, so the wheel's Hunter is the one that is found.
    (own / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    return folder


def hunter(installed: Path, *arguments: str) -> str:
    work = installed / "work"
    work.mkdir(exist_ok=True)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("HUNTER_", "PYTHON"))}
    done = subprocess.run(
        [installed / "venv" / "bin" / "hunter", *arguments],
        cwd=work,
        env={**bare, "HUNTER_HOME": str(work / "home"), "HUNTER_ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_gives_what_a_clone_has_as_files(installed: Path):
    assert hunter(installed, "--version").startswith("hunter ")
    assert hunter(installed, "settings") == (ROOT / ".env.example").read_text("utf-8")
    hunter(installed, "rules", "export", "own.yaml")
    assert (installed / "work" / "own.yaml").read_bytes() == (ROOT / "hunter_pipeline/scoring/rules.yaml").read_bytes()
    assert "no fault" in hunter(installed, "rules", "check", "own.yaml")


def test_the_wheel_makes_its_tables_and_prepares_dagster(installed: Path):
    said = hunter(installed, "db", "upgrade")
    assert said.count("at revision") == 2
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (installed / "work" / "home" / "dagster" / name).read_bytes() == (ROOT / name).read_bytes()
