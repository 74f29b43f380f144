"""The `sandbox` fixture: a fresh local Partner Center, identity provider and DNS server for one test.

`conftest.py` imports it. The environment points the product at it, so that a test needs no settings of its own; a
test that wants other referrals or other rules starts a `Sandbox` itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import NOW, Pipeline


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running sandbox with the samples, dated as in the data file; the environment points the product at it."""
    with Sandbox(directory=tmp_path / "sandbox", first_start=NOW) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def pipeline(engine: Engine, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The stages on a fresh database, with the sandbox's samples to fetch."""
    # One of the samples' domains never answers: two seconds of waiting would be most of a test's time.
    monkeypatch.setenv("HUNTER_DNS_TIMEOUT", "0.6")
    monkeypatch.setenv("HUNTER_DNS_ATTEMPTS", "1")
    made = Pipeline(engine, tmp_path / "home")
    # Both clocks are one, whatever day it is, until a test sets them apart.
    sandbox.partner_center.clock = lambda: made.now
    return made


@pytest.fixture
def empty(sandbox: Sandbox) -> Sandbox:
    """The sandbox without its samples."""
    sandbox.partner_center.referrals.clear()
    return sandbox


def flat(referral_id: str, **fields: Any) -> dict[str, Any]:
    """A referral in the flat shape."""
    return {
        "id": referral_id,
        "type": "marketplace",
        "status": "New",
        "companyName": f"Company {referral_id}",
        "website": f"https://www.{referral_id.lower()}-kurgu.com.tr",
        "createdDateTime": "2026-10-01T08:00:00Z",
        "updatedDateTime": "2026-10-01T08:00:00Z",
    } | fields
