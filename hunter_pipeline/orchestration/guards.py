"""What keeps runs apart: one sync at a time, none that waits for ever, none that only seems to run.

Belongs here: the switches of the schedules, the question whether a sync is under way, the expiry of one that was
never picked up, and the end of runs whose process is gone. The same answers serve the schedule, the sensor, the
command line and the API.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
from sqlalchemy import Engine

from hunter_pipeline.runs.run_signs import shows_sign
from hunter_pipeline.runs.sync_request import QUEUE_EXPIRY, SYNC_JOB
from hunter_pipeline.settings import Settings, variable_name

EXCLUSIVE_TAG = "hunter/exclusive"
"""Run tag of which `dagster.yaml` lets one run for each value go at a time."""

EXCLUSIVE_TAGS = {EXCLUSIVE_TAG: "referral_sync"}

SIGN_WITHIN = timedelta(minutes=3)
"""A run shows its sign of life when its first stage begins. One that has none by now, and whose status has not
changed for so long, is dead: as long as Dagster itself waits for a run to start."""

IN_PROGRESS = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

UNFINISHED = (dg.DagsterRunStatus.QUEUED, *IN_PROGRESS)


def request_unless_off(settings: Settings, switch: str | None = None) -> dg.RunRequest | dg.SkipReason:
    """Ask for a schedule's run, unless the feature or a switch of the run's own is off.

    :param switch: the field of the settings that is the run's own switch; None: it has none.
    """
    if not settings.partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    if switch is not None and not getattr(settings, switch):
        return dg.SkipReason(f"switched_off: {variable_name(switch)} is false")
    return dg.RunRequest()


def sync_under_way(instance: dg.DagsterInstance, now: datetime) -> str | None:
    """The id of a sync that is queued or running; None when there is none.

    A queued one that is past its expiry is cancelled on the way, so that it cannot block syncs for ever.
    """
    records = instance.get_run_records(dg.RunsFilter(job_name=SYNC_JOB, statuses=list(UNFINISHED)))
    for record in records:
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.QUEUED and now - record.create_timestamp > QUEUE_EXPIRY:
            instance.report_run_canceled(run, message="not picked up within an hour: expired")
            continue
        return run.run_id
    return None


def sweep_orphans(instance: dg.DagsterInstance, engine: Callable[[], Engine], now: datetime) -> list[str]:
    """Fail the exclusive runs whose process is gone, and return their ids.

    Such a run holds a sign of life from its first stage on (`runs.run_signs`). When the machine or the
    process dies, Dagster goes on showing the run as started: it would block every later one of its kind until
    its maximum run time is over, and for ever where no daemon watches it.

    :param engine: gives Hunter's database; asked only when there is a run to look at.
    """
    gone = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(IN_PROGRESS))):
        run = record.dagster_run
        if EXCLUSIVE_TAG not in run.tags or now - record.update_timestamp < SIGN_WITHIN:
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
