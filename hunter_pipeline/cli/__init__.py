"""The `hunter` command: one module per group of commands, and `main`, which turns errors into one line.

Belongs here: arguments, help that teaches, and what is shown. Does not belong here: work; commands call
`pipeline` and `orchestration` functions.
"""

from hunter_pipeline.cli.main import main

__all__ = ["main"]
