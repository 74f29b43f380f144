"""What a sync with nothing new costs beside its stages: rows and bytes in Dagster's storage, connections, questions."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import dagster as dg
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.pool import Pool

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.runs.sync_request import SYNC_JOB, sync_tags
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline_tests.statement_costs import statements_of

MOST_ROWS = 70
MOST_BYTES = 46_000
MOST_CONNECTIONS = 10
MOST_STATEMENTS = 260


def sync(instance: dg.DagsterInstance, since: date | None = None) -> dg.ExecuteInProcessResult:
    today = datetime.now(UTC).date()
    job = build_defs(load_settings()).resolve_job_def(SYNC_JOB)
    return job.execute_in_process(instance=instance, tags=sync_tags(Window(since or today, today)))


def holdings(instance: dg.DagsterInstance) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each table of Dagster's storage."""
    with instance.run_storage.connect() as connection:
        names = connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        ).scalars()
        found = {}
        for name in names.all():
            columns = connection.execute(
                text("SELECT attname FROM pg_attribute WHERE attrelid = CAST(:name AS regclass) AND attnum > 0"),
                {"name": f'"{name}"'},
            ).scalars()
            size = " + ".join(f'coalesce(pg_column_size("{column}"), 0)' for column in columns)
            found[name] = tuple(
                connection.execute(text(f'SELECT count(*), coalesce(sum(24 + {size}), 0) FROM "{name}"')).one()
            )
        return found


@contextmanager
def counted_connections() -> Iterator[list[object]]:
    opened: list[object] = []

    def note(connection: object, _: object) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", note)
    try:
        yield opened
    finally:
        event.remove(Pool, "connect", note)


@pytest.fixture
def after_a_sync(instance: dg.DagsterInstance, sandbox: Sandbox, engine: Engine) -> dg.DagsterInstance:
    make_sign_in(load_settings(), engine).device_login(lambda _: None)
    assert sync(instance, FIRST_DAY).success
    return instance


def test_a_quiet_sync_leaves_few_rows_opens_few_connections_and_sends_few_statements(after_a_sync: dg.DagsterInstance):
    before = holdings(after_a_sync)
    with counted_connections() as opened, statements_of(Engine) as sent:
        assert sync(after_a_sync).success
    after = holdings(after_a_sync)
    grown = {
        name: (rows - before[name][0], size - before[name][1])
        for name, (rows, size) in after.items()
        if (rows, size) != before[name]
    }
    assert sum(rows for rows, _ in grown.values()) <= MOST_ROWS, grown
    assert sum(size for _, size in grown.values()) <= MOST_BYTES, grown
    assert len(opened) <= MOST_CONNECTIONS
    assert len(sent) <= MOST_STATEMENTS, Counter(statement[:60] for statement in sent).most_common(20)
    assert not [statement for statement in sent if "NOTIFY" in statement]


@pytest.mark.parametrize("ends", ["before its check", "after it"])
def test_a_check_that_was_planned_is_shown_as_such_until_it_is_evaluated(instance: dg.DagsterInstance, ends: str):
    spec = dg.AssetCheckSpec("holds", asset="checked")

    @dg.asset(check_specs=[spec])
    def checked() -> Iterator[dg.MaterializeResult[None]]:
        if ends == "before its check":
            raise ValueError("broken")
        yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])

    done = dg.materialize([checked], instance=instance, raise_on_error=False)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(spec.key, limit=10)
    assert record.run_id == done.run_id
    assert record.status.value == ("PLANNED" if ends == "before its check" else "SUCCEEDED")
    assert record.event is not None
    kinds = [entry.dagster_event_type for entry in instance.all_logs(done.run_id)]
    assert kinds.count(dg.DagsterEventType.ASSET_CHECK_EVALUATION) == (0 if ends == "before its check" else 1)


def two_assets() -> dg.JobDefinition:
    @dg.asset
    def first() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    @dg.asset(deps=[first])
    def second() -> dg.MaterializeResult[None]:
        if "BROKEN" in os.environ:
            raise ValueError("broken")
        return dg.MaterializeResult()

    return dg.Definitions(
        assets=[first, second], jobs=[dg.define_asset_job("both")], executor=dg.in_process_executor
    ).resolve_job_def("both")


def test_a_failed_run_is_executed_again_from_its_failed_step_on(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BROKEN", "yes")
    job = dg.reconstructable(two_assets)
    with dg.execute_job(job, instance, raise_on_error=False) as failed:
        assert not failed.success
    monkeypatch.delenv("BROKEN")
    again = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    with dg.execute_job(job, instance, reexecution_options=again) as mended:
        assert mended.success
        steps = {event.step_key for event in mended.all_events if event.event_type == dg.DagsterEventType.STEP_START}
        assert steps == {"second"}


def test_a_wiped_asset_has_no_materialization_until_it_is_made_again(instance: dg.DagsterInstance):
    @dg.asset
    def kept() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    @dg.asset
    def wiped() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    def newest() -> list[str | None]:
        events = instance.event_log_storage.get_latest_materialization_events([kept.key, wiped.key])
        found = [events.get(key) for key in (kept.key, wiped.key)]
        return [entry and entry.run_id for entry in found]

    first = dg.materialize([kept, wiped], instance=instance).run_id
    assert newest() == [first, first]
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        row = {"key": wiped.key.to_string()}
        held = text("SELECT last_materialization FROM asset_keys WHERE asset_key = :key")
        row["before"] = connection.execute(held, row).scalar_one()
        instance.wipe_assets([wiped.key])
        assert newest() == [first, None]
        # As an older Dagster left it, or a run that wrote its row at the moment of the wipe.
        connection.execute(text("UPDATE asset_keys SET last_materialization = :before WHERE asset_key = :key"), row)
    instance.report_runless_asset_event(dg.AssetObservation(asset_key=wiped.key))  # makes the row show again
    assert newest() == [first, None]
    again = dg.materialize([wiped], instance=instance).run_id
    assert newest() == [first, again]
