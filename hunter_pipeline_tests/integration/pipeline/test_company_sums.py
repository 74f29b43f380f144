"""What is kept with a company is what its referrals add up to, whatever happened to them and on whatever day.

The sums are reckoned anew in Python, from the rows of the referrals alone.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import Engine, text

from hunter_pipeline.actions.take_in import take_in
from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.erasures import make_key
from hunter_pipeline.pipeline.leads import make_leads, upsert_companies
from hunter_pipeline.pipeline.normalize import normalize_domains
from hunter_pipeline.pipeline.track import track_referrals
from hunter_pipeline.quality.gates import GATES, judge_books, read_books
from hunter_pipeline.readers.lead_list import iter_leads
from hunter_pipeline.store import migrate
from hunter_pipeline.upkeep.erase import Request, erase
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld
from hunter_pipeline_tests.listed_sync import STAGES, made_up, sync

UNDATED: dict[str, Any] = {"updatedDateTime": None}
SHARED = "https://firm0.com.tr"
"""The company of the first three referrals."""

KEYS = MultiFernet([Fernet(Fernet.generate_key())])
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat()
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def one(number: int, value: object = None, currency: str | None = "EUR", **fields: Any) -> dict[str, Any]:
    details = {} if value is None else {"details": {"dealValue": value, "currency": currency}}
    site = {"website": SHARED} if number < 3 else {}
    return made_up(range(number, number + 1), **UNDATED, **site, **details, **fields)[0]


def start() -> list[dict[str, Any]]:
    """Three of one company, one of them over since yesterday and not answered, and one of another company."""
    return [
        one(0, 10.25, expirationDateTime=TOMORROW),
        one(1, 4, expirationDateTime=YESTERDAY),
        one(2, 7, status="Closed", expirationDateTime="2020-01-01T00:00:00Z"),
        one(3, 100, "USD"),
    ]


def kept(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """What stands with each company."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT domain, referrals, open_referrals, deal_value, currency, deals, expires_at, last_received_at"
                " FROM companies"
            )
        ).all()
    return {row[0]: (*row[1:5], [(code, Decimal(value)) for code, value in row[5] or ()], *row[6:]) for row in rows}


def reckoned(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """The same out of the referrals."""
    with engine.connect() as connection:
        domains = connection.execute(text("SELECT domain FROM companies")).scalars().all()
        rows = connection.execute(text("SELECT * FROM partner_center_referrals WHERE domain IS NOT NULL")).all()
    of = defaultdict(list)
    for row in rows:
        of[row.domain].append(row)
    found = {}
    for domain in domains:
        still = [row for row in of[domain] if row.is_open]
        sums: dict[str | None, Decimal] = defaultdict(Decimal)
        for row in still:
            if row.deal_value is not None:
                sums[row.currency] += row.deal_value
        found[domain] = (
            len(of[domain]),
            len(still),
            *((next(iter(sums.values())), next(iter(sums))) if len(sums) == 1 else (None, None)),
            sorted(sums.items(), key=lambda each: (-each[1], each[0] or "")),
            min((row.expires_at for row in still if row.expires_at), default=None),
            max((row.changed_at for row in of[domain]), default=None),
        )
    return found


def check(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """What is kept, once it is shown to be true, by the gate as well."""
    found = kept(engine)
    assert found == reckoned(engine)
    gate = next(gate for gate in GATES if gate.name == "sums_equal_referrals")
    with engine.connect() as connection:
        books = read_books(connection, gate, datetime.now(UTC))
        # What an erasure left is looked at once more by the next run.
        marked = connection.execute(text("SELECT count(*) FROM stage_queue WHERE stage = 'companies'")).scalar_one()
        shown = {lead.domain: lead for lead in iter_leads(connection)}
    assert judge_books(gate, books).holds
    assert books.total == len(found) - marked
    for domain, lead in shown.items():
        assert (lead.referrals, lead.open_referrals, lead.deal_value, lead.currency) == found[domain][:4]
        assert [(deal.currency, deal.value) for deal in lead.deals] == found[domain][4]
    return found


class Life:
    """Syncs one after the other on one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.world = DomainWorld(engine)
        self.runs = 0

    def sync(self, *referrals: dict[str, Any], **options: Any) -> None:
        self.runs += 1
        sync(self.engine, self.world.scan, f"run-{self.runs}", referrals, **options)

    def erase(self, kind: Any, value: str) -> None:
        context = StageContext(self.engine, "erase", keys=lambda: KEYS)
        with context.stage() as connection:
            erase(connection, context, Request(kind, value), make_key(connection, lambda: KEYS))
            connection.commit()

    def act(self, referral: dict[str, Any]) -> None:
        context = StageContext(self.engine, "action-1")
        stages = (normalize_domains, track_referrals, make_leads, upsert_companies)
        assert take_in(context, RawItem(json.dumps(referral), referral), stages)


@pytest.fixture
def life(engine: Engine) -> Life:
    made = Life(engine)
    made.sync(*start(), sweep=True)
    return made


def test_what_a_company_comes_to_is_there_from_the_first_sync(life: Life):
    found = check(life.engine)
    assert found["firm0.com.tr"][:5] == (3, 2, Decimal("14.25"), "EUR", [("EUR", Decimal("14.25"))])
    assert found["firm0.com.tr"][5].isoformat() == YESTERDAY  # over, and told so by whoever shows it


def test_a_new_company_is_written_once(engine: Engine):
    Life(engine).sync(*start(), sweep=True, upto="companies")
    check(engine)
    assert sorted(_places(engine).values()) == ["(0,1)", "(0,2)"]


CHANGES: dict[str, tuple[Callable[[Life], object], Any]] = {
    "new ones": (lambda life: life.sync(one(2, 7), one(9)), Decimal("21.25")),
    "another value": (lambda life: life.sync(one(0, 99)), Decimal(103)),
    "no value any more": (lambda life: life.sync(one(0)), Decimal(4)),
    "another currency": (lambda life: life.sync(one(0, 10.25, "TRY")), None),
    "no currency any more": (lambda life: life.sync(one(0, 10.25, None)), None),
    "won": (lambda life: life.sync(one(0, 10.25, status="Closed", substatus="Won")), Decimal(4)),
    "all closed": (lambda life: life.sync(one(0, 10.25, status="Closed"), one(1, 4, status="Closed")), None),
    "opened again": (lambda life: life.sync(one(2, 7, status="Active")), Decimal("21.25")),
    "gone": (lambda life: life.sync(*start()[1:], sweep=True, missing=404), Decimal(4)),
    "gone and back": (
        lambda life: (life.sync(*start()[1:], sweep=True, missing=404), life.sync(*start(), sweep=True)),
        Decimal("14.25"),
    ),
    "moved to another company": (
        lambda life: life.sync(made_up(range(1), **UNDATED, website="https://firm3.com.tr")[0]), Decimal(4)
    ),
    "without a domain now": (lambda life: life.sync(made_up(range(1), **UNDATED, website="")[0]), Decimal(4)),
    "withdrawn as a whole": (
        lambda life: life.sync(*(made_up(range(n, n + 1), **UNDATED, website="")[0] for n in range(3))), None
    ),
    "read again by force": (lambda life: life.sync(*start(), force=True), Decimal("14.25")),
    "erased": (lambda life: life.erase("referral", "R0"), Decimal(4)),
    "erased with its last": (lambda life: life.erase("domain", "firm3.com.tr"), Decimal("14.25")),
    "written by an action": (lambda life: life.act(one(0, 20, status="Active")), Decimal(24)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_the_sums_follow_each_change_of_a_referral(life: Life, name: str):
    change, expected = CHANGES[name]
    change(life)
    assert check(life.engine)["firm0.com.tr"][2] == expected


@pytest.mark.parametrize("upto", STAGES[:-1])
def test_a_run_that_ends_after_any_stage_is_made_up_for_by_the_next(life: Life, upto: str):
    life.sync(one(0, 99), one(2, 7, status="Active"), one(5, 6), one(3, website="https://firm8.com.tr"), upto=upto)
    life.sync()
    found = check(life.engine)
    assert found["firm0.com.tr"][2] == Decimal(110)
    assert found["firm3.com.tr"][:3] == (0, 0, None)


def test_sums_that_did_not_change_are_not_written(life: Life):
    before = _places(life.engine)
    life.sync(*start(), force=True)
    life.sync(*start(), sweep=True)
    assert _places(life.engine) == before
    life.sync(one(3, 101, "USD"))
    assert {domain for domain, place in _places(life.engine).items() if place != before[domain]} == {"firm3.com.tr"}


def test_a_change_of_sums_has_no_stage_look_at_anything(life: Life):
    with life.engine.begin() as connection:
        connection.execute(text("DELETE FROM stage_queue"))
        connection.execute(text("UPDATE companies SET deal_value = 1, expires_at = now(), last_received_at = now()"))
        assert connection.execute(text("SELECT count(*) FROM stage_queue")).scalar_one() == 0


def test_sums_of_rows_that_were_there_before_are_filled_in(life: Life, database_url: str):
    before = check(life.engine)
    life.engine.dispose()
    migrate.downgrade(database_url, "0012")
    migrate.upgrade(database_url)
    with life.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM stage_queue")).scalar_one() == 0
    assert check(life.engine) == before


def _places(engine: Engine) -> dict[str, str]:
    """Where each company's row stands; a row that is written again stands elsewhere."""
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(text("SELECT domain, ctid::text FROM companies"))}
