"""The lead list: ranking, filters, keyset pages in both directions, deal values, the summary."""

import base64
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert

from hunter_pipeline.pipeline.company_sums import write_sums
from hunter_pipeline.readers.cursor import InvalidCursor
from hunter_pipeline.readers.lead_columns import Deal, Lead
from hunter_pipeline.readers.lead_list import (
    MAX_PAGE,
    SORTS,
    LeadFilter,
    count_leads,
    get_lead,
    iter_leads,
    list_leads,
)
from hunter_pipeline.readers.summary import summary
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.store.tables import companies, lead_scores, partner_center_referrals, raw_leads
from hunter_pipeline_tests.databases import fresh_database, url_of

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Leads:
    """Writes leads straight into the tables."""

    def __init__(self, connection: Connection, number: int = 0) -> None:
        self.connection = connection
        self.number = number

    def referral(self, domain: str, **values: Any) -> None:
        self.number += 1
        row = {
            "referral_id": f"r{self.number}",
            "raw_id": self.number,
            "domain": domain,
            "status": "New",
            "is_open": True,
            "code_version": "1",
            "run_id": "run",
            "changed_at": NOW,
        }
        self.connection.execute(insert(partner_center_referrals).values(**{**row, **values}))
        self.connection.execute(
            insert(raw_leads).values(
                source="partnercenter",
                external_id=row["referral_id"],
                domain=domain,
                payload={},
                raw_id=self.number,
                run_id="run",
            )
        )
        write_sums(self.connection, [domain])

    def company(self, domain: str, name: str | None = None, provider: str | None = None) -> None:
        self.connection.execute(
            insert(companies).values(domain=domain, canonical_name=name, provider=provider, run_id="run")
        )

    def score(self, domain: str, score: int, category: str, **values: Any) -> None:
        row = {
            "domain": domain,
            "score": score,
            "segment": "Migration",
            "reason": "because",
            "priority_score": 3,
            "technical_heat": "Hot",
            "commercial_segment": "GREENFIELD",
            "commercial_heat": "HIGH",
            "category": category,
            "category_label": f"label of {category}",
            "referral_type": None,
            "breakdown": [],
            "rules_hash": "h",
            "inputs": {},
            "inputs_hash": "h",
            "run_id": "run",
            "scored_at": NOW,
        }
        self.connection.execute(insert(lead_scores).values(**{**row, **values}))

    def lead(self, domain: str, score: int | None = None, category: str = "P3", **values: Any) -> None:
        self.company(domain, values.pop("name", None), values.pop("provider", None))
        self.referral(domain)
        if score is not None:
            self.score(domain, score, category, **values)


@pytest.fixture(scope="module")
def one_engine(pg_server_url: str, migrated_template: str) -> Iterator[Engine]:
    """A database for all tests of this module: each rolls back what it wrote."""
    with fresh_database(pg_server_url, migrated_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        yield engine
        engine.dispose()


@pytest.fixture
def leads(one_engine: Engine) -> Iterator[Leads]:
    with one_engine.connect() as connection:
        yield Leads(connection)


def _domains(leads: Leads, **values: Any) -> list[str]:
    return [lead.domain for lead in list_leads(leads.connection, LeadFilter(**values)).leads]


def test_the_best_category_stands_first_then_the_highest_score_then_the_unscored(leads: Leads):
    leads.lead("waits.com")
    leads.lead("b.com", 90, "P2")
    leads.lead("c.com", 30, "P1")
    leads.lead("d.com", 60, "P1")
    leads.lead("a.com", 60, "P1")
    assert _domains(leads) == ["a.com", "d.com", "c.com", "b.com", "waits.com"]


def test_a_company_without_a_referral_any_more_is_no_lead(leads: Leads):
    leads.company("withdrawn.com", "Withdrawn")
    leads.score("withdrawn.com", 90, "P1")
    leads.lead("a.com", 10)
    assert _domains(leads) == ["a.com"]
    assert count_leads(leads.connection) == 1
    assert get_lead(leads.connection, "withdrawn.com") is None


def test_a_lead_carries_company_score_and_referrals(leads: Leads):
    leads.company("a.com", "Contoso", "Google")
    leads.score("a.com", 65, "P1", referral_type="co-sell")
    leads.referral("a.com", expires_at=NOW + timedelta(days=5), deal_value=Decimal("100.50"), currency="EUR")
    leads.referral("a.com", expires_at=NOW + timedelta(days=2), deal_value=Decimal(50), currency="EUR")
    leads.referral(
        "a.com",
        is_open=False,
        expires_at=NOW,
        deal_value=Decimal(7),
        currency="USD",
        changed_at=NOW + timedelta(hours=1),
    )
    lead = get_lead(leads.connection, "a.com")
    assert lead is not None
    assert lead == Lead(
        domain="a.com",
        company_name="Contoso",
        provider="Google",
        azure_tenant_id=None,
        score=65,
        segment="Migration",
        reason="because",
        priority_score=3,
        technical_heat="Hot",
        commercial_segment="GREENFIELD",
        commercial_heat="HIGH",
        category="P1",
        category_label="label of P1",
        referral_type="co-sell",
        referrals=3,
        open_referrals=2,
        deal_value=Decimal("150.50"),
        currency="EUR",
        deals=(Deal("EUR", Decimal("150.50")),),
        expires_at=NOW + timedelta(days=2),
        last_synced_at=NOW + timedelta(hours=1),
        created_at=lead.created_at,
        score_changed_at=None,
        scored_at=NOW,
    )


def test_deal_values_are_added_up_within_each_currency(leads: Leads):
    leads.company("a.com")
    for currency in ("USD", "EUR", "EUR"):
        leads.referral("a.com", deal_value=Decimal(10), currency=currency)
    lead = get_lead(leads.connection, "a.com")
    assert lead is not None
    assert (lead.deal_value, lead.currency) == (None, None)
    assert lead.deals == (Deal("EUR", Decimal(20)), Deal("USD", Decimal(10)))


DEALS = {
    "small.com": [(5, "EUR")],
    "large.com": [(900, "TRY")],
    "both.com": [(4, "EUR"), (10, "TRY")],
    "odd.com": [(1, "XXX"), (99, "EUR")],
    "none.com": [(None, None)],
    "bare.com": [(7, None)],
}


def _deals(leads: Leads, sort: str, rates: dict[str, Decimal]) -> list[str]:
    for domain, values in DEALS.items():
        leads.company(domain)
        for value, currency in values:
            leads.referral(domain, deal_value=value, currency=currency)
    whole = [lead.domain for lead in iter_leads(leads.connection, sort=sort, rates=rates)]
    found, after = [], None
    while len(found) < len(DEALS):
        page = list_leads(leads.connection, sort=sort, limit=1, after=after, rates=rates)
        found += [lead.domain for lead in page.leads]
        after = page.next
    assert found == whole
    return found


def test_with_rates_deals_of_all_currencies_stand_in_one_order_and_what_has_no_rate_last(leads: Leads):
    rates = {"EUR": Decimal(1), "TRY": Decimal("0.02")}
    order = ["large.com", "small.com", "both.com", "bare.com", "none.com", "odd.com"]
    assert _deals(leads, "-deal_value", rates) == order


def test_without_rates_each_currency_has_its_own_stretch(leads: Leads):
    order = ["bare.com", "small.com", "large.com", "both.com", "none.com", "odd.com"]
    assert _deals(leads, "-deal_value", {}) == order


def test_a_deal_value_without_a_currency_is_no_euro(leads: Leads):
    leads.company("a.com")
    leads.referral("a.com", deal_value=Decimal(10), currency=None)
    leads.referral("a.com", deal_value=Decimal(10), currency="EUR")
    lead = get_lead(leads.connection, "a.com")
    assert lead is not None
    assert lead.deal_value is None
    assert lead.deals == (Deal(None, Decimal(10)), Deal("EUR", Decimal(10)))


def test_the_type_of_a_lead_without_a_score_is_that_of_its_best_open_referral(leads: Leads):
    leads.company("a.com")
    leads.referral("a.com", referral_type="co-sell", is_open=False)
    leads.referral("a.com", referral_type="solution-provider")
    leads.referral("a.com", referral_type="marketplace")
    leads.referral("a.com", referral_type=None)
    assert [lead.referral_type for lead in list_leads(leads.connection).leads] == ["marketplace"]
    assert _domains(leads, referral_type="marketplace") == ["a.com"]
    assert _domains(leads, referral_type="co-sell") == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"referral_type": "co-sell"}, ["a.com"]),
        ({"referral_type": "none"}, ["b.com", "c.com"]),
        ({"segment": "Cold"}, ["b.com"]),
        ({"provider": "Google"}, ["a.com", "c.com"]),
        ({"category": "P2"}, ["b.com"]),
        ({"category": "unscored"}, ["c.com"]),
        ({"min_score": 50}, ["a.com"]),
        ({"max_score": 50}, ["b.com"]),
        ({"min_score": 20, "max_score": 90}, ["a.com", "b.com"]),
        ({"text": "CONTOSO"}, ["a.com"]),
        ({"text": "b.c"}, ["b.com"]),
        ({"text": "a.ş"}, ["b.com"]),
        ({"text": "100%"}, ["c.com"]),
        ({"text": "1_0"}, []),
        ({"text": "\\"}, []),
        ({"text": "'; DROP TABLE companies; --"}, []),
        ({"text": "\0"}, []),
        ({"text": "\udc80"}, []),
        ({"segment": "\0"}, []),
        ({"text": ""}, ["a.com", "b.com", "c.com"]),
        ({"provider": "Google", "category": "unscored", "text": "sure"}, ["c.com"]),
    ],
)
def test_a_filter_keeps_what_it_names(leads: Leads, values: dict[str, Any], expected: list[str]):
    leads.lead("a.com", 90, "P1", name="Contoso Ltd", provider="Google", referral_type="co-sell")
    leads.lead("b.com", 20, "P2", name="ŞİRKET A.Ş.", provider="M365", segment="Cold")
    leads.lead("c.com", name="100% Sure", provider="Google")
    assert _domains(leads, **values) == expected
    assert count_leads(leads.connection, LeadFilter(**values)) == len(expected)
    assert [lead.domain for lead in iter_leads(leads.connection, LeadFilter(**values))] == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("IŞIK", ["isik.com"]),
        ("ışık", ["isik.com"]),
        ("isik", ["isik.com"]),
        ("ısparta", ["isparta.com"]),
        ("ISPARTA", ["isparta.com"]),
        ("İsparta", ["isparta.com"]),
        ("celik", ["celik.com"]),
        ("ÇELİK", ["celik.com"]),
        ("UNAL", ["unal.com"]),
        ("sanayi demir", ["celik.com"]),
        ("demir yok", []),
        ("strasse", ["strasse.com"]),
        ("ΑΘΗΝΑ", ["athina.com"]),
        ("αθήνα", ["athina.com"]),
        ("МОСКВА", ["moskva.com"]),
        ("zzz %", []),
    ],
)
def test_a_search_finds_what_a_person_means(leads: Leads, typed: str, expected: list[str]):
    for domain, name in (
        ("isik.com", "Işık Elektrik"),
        ("isparta.com", "Isparta Gül"),
        ("celik.com", "Kurgu Demir Çelik Sanayii"),
        ("unal.com", "ÜNAL ve Oğulları"),
        ("strasse.com", "Lange Straße"),
        ("athina.com", "Αθήνα ΑΕ"),
        ("moskva.com", "Москва"),
    ):
        leads.lead(domain, name=name)
    assert _domains(leads, text=typed) == expected
    assert count_leads(leads.connection, LeadFilter(text=typed)) == len(expected)


def test_names_are_sorted_by_letters_not_by_bytes(leads: Leads):
    names = ["Zebra", "Çelik", "ışık", "Ada", "Östen", "odak", "İzmir", "celal", "Ab"]
    for number, name in enumerate(names):
        leads.lead(f"n{number}.com", name=name)
    found = [lead.company_name for lead in list_leads(leads.connection, sort="company").leads]
    assert found == ["Ab", "Ada", "celal", "Çelik", "ışık", "İzmir", "odak", "Östen", "Zebra"]


@pytest.fixture(scope="module")
def many_engine(pg_server_url: str, migrated_template: str) -> Iterator[Engine]:
    """A database of leads with equal keys, missing keys and every combination of them."""
    dice = random.Random(7)
    with fresh_database(pg_server_url, migrated_template) as name:
        engine = make_engine(url_of(pg_server_url, name))
        with engine.begin() as connection:
            leads = Leads(connection)
            for number in range(47):
                domain = f"d{number:02}.com"
                leads.company(domain, dice.choice(["Same", "Other", None, f"Name {number}"]))
                for _ in range(dice.randint(1, 2)):
                    leads.referral(
                        domain,
                        deal_value=dice.choice([None, Decimal(5), Decimal("7.25"), Decimal(number)]),
                        currency="EUR",
                        expires_at=dice.choice([None, NOW, NOW + timedelta(microseconds=number)]),
                        changed_at=NOW + timedelta(seconds=dice.randint(0, 3)),
                    )
                if number % 5:
                    leads.score(domain, dice.choice([10, 10, 55, number]), dice.choice(["P1", "P2"]))
        yield engine
        engine.dispose()


@pytest.fixture
def many(many_engine: Engine) -> Iterator[Leads]:
    """Those leads; what a test adds is rolled back."""
    with many_engine.connect() as connection:
        yield Leads(connection, number=1000)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 4, 10])
def test_pages_in_both_directions_join_to_the_whole_list(many: Leads, sort: str, limit: int):
    whole = list(iter_leads(many.connection, sort=sort))
    assert len(whole) == 47
    forward: list[Lead] = []
    page = list_leads(many.connection, sort=sort, limit=limit)
    assert page.previous is None
    while True:
        forward += page.leads
        if page.next is None:
            break
        page = list_leads(many.connection, sort=sort, limit=limit, after=page.next)
    assert forward == whole
    backward = list(page.leads)
    while page.previous is not None:
        page = list_leads(many.connection, sort=sort, limit=limit, before=page.previous)
        assert page.next is not None
        backward = list(page.leads) + backward
    assert backward == whole


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("score", lambda lead: lead.score),
        ("deal_value", lambda lead: lead.deal_value),
        ("expires", lambda lead: lead.expires_at),
        ("synced", lambda lead: lead.last_synced_at),
        ("company", lambda lead: lead.company_name and lead.company_name.lower()),
    ],
)
def test_an_order_sorts_by_its_key_and_leaves_leads_without_one_last(
    many: Leads, sort: str, key: Callable[[Lead], Any]
):
    keys = [key(lead) for lead in iter_leads(many.connection, sort=sort)]
    known = [each for each in keys if each is not None]
    assert known == sorted(known)
    assert keys[len(known) :] == [None] * (len(keys) - len(known))
    reverse = [key(lead) for lead in iter_leads(many.connection, sort=f"-{sort}")]
    assert reverse == known[::-1] + keys[len(known) :]


def test_a_lead_that_arrives_meanwhile_repeats_and_hides_none(many: Leads):
    first = list_leads(many.connection, limit=10)
    many.lead("aaa.com", 100, "P1")
    second = list_leads(many.connection, limit=10, after=first.next)
    assert not set(first.leads) & set(second.leads)
    rest = [lead for lead in iter_leads(many.connection) if lead.domain != "aaa.com"]
    assert [*first.leads, *second.leads] == rest[:20]


def _cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "ü",
        "AAAA",
        _cursor(),
        _cursor("rank", False, ["P1", "5"]),
        _cursor("rank", False, ["P1", "five", "a.com"]),
        _cursor("rank", False, ["P1", "99999999999", "a.com"]),
        _cursor("rank", False, ["P\0", "5", "a.com"]),
        _cursor("rank", False, ["P1", "5", "\ud800"]),
        _cursor("rank", False, "P1"),
        _cursor("rank", 1, ["a.com"]),
        _cursor("score", False, ["5", "a.com"]),
        _cursor("rank", True, []),
        _cursor("rank", True, [5]),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
    ],
)
def test_a_cursor_of_somebodys_own_making_is_refused(leads: Leads, cursor: str):
    with pytest.raises(InvalidCursor):
        list_leads(leads.connection, after=cursor)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "1e99999", "x"])
def test_a_number_that_postgresql_cannot_hold_is_no_cursor(leads: Leads, value: str):
    with pytest.raises(InvalidCursor):
        list_leads(leads.connection, sort="deal_value", after=_cursor("deal_value", False, ["EUR", value, "a.com"]))


def test_two_cursors_at_once_and_pages_of_no_size_are_refused(leads: Leads):
    leads.lead("a.com", 10)
    cursor = _cursor("rank", True, ["a.com"])
    with pytest.raises(InvalidCursor):
        list_leads(leads.connection, after=cursor, before=cursor)
    for limit in (0, MAX_PAGE + 1):
        with pytest.raises(ValueError, match="limit"):
            list_leads(leads.connection, limit=limit)


def test_the_summary_counts_what_the_list_shows(many: Leads):
    many.company("withdrawn.com")
    many.score("withdrawn.com", 5, "P1")
    counts = summary(many.connection)
    listed = list(iter_leads(many.connection))
    assert counts.leads == len(listed)
    assert counts.scored == sum(lead.score is not None for lead in listed)
    assert counts.unscored == counts.leads - counts.scored
    for category, label, number in counts.categories:
        assert label == f"label of {category}"
        assert number == sum(lead.category == category for lead in listed)
    assert counts.last_sync is None


def test_the_summary_of_an_empty_database_is_all_zero(leads: Leads):
    counts = summary(leads.connection)
    assert (counts.referrals, counts.with_domain, counts.leads, counts.scored, counts.open_failures) == (0,) * 5
    assert list_leads(leads.connection).leads == ()


def test_every_lead_of_a_real_run_is_listed_once(pipeline: Any):
    pipeline.sync()
    with pipeline.engine.connect() as connection:
        listed = list(iter_leads(connection))
        counts = summary(connection)
    assert sorted(lead.domain for lead in listed) == sorted(pipeline.rows("SELECT DISTINCT domain FROM raw_leads"))
    assert counts.with_domain + sum(counts.skipped.values()) + counts.open_failures >= counts.referrals
    assert counts.last_sync is not None
    assert counts.last_sync.status == "partial"
