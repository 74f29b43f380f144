"""Rescans: the oldest first, in bounded numbers, and a change only between two known values."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from hunter_pipeline.pipeline.signals import scan_domains
from hunter_pipeline.scan.reply import LookupStatus
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.upkeep.rescans import FEWEST_FOR_VERDICT, rescan_domains
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google, m365

MONTH = timedelta(days=30)
CHANGES = "SELECT domain, field, old, new, run_id FROM domain_signal_history ORDER BY id"


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    return DomainWorld(engine)


def scanned(world: DomainWorld, *domains: str) -> DomainWorld:
    """The world after its first scan, with nothing asked since."""
    world.companies(*domains)
    for domain in domains:
        world.zone |= google(domain)
    scan_domains(world.context(), world.scan)
    world.asked.clear()
    return world


def test_only_domains_older_than_the_age_are_looked_up_again(world: DomainWorld):
    scanned(world, "old.com", "fresh.com")
    world.execute("UPDATE domain_signals SET scanned_at = scanned_at + interval '2 days' WHERE domain = 'fresh.com'")
    report = rescan_domains(world.context(after=MONTH + timedelta(days=1)), world.scan, older_than=MONTH, limit=10)
    assert (world.asked, report.counts["rescanned"], report.counts["still_old"]) == (["old.com"], 1, 0)
    rescan_domains(world.context(), world.scan, older_than=MONTH, limit=10)
    assert world.asked == ["old.com"]


def test_a_run_stops_at_its_limit_and_the_next_goes_on_with_the_oldest(world: DomainWorld):
    scanned(world, "a.com", "b.com", "c.com")
    world.execute("UPDATE domain_signals SET scanned_at = scanned_at - interval '1 day' WHERE domain = 'c.com'")
    later = MONTH + timedelta(days=1)
    report = rescan_domains(world.context(after=later), world.scan, older_than=MONTH, limit=2)
    assert (world.asked, report.counts["still_old"]) == (["c.com", "a.com"], 1)
    rescan_domains(world.context(), world.scan, older_than=MONTH, limit=2)
    assert world.asked == ["c.com", "a.com", "b.com"]


def test_what_changed_is_recorded_and_told_in_the_lineage_of_its_referrals(world: DomainWorld):
    scanned(world, "acme.com", "same.com")
    world.zone |= m365("acme.com")
    report = rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    assert world.rows(CHANGES) == [
        ("acme.com", "provider", "Google", "M365", "run-2"),
        ("acme.com", "mx", "smtp.google.com", "acme-com.mail.protection.outlook.com", "run-2"),
        ("acme.com", "dmarc", "none", "p=reject", "run-2"),
    ]
    assert report.groups["changes"] == {"provider": 1, "mx": 1, "dmarc": 1}
    assert report.counts["changed_domains"] == 1
    assert world.rows("SELECT provider FROM companies ORDER BY domain") == ["M365", "Google"]
    [(referral, decision)] = world.rows("SELECT referral_id, decision FROM referral_lineage WHERE run_id = 'run-2'")
    assert referral == "R-acme.com"
    assert decision.startswith("changed: provider from Google to M365; mx from ")


def test_a_policy_of_none_and_no_policy_at_all_are_told_apart(world: DomainWorld):
    scanned(world, "acme.com")
    world.zone["_dmarc.acme.com", "TXT"] = ("v=DMARC1; p=none",)
    rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    assert world.rows("SELECT field, old, new FROM domain_signal_history") == [("dmarc", "none", "p=none")]


@pytest.mark.parametrize(
    "failure", [LookupStatus.servfail, LookupStatus.refused, LookupStatus.timeout, LookupStatus.other]
)
def test_a_failed_look_up_is_never_a_change_there_or_back(world: DomainWorld, failure: LookupStatus):
    scanned(world, "acme.com")
    world.zone |= {("acme.com", "MX"): failure, ("acme.com", "TXT"): failure, ("_dmarc.acme.com", "TXT"): failure}
    report = rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    assert report.counts["rescans_partial"] == 1
    del world.zone["_dmarc.acme.com", "TXT"]
    world.zone |= google("acme.com")
    rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    assert world.rows(CHANGES) == []
    assert world.rows("SELECT status, provider FROM domain_signals") == [("complete", "Google")]


def test_a_signal_that_was_unknown_at_first_makes_no_change_when_it_becomes_known(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= m365("acme.com") | {("_dmarc.acme.com", "TXT"): LookupStatus.timeout}
    scan_domains(world.context(), world.scan)
    world.zone |= m365("acme.com")
    rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    assert world.rows("SELECT dmarc_policy FROM domain_signals") == ["reject"]
    assert world.rows(CHANGES) == []


def test_a_change_over_a_failure_in_between_is_recorded(world: DomainWorld):
    scanned(world, "acme.com")
    world.zone["acme.com", "MX"] = LookupStatus.timeout
    rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    world.zone |= m365("acme.com")
    rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    assert ("acme.com", "provider", "Google", "M365", "run-3") in world.rows(CHANGES)


def test_a_rescan_stops_when_dns_itself_is_down(world: DomainWorld, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", FEWEST_FOR_VERDICT)
    scanned(world, *(f"c{number}.com" for number in range(3 * FEWEST_FOR_VERDICT)))
    world.down = True
    report = rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=100)
    assert report.counts["rescanned"] == FEWEST_FOR_VERDICT
    assert report.counts["still_old"] == 2 * FEWEST_FOR_VERDICT
    assert world.rows("SELECT DISTINCT provider FROM domain_signals") == ["Google"]


def test_another_stage_gets_its_turn_between_two_batches(world: DomainWorld, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", 1)
    scanned(world, "a.com", "b.com")
    held: list[tuple[str, bool]] = []

    def note(moment: str) -> None:
        held.append((moment, bool(world.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))))

    def scan(domains: Iterable[str]) -> Iterator[DomainScan]:
        for done in world.scan(domains):
            note("while asking")
            yield done

    context = replace(world.context(after=2 * MONTH), progress=lambda _: note("between"))
    rescan_domains(context, scan, older_than=MONTH, limit=10)
    assert held == [("while asking", False), ("between", False)] * 2
