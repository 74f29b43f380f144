"""How values read on a page."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hunter_pipeline.readers.lead_columns import Deal
from hunter_pipeline.scan.scan import derive_signals
from hunter_pipeline.vocabulary import badge
from hunter_pipeline.web.wording import deal, distance, expires_soon, expiry, moment, money, signal_rows

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("referral_type", "text"),
    [("co-sell", "Co-sell"), ("marketplace", "Marketplace"), ("solution-provider", "SP"), (None, "-"), ("new", "-")],
)
def test_a_type_has_its_badge(referral_type: str | None, text: str):
    assert badge(referral_type) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [
        (timedelta(seconds=30), "now"),
        (-timedelta(seconds=59), "now"),
        (timedelta(minutes=1), "in 1 minute"),
        (-timedelta(minutes=119), "1 hour ago"),
        (timedelta(hours=47), "in 1 day"),
        (-timedelta(days=59), "59 days ago"),
        (timedelta(days=61), "in 2 months"),
        (-timedelta(days=729), "24 months ago"),
        (-timedelta(days=2000), "5 years ago"),
    ],
)
def test_a_distance_is_told_to_one_unit(away: timedelta, text: str):
    assert distance(NOW + away, NOW) == text


def test_an_expiry_that_is_over_says_so():
    assert expiry(NOW - timedelta(days=2), NOW) == "expired 2 days ago"
    assert expiry(NOW + timedelta(days=2), NOW) == "in 2 days"
    assert expiry(None, NOW) == "-"


def test_three_days_before_the_end_is_soon():
    assert expires_soon(NOW + timedelta(days=2, hours=23), NOW)
    assert expires_soon(NOW - timedelta(days=9), NOW)
    assert not expires_soon(NOW + timedelta(days=3), NOW)
    assert not expires_soon(None, NOW)


def test_a_time_is_shown_in_utc():
    assert moment(datetime.fromisoformat("2026-11-24T12:00:00+03:00")) == "2026-11-24 09:00 UTC"
    assert moment(None) == distance(None, NOW) == "-"


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (Decimal(1234567), "EUR", "1,234,567 EUR"),
        (Decimal("99.9"), "USD", "99.90 USD"),
        (Decimal(0), None, "0"),
        (None, "EUR", "-"),
        (Decimal("-5.00"), "TRY", "-5 TRY"),
    ],
)
def test_money_reads_with_its_currency(value: Decimal | None, currency: str | None, text: str):
    assert money(value, currency) == text


def test_each_currency_is_shown_for_itself():
    assert deal((Deal("EUR", Decimal(1200)), Deal("USD", Decimal("0.5")))) == "1,200 EUR + 0.50 USD"
    assert deal(()) == "-"


def test_a_scan_without_answers_reads_as_not_looked_up_and_never_as_absent():
    rows = signal_rows(asdict(derive_signals("example.com", [])))
    assert {
        row.name.split()[0]: row.state for row in rows if row.open and row.name[:2] in {"MX", "SP", "DK", "DM"}
    } == {
        "MX": "could not be looked up",
        "SPF": "could not be looked up",
        "DKIM": "could not be looked up",
        "DMARC": "could not be looked up",
    }


def test_signals_show_records_and_warnings_as_evidence():
    rows = {
        row.name.split()[0]: row
        for row in signal_rows(
            {
                "provider": "Google",
                "gateway": "Proofpoint",
                "confidence": "high",
                "evidence": ["MX says so"],
                "mx_state": "present",
                "mx_hosts": ["mx1.example.com"],
                "spf_state": "permerror",
                "spf_record": "v=spf1 include:_a -all",
                "dmarc_state": "ok",
                "dmarc_policy": "reject",
                "warnings": ["spf: too many look-ups"],
                "undetermined": ["dkim"],
            }
        )
    }
    assert rows["Mailbox"].state == "Google, behind Proofpoint (high confidence)"
    assert rows["SPF"].evidence == ("v=spf1 include:_a -all", "spf: too many look-ups")
    assert rows["DMARC"].state == "policy reject"
    assert rows["DKIM"].open
    assert rows["Name"].state == "not known"


def test_an_empty_record_of_signals_still_makes_rows():
    assert signal_rows({})[0].name == "Mailbox provider"
