"""How the Dagster instance is doing, in plain values: the daemon's heartbeat and a schedule's last tick.

Belongs here: questions to the instance that a command asks. Does not belong here: what is good or bad about the
answers, which the command says.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from dagster._daemon.controller import get_daemon_statuses

from hunter_pipeline.orchestration.home import prepare_dagster_home
from hunter_pipeline.settings import Settings


@dataclass(frozen=True)
class Tick:
    """A schedule's tick: when it was, how it ended, and why it was skipped."""

    at: datetime
    outcome: Literal["success", "skipped", "failure", "started"]
    skip_reason: str | None


@dataclass(frozen=True)
class InstanceState:
    """What an instance says.

    :param daemon_parts: number of the daemon's parts that should run.
    :param silent_parts: those without a heartbeat, in lower case.
    :param schedule_known: whether the schedule has ever been seen by a daemon.
    :param schedule_on: whether it is switched on.
    :param last_tick: its newest tick; None before the first.
    """

    daemon_parts: int
    silent_parts: tuple[str, ...]
    schedule_known: bool
    schedule_on: bool
    last_tick: Tick | None


def read_instance(settings: Settings, schedule: str) -> InstanceState:
    """Ask the instance that the settings lead to.

    :param schedule: name of the schedule.
    :raises DatabaseUnavailable: its database does not answer.
    """
    prepare_dagster_home(settings)
    with dg.DagsterInstance.get() as instance:
        statuses = get_daemon_statuses(instance, instance.get_required_daemon_types(), ignore_errors=True)
        silent = tuple(sorted(name.lower() for name, status in statuses.items() if not status.healthy))
        states = [state for state in instance.all_instigator_state() if state.instigator_name == schedule]
        if not states:
            return InstanceState(len(statuses), silent, schedule_known=False, schedule_on=False, last_tick=None)
        ticks = instance.get_ticks(states[0].instigator_origin_id, states[0].selector_id, limit=1)
        return InstanceState(
            len(statuses),
            silent,
            schedule_known=True,
            schedule_on=states[0].status != InstigatorStatus.STOPPED,
            last_tick=_tick(ticks[0].timestamp, ticks[0].status, ticks[0].skip_reason) if ticks else None,
        )


def _tick(timestamp: float, status: TickStatus, skip_reason: str | None) -> Tick:
    outcomes: dict[TickStatus, Literal["success", "skipped", "failure"]] = {
        TickStatus.SUCCESS: "success",
        TickStatus.SKIPPED: "skipped",
        TickStatus.FAILURE: "failure",
    }
    return Tick(datetime.fromtimestamp(timestamp, UTC), outcomes.get(status, "started"), skip_reason)
