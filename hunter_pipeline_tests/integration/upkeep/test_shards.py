"""Shards of a scan: together they write what one process writes, whoever dies, stalls or comes late among them."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from hunter_pipeline.pipeline import claims
from hunter_pipeline.pipeline.claims import Claims, share
from hunter_pipeline.pipeline.erasures import remove_companies
from hunter_pipeline.pipeline.signals import Scan, scan_domains
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.upkeep.rescans import FEWEST_FOR_VERDICT, rescan_domains
from hunter_pipeline.upkeep.shards import Spread, offer_due, scan_or_leave, scan_shard
from hunter_pipeline_tests.integration.pipeline.domain_world import DomainWorld, google, m365
from hunter_pipeline_tests.statement_costs import statements_of

MONTH = timedelta(days=30)
SPREAD = Spread(shard=4, shares=3, claim_seconds=300, rescan_age=MONTH)
DOMAINS = [f"d{number:02}.com" for number in range(11)]

CONTENT = (
    "SELECT to_jsonb(s) - '{run_id,scanned_at,derived_at,retry_at}'::text[] FROM domain_signals s ORDER BY domain",
    "SELECT domain, provider FROM companies ORDER BY domain",
    "SELECT referral_id, stage, input, decision, row_key, code_version FROM referral_lineage ORDER BY referral_id, id",
    "SELECT domain, field, old, new FROM domain_signal_history ORDER BY domain, field",
    "SELECT stage, item FROM stage_queue WHERE stage <> 'lead_scores' ORDER BY stage, item",
    "SELECT domain FROM scan_claims",
)
"""Everything that a scan writes, but for its run and its times."""


@pytest.fixture
def world(engine: Engine) -> DomainWorld:
    return DomainWorld(engine)


def content(world: DomainWorld) -> list[list[Any]]:
    return [world.rows(query) for query in CONTENT]


def filled(world: DomainWorld) -> DomainWorld:
    """The world with companies that were never looked up."""
    world.execute(
        "TRUNCATE companies, raw_leads, domain_signals, domain_signal_history, referral_lineage, stage_queue,"
        " stage_state, scan_claims RESTART IDENTITY CASCADE"
    )
    world.asked.clear()
    world.companies(*DOMAINS)
    for number, domain in enumerate(DOMAINS):
        world.zone |= (google, m365)[number % 2](domain)
    return world


def in_one_process(world: DomainWorld) -> list[list[Any]]:
    """What one process makes of `filled`."""
    scan_domains(filled(world).context(), world.scan)
    return content(world)


def killed(scan: Scan, after: int) -> Scan:
    """A look-up that is broken off, as by the death of its process."""

    def broken(domains: Iterable[str]) -> Iterator[DomainScan]:
        for count, done in enumerate(scan(domains)):
            if count == after:
                raise KeyboardInterrupt
            yield done

    return broken


def dies(world: DomainWorld, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A shard whose process is killed: what it wrote stays, and its claims are not given back."""
    with monkeypatch.context() as patch:
        patch.setattr(Claims, "release", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            scan_shard(world.context(), killed(world.scan, after), SPREAD, wait=0)


def expire(world: DomainWorld) -> None:
    world.execute("UPDATE scan_claims SET claimed_until = clock_timestamp() - interval '1 s' WHERE owner IS NOT NULL")


def shards_until_none_is_left(world: DomainWorld) -> int:
    number = 0
    while world.rows("SELECT 1 FROM scan_claims LIMIT 1"):
        assert number < len(DOMAINS)
        scan_shard(world.context(), world.scan, SPREAD, wait=0)
        number += 1
    return number


def test_shards_write_what_one_process_writes_and_each_domain_is_looked_up_once(world: DomainWorld):
    expected = in_one_process(world)
    filled(world)
    offer_due(world.context())
    assert shards_until_none_is_left(world) == 3
    assert content(world) == expected
    assert sorted(world.asked) == DOMAINS
    assert world.rows("SELECT count(*) FROM stage_queue WHERE stage = 'lead_scores'") == [11]


@pytest.mark.parametrize("written", [0, 2, 3])
def test_what_a_shard_left_that_died_half_way_goes_to_others_once_its_claims_expire(
    world: DomainWorld, monkeypatch: pytest.MonkeyPatch, written: int
):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", 1)
    expected = in_one_process(world)
    filled(world)
    offer_due(world.context())
    dies(world, monkeypatch, written)
    assert world.rows("SELECT count(*) FROM domain_signals") == [written]
    for _ in range(4):
        scan_shard(world.context(), world.scan, SPREAD, wait=0)
    assert world.rows("SELECT count(*) FROM domain_signals") == [11 - 4 + written]
    expire(world)
    shards_until_none_is_left(world)
    assert content(world) == expected


def test_the_end_of_a_run_takes_what_its_dead_shards_left_and_does_not_wait_for_the_claims(
    world: DomainWorld, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", 1)
    expected = in_one_process(world)
    filled(world)
    offer_due(world.context())
    context = world.context()
    monkeypatch.setattr(world, "context", lambda: context)
    dies(world, monkeypatch, 2)
    scan_shard(context, world.scan, SPREAD, wait=0)
    report = scan_shard(context, world.scan, SPREAD, wait=0, rest_of_run=True)
    assert report.counts["scanned"] == 2
    assert world.rows("SELECT count(*) FROM scan_claims WHERE owner IS NULL") == [3]
    scan_shard(context, world.scan, SPREAD, wait=0)
    assert content(world) == expected


def test_a_shard_whose_claims_went_to_another_one_writes_nothing_when_it_comes_late(world: DomainWorld):
    expected = in_one_process(world)
    filled(world)
    offer_due(world.context())
    others: list[int] = []

    def stalled(domains: Iterable[str]) -> Iterator[DomainScan]:
        found = list(world.scan(domains))
        expire(world)
        world.zone |= m365(DOMAINS[0])  # the later look-up is the one that counts
        others.append(scan_shard(world.context(), world.scan, SPREAD, wait=0).counts["scanned"])
        yield from found

    late = scan_shard(world.context(), stalled, SPREAD, wait=0)
    assert (others, late.counts["scanned"], late.counts["lost"]) == ([4], 0, 4)
    assert world.rows("SELECT run_id FROM domain_signals GROUP BY 1") == ["run-4"]
    assert world.rows("SELECT provider FROM companies WHERE domain = 'd00.com'") == ["M365"]
    shards_until_none_is_left(world)
    found = content(world)
    assert [row for row in found[1] if row[0] != DOMAINS[0]] == [row for row in expected[1] if row[0] != DOMAINS[0]]
    assert len(found[2]) == len(expected[2])


def test_an_expired_claim_that_nobody_took_is_still_written_by_its_owner(world: DomainWorld):
    filled(world)
    offer_due(world.context())

    def slow(domains: Iterable[str]) -> Iterator[DomainScan]:
        found = list(world.scan(domains))
        expire(world)
        yield from found

    assert scan_shard(world.context(), slow, SPREAD, wait=0).counts["scanned"] == 4


def test_a_shard_gives_signs_while_a_batch_takes_longer_than_its_claims_hold(
    world: DomainWorld, monkeypatch: pytest.MonkeyPatch
):
    filled(world)
    offer_due(world.context())
    left: list[int] = []

    def slow(domains: Iterable[str]) -> Iterator[DomainScan]:
        ahead = list(domains)
        clock = time.monotonic()
        for passed, done in enumerate(world.scan(ahead), 1):
            moment = clock + passed * SPREAD.claim_seconds / 2
            monkeypatch.setattr(claims, "time", SimpleNamespace(monotonic=lambda moment=moment: moment))
            world.execute("UPDATE scan_claims SET claimed_until = now() + interval '1 s' WHERE owner IS NOT NULL")
            yield done
            left.extend(world.rows("SELECT count(*) FROM scan_claims WHERE claimed_until > now() + interval '1 min'"))

    scan_shard(world.context(), slow, SPREAD, wait=0)
    assert left == [4, 4, 4, 4]


def test_two_shards_at_the_same_moment_never_claim_the_same_domain(world: DomainWorld):
    filled(world)
    offer_due(world.context())
    start = threading.Barrier(4)
    taken: list[list[str]] = []

    def claim() -> None:
        with world.engine.connect() as connection:
            start.wait()
            taken.append(list(Claims(connection, "run", 3, 300).domains()))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(domain for domains in taken for domain in domains) == DOMAINS


def test_claims_in_an_open_transaction_are_passed_over_and_not_waited_for(world: DomainWorld):
    filled(world)
    offer_due(world.context())
    with world.engine.connect() as holding, world.engine.connect() as connection:
        holding.execute(text("SELECT domain FROM scan_claims ORDER BY position LIMIT 5 FOR UPDATE"))
        assert list(Claims(connection, "run", None, 300).domains()) == DOMAINS[5:]


@pytest.mark.parametrize("year", [1990, 2200])
def test_the_clocks_of_machines_have_no_say_in_claims(world: DomainWorld, year: int):
    filled(world)
    offer_due(world.context())
    world.now = world.now.replace(year=year)
    with world.engine.connect() as connection:
        assert len(list(Claims(connection, "run", 4, 300).domains())) == 4
    scan_shard(world.context(), world.scan, SPREAD, wait=0)
    assert sorted(world.asked) == DOMAINS[4:8]


def test_there_are_as_many_shares_as_are_set_and_that_of_a_dead_session_is_free_again(world: DomainWorld):
    other = create_engine(world.engine.url)
    with share(world.engine, 2, 0) as first, share(world.engine, 2, 0) as second:
        assert first is not None
        assert second is not None
        with share(world.engine, 2, 0) as third:
            assert third is None
        dead = first.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with other.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": dead})
        with share(world.engine, 2, 0) as third:
            assert third is not None
    other.dispose()
    with share(world.engine, 2, 0) as first, share(world.engine, 2, 0) as second:
        assert None not in {first, second}


def test_a_shard_that_lost_its_session_ends_and_its_domains_are_looked_up_by_others(world: DomainWorld):
    expected = in_one_process(world)
    filled(world)
    offer_due(world.context())

    def loses(domains: Iterable[str]) -> Iterator[DomainScan]:
        found = list(world.scan(domains))
        world.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND classid ="
            f" {claims.SHARE_LOCK} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        yield from found

    with pytest.raises(Exception, match=r"terminat|closed"):
        scan_shard(world.context(), loses, SPREAD, wait=0)
    assert world.rows("SELECT count(*) FROM domain_signals") == [0]
    expire(world)
    shards_until_none_is_left(world)
    assert content(world) == expected


def test_without_a_free_share_a_shard_waits_or_leaves_its_domains(world: DomainWorld):
    filled(world)
    offer_due(world.context())
    with share(world.engine, 1, 0):
        one = Spread(4, 1, 300, MONTH)
        assert sum(scan_shard(world.context(), world.scan, one, wait=0).counts.values()) == 0
        with pytest.raises(TimeoutError, match="HUNTER_SCAN_SHARES"):
            scan_shard(world.context(), world.scan, one, wait=0.1)
    assert world.asked == []


def test_up_to_one_shard_is_looked_up_by_the_run_itself_and_more_is_left(world: DomainWorld):
    expected = in_one_process(world)
    filled(world)
    told: list[str] = []
    left = scan_or_leave(replace(world.context(), progress=told.append), world.scan, SPREAD, rescan_limit=0)
    assert told == ["11 domains wait for domain_scan_job, which looks them up in shards"]
    assert (left.counts["scanned"], left.counts["left"], world.asked) == (0, 11, [])
    whole = scan_or_leave(world.context(), world.scan, Spread(11, 3, 300, MONTH), rescan_limit=0)
    assert (whole.counts["scanned"], whole.counts["left"], whole.counts["total"]) == (11, 0, 11)
    assert whole.groups == {"providers": {"Google": 6, "M365": 5}}
    assert content(world) == expected


def test_a_quiet_run_reads_no_whole_table(world: DomainWorld):
    filled(world)
    wide = Spread(11, 3, 300, MONTH)
    expected = scan_or_leave(world.context(), world.scan, wide, rescan_limit=0)
    with statements_of(world.engine) as statements:
        quiet = scan_or_leave(world.context(), world.scan, wide, rescan_limit=0)
    assert quiet.groups == expected.groups
    assert quiet.counts == {"scanned": 0, "partial": 0, "rederived": 0, "left": 0, "total": 11}
    assert not [each for each in statements if "GROUP BY" in each]
    assert len(statements) <= 25, statements


def test_totals_are_counted_anew_after_shards_wrote(world: DomainWorld):
    filled(world)
    assert scan_or_leave(world.context(), world.scan, SPREAD, rescan_limit=0).counts["total"] == 0
    shards_until_none_is_left(world)
    assert scan_or_leave(world.context(), world.scan, SPREAD, rescan_limit=0).counts["total"] == 11


def grown_old(world: DomainWorld) -> None:
    world.zone.clear()
    scan_domains(filled(world).context(), world.scan)
    world.zone |= m365(DOMAINS[0]) | google(DOMAINS[1])
    world.execute("DELETE FROM scan_claims")
    world.asked.clear()


def test_a_rescan_by_shards_writes_what_a_rescan_in_one_process_writes(world: DomainWorld):
    grown_old(world)
    alone = rescan_domains(world.context(after=2 * MONTH), world.scan, older_than=MONTH, limit=10)
    expected = content(world)
    grown_old(world)
    left = scan_or_leave(world.context(after=2 * MONTH), world.scan, SPREAD, rescan_limit=10)
    assert (left.counts["left"], left.counts["still_old"]) == (10, 11)
    assert shards_until_none_is_left(world) == 3
    assert content(world) == expected
    few = Spread(100, 3, 300, MONTH)
    grown_old(world)
    report = scan_or_leave(world.context(after=2 * MONTH), world.scan, few, rescan_limit=10)
    assert {name: report.counts[name] for name in alone.counts} == dict(alone.counts)
    assert report.groups["changes"] == alone.groups["changes"]
    assert content(world) == expected


def test_when_dns_is_in_trouble_old_domains_leave_the_line_until_the_next_rescan(
    world: DomainWorld, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hunter_pipeline.pipeline.signals.SCAN_BATCH", FEWEST_FOR_VERDICT)
    more = [f"more{number:02}.com" for number in range(3 * FEWEST_FOR_VERDICT)]
    filled(world)
    world.companies(*more)
    for domain in more:
        world.zone |= google(domain)
    scan_domains(world.context(), world.scan)
    world.down = True
    wide = Spread(2 * FEWEST_FOR_VERDICT, 3, 300, MONTH)
    context = world.context(after=2 * MONTH)
    scan_or_leave(context, world.scan, wide, rescan_limit=100)
    report = scan_shard(context, world.scan, wide, wait=0)
    assert (report.counts["rescanned"], report.counts["rescans_partial"]) == (FEWEST_FOR_VERDICT, FEWEST_FOR_VERDICT)
    left = world.rows("SELECT count(*) FROM scan_claims")[0]
    assert left <= FEWEST_FOR_VERDICT
    assert world.rows("SELECT DISTINCT provider FROM companies ORDER BY 1") == ["Google", "M365"]


def test_a_company_that_is_erased_while_it_is_looked_up_is_not_written(world: DomainWorld):
    filled(world)
    offer_due(world.context())

    def erased_meanwhile(domains: Iterable[str]) -> Iterator[DomainScan]:
        found = list(world.scan(domains))
        with world.context().stage() as connection:
            assert remove_companies(connection, [DOMAINS[0]])["scan_claims"] == 1
            connection.commit()
        yield from found

    report = scan_shard(world.context(), erased_meanwhile, SPREAD, wait=0)
    assert (report.counts["scanned"], report.counts["lost"]) == (3, 1)
    assert DOMAINS[0] not in world.rows("SELECT domain FROM domain_signals")


def test_a_company_that_is_erased_during_a_rescan_of_one_process_is_not_written_again(world: DomainWorld):
    grown_old(world)

    def erased_meanwhile(domains: Iterable[str]) -> Iterator[DomainScan]:
        found = list(world.scan(domains))
        with world.context().stage() as connection:
            remove_companies(connection, [DOMAINS[0]])
            connection.commit()
        yield from found

    rescan_domains(world.context(after=2 * MONTH), erased_meanwhile, older_than=MONTH, limit=100)
    assert DOMAINS[0] not in world.rows("SELECT domain FROM domain_signals")
    assert world.rows("SELECT 1 FROM domain_signal_history WHERE domain = 'd00.com'") == []


def test_a_claim_costs_what_it_takes_and_not_the_whole_line(world: DomainWorld):
    world.execute(
        "INSERT INTO scan_claims (domain, again) SELECT 'd' || n || '.com', n % 2 = 0 FROM generate_series(1, 50000) n"
    )
    parameters = {"limit": 200, "owner": "me", "run": "r", "seconds": 300}
    query = claims.CLAIM.format(which=claims._FREE)
    with world.engine.connect() as connection:
        plan = connection.execute(text("EXPLAIN (FORMAT TEXT) " + query), parameters).scalars().all()
        connection.rollback()
    told = "\n".join(plan)
    assert "ix_scan_claims_again_position" in told, told
    assert "Seq Scan on scan_claims" not in told, told
