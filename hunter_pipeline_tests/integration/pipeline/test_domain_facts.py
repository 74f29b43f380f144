"""Registration and tenant look-ups: cached for a day, bounded, and a failure never wipes what was known."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.pipeline.domain_facts import FAILURES_IN_A_ROW, look_up_registrations, look_up_tenants
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.scan.registration import Registration
from hunter_pipeline.scan.tenant import TenantDiscovery
from hunter_pipeline.services import make_registration_lookup, make_tenant_lookup
from hunter_pipeline.settings import SettingsError, load_settings
from hunter_pipeline_tests.integration.pipeline.domain_world import NOW, DomainWorld

EXPIRES = datetime(2027, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
Run = Callable[..., StageReport]
SECOND_DAY = timedelta(hours=24, seconds=1)


class Registries:
    """Answers of registries that a test sets; a domain without one is unregistered."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def lookup(self, domain: str, now: datetime) -> Registration:
        self.asked.append(domain)
        answer = self.answers.get(domain, {"status": "unregistered", "reason": "the registry does not know it"})
        return Registration(domain, fetched_at=now, **answer)


FOUND = {"status": "found", "registrar": "Kurgu Kayıt A.Ş.", "expires_at": EXPIRES, "name_servers": ("ns1.acme.com",)}
FAILED = {"status": "failed", "reason": "rdap.example: HTTP status 500"}


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    return DomainWorld(engine)


@pytest.fixture
def registries() -> Registries:
    return Registries()


@pytest.fixture
def run(world: DomainWorld, registries: Registries) -> Run:
    def run(after: timedelta = timedelta(0), limit: int = 500) -> StageReport:
        return look_up_registrations(world.context(after=after), registries.lookup, refresh_after=MONTH, limit=limit)

    return run


def test_what_the_registry_gave_is_kept_and_not_asked_again_for_a_month(
    world: DomainWorld, registries: Registries, run: Run
):
    world.companies("acme.com")
    registries.answers["acme.com"] = FOUND
    report = run()
    assert (report.counts["looked_up"], report.groups["registrations"]) == (1, {"found": 1})
    row = "SELECT status, registrar, expires_at, name_servers, looked_up_at, found_at FROM domain_registrations"
    assert world.rows(row) == [("found", "Kurgu Kayıt A.Ş.", EXPIRES, ["ns1.acme.com"], NOW, NOW)]
    run(after=MONTH - timedelta(days=1))
    assert registries.asked == ["acme.com"]
    run(after=timedelta(days=2))
    assert registries.asked == ["acme.com", "acme.com"]


@pytest.mark.parametrize("status", ["unregistered", "unsupported", "rate_limited", "failed"])
def test_an_answer_without_data_is_kept_with_its_reason_and_asked_again_after_a_day(
    world: DomainWorld, registries: Registries, run: Run, status: str
):
    world.companies("acme.com")
    registries.answers["acme.com"] = {"status": status, "reason": "because"}
    run()
    run(after=timedelta(hours=23))
    assert registries.asked == ["acme.com"]
    assert world.rows("SELECT status, reason, found_at FROM domain_registrations") == [(status, "because", None)]
    run(after=timedelta(hours=2))
    assert len(registries.asked) == 2


@pytest.mark.parametrize("status", ["unsupported", "rate_limited", "failed"])
def test_a_failure_keeps_the_data_of_before_and_says_that_it_failed(
    world: DomainWorld, registries: Registries, run: Run, status: str
):
    world.companies("acme.com")
    registries.answers["acme.com"] = FOUND
    run()
    registries.answers["acme.com"] = {"status": status, "reason": "because"}
    run(after=2 * MONTH)
    assert world.rows("SELECT status, reason, registrar, found_at FROM domain_registrations") == [
        (status, "because", "Kurgu Kayıt A.Ş.", NOW)
    ]


def test_a_domain_that_is_no_longer_registered_loses_its_data(world: DomainWorld, registries: Registries, run: Run):
    world.companies("acme.com")
    registries.answers["acme.com"] = FOUND
    run()
    del registries.answers["acme.com"]
    run(after=2 * MONTH)
    assert world.rows("SELECT status, registrar, name_servers FROM domain_registrations") == [
        ("unregistered", None, [])
    ]


def test_a_run_asks_about_new_domains_first_and_stops_at_its_limit(
    world: DomainWorld, registries: Registries, run: Run
):
    world.companies("old.com")
    run()
    world.companies("a.com", "b.com")
    report = run(after=SECOND_DAY, limit=2)
    assert (registries.asked, report.counts["still_due"]) == (["old.com", "a.com", "b.com"], 1)


def test_a_run_stops_when_everything_fails(world: DomainWorld, registries: Registries, run: Run):
    domains = [f"c{number}.com" for number in range(FAILURES_IN_A_ROW + 5)]
    world.companies(*domains)
    registries.answers = dict.fromkeys(domains, FAILED)
    assert run().counts == {"looked_up": FAILURES_IN_A_ROW, "still_due": 5, "total": FAILURES_IN_A_ROW}


def test_no_look_up_holds_the_lock_of_the_stages(world: DomainWorld, registries: Registries):
    world.companies("acme.com")
    held: list[Any] = []

    def lookup(domain: str, now: datetime) -> Registration:
        held.extend(world.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
        return registries.lookup(domain, now)

    look_up_registrations(world.context(), lookup, refresh_after=MONTH, limit=1)
    assert (registries.asked, held) == (["acme.com"], [])


def test_a_tenant_is_kept_over_a_failure_and_dropped_when_microsoft_knows_none(world: DomainWorld):
    world.companies("acme.com")
    answers = [
        TenantDiscovery("found", "11111111-2222-3333-4444-555555555555", "EU"),
        TenantDiscovery("failed", reason="HTTP status 429: asked to wait"),
        TenantDiscovery("none"),
    ]
    kept = []
    for answer in answers:
        look_up_tenants(world.context(after=2 * MONTH), lambda _, answer=answer: answer, refresh_after=MONTH, limit=9)
        kept += world.rows("SELECT status, tenant_id IS NOT NULL, reason FROM domain_tenants")
    assert kept == [("found", True, None), ("failed", True, "HTTP status 429: asked to wait"), ("none", False, None)]


def test_a_discovered_tenant_is_not_the_declared_one(world: DomainWorld):
    world.companies("acme.com")
    found = TenantDiscovery("found", "11111111-2222-3333-4444-555555555555", "EU")
    look_up_tenants(world.context(), lambda _: found, refresh_after=MONTH, limit=9)
    assert world.rows("SELECT azure_tenant_id, provider FROM companies") == [(None, None)]


def test_look_ups_that_are_switched_off_say_how_to_switch_them_on():
    off = load_settings(registration_enabled=False, tenant_discovery_enabled=False)
    with pytest.raises(SettingsError, match="HUNTER_REGISTRATION_ENABLED=true"):
        make_registration_lookup(off)
    with pytest.raises(SettingsError, match="HUNTER_TENANT_DISCOVERY_ENABLED=true"):
        make_tenant_lookup(off)


def test_the_sandbox_tells_the_tenant_of_a_domain(sandbox: Sandbox, world: DomainWorld):
    lookup = make_tenant_lookup(load_settings(tenant_discovery_enabled=True))
    world.companies("contoso.com", "nobody-kurgu.com.tr")
    look_up_tenants(world.context(), lookup, refresh_after=MONTH, limit=9)
    assert world.rows("SELECT status, tenant_id IS NOT NULL FROM domain_tenants ORDER BY domain") == [
        ("found", True),
        ("none", False),
    ]
