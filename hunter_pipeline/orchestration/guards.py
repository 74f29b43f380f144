"""What keeps runs apart: one sync at a time, none that waits for ever, none that only seems to run.

Belongs here: the switches of the schedules, the question whether a sync is under way, the expiry of one that was
never picked up, and the end of runs whose process is gone. The same answers serve the schedule, the sensor, the
command line and the API.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import dagster as dg
from sqlalchemy import Engine, text

from hunter_pipeline.runs.run_signs import shows_sign
from hunter_pipeline.runs.sync_request import QUEUE_EXPIRY, SYNC_JOB
from hunter_pipeline.settings import Settings, variable_name

EXCLUSIVE_TAG = "hunter/exclusive"
"""Run tag of which `dagster.yaml` lets one run for each value go at a time."""

SYNC_POOL = "referral_sync"
"""Pool of the assets of a sync: `dagster.yaml` lets one run at a time use a pool, so that a run that somebody
launches in the UI waits for a sync as a scheduled one does."""

EXCLUSIVE_TAGS = {EXCLUSIVE_TAG: "referral_sync"}

SIGNED_TAG = "hunter/signed"
"""Run tag of a run whose process showed its sign of life before it made the run."""

SIGN_WITHIN = timedelta(minutes=3)
"""How long a run may take from being launched to counting as started: as long as Dagster itself waits for it."""

GUARD_LOCK = 0x48554E47  # "HUNG"
"""Key of the advisory lock around the question whether a sync is under way and the making of one."""

FETCH_ASSET = dg.AssetKey("partner_center_referrals_raw")
ASSET_JOB = "__ASSET_JOB"
"""The name that Dagster gives to runs over assets that are launched from the asset graph, and to backfills."""

IN_PROGRESS = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

UNFINISHED = (dg.DagsterRunStatus.QUEUED, *IN_PROGRESS)


def request_unless_off(
    settings: Settings, switch: str | None = None, config: dg.RunConfig | None = None
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a schedule's run, unless the feature or a switch of the run's own is off.

    :param switch: the field of the settings that is the run's own switch; None: it has none.
    :param config: of the run; None: that of its job.
    """
    reason = off_reason(settings, switch)
    return dg.RunRequest(run_config=config) if reason is None else dg.SkipReason(reason)


def off_reason(settings: Settings, switch: str | None = None) -> str | None:
    """Why nothing is asked of anybody: the feature or a switch of its own is off; None: all is on.

    :param switch: the field of the settings that is the asker's own switch; None: it has none.
    """
    if not settings.partner_center_enabled:
        return "feature_disabled"
    if switch is not None and not getattr(settings, switch):
        return f"switched_off: {variable_name(switch)} is false"
    return None


@contextmanager
def guarded(engine: Engine) -> Iterator[None]:
    """Let one process at a time ask whether a sync is under way, and make one."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": GUARD_LOCK})
        yield


def is_sync(run: dg.DagsterRun) -> bool:
    """Whether a run fetches referrals: the sync job, or a run from the asset graph that has the fetch in it."""
    if run.job_name == ASSET_JOB:
        return run.asset_selection is None or FETCH_ASSET in run.asset_selection
    return run.job_name == SYNC_JOB


def sync_under_way(instance: dg.DagsterInstance, now: datetime, besides: str | None = None) -> str | None:
    """The id of a sync that is queued or running; None when there is none.

    A queued one that is past its expiry is cancelled on the way, so that it cannot block syncs for ever.

    :param besides: a run that does not count.
    """
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(UNFINISHED))):
        run = record.dagster_run
        if not is_sync(run) or run.run_id == besides:
            continue
        if run.status == dg.DagsterRunStatus.QUEUED and now - record.create_timestamp > QUEUE_EXPIRY:
            instance.report_run_canceled(run, message="not picked up within an hour: expired")
            continue
        return run.run_id
    return None


def sweep_orphans(instance: dg.DagsterInstance, engine: Callable[[], Engine], now: datetime) -> list[str]:
    """Fail the runs whose process is gone, and return their ids.

    A run shows a sign of life before it counts as started (`runs.run_signs`). When the machine or the
    process dies, Dagster goes on showing the run as started: it would block every later one of its kind until
    its maximum run time is over, and for ever where no daemon watches it.

    :param engine: gives Hunter's database; asked only when there is a run to look at.
    """
    gone = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(IN_PROGRESS))):
        run = record.dagster_run
        signed = record.start_time is not None or run.status == dg.DagsterRunStatus.STARTED or SIGNED_TAG in run.tags
        if not signed and now - record.update_timestamp < SIGN_WITHIN:
            continue
        with engine().connect() as connection:
            alive = shows_sign(connection, run.run_id)
        # Read again: it may have ended between the two questions.
        current = instance.get_run_by_id(run.run_id)
        if not alive and current is not None and current.status == run.status:
            instance.report_run_failed(
                run,
                message="its process is gone (machine restarted, or process killed); what it had written stays, and "
                "the next run goes on from there",
            )
            gone.append(run.run_id)
    return gone
