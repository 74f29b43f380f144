"""The asset `referral_lineage`: one partition per referral, whose metadata is the referral's story.

Belongs here: publishing a story into Dagster, by a run here and from the sensor elsewhere. Does not belong
here: the story itself (`readers.lineage_story`). The truth stays in the table; what is published can be
rebuilt from it at any time, one referral or a range of them.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hunter_pipeline.orchestration.assets.outside import USE
from hunter_pipeline.orchestration.failures import StepError, failing_clearly
from hunter_pipeline.orchestration.metadata import OWNERS, table_metadata
from hunter_pipeline.orchestration.resources import DatabaseResource
from hunter_pipeline.readers.lineage_story import Story, in_short, read_stories, to_markdown
from hunter_pipeline.store import tables

REFERRALS = dg.DynamicPartitionsDefinition(name="referrals")

AT_ONCE = 500
"""Stories read from the database in one go."""


def story_metadata(story: Story) -> Mapping[str, Any]:
    """What a partition shows: the story on one line, what is worth plotting, and the whole story."""
    metadata: dict[str, Any] = {"in_short": dg.MetadataValue.text(in_short(story))}
    if story.score is not None:
        metadata["score"] = dg.MetadataValue.int(story.score)
    if story.domain:
        metadata["domain"] = dg.MetadataValue.text(story.domain)
    if story.steps:
        newest = max(story.steps, key=lambda step: step.recorded_at)
        metadata["last_step"] = dg.MetadataValue.timestamp(newest.recorded_at)
    metadata["story"] = dg.MetadataValue.md(to_markdown(story))
    return metadata


@dg.asset(
    partitions_def=REFERRALS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    # Not of `lead_scores`: Dagster would call all stories unsynced whenever a single score changes. Which story is to
    # be told again is known by the sensor alone.
    deps=[USE],
    group_name="lineage",
    kinds={"postgres", "markdown"},
    owners=OWNERS,
    metadata=table_metadata(tables.referral_lineage),
)
def referral_lineage(context: dg.AssetExecutionContext, database: DatabaseResource) -> dg.MaterializeResult[None]:
    """The story of each referral: what every stage took in, decided and wrote, and in which run.

    Search the partitions for a referral's id. The sensor `referral_lineage_sensor` publishes a story whenever
    it changes; materializing a partition tells it again from the table.
    """
    keys = list(context.partition_keys)
    with failing_clearly(), database.engine().connect() as connection:
        for start in range(0, len(keys), AT_ONCE):
            chunk = keys[start : start + AT_ONCE]
            stories = read_stories(connection, chunk)
            unknown = [key for key in chunk if key not in stories]
            if unknown:
                raise StepError(
                    f"no stage has taken referral {unknown[0]} ({len(unknown)} such keys): check the id, run "
                    "referral_sync_job, or remove the partition"
                )
            for key in chunk:
                context.add_asset_metadata(story_metadata(stories[key]), asset_key=context.asset_key, partition_key=key)
            context.log.info("%s of %s stories told", min(start + AT_ONCE, len(keys)), len(keys))
    return dg.MaterializeResult()
