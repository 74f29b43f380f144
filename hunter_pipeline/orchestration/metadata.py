"""What the Dagster UI shows about assets and their runs.

Belongs here: definition metadata taken from the tables, and the turning of a stage's report into run
metadata and of its errors into Dagster failures. Does not belong here: any number that is not in the report.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from sqlalchemy import Engine, Table

from hunter_pipeline.errors import one_line
from hunter_pipeline.orchestration.column_lineage import column_lineage, sources_text
from hunter_pipeline.orchestration.versions import version_of
from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.pipeline.sync_runs import SyncPaused
from hunter_pipeline.readers.examples import Examples
from hunter_pipeline.store.engine import DatabaseUnavailable, database_trouble

OWNERS = ("team:sales-operations",)
"""Owner of every asset, as the Dagster UI shows it."""

PERSONAL_DATA = {"hunter/personal-data": "yes"}
"""Tag of the assets whose tables hold names, addresses or numbers of persons."""


def column_schema(table: Table) -> dg.TableSchema:
    """The columns of a table with type, comment, origin and constraints, as Dagster shows them.

    The origin stands in the description because Dagster's own column lineage view is not in its open-source UI.
    """
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description="; ".join(filter(None, (column.comment, sources_text(table.name, column.name)))),
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=bool(column.unique or column.primary_key)
                ),
            )
            for column in table.columns
        ]
    )


def table_metadata(table: Table) -> dict[str, Any]:
    """Definition metadata of an asset that is a table."""
    lineage = column_lineage(table.name)
    return {
        "dagster/table_name": f"public.{table.name}",
        "dagster/column_schema": column_schema(table),
        **({"dagster/column_lineage": lineage} if lineage else {}),
    }


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn errors that a person can mend into a Dagster failure that says how. Not retried: the next tick is the retry.

    :raises dagster.Failure: an error was raised inside that has a line of its own (`errors`). Its metadata
        `transient` says whether the next run can succeed without anybody changing anything.
    """
    try:
        yield
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        raise dg.Failure(
            description=line,
            metadata={"transient": dg.MetadataValue.bool(is_transient(error))},
            allow_retries=False,
        ) from None


def failure_reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, in one line: our own text, which names the fix, else the kind of the error.

    The text of any other error is left out, as it may quote data.
    """
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    cause = data.error.cause if data.error and data.error.cause else data.error
    name = cause.cls_name if cause else "error"
    if name == "DagsterAssetCheckFailedError":
        return f"{event.step_key} wrote books that do not hold; its checks in the Dagster UI show what is missing"
    return f"{event.step_key} broke with {name}; the run's log in the Dagster UI has the stack trace"


def is_transient(error: Exception) -> bool:
    """Whether the same can succeed later without anybody changing anything: trouble of a network, server or lock."""
    if isinstance(error, PartnerCenterError):
        return error.transient
    return isinstance(error, DatabaseUnavailable | TimeoutError | SyncPaused) or database_trouble(error) is not None


def result_of(
    context: dg.AssetExecutionContext,
    engine: Callable[[], Engine],
    stage: Callable[[], StageReport],
    *,
    writes: Sequence[str],
    gates: Callable[[], Sequence[dg.AssetCheckResult]] = list,
    more: Callable[[StageReport], Mapping[str, Any]] = lambda _: {},
) -> dg.MaterializeResult[None]:
    """Run a stage, report its counts, evaluate its gates, and name the version of what it leaves.

    Metadata goes to the materialization alone: as part of the result, Dagster keeps it twice.

    :param writes: names of the counts that say that the stage wrote something. If it did not, numbers are shown
        without tables: each sync leaves its metadata for two months.
    :param gates: called after the stage.
    :param more: gives further metadata; called after the stage with its report.
    :raises dagster.Failure: a person can mend it; the text says how.
    """
    with failing_clearly():
        report = stage()
        moved = any(report.counts[name] for name in writes)
        shown = {**report_metadata(report if moved else StageReport(report.counts)), **more(report)}
        name = context.asset_key.to_user_string()
        version = version_of(context.instance, engine(), name, moved=moved)
        context.add_asset_metadata(shown)
        return dg.MaterializeResult(check_results=gates(), data_version=version)


def skipped(context: dg.AssetExecutionContext, engine: Callable[[], Engine], reason: str) -> dg.MaterializeResult[None]:
    """The result of an asset that is switched off: the reason in the log and at the asset, and nothing else.

    It counts as materialized, with the content it had: a backfill fails of an asset that yields nothing.
    """
    context.log.info("skipped: %s", reason)
    version = version_of(context.instance, engine(), context.asset_key.to_user_string(), moved=False)
    context.add_asset_metadata({"skipped": dg.MetadataValue.text(reason)})
    return dg.MaterializeResult(data_version=version)


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
