"""What keeps syncs apart: one at a time, none that waits for ever.

Belongs here: the question whether a sync is under way, and the expiry of one that was never picked up. The
same answers serve the schedule, the sensor, the command line and the API.
"""

from datetime import datetime, timedelta

import dagster as dg

SYNC_JOB = "referral_sync_job"
EXPIRES_TAG = "hunter/expires_at"
EXCLUSIVE_TAG = "hunter/exclusive"
"""Run tag of which `dagster.yaml` lets one run for each value go at a time."""

EXCLUSIVE_TAGS = {EXCLUSIVE_TAG: "referral_sync"}

QUEUE_EXPIRY = timedelta(hours=1)
"""A sync that was not picked up for this long is given up; a newer one covers its window."""

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


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
