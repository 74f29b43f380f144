"""What the long-running servers get from the directory in which they are started."""

import json
import sys
from pathlib import Path

import pytest
import typer

from hunter_pipeline.cli import servers

pytestmark = pytest.mark.processes

PROBE = """
import json, pathlib, sys
from hunter_pipeline.settings import load_settings
settings = load_settings()
found = [settings.partner_center_enabled, str(settings.scoring_rules.resolve()), str(settings.home)]
pathlib.Path(sys.argv[1]).write_text(json.dumps(found))
"""


def test_servers_read_the_env_file_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("HUNTER_PARTNER_CENTER_ENABLED", "HUNTER_SCORING_RULES", "HUNTER_HOME", "HUNTER_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    Path(".env").write_text(
        "HUNTER_PARTNER_CENTER_ENABLED=true\nHUNTER_SCORING_RULES=own.yaml\nHUNTER_HOME=data\n", "utf-8"
    )
    with pytest.raises(typer.Exit):
        servers._run([[sys.executable, "-c", PROBE, str(tmp_path / "found.json")]])
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert found == [True, str(tmp_path / "own.yaml"), str(tmp_path / "data")]
