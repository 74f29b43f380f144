"""A sync that is ended by SIGKILL at a chosen statement of SQL, and the one after it, which must make up for it.

`kill_and_heal` takes one point; `statements` says how many there are, for whoever wants all of them. The killed sync is
a process of its own, forked from one that has imported everything, so that a point costs tenths of a second.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, event, text

from hunter_pipeline.quality.gates import GATES, judge_books, read_books
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline_tests.databases import fresh_database, url_of
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google, m365
from hunter_pipeline_tests.listed_sync import made_up, sync

TENANT = "0e1c6a3e-6a6c-4b6e-8a51-6f1f5e3c2b11"
UNDATED: dict[str, Any] = {"updatedDateTime": None}
"""An undated referral counts for the day on which it is fetched: no test hangs on a day."""

_OF_VERSION = "(SELECT content_hash FROM partner_center_referrals_raw r WHERE r.id = raw_id)"
CONTENT: Mapping[str, str] = {
    "versions": "SELECT referral_id, content_hash, is_current, payload_form, gone_at IS NULL"
    " FROM partner_center_referrals_raw",
    "decisions": f"SELECT referral_id, {_OF_VERSION}, domain, skip_reason, code_version FROM normalized_domains",
    "referrals": f"SELECT referral_id, {_OF_VERSION}, domain, status, is_open, gone_at IS NULL, azure_tenant_id"
    " FROM partner_center_referrals",
    "leads": f"SELECT external_id, {_OF_VERSION}, domain, company_name, website FROM raw_leads",
    "companies": "SELECT domain, canonical_name, provider, azure_tenant_id, referrals, open_referrals, deals,"
    " expires_at FROM companies",
    "signals": "SELECT domain, status, provider, signals FROM domain_signals",
    "scores": "SELECT domain, score, segment, category, reason, breakdown, inputs FROM lead_scores",
    "score history": "SELECT domain, cause, old_score, new_score FROM lead_score_history",
    "signal history": "SELECT domain FROM domain_signal_history",
    "failures": "SELECT item_key, stage, error, resolved_at IS NULL FROM referral_failures",
    "stories": "SELECT DISTINCT referral_id, stage FROM referral_lineage",
    "marks": "SELECT stage, item FROM stage_queue",
    "open books": "SELECT run_id FROM sync_runs WHERE status IN ('running', 'fetched')",
}
"""What a database holds, without ids of rows and runs and without times."""


def before() -> list[dict[str, Any]]:
    """What the first sync finds: two of one company, one of a tenant, one without a domain, one that cannot be read."""
    return [
        *made_up(range(8), **UNDATED),
        *made_up(range(8, 9), **UNDATED, website="https://firm1.com.tr"),
        *made_up(range(9, 10), **UNDATED, azureTenantId=TENANT),
        *made_up(range(10, 11), **UNDATED, website=""),
        *made_up(range(11, 12), **UNDATED, customerProfile=[]),
    ]


def after() -> list[dict[str, Any]]:
    """What changed: new, changed, moved to another domain, without a domain now, mended, broken now."""
    return [
        *made_up(range(12, 15), **UNDATED),
        *made_up(range(1), **UNDATED, status="Active", companyName="Another"),
        *made_up(range(1, 2), **UNDATED, website="https://firm20.com.tr"),
        *made_up(range(2, 3), **UNDATED, website=""),
        *made_up(range(11, 12), **UNDATED),
        *made_up(range(3, 4), **UNDATED, customerProfile=[]),
        *made_up(range(9, 10), **UNDATED),
    ]


@dataclass(frozen=True)
class Scenario:
    """A sync: over everything or over what changed, on a database that has seen a first one or not."""

    sweep: bool
    first: bool = False

    def run(self, engine: Engine, run_id: str) -> None:
        """Run it from the beginning to the end."""
        world = DomainWorld(engine)
        for number in range(21):
            world.zone |= (google if number % 2 else m365)(f"firm{number}.com.tr")
        # What a sweep does not see is asked for by itself, and is not there.
        sync(engine, world.scan, run_id, before() if self.first else after(), sweep=self.sweep, missing=404)


SCENARIOS: Mapping[str, Scenario] = {
    "the first sync": Scenario(sweep=True, first=True),
    "a sync that catches up": Scenario(sweep=False),
    "a sweep": Scenario(sweep=True),
}


class Kill(Protocol):
    """Runs a scenario in a process that is killed before its statement `number`; 0 kills none.

    Returns the number of statements of a sync that came to its end, and 0 for one that was killed.
    """

    def __call__(self, url: str, scenario: str, number: int) -> int: ...


@contextmanager
def killer() -> Iterator[Kill]:
    """The process from which the killed ones are forked."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers, questions = process.stdout, process.stdin

    def kill(url: str, scenario: str, number: int) -> int:
        questions.write(json.dumps([url, scenario, number]) + "\n")
        questions.flush()
        found = next((line for line in answers if line.startswith("@ ")), "")
        assert found, "the process that forks has ended"
        return int(found.removeprefix("@ "))

    try:
        yield kill
    finally:
        questions.close()
        process.wait()
        answers.close()


def content(engine: Engine) -> dict[str, list[str]]:
    """Everything that a database holds, see `CONTENT`."""
    with engine.connect() as connection:
        return {name: sorted(map(repr, connection.execute(text(query)))) for name, query in CONTENT.items()}


def statements(kill: Kill, server_url: str, template: str, scenario: str) -> tuple[int, dict[str, list[str]]]:
    """How many statements a sync has that nobody kills, and what the database holds after it and a second one."""
    with fresh_database(server_url, template) as name:
        url = url_of(server_url, name)
        number = kill(url, scenario, 0)
        return number, _next(url, scenario)


def kill_and_heal(kill: Kill, server_url: str, template: str, scenario: str, number: int) -> dict[str, list[str]]:
    """Kill a sync before its statement `number`, run the next one, and return what the database holds then."""
    with fresh_database(server_url, template) as name:
        url = url_of(server_url, name)
        assert kill(url, scenario, number) == 0, f"statement {number} was never reached"
        return _next(url, scenario)


def _next(url: str, scenario: str) -> dict[str, list[str]]:
    engine = make_engine(url)
    try:
        SCENARIOS[scenario].run(engine, "next")
        with engine.connect() as connection:
            for gate in GATES:
                books = judge_books(gate, read_books(connection, gate, datetime.now(UTC) + timedelta(seconds=1)))
                assert books.holds, books.summary
        return content(engine)
    finally:
        engine.dispose()


def _killed_at(number: int) -> Callable[..., None]:
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 0:
            note.count = count  # type: ignore[attr-defined]

    return note


def _answer(number: int) -> None:
    sys.stdout.write(f"@ {number}\n")
    sys.stdout.flush()


def _main() -> None:
    for line in sys.stdin:
        url, scenario, number = json.loads(line)
        child = os.fork()
        if child == 0:
            engine = make_engine(url)
            note = _killed_at(number)
            event.listen(engine, "before_cursor_execute", note)
            SCENARIOS[scenario].run(engine, "killed")
            _answer(note.count if number == 0 else -1)  # type: ignore[attr-defined]
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            _answer(0)
        elif status:
            sys.exit(f"the sync broke: {status}")


if __name__ == "__main__":
    _main()
