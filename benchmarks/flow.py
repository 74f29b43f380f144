"""A sync without network: pages that come from memory, and a DNS that answers at once.

Belongs here: what several benchmarks need to run the pipeline's stages over any number of made-up referrals, in this
process and without Dagster. Does not belong here: measuring. The pages are bytes, as an answer's body is, and the
look-ups go through the real plan of questions and the real reading of replies.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Engine

from benchmarks.servers import company_zone
from hunter_pipeline.partner_center.client import Page
from hunter_pipeline.partner_center.pages import RawItem, read_list
from hunter_pipeline.pipeline.context import StageContext, StageReport
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.pipeline.leads import make_leads, upsert_companies
from hunter_pipeline.pipeline.normalize import normalize_domains
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.settle import settle_syncs
from hunter_pipeline.pipeline.signals import Scan, scan_domains
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.pipeline.track import track_referrals
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.scan.scan import scan_domains as scan_plan
from hunter_pipeline.scoring.rules_file import load_rules

PAGE_SIZE = 100
"""Referrals on a page: the largest that the documents of the API name."""

PAYLOAD_BYTES = 2300
"""Bytes of a referral as JSON: what a referral of the documented shape has."""

_WORDS = ("migration", "seats", "licence", "renewal", "budget", "tenant", "mailbox", "security", "defender", "quarter")


def referral(number: int) -> dict[str, Any]:
    """A made-up referral of the documented shape; the same for the same number."""
    chance = random.Random(number)

    def guid() -> str:
        digits = f"{chance.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    moment = f"2026-{number % 10 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:{number % 59:02}Z"
    made: dict[str, Any] = {
        "id": guid(),
        "engagementId": guid(),
        "name": f"Deal {number}",
        "createdDateTime": moment,
        "updatedDateTime": moment,
        "expirationDateTime": "2027-01-15T00:00:00Z",
        "status": ("New", "Active", "Closed")[number % 3],
        "substatus": ("Pending", "Accepted", "Won")[number % 3],
        "type": ("Independent", "Shared")[number % 2],
        "qualification": ("Direct", "SalesQualified")[number % 2],
        "direction": "Incoming",
        "eTag": f'"{guid()}"',
        "customerProfile": {
            "name": f"Company {number}",
            "address": {
                "addressLine1": f"{chance.randrange(1, 400)} Example Street",
                "city": "Izmir",
                "postalCode": f"{chance.randrange(10000, 99999)}",
                "country": "TR",
            },
            "size": "10to50employees",
            "team": [
                {
                    "firstName": "A",
                    "lastName": "B",
                    "email": f"info@company-{number:05}.com",
                    "phoneNumber": f"+90{chance.randrange(10**9, 10**10)}",
                }
            ],
            "ids": [{"profileType": "External", "id": guid()}],
        },
        "consent": {"consentToContact": True, "consentToShareInfoWithOthers": False},
        "details": {
            "notes": "",
            "dealValue": 1000 + number,
            "currency": "EUR",
            "closeDate": "2027-03-01",
            "requirements": {
                "industries": [{"id": "Retail"}],
                "services": [{"id": "Deployment"}],
                "offers": [{"id": guid()}],
            },
        },
        "team": [{"firstName": "C", "lastName": "D", "email": "seller@partner.example", "phoneNumber": "+905550000"}],
        "inviteContext": {"notes": "", "assistanceRequestCode": "Unknown", "invitedBy": {"organizationId": guid()}},
        "links": {
            "self": {"uri": f"/engagements/v1/referrals/{guid()}", "method": "GET"},
            "relatedReferrals": {"uri": f"/engagements/v1/referrals?engagementId={guid()}", "method": "GET"},
        },
    }
    missing = PAYLOAD_BYTES - len(json.dumps(made))
    notes = ""
    while len(notes) < missing:
        notes += chance.choice(_WORDS) + " "
    made["details"]["notes"] = notes[: max(missing, 0)]
    return made


def bodies(numbers: Sequence[int]) -> list[bytes]:
    """The answers of the list call that hold the referrals of these numbers."""
    return [
        json.dumps({"value": [referral(number) for number in numbers[start : start + PAGE_SIZE]]}).encode()
        for start in range(0, len(numbers), PAGE_SIZE)
    ]


@dataclass
class Pages:
    """A `ReferralSource` that reads answers from memory."""

    answers: Sequence[bytes]
    host: str = "bench.invalid"
    tenant: str | None = None

    def iter_pages(self, since: datetime | None) -> Iterator[Page]:  # noqa: ARG002 - all of them are asked for
        """The pages."""
        for number, body in enumerate(self.answers, 1):
            yield Page(read_list(body).items, number, None)

    def get_referral(self, referral_id: str) -> RawItem:
        """Never needed: the list form holds the contacts."""
        raise NotImplementedError(referral_id)


class _InstantDns:
    """Stands for the DNS client: answers from a dictionary, without a packet."""

    in_flight = 500

    def __init__(self, count: int) -> None:
        self._zone = {
            (name, rtype): tuple(value.rstrip(".") for value in values)
            for name, records in company_zone(count).items()
            for rtype, values in records.items()
        }
        self._names = {name for name, _ in self._zone}

    async def lookup_many(self, questions: Sequence[Question]) -> list[Reply]:
        return [self._reply(*question) for question in questions]

    def _reply(self, name: str, rtype: str) -> Reply:
        records = self._zone.get((name, rtype))
        if records is not None:
            return Reply(name, rtype, LookupStatus.answer, records, 300, "127.0.0.1:53", 1)
        status = LookupStatus.nodata if name in self._names else LookupStatus.nxdomain
        return Reply(name, rtype, status, (), 300, "127.0.0.1:53", 1)


def instant_scan(count: int) -> Scan:
    """The look-up of `count` companies' domains, answered at once."""
    dns: Any = _InstantDns(count)

    def scan(domains: Iterable[str]) -> Iterator[DomainScan]:
        waiting = iter(domains)
        while chunk := list(islice(waiting, 500)):
            yield from asyncio.run(scan_plan(chunk, dns))

    return scan


Stages = dict[str, Callable[[], StageReport]]


def stages(engine: Engine, run_id: str, answers: Sequence[bytes], scan: Scan, *, sweep: bool = True) -> Stages:
    """The stages of one sync by name, in their order; a sweep asks for everything, any other sync for today."""
    context = StageContext(engine, run_id)
    today = datetime.now(UTC).date()
    window = Window(FIRST_DAY if sweep else today, today)
    rules = load_rules()
    return {
        "fetch": lambda: fetch_referrals(context, Pages(answers), window),
        "normalize": lambda: normalize_domains(context),
        "track": lambda: track_referrals(context),
        "leads": lambda: make_leads(context),
        "companies": lambda: upsert_companies(context),
        "signals": lambda: scan_domains(context, scan),
        "scores": lambda: score_leads(context, rules, tenant_score=55, cosell_bonus=15),
        "settle": lambda: settle_syncs(context),
    }
