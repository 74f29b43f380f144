"""What a failed step says: first the reason and what to do, and a stack trace only where that says more.

Belongs here: the failure that Dagster shows without a trace, the turning of our errors into it, and the reading of it
from a run's events. Does not belong here: whom it is told to (`alerts`), and the errors' texts, which stand beside the
code that raises them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from hunter_pipeline.errors import one_line
from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.pipeline.sync_runs import SyncPaused
from hunter_pipeline.quality.digest import DigestNotDelivered
from hunter_pipeline.store.engine import DatabaseUnavailable, database_trouble


class StepError(DagsterUserCodeProcessError, dg.Failure):
    """A failure of which Dagster shows the reason alone.

    Of a bare `dg.Failure` it shows the name of the class before the reason, and behind it how the code got there,
    which tells a person nothing here. An error that another process has described is shown as described: that is
    what this one says of itself. Not retried: the next tick is the retry.

    :param reason: what is wrong and what to do, in one line and without personal data.
    :param transient: whether the next run can succeed without anybody changing anything.
    """

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            reason,
            user_code_process_error_infos=[SerializableErrorInfo(message=reason, stack=[], cls_name="Failure")],
            metadata={"transient": dg.MetadataValue.bool(transient)},
            allow_retries=False,
        )


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn errors that a person can mend into a failure that says how.

    :raises StepError: an error was raised inside that has a line of its own (`errors`).
    """
    try:
        yield
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        raise StepError(line, transient=is_transient(error)) from None


def is_transient(error: Exception) -> bool:
    """Whether the same can succeed later without anybody changing anything: trouble of a network, server or lock."""
    if isinstance(error, PartnerCenterError):
        return error.transient
    passing = DatabaseUnavailable | TimeoutError | SyncPaused | DigestNotDelivered
    return isinstance(error, passing) or database_trouble(error) is not None


def failure_reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, in one line: our own text, which names the fix, else the kind of the error.

    The text of any other error is left out, as it may quote data.
    """
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    cause = data.error.cause if data.error and data.error.cause else data.error
    name = cause.cls_name if cause else "error"
    return f"{event.step_key} broke with {name}; the run's log in the Dagster UI has the stack trace"
