"""Asset checks: gates that stop a run whose books do not hold, and standing claims that warn a person.

Belongs here: reading the facts, handing them to `quality.gates` and `quality.claims`, and showing the
verdict. Does not belong here: any rule. A gate is evaluated in the step of its asset (a step of its own would
cost as much as a stage); standing checks run in a job of their own, hourly, or by hand.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import Engine

from hunter_pipeline.orchestration.failures import failing_clearly
from hunter_pipeline.orchestration.guards import request_unless_off
from hunter_pipeline.orchestration.metadata import examples_table
from hunter_pipeline.orchestration.resources import DatabaseResource, MsalResource, SettingsResource
from hunter_pipeline.pipeline.context import utc_now
from hunter_pipeline.pipeline.sync_runs import last_success
from hunter_pipeline.quality.claims import CLAIMS, Claim, judge_recency, judge_sign_in, read_sign_in
from hunter_pipeline.quality.gates import Gate, gates_of, judge_stage
from hunter_pipeline.quality.verdicts import Verdict
from hunter_pipeline.runs.sync_request import MAX_RUNTIME_TAG
from hunter_pipeline.settings import SettingsError

SOURCE_ASSET = "partner_center"


def gate_specs(stage: str) -> list[dg.AssetCheckSpec]:
    """The gates of an asset, for its decorator."""
    return [
        dg.AssetCheckSpec(gate.name, asset=gate.stage, blocking=True, description=gate.description)
        for gate in gates_of(stage)
    ]


def gate_results(
    engine: Engine, stage: str, before: datetime, run_id: str, seen: Sequence[str] | None
) -> list[dg.AssetCheckResult]:
    """Evaluate the gates of an asset.

    :param before: when the asset's stage began; rows that another run wrote since are not its business.
    :param run_id: the run, whose fetch is part of its books.
    :param seen: what the stage looked at; None: everything.
    """
    with engine.begin() as connection:
        return [
            _gate_result(gate, verdict)
            for gate, verdict in judge_stage(connection, stage, before, run_id, seen).items()
        ]


def _gate_result(gate: Gate, verdict: Verdict) -> dg.AssetCheckResult:
    return _result(verdict, dg.AssetCheckSeverity.ERROR, asset_key=gate.stage, check_name=gate.name)


def _result(verdict: Verdict, severity: dg.AssetCheckSeverity, **names: Any) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = dict(verdict.counts)
    if verdict.examples is not None:
        metadata["examples"] = examples_table(verdict.examples)
    return dg.AssetCheckResult(
        passed=verdict.holds, severity=severity, description=verdict.summary, metadata=metadata, **names
    )


def warning(verdict: Verdict) -> dg.AssetCheckResult:
    """A verdict as the result of a standing check: it warns, and stops nothing."""
    return _result(verdict, dg.AssetCheckSeverity.WARN)


def _standing_check(claim: Claim) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=claim.asset, name=claim.name, description=claim.description)
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with failing_clearly(), database.engine().connect() as connection:
            return warning(claim.check(connection, utc_now()))

    return check


@dg.asset_check(
    asset=SOURCE_ASSET,
    description=(
        "A sync fetched everything up to its present within the last hour (or three intervals). If not: see whether "
        "referral_sync_schedule and the daemon run, and what the newest run of referral_sync_job says."
    ),
)
def data_is_recent(database: DatabaseResource, settings: SettingsResource) -> dg.AssetCheckResult:
    """Warns when no data came in for a while, whatever was materialized."""
    with failing_clearly(), database.engine().connect() as connection:
        values = settings.load()
        return warning(
            judge_recency(
                last_success(connection),
                utc_now(),
                timedelta(seconds=values.partner_center_sync_interval),
                enabled=values.partner_center_enabled,
            )
        )


@dg.asset_check(
    asset=SOURCE_ASSET,
    description=(
        "An access token can be had without a person, and the sign-in lasts for two weeks or more without use. If not: "
        "run `hunter login`."
    ),
)
def sign_in_is_good(msal: MsalResource, settings: SettingsResource) -> dg.AssetCheckResult:
    """Warns when nobody is signed in, or the sign-in is lost or about to end."""
    with failing_clearly():
        enabled = settings.load().partner_center_enabled
    if not enabled:
        return warning(Verdict(True, "Partner Center integration is disabled: no sign-in is needed"))
    try:
        sign_in = msal.sign_in()
    except SettingsError as error:
        return warning(Verdict(False, str(error)))
    return warning(judge_sign_in(read_sign_in(sign_in), utc_now()))


STANDING_CHECKS: Sequence[dg.AssetChecksDefinition] = (
    data_is_recent,
    sign_in_is_good,
    *(_standing_check(claim) for claim in CLAIMS),
)

standing_checks_job = dg.define_asset_job(
    "standing_checks_job",
    selection=dg.AssetSelection.checks(*STANDING_CHECKS),
    description="Look for what a person should know: data that stays away, failures, a sign-in that ends.",
    tags={MAX_RUNTIME_TAG: "600"},
)


@dg.schedule(
    job=standing_checks_job,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Evaluate the standing checks every hour.",
)
def standing_checks_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the hourly checks; there is nothing to watch while the feature flag is off."""
    return request_unless_off(settings.load())


def without_standing_checks(selection: dg.AssetSelection) -> dg.AssetSelection:
    """A job's selection of assets with their gates, but without the checks that the hourly job evaluates."""
    return selection - dg.AssetSelection.checks(*STANDING_CHECKS)
