"""Dagster over its GraphQL API: launch a sync, find one under way, see how a run stands.

Belongs here: the four questions that the web server asks Dagster, and the two ways in which they go wrong
(no answer, or not the one expected). Does not belong here: when a sync may start. Launching through the web
server puts the run into Dagster's queue and UI like any other; this package needs no Dagster of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from hunter_pipeline.runs.sync_request import SYNC_JOB

LOCATION = "hunter"
REPOSITORY = "__repository__"
"""The name that Dagster gives to definitions which stand in a module."""

UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 15.0
_LOG_PAGES = 20

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
  }
}"""

_RUNS = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 1) {
    __typename
    ... on Runs { results { runId } }
    ... on Error { message }
  }
}"""

_RUN = """
query Run($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run { status jobName }
    ... on Error { message }
  }
}"""

_LOGS = """
query Logs($id: ID!, $after: String) {
  logsForRun(runId: $id, afterCursor: $after) {
    __typename
    ... on EventConnection {
      cursor
      hasMore
      events {
        __typename
        ... on RunFailureEvent { message }
        ... on ExecutionStepFailureEvent {
          stepKey
          failureMetadata { description }
          error { className causes { className } }
        }
      }
    }
    ... on Error { message }
  }
}"""


class DagsterUnavailable(RuntimeError):  # noqa: N818 - the name says what is the case
    """Dagster's web server gives no answer."""


class DagsterRefused(RuntimeError):  # noqa: N818 - the name says what is the case
    """Dagster's web server answers, but not with what was asked for."""


@dataclass(frozen=True)
class Run:
    """A run of the sync job; `status` is Dagster's own word."""

    run_id: str
    status: str


class DagsterClient:
    """Asks one Dagster web server.

    :param url: its address, without a path.
    :param key: opens the guard in front of it, where a token is set.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self._session = requests.Session()
        # A proxy of the environment must not see what is meant for a neighbour.
        self._session.trust_env = False
        if key is not None:
            self._session.headers["authorization"] = f"Bearer {key}"

    def launch_sync(self, tags: Mapping[str, str]) -> str:
        """Queue a run of the sync job with these tags and return its id.

        :raises DagsterUnavailable: no answer.
        :raises DagsterRefused: the run was not queued; the text says why.
        """
        answer = self._ask(
            _LAUNCH,
            {
                "params": {
                    "selector": {
                        "repositoryLocationName": LOCATION,
                        "repositoryName": REPOSITORY,
                        "jobName": SYNC_JOB,
                    },
                    "runConfigData": {},
                    "mode": "default",
                    "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
                }
            },
            "launchRun",
            "LaunchRunSuccess",
        )
        return str(answer["run"]["runId"])

    def sync_under_way(self) -> str | None:
        """The id of a sync that is queued or running; None when there is none.

        :raises DagsterUnavailable: no answer.
        :raises DagsterRefused: an answer of another kind.
        """
        runs = self._ask(
            _RUNS, {"filter": {"pipelineName": SYNC_JOB, "statuses": list(UNFINISHED)}}, "runsOrError", "Runs"
        )["results"]
        return str(runs[0]["runId"]) if runs else None

    def sync_run(self, run_id: str) -> Run | None:
        """A run of the sync job; None when there is none of this id.

        :raises DagsterUnavailable: no answer.
        :raises DagsterRefused: an answer of another kind.
        """
        answer = self._ask(_RUN, {"id": run_id}, "runOrError", "Run", "RunNotFoundError")
        if answer.get("jobName") != SYNC_JOB:
            return None
        return Run(run_id, answer["status"])

    def failure_reasons(self, run_id: str) -> list[str]:
        """Why a run failed, one text a failed step, else Dagster's word on the run.

        An error that was not expected is named by its class only: its text may hold personal data.

        :raises DagsterUnavailable: no answer.
        :raises DagsterRefused: an answer of another kind.
        """
        steps: list[str] = []
        general: list[str] = []
        after = None
        for _ in range(_LOG_PAGES):
            page = self._ask(_LOGS, {"id": run_id, "after": after}, "logsForRun", "EventConnection")
            for event in page["events"]:
                if event["__typename"] == "ExecutionStepFailureEvent":
                    steps.append(_step_reason(event))
                elif event["__typename"] == "RunFailureEvent":
                    general.append(str(event["message"]))
            after = page["cursor"]
            if not page["hasMore"]:
                break
        return steps or [text for text in general if text]

    def _ask(self, query: str, variables: Mapping[str, Any], field: str, *kinds: str) -> dict[str, Any]:
        try:
            response = self._session.post(
                f"{self.url}/graphql",
                json={"query": query, "variables": variables},
                timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                allow_redirects=False,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise DagsterUnavailable(
                f"Dagster does not answer at {self.url} ({type(error).__name__}); start it with `hunter dev`, or set "
                "HUNTER_DAGSTER_URL to where it runs"
            ) from error
        except requests.RequestException as error:
            raise DagsterRefused(f"Dagster at {self.url} cannot be asked ({type(error).__name__})") from error
        if response.status_code in {401, 403}:
            raise DagsterRefused(
                f"the guard of Dagster at {self.url} refuses (HTTP {response.status_code}); HUNTER_WEB_TOKEN and "
                "HUNTER_DAGSTER_URL must be the same for `hunter web` and `hunter ui`"
            )
        try:
            answer = response.json()["data"][field]
            kind = answer["__typename"]
        except (ValueError, TypeError, KeyError) as error:
            raise DagsterRefused(
                f"what answers at {self.url} (HTTP {response.status_code}) is no Dagster web server of a version that "
                "is known here; check HUNTER_DAGSTER_URL"
            ) from error
        if kind not in kinds:
            raise DagsterRefused(f"Dagster refuses: {answer.get('message') or kind}")
        return dict(answer)


def _step_reason(event: Mapping[str, Any]) -> str:
    description = (event.get("failureMetadata") or {}).get("description")
    if description:
        return str(description)
    error = event.get("error") or {}
    chain = [error, *(error.get("causes") or [])]
    name = chain[-1].get("className") or "an error"
    return f"{event['stepKey']} broke with {name}; the run's log in the Dagster UI has the stack trace"
