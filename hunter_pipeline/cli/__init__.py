"""The `hunter` command: one module per group of commands, and `main`, which turns errors into one line.

Belongs here: arguments, help that teaches, and what is shown. Does not belong here: work; commands call
`pipeline` and `orchestration` functions.
"""

import warnings


def main() -> None:
    """Run the command line; the console script `hunter`."""
    # Dagster says on every import that backfill policies are in beta; the lock file pins the version we tested.
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
    from hunter_pipeline.cli.main import run

    run()
