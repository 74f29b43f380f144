"""The `hunter` command: one module per group of commands, and `main`, which turns errors into one line.

Belongs here: arguments, help that teaches, and what is shown. Does not belong here: work; commands call
`pipeline` and `orchestration` functions. A command's module loads at its head only what its `--help` needs; what the
command does is imported in the command, so that help, a typing mistake and a Tab are answered at once.
"""

import signal
import sys
import warnings


def main() -> None:
    """Run the command line; the console script `hunter`."""
    # Dagster says on every import that backfill policies are in beta; the lock file pins the version we tested.
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
    try:
        from hunter_pipeline.cli.main import run

        run()
    except KeyboardInterrupt:  # also while modules are still loading, and while a command tidies up
        # What is still to be done at exit, such as stopping the embedded server, is not broken off by a second one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("\nhunter: stopped\n")
        sys.exit(130)
