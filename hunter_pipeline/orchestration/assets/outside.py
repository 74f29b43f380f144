"""The two ends of the graph, which Hunter does not materialize: where referrals come from, and who uses the leads.

Belongs here: external assets. The standing checks are shown at them: Dagster shows the evaluations of an asset's
newest materialization only, and a sync materializes every other asset each ten minutes.
"""

import dagster as dg

from hunter_pipeline.orchestration.metadata import OWNERS

SOURCE = dg.AssetSpec(
    "partner_center",
    description=(
        "Microsoft Partner Center, the source of everything. Its checks say whether referrals arrive: the sign-in, the "
        "age of the newest sync, referrals that could not be taken or that expire unanswered."
    ),
    group_name="referrals",
    kinds={"api"},
    owners=OWNERS,
)

USE = dg.AssetSpec(
    "lead_list",
    deps=["lead_scores", "companies", "partner_center_referrals"],
    description=(
        "The ranked list that sales works with: pages, API and exports, read from the tables. Its checks say whether "
        "it can be relied on: nothing waits for a stage, and the look-ups had answers."
    ),
    group_name="use",
    kinds={"fastapi"},
    owners=OWNERS,
)

ENDS = (SOURCE, USE)
