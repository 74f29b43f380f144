"""How log lines are written: text for people, JSON for machines, always on standard error.

Belongs here: the configuration of structlog. Does not belong here: what is logged; personal data is masked
where the line is made (`masking`).
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from hunter_pipeline.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Write structured lines of the level and form that the settings ask for."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level)),
        # Looked up for each line: standard error may be another by then, and this one closed.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
