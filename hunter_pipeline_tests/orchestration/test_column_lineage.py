"""Column lineage and meaning: each column of each asset has both, from what the list shows to the source."""

import dagster as dg
import pytest

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.column_lineage import COLUMN_SOURCES, column_lineage
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.tables import metadata


@pytest.fixture(scope="module")
def shown() -> dict[str, dg.AssetSpec]:
    """Each asset as Dagster shows it."""
    definitions = build_defs(Settings(_env_file=None))
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def columns_of(spec: dg.AssetSpec) -> dict[str, str | None]:
    schema = spec.metadata["dagster/column_schema"]
    return {column.name: column.description for column in schema.columns}


def test_every_asset_has_columns_and_each_says_what_it_means_and_not_where_it_comes_from(
    shown: dict[str, dg.AssetSpec],
):
    for name, spec in shown.items():
        described = columns_of(spec)
        assert described, name
        assert not [column for column, meaning in described.items() if not meaning], name
        sources = {f"{table}.{column}" for each in COLUMN_SOURCES.get(name, {}).values() for table, column in each}
        assert not [meaning for meaning in described.values() for source in sources if source in str(meaning)], name


def test_every_asset_but_the_source_has_the_lineage_of_columns_that_exist_at_both_ends(
    shown: dict[str, dg.AssetSpec],
):
    for name, spec in shown.items():
        lineage = spec.metadata.get("dagster/column_lineage")
        if name == "partner_center":
            assert lineage is None
            continue
        assert lineage.deps_by_column, name
        assert set(lineage.deps_by_column) <= set(columns_of(spec)), name
        for sources in lineage.deps_by_column.values():
            assert sources, name
            for source in sources:
                assert source.column_name in columns_of(shown[source.asset_key.to_user_string()]), (name, source)


MADE_BY_THE_STAGE = {
    "id", "run_id", "code_version", "created_at", "updated_at", "synced_at", "decided_at", "scored_at", "source",
    "rules_hash", "inputs_hash", "gone_at",
}  # fmt: skip
LOOKED_UP = {"domain_signals", "domain_registrations", "domain_tenants"}
BOOKS = {"partner_center_referrals_raw", "sync_runs", "referral_lineage", "lead_list"}
"""Most of their columns are about the fetching, the sync or the step itself."""


@pytest.mark.parametrize("table", sorted(set(COLUMN_SOURCES) - LOOKED_UP - BOOKS))
def test_no_column_is_left_without_an_origin_unless_the_stage_makes_it(table: str):
    unnamed = {column.name for column in metadata.tables[table].columns} - set(COLUMN_SOURCES[table])
    assert unnamed <= MADE_BY_THE_STAGE


def test_what_the_list_shows_goes_back_to_the_source():
    reached = {("lead_list", "score")}
    frontier = set(reached)
    while frontier:
        frontier = {
            source for table, column in frontier for source in COLUMN_SOURCES.get(table, {}).get(column, ())
        } - reached
        reached |= frontier
    assert ("lead_scores", "score") in reached
    assert ("partner_center_referrals_raw", "payload") in reached
    assert ("partner_center", "referral") in reached


def test_dagster_is_given_the_mapping():
    lineage = column_lineage("companies")
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["provider"]} == {
        ("partner_center_referrals", "azure_tenant_id"),
        ("domain_signals", "provider"),
    }
    shown = column_lineage("lead_list").deps_by_column["deal_value"]
    assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in shown] == [("companies", "deal_value")]
    added_up = column_lineage("companies").deps_by_column["deal_value"]
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in added_up} == {
        ("partner_center_referrals", name) for name in ("currency", "is_open", "deal_value")
    }
