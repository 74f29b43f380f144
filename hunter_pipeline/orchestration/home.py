"""Where a Dagster process finds its instance: DAGSTER_HOME with `dagster.yaml` and `workspace.yaml`.

Belongs here: making that folder, so that `hunter` works from any directory and after `pip install`. The two
files stand at the top of the project, where `dagster dev` finds them, and travel in the wheel beside this
module.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from hunter_pipeline.orchestration.storage import tune_event_log
from hunter_pipeline.settings import Settings

FILES = ("dagster.yaml", "workspace.yaml")

LONGEST_TEMPORARY_FOLDER = 80
"""Bytes. Dagster's code server listens on a socket below it, and the path of one may have 103 (see sys/un.h)."""


def prepare_dagster_home(settings: Settings) -> Path:
    """Make the folder, point `DAGSTER_HOME` at it and return it.

    A `DAGSTER_HOME` that is already set stands, with whatever is configured there.

    :raises OSError: the folder cannot be written.
    """
    tune_event_log()
    if sys.platform != "win32" and len(os.fsencode(tempfile.gettempdir())) > LONGEST_TEMPORARY_FOLDER:
        tempfile.tempdir = "/tmp"  # noqa: S108 - each file in it is made for this process alone
    if os.environ.get("DAGSTER_HOME"):
        return Path(os.environ["DAGSTER_HOME"])
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        content = packaged_file(name).read_text("utf-8")
        target = home / name
        if not target.exists() or target.read_text("utf-8") != content:
            # Moved into place, so that another process never reads half of it, nor the next start after a kill.
            new = target.with_suffix(f".{os.getpid()}.new")
            new.write_text(content, "utf-8")
            new.replace(target)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def packaged_file(name: str) -> Path:
    """The file as it travels in the wheel, else as it stands at the top of a checkout."""
    installed = Path(__file__).parent / name
    return installed if installed.exists() else Path(__file__).parents[2] / name
