"""What the Dagster UI shows about assets and their runs.

Belongs here: definition metadata taken from the tables, and the turning of a stage's report into run
metadata. Does not belong here: any number that is not in the report, and what a failed step says (`failures`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from sqlalchemy import Engine, Table

from hunter_pipeline.orchestration.column_lineage import column_lineage
from hunter_pipeline.orchestration.failures import StepError, failing_clearly
from hunter_pipeline.orchestration.versions import version_of
from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.readers.examples import Examples

OWNERS = ("team:sales-operations",)
"""Owner of every asset, as the Dagster UI shows it."""

AssetEvents = Iterator[dg.MaterializeResult[None]]
"""What the body of an asset gives Dagster."""

PERSONAL_DATA = {"hunter/personal-data": "yes"}
"""Tag of the assets whose tables hold names, addresses or numbers of persons."""


def column_schema(table: Table) -> dg.TableSchema:
    """The columns of a table with type, meaning and constraints, as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=bool(column.unique or column.primary_key)
                ),
            )
            for column in table.columns
        ]
    )


def table_metadata(table: Table) -> dict[str, Any]:
    """Definition metadata of an asset that is a table."""
    return {
        "dagster/table_name": f"public.{table.name}",
        "dagster/column_schema": column_schema(table),
        "dagster/column_lineage": column_lineage(table.name),
    }


def result_of(
    context: dg.AssetExecutionContext,
    engine: Callable[[], Engine],
    stage: Callable[[], StageReport],
    *,
    writes: Sequence[str],
    gates: Callable[[StageReport], Sequence[dg.AssetCheckResult]] = lambda _: (),
    more: Callable[[StageReport], Mapping[str, Any]] = lambda _: {},
) -> AssetEvents:
    """Run a stage, report its counts, evaluate its gates, and name the version of what it leaves.

    A gate that does not hold fails the step after its result was given, so that the asset and the verdict are kept.

    Metadata goes to the materialization alone: as part of the result, Dagster keeps it twice.

    :param writes: names of the counts that say that the stage wrote something. If it did not, numbers are shown
        without tables: each sync leaves its metadata for two months.
    :param gates: called after the stage with its report.
    :param more: gives further metadata; called after the stage with its report.
    :raises StepError: a person can mend it, or a gate does not hold; the text says what to do.
    """
    with failing_clearly():
        report = stage()
        moved = any(report.counts[name] for name in writes)
        shown = {**report_metadata(report if moved else StageReport(report.counts)), **more(report)}
        name = context.asset_key.to_user_string()
        version = version_of(context.instance, engine(), name, moved=moved)
        context.add_asset_metadata(shown)
        verdicts = gates(report)
    yield dg.MaterializeResult(check_results=verdicts, data_version=version)
    broken = [str(verdict.description) for verdict in verdicts if not verdict.passed]
    if broken:
        raise StepError("; ".join(broken))


def skipped(context: dg.AssetExecutionContext, engine: Callable[[], Engine], reason: str) -> dg.MaterializeResult[None]:
    """The result of an asset that is switched off: the reason in the log and at the asset, and nothing else.

    It counts as materialized, with the content it had: a backfill fails of an asset that yields nothing.
    """
    context.log.info("skipped: %s", reason)
    version = version_of(context.instance, engine(), context.asset_key.to_user_string(), moved=False)
    context.add_asset_metadata({"skipped": dg.MetadataValue.text(reason)})
    return dg.MaterializeResult(data_version=version)


def counts_in_words(report: StageReport) -> str:
    """What a stage counted, for its log; empty when that is nothing."""
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in report.counts.items() if number)


def report_metadata(report: StageReport) -> Mapping[str, Any]:
    """Counts as numbers that the UI plots over time, groups as small tables."""
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.int(number) for name, number in report.counts.items() if name != "total"
    }
    if "total" in report.counts:
        metadata["dagster/row_count"] = dg.MetadataValue.int(report.counts["total"])
    for name, group in report.groups.items():
        metadata[name] = dg.MetadataValue.table(
            records=[dg.TableRecord({"name": key, "count": count}) for key, count in group.items()],
            schema=dg.TableSchema(columns=[dg.TableColumn("name"), dg.TableColumn("count", "int")]),
        )
    return metadata


def examples_table(examples: Examples) -> dg.TableMetadataValue:
    """A small table; its schema is given so that an empty one can be shown too."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(examples.columns, row, strict=True))) for row in examples.rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in examples.columns]),
    )
