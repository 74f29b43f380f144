"""The sensor that publishes the stories of referrals which changed.

Belongs here: a bounded number per tick, their writing, the partition keys, and the cursor. Does not belong here: the
sensor that asks for syncs, which stands beside the schedule it doubles. The cursor is the id of the last row of
`referral_lineage` that was published; losing it costs a second publication, nothing else.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.run_request import DagsterRunReaction
from dagster._core.events import DagsterEventBatchMetadata, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.utils import make_new_run_id

from hunter_pipeline.orchestration.assets.lineage import REFERRALS, referral_lineage, story_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource
from hunter_pipeline.readers.lineage_story import Story, changed_referrals, newest_lineage_id, read_stories

STORIES_PER_TICK = 2000
"""Stories in one tick: some seconds of its sixty, and 100,000 within half an hour."""

AT_ONCE = 500
"""Stories read and written together: alone, each costs Dagster's storage 12 ms, and 2 ms so."""

_WRITING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)

_UNFIT = ("...", ",")
"""Dagster reads these in a key as a range or a list of keys; see `INVALID_PARTITION_SUBSTRINGS` for the first."""


def is_partition_key(referral_id: str) -> bool:
    """Whether Dagster can take a referral id as a partition key.

    False for what its UI reads as a range or a list, for unprintable characters such as line breaks, for blank
    ends (the UI cuts them) and for more than 255 characters.
    """
    return (
        0 < len(referral_id) <= 255
        and referral_id.isprintable()
        and referral_id == referral_id.strip()
        and not any(part in referral_id for part in _UNFIT)
    )


@dg.sensor(
    name="referral_lineage_sensor",
    target=referral_lineage,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Publish the stories of referrals that changed, as partitions of the asset referral_lineage.",
)
def referral_lineage_sensor(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> Iterator[dg.SkipReason | DagsterRunReaction]:
    """Publish up to `STORIES_PER_TICK` stories and move the cursor over just those."""
    from hunter_pipeline.orchestration.published import MOST_PARTITIONS, room_for, tidy_after_erasures

    cursor = int(context.cursor or 0)
    with database.engine().connect() as connection:
        tidy_after_erasures(context.instance, connection, datetime.now(UTC))
        newest = newest_lineage_id(connection)
        if newest == cursor:
            yield dg.SkipReason("nothing_new")
            return
        if newest < cursor:  # the database was made anew
            cursor = 0
        writing = [run.run_id for run in context.instance.get_runs(dg.RunsFilter(statuses=list(_WRITING)))]
        changes = changed_referrals(connection, cursor, STORIES_PER_TICK, writing, datetime.now(UTC))
        if not changes:
            yield dg.SkipReason(
                f"run_under_way: stories wait for the end of {writing[0]}" if writing else "nothing_new"
            )
            return
        fit = [change.referral_id for change in changes if is_partition_key(change.referral_id)]
        roomy = room_for(context.instance, fit)
        left_out = len(fit) - len(roomy)
        fit = roomy
        run_id = ""
        for start in range(0, len(fit), AT_ONCE):
            stories = list(read_stories(connection, fit[start : start + AT_ONCE]).values())
            publish(context.instance, stories)
            steps = [(step.recorded_at, step.run_id) for story in stories for step in story.steps]
            run_id = max(steps)[1] if steps else run_id
    if left_out:
        context.log.warning("%s stories are left out: there are %s partitions of referrals", left_out, MOST_PARTITIONS)
    if len(fit) + left_out < len(changes):
        unfit = [change.referral_id for change in changes if not is_partition_key(change.referral_id)]
        context.log.warning(
            "%s referral ids cannot be partition keys and are left out (%s); `hunter lineage` shows them",
            len(unfit),
            ", ".join(map(repr, unfit[:5])),
        )
    context.update_cursor(str(changes[-1].lineage_id))
    run = context.instance.get_run_by_id(run_id)
    if run is None:  # a person's action wrote it, or the run was thrown away
        yield dg.SkipReason(f"published: {len(fit)} stories, no run is needed")
    else:
        # Dagster calls a tick without runs or reactions skipped.
        yield DagsterRunReaction(run, run_status=run.status)


def publish(instance: dg.DagsterInstance, stories: Sequence[Story]) -> None:
    """Show stories as materializations of their partitions, outside of any run, written together.

    What a sensor returns is written by the daemon one by one.
    """
    instance.add_dynamic_partitions(str(REFERRALS.name), [story.referral_id for story in stories])
    batch = make_new_run_id()
    for number, story in enumerate(stories, 1):
        told = dg.AssetMaterialization(
            referral_lineage.key, partition=story.referral_id, metadata=story_metadata(story)
        )
        instance.report_dagster_event(
            dg.DagsterEvent(
                dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                job_name=RUNLESS_JOB_NAME,
                event_specific_data=StepMaterializationData(told),
            ),
            run_id=RUNLESS_RUN_ID,
            batch_metadata=DagsterEventBatchMetadata(batch, is_end=number == len(stories)),
        )
