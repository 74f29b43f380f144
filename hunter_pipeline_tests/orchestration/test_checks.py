"""The checks as Dagster runs them: a gate stops the run whose writes got lost, a standing check stops nothing."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.orchestration.checks import STANDING_CHECKS
from hunter_pipeline.orchestration.failures import failure_reason
from hunter_pipeline.orchestration.jobs import SYNC_ASSETS
from hunter_pipeline.orchestration.resources import make_resources
from hunter_pipeline.quality.claims import CLAIMS
from hunter_pipeline.quality.gates import GATES
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import Settings, load_settings

OFFLINE = ["normalized_domains", "partner_center_referrals", "raw_leads", "companies", "lead_scores"]
"""The assets that ask nobody but the database, in their order."""

UPTO = {stage: OFFLINE[: number + 1] for number, stage in enumerate(OFFLINE[:-1])} | {"lead_scores": OFFLINE[:-1]}
"""What runs when a stage fails. Scores hang on the look-ups, which are left out here: they run in any case."""

AGAIN = "UPDATE normalized_domains SET code_version = 'older'"
"""Has every referral decided, tracked and made a lead of anew."""

VICTIM = """(SELECT min(referral_id) FROM partner_center_referrals WHERE domain IN (
    SELECT domain FROM partner_center_referrals GROUP BY domain HAVING count(*) = 1))"""
"""One whose company has no other referral."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory: nothing here rests on its storage."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as made:
        yield made


@cache
def definitions() -> dg.Definitions:
    return build_defs(Settings(_env_file=None))


def materialize(instance: dg.DagsterInstance, selection: list[str] = OFFLINE) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(SYNC_ASSETS), selection=selection, instance=instance, resources=make_resources(), raise_on_error=False
    )


def sabotage(engine: Engine, table: str, condition: str, deed: str) -> None:
    """Have the database do `deed` to rows that are written to `table`, as a fault in a stage would."""
    with engine.begin() as connection:
        connection.execute(
            text(
                f"CREATE FUNCTION deed() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN IF {condition} THEN {deed}; END IF; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(f"CREATE TRIGGER deed BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION deed()")
        )


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def steps(result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> set[str | None]:
    return {event.step_key for event in result.all_events if event.event_type == kind}


def test_a_run_over_good_books_passes_every_gate_with_its_numbers(synced: Engine, instance: dg.DagsterInstance):
    with synced.begin() as connection:
        connection.execute(text(AGAIN))
    result = materialize(instance)
    assert result.success
    found = evaluations(result)
    assert set(found) == {gate.name for gate in GATES}
    for gate in GATES:
        assert found[gate.name].passed
        assert found[gate.name].blocking
        assert found[gate.name].metadata["missing"].value == 0
    assert found["fetched_equals_tracked_plus_failed"].metadata["fetched"].value == 58


SABOTAGE = {
    "fetched_equals_decided_plus_failed": (
        "DELETE FROM normalized_domains WHERE referral_id = {victim}",
        ("normalized_domains", "NEW.referral_id = '{victim_id}'", "RETURN NULL"),
        "normalized_domains",
    ),
    "fetched_equals_tracked_plus_failed": (
        "DELETE FROM partner_center_referrals WHERE referral_id = {victim}",
        ("partner_center_referrals", "NEW.referral_id = '{victim_id}'", "RETURN NULL"),
        "partner_center_referrals",
    ),
    "tracked_equals_with_domain_plus_skipped": (
        AGAIN,
        ("partner_center_referrals", "NEW.referral_id = '{victim_id}'", "NEW.domain := 'wrong.example'"),
        "partner_center_referrals",
    ),
    "no_lead_without_company": (
        "DELETE FROM companies",
        ("companies", "NEW.domain = '{victim_domain}'", "RETURN NULL"),
        "companies",
    ),
    "one_company_per_domain": (
        "DELETE FROM companies WHERE domain = '{victim_domain}';"
        " INSERT INTO companies (domain, run_id) VALUES (upper('{victim_domain}'), 'x')",
        ("companies", "false", "RETURN NULL"),
        "companies",
    ),
    "sums_equal_referrals": (
        "DELETE FROM companies WHERE domain = '{victim_domain}'",
        ("companies", "NEW.domain = '{victim_domain}'", "NEW.open_referrals := 77"),
        "companies",
    ),
    "scores_within_range_and_explained": (
        "UPDATE lead_scores SET rules_hash = 'older'",
        ("lead_scores", "NEW.domain = '{victim_domain}'", "NEW.breakdown := '[{{\"points\": 1000}}]'"),
        "lead_scores",
    ),
}


@pytest.mark.parametrize("name", [gate.name for gate in GATES])
def test_a_gate_stops_the_run_whose_writes_got_lost(synced: Engine, instance: dg.DagsterInstance, name: str):
    before, deed, stage = SABOTAGE[name]
    with synced.connect() as connection:
        victim, domain = connection.execute(
            text(f"SELECT referral_id, domain FROM partner_center_referrals WHERE referral_id = {VICTIM}")
        ).one()
    names = {"victim": f"'{victim}'", "victim_id": victim, "victim_domain": domain}
    with synced.begin() as connection:
        connection.execute(text(before.format(**names)))
    sabotage(synced, *(part.format(**names) for part in deed))
    result = materialize(instance)
    assert not result.success
    broken = evaluations(result)[name]
    assert not broken.passed
    assert broken.severity == dg.AssetCheckSeverity.ERROR
    assert broken.metadata["missing"].value == 1
    assert "hunter sync --force" in (broken.description or "")
    assert steps(result, dg.DagsterEventType.STEP_FAILURE) == {stage}
    (failure,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE)
    assert failure_reason(failure) == broken.description
    error = failure.step_failure_data.error
    assert error is not None
    assert (error.message, list(error.stack), error.cause) == (broken.description, [], None)
    assert steps(result, dg.DagsterEventType.STEP_START) - {"lead_scores"} == set(UPTO[stage])


def sign_in(engine: Engine) -> None:
    make_sign_in(load_settings(), engine).device_login(lambda _: None)


def run_standing_checks(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = definitions().resolve_job_def("standing_checks_job")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_standing_checks_warn_and_stop_nothing(synced: Engine, sandbox: Sandbox, instance: dg.DagsterInstance):
    with synced.begin() as connection:
        for statement in (
            "UPDATE sync_runs SET window_end = now() - interval '2 hours'",
            "UPDATE domain_signals SET status = 'partial',"
            " signals = jsonb_set(signals, '{undetermined}', '[\"mx\", \"spf\"]')",
            "UPDATE partner_center_referrals SET is_open = true, status = 'New',"
            " expires_at = now() + interval '1 hour', updated_at = now() - interval '2 hours'",
            "DELETE FROM raw_leads",
            "UPDATE lead_scores SET breakdown = '[]' WHERE score > 0",
            "DELETE FROM token_cache",
            "INSERT INTO referral_failures (item_key, stage, error, code_version, run_id, first_seen_at, last_seen_at)"
            " SELECT 'r' || n, 'raw_leads', 'broken', '1', 'x', now(), now() FROM generate_series(1, 80) n",
        ):
            connection.execute(text(statement))
    result = run_standing_checks(instance)
    assert result.success
    found = evaluations(result)
    assert set(found) == {"data_is_recent", "sign_in_is_good", *(claim.name for claim in CLAIMS)}
    assert not any(each.passed for each in found.values())
    assert {each.severity for each in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert "hunter login" in (found["sign_in_is_good"].description or "")
    failures = found["no_unresolved_failures"].metadata
    assert failures["unresolved"].value == 82
    examples = failures["examples"]
    assert isinstance(examples, dg.TableMetadataValue)
    assert len(examples.records) == 50


def test_standing_checks_are_content_after_a_sync_but_for_what_the_samples_break(
    synced: Engine, sandbox: Sandbox, instance: dg.DagsterInstance
):
    sign_in(synced)
    found = evaluations(run_standing_checks(instance))
    assert {name for name, each in found.items() if not each.passed} == {
        "no_unresolved_failures",
        "no_referral_expires_unanswered",
    }
    assert found["sign_in_is_good"].metadata["days_left"].value >= 88


def test_with_the_flag_off_neither_data_nor_sign_in_is_expected(
    synced: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("HUNTER_PARTNER_CENTER_ENABLED", raising=False)
    with synced.begin() as connection:
        connection.execute(text("DELETE FROM sync_runs"))
    found = evaluations(run_standing_checks(instance))
    assert found["data_is_recent"].passed
    assert found["sign_in_is_good"].passed


def test_missing_settings_are_a_sign_in_that_is_not_good_and_are_named(
    synced: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "true")
    monkeypatch.delenv("HUNTER_PARTNER_CENTER_CLIENT_ID", raising=False)
    found = evaluations(run_standing_checks(instance))
    assert not found["sign_in_is_good"].passed
    assert "HUNTER_PARTNER_CENTER_CLIENT_ID" in (found["sign_in_is_good"].description or "")


@pytest.mark.parametrize(("flag", "asked"), [("true", 1), ("false", 0)])
def test_the_hourly_schedule_asks_while_the_feature_is_on(
    flag: str, asked: int, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", flag)
    schedule = definitions().get_repository_def().get_schedule_def("standing_checks_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    with dg.build_schedule_context(instance=instance, resources=make_resources()) as context:
        data = schedule.evaluate_tick(context)
    assert len(data.run_requests or []) == asked
    assert data.skip_message == (None if asked else "feature_disabled")


def test_the_sync_evaluates_its_gates_and_leaves_the_standing_checks_to_their_job():
    standing = {key for check in STANDING_CHECKS for key in check.check_keys}
    for name in ("referral_sync_job", "domain_rescan_job"):
        keys = definitions().resolve_job_def(name).asset_layer.asset_graph.asset_check_keys
        assert not keys & standing, name
    sync = definitions().resolve_job_def("referral_sync_job").asset_layer.asset_graph.asset_check_keys
    assert {key.name for key in sync} == {gate.name for gate in GATES}


def test_what_a_run_shows_holds_no_personal_data(synced: Engine, sandbox: Sandbox, instance: dg.DagsterInstance):
    sign_in(synced)
    with synced.begin() as connection:
        connection.execute(text(AGAIN))
        people = connection.execute(
            text(
                "SELECT DISTINCT value #>> '{}' FROM partner_center_referrals_raw,"
                " jsonb_path_query(payload, 'lax $.**.*') value"
                " WHERE jsonb_typeof(value) = 'string' AND value #>> '{}' LIKE '%_@_%'"
            )
        ).scalars()
        addresses = set(people)
    assert len(addresses) > 20
    shown = [
        str(entry)
        for result in (materialize(instance), run_standing_checks(instance))
        for event in result.all_events
        if event.is_step_materialization or event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        for entry in [event.event_specific_data]
    ]
    assert len(shown) == len(OFFLINE) + len(GATES) + len(CLAIMS) + 2
    assert not [address for address in addresses if any(address in text_ for text_ in shown)]


def test_a_run_that_moved_something_shows_what_moved_and_why_and_one_that_did_not_shows_numbers_alone(
    synced: Engine, instance: dg.DagsterInstance
):
    with synced.begin() as connection:
        domain, score, category = connection.execute(
            text("SELECT domain, score, category FROM lead_scores WHERE segment <> 'Skip' ORDER BY 1 LIMIT 1")
        ).one()
        connection.execute(
            text("UPDATE lead_scores SET score = 1, inputs_hash = 'older', inputs = '{}' WHERE domain = :domain"),
            {"domain": domain},
        )
        connection.execute(text(AGAIN))
    first, second = materialize(instance), materialize(instance)
    shown = first.asset_materializations_for_node("lead_scores")[0].metadata
    moved = shown["moved"]
    assert isinstance(moved, dg.TableMetadataValue)
    [row] = [record.data for record in moved.records]
    assert set(row) == {"domain", "before", "after", "cause"}
    assert row["domain"] == domain
    assert str(row["before"]).startswith(f"{category}, 1, ")
    assert str(row["after"]).startswith(f"{category}, {score}, ")
    assert row["cause"] == "signals"
    with synced.connect() as connection:
        leads = dict(connection.execute(text("SELECT category, count(*) FROM lead_scores GROUP BY 1")).all())
    assert {name: shown[f"leads_{name}"].value for name in leads} == leads
    reasons = first.asset_materializations_for_node("normalized_domains")[0].metadata
    table = reasons["top_skip_reasons"]
    assert isinstance(table, dg.TableMetadataValue)
    assert sum(int(str(record.data["referrals"])) for record in table.records) == 11
    assert reasons["without_domain_percent"].value == round(100 * 11 / 57, 1)
    for asset in OFFLINE:
        quiet = second.asset_materializations_for_node(asset)[0].metadata
        assert not [name for name, value in quiet.items() if isinstance(value, dg.TableMetadataValue)], asset


def test_the_version_of_what_an_asset_holds_changes_with_it_and_with_nothing_else(
    synced: Engine, instance: dg.DagsterInstance
):
    def versions() -> dict[str, str | None]:
        result = materialize(instance)
        return {
            asset: (result.asset_materializations_for_node(asset)[0].tags or {}).get("dagster/data_version")
            for asset in OFFLINE
        }

    first = versions()
    assert versions() == first
    with synced.begin() as connection:
        connection.execute(text(AGAIN))
    assert versions() == first, "all was written again, with the same content"
    with synced.begin() as connection:
        connection.execute(text("UPDATE lead_scores SET score = 1, inputs_hash = 'older'"))
    assert versions()["lead_scores"] == first["lead_scores"], "scored again, to the same scores"
    with synced.begin() as connection:
        connection.execute(
            text(
                "UPDATE domain_signals"
                " SET mx_state = 'none', spf_state = 'none', dmarc_state = 'none', dmarc_policy = NULL"
            )
        )
    changed = versions()
    assert {name for name in OFFLINE if changed[name] != first[name]} == {"lead_scores"}
