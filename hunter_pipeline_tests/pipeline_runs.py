"""Runs the stages of the pipeline in order against a sandbox, without Dagster: for tests of what they write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from hunter_pipeline.actions.settle import settle_attempts
from hunter_pipeline.partner_center.client import PartnerCenterClient
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.pipeline.leads import make_leads, upsert_companies
from hunter_pipeline.pipeline.normalize import normalize_domains
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.settle import settle_syncs
from hunter_pipeline.pipeline.signals import Scan, scan_domains
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.pipeline.track import track_referrals
from hunter_pipeline.sandbox.samples import as_of
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.services import make_client, make_keys, make_scan, make_sign_in
from hunter_pipeline.settings import load_settings

NOW = as_of()
"""The present of a pipeline whose test does not read the real clock: the samples are dated as the data file has it."""


@dataclass
class Pipeline:
    """The stages on one database, against the sandbox that the environment points at.

    Each `sync` is a run of its own, one minute after the one before. No part of it reads the real clock: a test that
    compares what it wrote with the present gives its `now`.
    """

    engine: Engine
    home: Path
    runs: int = 0
    client: PartnerCenterClient | None = None
    scan: Scan | None = None
    now: datetime = field(default=NOW)
    lines: list[str] | None = None
    tell: Callable[[str], None] | None = None

    def context(self, *, force: bool = False) -> StageContext:
        """The surroundings of the next run."""
        self.runs += 1
        self.now += timedelta(minutes=1)
        moment = self.now
        told = self.lines if self.lines is not None else []
        return StageContext(
            self.engine,
            f"run-{self.runs}",
            clock=lambda: moment,
            progress=self.tell or told.append,
            force=force,
            keys=lambda: make_keys(load_settings(home=self.home)),
        )

    def watch(self) -> list[str]:
        """The lines of progress that later runs tell."""
        self.lines = []
        return self.lines

    def signed_in_client(self) -> PartnerCenterClient:
        """A client that is signed in to the sandbox."""
        if self.client is None:
            settings = load_settings(home=self.home)
            sign_in = make_sign_in(settings, self.engine)
            sign_in.device_login(lambda _: None)
            self.client = make_client(settings, sign_in)
        return self.client

    def everything(self) -> Window:
        """The window of all that the API returns, up to the day of this pipeline's clock."""
        return Window(FIRST_DAY, self.now.date())

    def sync(
        self, window: Window | None = None, *, force: bool = False, upto: str | None = None
    ) -> dict[str, StageReport]:
        """Run every stage (up to and with `upto`), and return their reports by name.

        :param window: days to fetch; None: everything.
        """
        context = self.context(force=force)
        days = window or self.everything()
        scan = self.scan or make_scan(load_settings(home=self.home))
        stages: Sequence[tuple[str, Callable[[], StageReport]]] = (
            ("fetch", lambda: fetch_referrals(context, self.signed_in_client(), days)),
            ("normalize", lambda: normalize_domains(context)),
            ("track", lambda: track_referrals(context)),
            ("leads", lambda: make_leads(context)),
            ("companies", lambda: upsert_companies(context)),
            ("signals", lambda: scan_domains(context, scan)),
            ("scores", lambda: score_leads(context, load_rules(), tenant_score=55, cosell_bonus=15)),
            ("settle", lambda: settle_syncs(context)),
            ("attempts", lambda: StageReport({"settled": settle_attempts(context)})),
        )
        reports = {}
        for name, stage in stages:
            reports[name] = stage()
            if name == upto:
                break
        return reports

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        """The rows of a query; plain values when it has one column."""
        with self.engine.connect() as connection:
            found = connection.execute(text(query), parameters).all()
        return [row[0] if len(row) == 1 else tuple(row) for row in found]


def told_to_pause(engine: Engine) -> datetime:
    """Leave a sync behind that was told to ask for nothing for an hour, and return until when."""
    until = datetime.now(UTC) + timedelta(hours=1)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sync_runs"
                " (run_id, status, source, forced, window_end, covers_to_now, started_at, retry_at)"
                " VALUES ('a', 'failed', 'x', false, now(), true, now(), :until)"
            ),
            {"until": until},
        )
    return until


def day(text_: str) -> date:
    """A day from its ISO form."""
    return date.fromisoformat(text_)
