"""`make` and the virtual environment: one whose making broke off is made again, and what is missing is named."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[3]
PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone that installs nothing but itself, in a folder whose name holds a space and a letter beyond ASCII."""
    folder = tmp_path / "my hünter"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.lock").touch()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n', "utf-8"
    )
    (folder / "backend.py").write_text(
        "import shutil\n"
        "def build_editable(folder, config_settings=None, metadata_directory=None):\n"
        f"    return shutil.copy({str(wheel(tmp_path))!r}, folder).rpartition('/')[2]\n",
        "utf-8",
    )
    return folder


def wheel(folder: Path) -> Path:
    path = folder / "hunter_pipeline-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: hunter-pipeline\nVersion: 0\n"),
            ("WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            archive.writestr(f"hunter_pipeline-0.dist-info/{name}", text)
    return path


def set_up(clone: Path, python: str = str(PYTHON)) -> subprocess.CompletedProcess[str]:
    of_this_run = ("MAKE", "PYTHON", "VENV", "VIRTUAL")
    return subprocess.run(
        ["make", f"PYTHON={python}", ".venv/.installed"],
        cwd=clone,
        env={name: value for name, value in os.environ.items() if not name.startswith(of_this_run)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_set_up_that_broke_off_is_made_again(clone: Path):
    # What a kill in the middle of pip leaves: the mark, and packages of which nobody knows whether they are whole.
    half_written = clone / ".venv" / "lib" / "half_written"
    half_written.mkdir(parents=True)
    (clone / ".venv.begun").touch()
    done = set_up(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not half_written.exists()
    assert not (clone / ".venv.begun").exists()
    assert "is up to date" in set_up(clone).stdout


def test_an_environment_without_pip_gets_it(clone: Path):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    done = set_up(clone)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_python_that_cannot_make_environments_is_named_with_its_fix(clone: Path):
    # As Debian ships it without python3-venv: everything but the module that brings pip.
    python = clone / "python3"
    python.write_text(
        '#!/bin/sh\ncase "$2" in *ensurepip*) exec "$0.real" -c "import no_such_module";; esac\nexec "$0.real" "$@"\n',
        "utf-8",
    )
    python.chmod(0o755)
    (clone / "python3.real").symlink_to(PYTHON)
    done = set_up(clone, "./python3")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (clone / ".venv").exists()
