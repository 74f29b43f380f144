"""The column lineage names columns that exist, and leads from every score back to the payload."""

import pytest

from hunter_pipeline.orchestration.column_lineage import COLUMN_SOURCES, column_lineage, sources_text
from hunter_pipeline.orchestration.metadata import table_metadata
from hunter_pipeline.store.tables import metadata


@pytest.mark.parametrize("table", sorted(COLUMN_SOURCES))
def test_every_named_column_exists_at_both_ends(table: str):
    for column, sources in COLUMN_SOURCES[table].items():
        assert column in metadata.tables[table].columns
        for source_table, source_column in sources:
            assert source_column in metadata.tables[source_table].columns, (table, column)


MADE_BY_THE_STAGE = {
    "id", "run_id", "code_version", "created_at", "updated_at", "synced_at", "decided_at", "scored_at", "source",
    "rules_hash", "inputs_hash", "gone_at",
}  # fmt: skip


@pytest.mark.parametrize("table", sorted(set(COLUMN_SOURCES) - {"domain_signals"}))
def test_no_column_is_left_without_an_origin_unless_the_stage_makes_it(table: str):
    unnamed = {column.name for column in metadata.tables[table].columns} - set(COLUMN_SOURCES[table])
    assert unnamed <= MADE_BY_THE_STAGE


def test_a_score_goes_back_to_the_payload():
    reached = {("lead_scores", "score")}
    frontier = set(reached)
    while frontier:
        frontier = {
            source for table, column in frontier for source in COLUMN_SOURCES.get(table, {}).get(column, ())
        } - reached
        reached |= frontier
    assert ("partner_center_referrals_raw", "payload") in reached


def test_dagster_is_given_the_mapping_and_the_descriptions_say_it_in_words():
    lineage = column_lineage("companies")
    assert lineage is not None
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["provider"]} == {
        ("partner_center_referrals", "azure_tenant_id"),
        ("domain_signals", "provider"),
    }
    assert column_lineage("partner_center_referrals_raw") is None
    shown = table_metadata(metadata.tables["companies"])["dagster/column_schema"]
    described = {column.name: column.description for column in shown.columns}
    assert described["domain"].endswith("; from raw_leads.domain")
    assert sources_text("companies", "id") is None
    assert "from" not in described["id"]
