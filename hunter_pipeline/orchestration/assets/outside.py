"""The two ends of the graph, which Hunter does not materialize: where referrals come from, and who uses the leads.

Belongs here: external assets. The standing checks are shown at them: Dagster shows the evaluations of an asset's
newest materialization only, and a sync materializes every other asset each ten minutes.
"""

import dagster as dg

from hunter_pipeline.orchestration.column_lineage import column_lineage
from hunter_pipeline.orchestration.metadata import OWNERS
from hunter_pipeline.readers import lead_columns

REFERRAL_FIELDS = {
    "id": "The referral's id, for ever the same",
    "eTag": "Changes with every change of the referral; an answer names the one that it answers",
    "updatedDateTime": "When the referral last changed at Microsoft; pages are sorted by it, newest first",
    "referral": "The whole referral: customer, deal, status, team, history",
}
"""What of a referral the stages rest on by name (Partner Center's referrals API)."""

SOURCE = dg.AssetSpec(
    "partner_center",
    description=(
        "Microsoft Partner Center, the source of everything. Its checks say whether referrals arrive: the sign-in, the "
        "age of the newest sync, referrals that could not be taken or that expire unanswered."
    ),
    group_name="referrals",
    kinds={"api"},
    owners=OWNERS,
    metadata={
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, description=meaning) for name, meaning in REFERRAL_FIELDS.items()]
        )
    },
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
    metadata={
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(column.name, type=column.type.__name__, description=column.help)
                for column in lead_columns.COLUMNS
            ]
        ),
        "dagster/column_lineage": column_lineage("lead_list"),
    },
)

ENDS = (SOURCE, USE)
