"""The look-up of domains: once each, again only where something stayed open, and better rules without questions."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from hunter_pipeline.pipeline.context import retry_delay
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.signals import Scan, scan_domains
from hunter_pipeline.sandbox.dns_answers import UNVOUCHED
from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.scan.dns import DnsSettings
from hunter_pipeline.scan.reply import LookupStatus
from hunter_pipeline.scan.scan import SIGNALS_VERSION, DomainScan, scan
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.upkeep.rescans import rescan_domains
from hunter_pipeline_tests.integration.pipeline.domain_world import NOW, DomainWorld, Zone, google, m365

CHANGES = "SELECT field, old, new FROM domain_signal_history ORDER BY id"


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    return DomainWorld(engine)


def test_a_domain_that_has_signals_is_not_looked_up_again(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= google("acme.com")
    assert scan_domains(world.context(), world.scan).counts["scanned"] == 1
    assert scan_domains(world.context(after=timedelta(days=400)), world.scan).counts["scanned"] == 0
    assert world.asked == ["acme.com"]


def test_a_failed_look_up_is_tried_again_only_when_its_retry_is_due(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= google("acme.com") | {("_dmarc.acme.com", "TXT"): LookupStatus.servfail}
    assert scan_domains(world.context(), world.scan).counts["partial"] == 1
    scan_domains(world.context(after=timedelta(minutes=9)), world.scan)
    assert world.asked == ["acme.com"]
    world.zone["_dmarc.acme.com", "TXT"] = ("v=DMARC1; p=none",)
    scan_domains(world.context(after=timedelta(minutes=1)), world.scan)
    assert world.rows("SELECT status, dmarc_policy, attempts, retry_at FROM domain_signals") == [
        ("complete", "none", 0, None)
    ]


def test_absence_and_each_kind_of_failure_stand_in_the_database_as_they_came(world: DomainWorld):
    kinds = {
        "yok-kurgu.com": "nxdomain",
        "bos-kurgu.com": "nodata",
        "bozuk-kurgu.com": "servfail",
        "reddeden-kurgu.com": "refused",
        "sessiz-kurgu.com": "silent",
    }
    world.companies(*kinds)
    answers = {domain: {"behaviour": kind} for domain, kind in kinds.items()}
    with ZoneServer(answers) as server:
        dns = DnsSettings(servers=(server.address,), qps_per_server=5000, timeout=0.5, attempts=1)
        scan_domains(world.context(), lambda domains: scan(domains, dns))
    found = world.rows(
        "SELECT s.domain, r->>'status', s.mx_state, s.status FROM domain_signals s, jsonb_array_elements(s.replies) r"
        " WHERE r->>'name' = s.domain AND r->>'rtype' = 'MX' ORDER BY s.domain"
    )
    assert found == [
        ("bos-kurgu.com", "nodata", "none", "complete"),
        ("bozuk-kurgu.com", "servfail", "unknown", "partial"),
        ("reddeden-kurgu.com", "refused", "unknown", "partial"),
        ("sessiz-kurgu.com", "timeout", "unknown", "partial"),
        ("yok-kurgu.com", "nxdomain", "none", "complete"),
    ]


def test_what_vouches_for_nothing_is_unknown_and_partial_in_the_database(world: DomainWorld):
    kinds = {f"{word.replace('_', '-')}-kurgu.com": word for word in UNVOUCHED}
    world.companies(*kinds)
    with ZoneServer({domain: {"behaviour": word} for domain, word in kinds.items()}) as server:
        dns = DnsSettings(servers=(server.address,), qps_per_server=5000, timeout=0.5, attempts=1)
        scan_domains(world.context(), lambda domains: scan(domains, dns))
    found = world.rows("SELECT domain, mx_state, status, retry_at IS NOT NULL FROM domain_signals ORDER BY domain")
    assert found == [(domain, "unknown", "partial", True) for domain in sorted(kinds)]


def test_the_wait_doubles_with_every_failure_up_to_a_day():
    assert [retry_delay(n) for n in (1, 2, 3)] == [timedelta(minutes=m) for m in (10, 20, 40)]
    assert retry_delay(1000) == timedelta(days=1)


def test_a_value_kept_over_a_failure_is_no_change_and_says_how_old_it_is(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= m365("acme.com")
    scan_domains(world.context(), world.scan)
    world.execute("UPDATE domain_signals SET status = 'partial', retry_at = scanned_at")
    world.down = True
    scan_domains(world.context(after=timedelta(hours=1)), world.scan)
    [(provider, mx, kept)] = world.rows("SELECT provider, mx_state, kept->>'mx' FROM domain_signals")
    assert (provider, mx, kept) == ("M365", "present", NOW.isoformat())
    assert world.rows(CHANGES) == []


def test_signals_of_older_rules_are_derived_again_without_asking_and_the_difference_is_recorded(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= google("acme.com")
    scan_domains(world.context(), world.scan)
    world.execute(
        "UPDATE domain_signals SET code_version = 'older', provider = 'M365',"
        """ signals = signals || '{"provider": "M365"}'"""
    )
    report = scan_domains(world.context(after=timedelta(days=1)), world.scan)
    assert (report.counts["rederived"], world.asked) == (1, ["acme.com"])
    assert world.rows("SELECT provider, scanned_at FROM domain_signals") == [("Google", NOW)]
    assert world.rows(CHANGES) == [("provider", "M365", "Google")]
    assert world.rows("SELECT provider FROM companies") == ["Google"]
    [told] = world.rows("SELECT input FROM referral_lineage WHERE run_id = 'run-2'")
    assert told == "read the kept replies of acme.com again by newer rules"


def test_a_look_up_that_only_newer_rules_find_open_is_tried_again(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= google("acme.com") | {("_dmarc.acme.com", "TXT"): LookupStatus.servfail}
    scan_domains(world.context(), world.scan)
    world.execute(
        "UPDATE domain_signals SET code_version = 'older', status = 'complete', retry_at = NULL, attempts = 0"
    )
    scan_domains(world.context(after=timedelta(days=1)), world.scan)
    assert world.asked == ["acme.com", "acme.com"]


def own_mail(domain: str, reverse: str) -> Zone:
    """A domain with an MX of its own name, and the reverse name of its address."""
    return {
        (domain, "MX"): (f"10 mail.{domain}",),
        (domain, "NS"): ("ns1.natrohost.com",),
        (f"mail.{domain}", "A"): ("192.0.2.8",),
        ("8.2.0.192.in-addr.arpa", "PTR"): (reverse,),
    }


def test_a_hoster_under_the_companys_name_that_older_rules_called_local_is_found_out(world: DomainWorld):
    world.companies("acme.com")
    world.zone |= own_mail("acme.com", "wl77.natrohost.com")
    scan_domains(world.context(), world.scan)
    # as a release left it that did not ask about machines
    world.execute(
        "UPDATE domain_signals SET code_version = 'older', provider = 'Local', confidence = 'medium',"
        """ signals = signals || '{"provider": "Local", "confidence": "medium", "local_hoster": null}',"""
        " replies = (SELECT jsonb_agg(r) FROM jsonb_array_elements(replies) r WHERE r->>'rtype' NOT IN ('A', 'PTR'))"
    )
    report = scan_domains(world.context(after=timedelta(days=1)), world.scan)
    assert (report.counts["rederived"], report.counts["scanned"], world.asked) == (1, 1, ["acme.com", "acme.com"])
    assert world.rows("SELECT provider, status, signals->>'local_hoster' FROM domain_signals") == [
        ("Hosting", "complete", "Natro")
    ]
    assert world.rows(CHANGES) == [("provider", "Local", "Hosting")]


@pytest.mark.parametrize("name", ["mail.acme.com", "8.2.0.192.in-addr.arpa"])
def test_a_machine_that_cannot_be_asked_about_is_asked_about_again_and_never_guessed(world: DomainWorld, name: str):
    world.companies("acme.com")
    known = own_mail("acme.com", "wl77.natrohost.com")
    question = next(each for each in known if each[0] == name)
    world.zone |= known | {question: LookupStatus.timeout}
    scan_domains(world.context(), world.scan)
    assert world.rows("SELECT provider, status, attempts FROM domain_signals") == [("Unknown", "partial", 1)]
    world.zone |= known
    scan_domains(world.context(after=timedelta(minutes=11)), world.scan)
    assert world.rows("SELECT provider, status, attempts FROM domain_signals") == [("Hosting", "complete", 0)]
    world.zone[question] = LookupStatus.servfail
    rescan_domains(world.context(after=timedelta(days=60)), world.scan, older_than=timedelta(days=30), limit=10)
    assert world.rows("SELECT provider, status FROM domain_signals") == [("Hosting", "partial")]


def test_a_declared_tenant_keeps_its_provider_whatever_dns_says(world: DomainWorld):
    world.companies("acme.com")
    world.execute("UPDATE companies SET provider = 'M365', azure_tenant_id = 'declared'")
    world.zone |= google("acme.com")
    scan_domains(world.context(), world.scan)
    assert world.rows("SELECT c.provider, s.provider FROM companies c JOIN domain_signals s USING (domain)") == [
        ("M365", "Google")
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "signals = signals || '{\"from_a_newer_release\": [1]}'",
        "signals = '[]'",
        "signals = signals - 'mx_state'",
        "signals = signals || '{\"provider\": \"Yarin\"}', provider = 'Yarin'",
        "signals = signals || '{\"mx_hosts\": 5}'",
        "kept = '[]'",
        'replies = \'[{"name": "bad.com"}]\'',
        "replies = '[5]'",
        "replies = '{}'",
        "replies = jsonb_set(replies, '{0,records}', '[5, null]')",
        "replies = jsonb_set(replies, '{0,status}', '\"from a newer release\"')",
    ],
)
def test_a_row_that_another_release_wrote_costs_only_its_own_domain(world: DomainWorld, damage: str):
    world.companies("bad.com", "good.com")
    world.zone |= google("bad.com") | google("good.com")
    scan_domains(world.context(), world.scan)
    world.execute(f"UPDATE domain_signals SET {damage} WHERE domain = 'bad.com'")
    world.execute("UPDATE domain_signals SET code_version = 'of another release'")
    scan_domains(world.context(after=timedelta(minutes=1)), world.scan)
    found = world.rows("SELECT domain, provider, status, code_version, signals->>'provider' FROM domain_signals")
    assert sorted(found) == [
        ("bad.com", "Google", "complete", SIGNALS_VERSION, "Google"),
        ("good.com", "Google", "complete", SIGNALS_VERSION, "Google"),
    ]
    report = score_leads(world.context(), load_rules(), tenant_score=55, cosell_bonus=15)
    assert report.counts["total"] == 2


def test_a_provider_that_no_catalogue_knows_any_more_is_not_kept_over_a_failure(world: DomainWorld):
    """The rules know it no more either, and one such domain would stop the scoring of all."""
    world.companies("bad.com")
    world.zone |= google("bad.com")
    scan_domains(world.context(), world.scan)
    world.execute(
        "UPDATE domain_signals SET status = 'partial', retry_at = scanned_at, provider = 'Yarin',"
        """ signals = signals || '{"provider": "Yarin"}'"""
    )
    world.down = True
    scan_domains(world.context(after=timedelta(hours=1)), world.scan)
    assert world.rows("SELECT provider, status FROM domain_signals") == [("Unknown", "partial")]
    assert score_leads(world.context(), load_rules(), tenant_score=55, cosell_bonus=15).counts["scored"] == 1


def test_mailboxes_behind_an_mx_that_nobody_knows_are_told_by_what_the_domain_names(world: DomainWorld):
    mx = {"MX": ["10 in.filter.example."], "NS": ["ns1.registrar.net."]}
    google_spf = "v=spf1 include:_spf.google.com ~all"
    answers: dict[str, dict[str, Any]] = {
        "google-kurgu.com": mx | {"TXT": [google_spf]},
        "listed-kurgu.com": mx | {"MX": ["10 acme-com.relay1g.spamh.com."], "TXT": [google_spf]},
        "alias-kurgu.com": mx,
        "autodiscover.alias-kurgu.com": {"CNAME": ["autodiscover.outlook.com."]},
        "dkim-kurgu.com": mx,
        "selector1._domainkey.dkim-kurgu.com": {"CNAME": ["selector1-dkim._domainkey.kurgu.onmicrosoft.com."]},
        "two-kurgu.com": mx | {"TXT": ["v=spf1 include:_spf.google.com include:spf.protection.outlook.com ~all"]},
        "none-kurgu.com": mx,
        "broken-kurgu.com": mx | {"TXT": [google_spf]},
        "autodiscover.broken-kurgu.com": {"behaviour": "servfail"},
        "_spf.google.com": {"TXT": ["v=spf1 ip4:192.0.2.0/24 ~all"]},
        "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:198.51.100.0/24 -all"]},
    }
    world.companies(*(name for name, entry in answers.items() if "MX" in entry))
    with ZoneServer(answers) as server:
        dns = DnsSettings(servers=(server.address,), qps_per_server=5000, timeout=0.5, attempts=1)
        scan_domains(world.context(), lambda domains: scan(domains, dns))
    found = world.rows(
        "SELECT split_part(s.domain, '-', 1), c.provider, s.confidence, s.gateway, s.status, s.signals->'evidence'->>0"
        " FROM domain_signals s JOIN companies c USING (domain) ORDER BY 1"
    )
    nobody = "mx in.filter.example: filter.example is not in the catalogue"
    assert found == [
        ("alias", "M365", "low", None, "complete", "autodiscover points at autodiscover.outlook.com: M365"),
        ("broken", "Google", "low", None, "partial", "spf includes Google"),
        (
            *("dkim", "M365", "low", None, "complete"),
            "dkim selector1 points at selector1-dkim._domainkey.kurgu.onmicrosoft.com: M365",
        ),
        ("google", "Google", "low", None, "complete", "spf includes Google"),
        ("listed", "Google", "low", "SpamStopsHere", "complete", "spf includes Google"),
        ("none", "Unknown", "none", None, "complete", nobody),
        ("two", "Unknown", "none", None, "complete", nobody),
    ]


def test_a_rescan_over_such_a_row_goes_through_too(world: DomainWorld):
    world.companies("bad.com", "good.com")
    world.zone |= google("bad.com") | google("good.com")
    scan_domains(world.context(), world.scan)
    world.execute("UPDATE domain_signals SET signals = '{\"x\": 1}', kept = '[]' WHERE domain = 'bad.com'")
    context = world.context(after=timedelta(days=60))
    report = rescan_domains(context, world.scan, older_than=timedelta(days=30), limit=10)
    assert report.counts["rescanned"] == 2


def broken_off(world: DomainWorld, after: int) -> Scan:
    """A look-up that ends in the midst of it, as when the process is killed."""

    def scan(domains: Iterable[str]) -> Iterator[DomainScan]:
        for count, done in enumerate(world.scan(domains)):
            if count == after:
                raise RuntimeError("killed")
            yield done

    return scan


def test_what_was_written_before_a_run_ended_is_kept_and_only_the_rest_is_looked_up(
    world: DomainWorld, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", 2)
    domains = [f"d{number}.com" for number in range(7)]
    world.companies(*domains)
    for domain in domains:
        world.zone |= google(domain)
    with pytest.raises(RuntimeError, match="killed"):
        scan_domains(world.context(), broken_off(world, 5))
    kept = world.rows("SELECT domain FROM domain_signals")
    assert len(kept) == 4
    world.asked.clear()
    report = scan_domains(world.context(after=timedelta(minutes=1)), world.scan)
    assert (report.counts["scanned"], sorted(world.asked)) == (3, sorted(set(domains) - set(kept)))
    assert world.rows("SELECT DISTINCT provider FROM companies") == ["Google"]
    told = world.rows("SELECT referral_id FROM referral_lineage WHERE stage = 'domain_signals'")
    assert sorted(told) == [f"R-{domain}" for domain in domains]
    assert world.rows("SELECT item FROM stage_queue WHERE stage = 'domain_signals'") == []


@pytest.mark.parametrize("known", ["nothing", "older rules", "the same rules"])
def test_page_after_page_each_domain_is_looked_up_once(world: DomainWorld, monkeypatch: pytest.MonkeyPatch, known: str):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", 2)
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SETTLE_BATCH", 4)
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.AT_ONCE", 3)
    domains = [f"d{number}.com" for number in range(11)]
    for domain in domains:
        world.zone |= google(domain)
    if known != "nothing":
        world.companies(*domains[:5])
        scan_domains(world.context(), world.scan)
        world.asked.clear()
    if known == "older rules":
        world.execute("UPDATE stage_state SET version = 'older' WHERE stage = 'domain_signals'")
        world.companies(*domains[5:])
        world.execute("DELETE FROM stage_queue")
    else:
        world.companies(*(domains if known == "nothing" else domains[5:]))

    def ahead(domains: Iterable[str]) -> Iterator[DomainScan]:
        yield from world.scan(list(domains))  # everything is taken before the first result comes

    scan_domains(world.context(), ahead)
    assert sorted(world.asked) == sorted(domains if known == "nothing" else domains[5:])
    assert world.rows("SELECT count(*) FROM referral_lineage WHERE stage = 'domain_signals'") == [11]
    assert world.rows("SELECT item FROM stage_queue WHERE stage = 'domain_signals'") == []
