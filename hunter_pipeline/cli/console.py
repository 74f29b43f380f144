"""What all commands share: the consoles, the settings, and the tables of leads and counts."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from hunter_pipeline.settings import Settings

PLAIN_WIDTH = 160
"""Columns to use where there is neither a terminal nor COLUMNS to ask: wide enough for the list of leads."""

NARROWEST = 20
"""Columns below which nothing can be laid out."""


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    told = os.environ.get("COLUMNS", "")
    # rich takes any digits, also a 0 that some shells leave behind.
    width = max(int(told), NARROWEST) if told.isdecimal() and int(told) else None if stream.isatty() else PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False, emoji=False)


def out() -> Console:
    """Standard output, for results."""
    return _console()


def err() -> Console:
    """Standard error, for progress and notes, so that results can be piped."""
    return _console(stderr=True)


def ready() -> Settings:
    """The settings, with logging set up by them: only warnings, unless a level is set, as commands show progress.

    :raises SettingsError: a value is wrong.
    """
    from hunter_pipeline.logs import configure_logging
    from hunter_pipeline.settings import load_settings

    settings = load_settings()
    quiet = {} if "log_level" in settings.model_fields_set else {"log_level": "WARNING"}
    configure_logging(settings.model_copy(update=quiet))
    return settings


def print_json(value: Any, file: TextIO | None = None) -> None:
    """Write a value as JSON to `file`, by default standard output; a program that reads it has it at once."""
    target = file or sys.stdout
    target.write(json.dumps(value, indent=2, default=_plain, ensure_ascii=False) + "\n")
    target.flush()


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
