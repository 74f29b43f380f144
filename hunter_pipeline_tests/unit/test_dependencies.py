"""What is imported is declared, and what is declared is used."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_import_is_declared_and_every_declared_package_is_used():
    ended = subprocess.run([sys.executable, "-m", "deptry", "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_no_dagster_package_can_come_in_another_release_line_than_the_one_that_was_tested():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for package, cap in (("dagster", "<1.14"), ("dagster-webserver", "<1.14"), ("dagster-postgres", "<0.30")):
        line = next(line for line in text.splitlines() if line.strip().startswith(f'"{package}>'))
        assert cap in line
