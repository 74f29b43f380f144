"""Syncs of referrals that a test lists, with a DNS that a test sets: no network, for tests of many rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from hunter_pipeline.partner_center.client import Page
from hunter_pipeline.partner_center.errors import ApiError
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.pipeline.leads import make_leads, upsert_companies
from hunter_pipeline.pipeline.normalize import normalize_domains
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.settle import settle_syncs
from hunter_pipeline.pipeline.signals import Scan, scan_domains
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.pipeline.track import track_referrals
from hunter_pipeline.quality.gates import Gate, judge_stage
from hunter_pipeline.quality.verdicts import Verdict
from hunter_pipeline.scoring.rules_file import load_rules

PAGE = 100
STAGES = ("fetch", "normalize", "track", "leads", "companies", "signals", "scores", "settle")


@dataclass
class Listed:
    """A `ReferralSource` that lists what it is given."""

    referrals: Sequence[dict[str, Any]]
    host: str = "listed.example"
    tenant: str | None = None
    missing: int = 503
    """What is answered when one referral is asked for; with 503, what a list without it leaves open stays so."""

    def iter_pages(self, since: datetime | None) -> Iterator[Page]:  # noqa: ARG002 - all of it is asked for
        """The pages."""
        for start in range(0, len(self.referrals), PAGE):
            items = tuple(RawItem(json.dumps(each), each) for each in self.referrals[start : start + PAGE])
            yield Page(items, start // PAGE + 1, None)

    def get_referral(self, referral_id: str) -> RawItem:  # noqa: ARG002 - the client's signature
        """None can be asked for by itself."""
        raise ApiError(self.missing, None, None, "")


def made_up(numbers: range, **fields: Any) -> list[dict[str, Any]]:
    """Referrals that were updated today, each of a company of its own."""
    return [
        {
            "id": f"R{number}",
            "status": "New",
            "type": "marketplace",
            "companyName": f"Company {number}",
            "website": f"https://firm{number}.com.tr",
            "contact": {"email": None},
            "updatedDateTime": datetime.now(UTC).isoformat(),
        }
        | fields
        for number in numbers
    ]


GATED = {
    "normalize": "normalized_domains",
    "track": "partner_center_referrals",
    "companies": "companies",
    "scores": "lead_scores",
}
"""Of `STAGES` those that have gates, with the names by which these know them."""


def judge(connection: Connection, run_id: str, reports: Mapping[str, StageReport]) -> dict[Gate, Verdict]:
    """What the gates say right after the stages of a run, by the reports of `sync`."""
    before = datetime.now(UTC) + timedelta(seconds=1)
    verdicts: dict[Gate, Verdict] = {}
    for name, stage in GATED.items():
        verdicts |= judge_stage(connection, stage, before, run_id, reports[name].seen)
    return verdicts


def sync(
    engine: Engine,
    scan: Scan,
    run_id: str,
    referrals: Sequence[dict[str, Any]],
    *,
    sweep: bool = False,
    upto: str = STAGES[-1],
    missing: int = 503,
    force: bool = False,
) -> dict[str, StageReport]:
    """Run the stages up to and with `upto`; a sweep asks for everything, any other sync for today.

    :returns: what each stage reports, by its name in `STAGES`.
    """
    today = datetime.now(UTC).date()
    context = StageContext(engine, run_id, force=force)
    window = Window(FIRST_DAY if sweep else today, today)
    stages = (
        lambda: fetch_referrals(context, Listed(referrals, missing=missing), window),
        lambda: normalize_domains(context),
        lambda: track_referrals(context),
        lambda: make_leads(context),
        lambda: upsert_companies(context),
        lambda: scan_domains(context, scan),
        lambda: score_leads(context, load_rules(), tenant_score=55, cosell_bonus=15),
        lambda: settle_syncs(context),
    )
    upto_names = STAGES[: STAGES.index(upto) + 1]
    return {name: stage() for name, stage in zip(upto_names, stages, strict=False)}
