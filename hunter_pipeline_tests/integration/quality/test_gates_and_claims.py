"""Gates and standing claims read a real database: quiet after a sync, loud when a row is broken by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from hunter_pipeline.quality.claims import CLAIMS, Claim
from hunter_pipeline.quality.gates import GATES, Books, Gate, judge_books, read_books
from hunter_pipeline.quality.verdicts import Verdict
from hunter_pipeline.readers.examples import EXAMPLES, find_examples

BY_NAME = {gate.name: gate for gate in GATES}
CLAIM = {claim.name: claim for claim in CLAIMS}
ONE_REFERRAL = "(SELECT min(referral_id) FROM partner_center_referrals WHERE domain IS NOT NULL)"


def execute(connection: Connection, statement: str, **parameters: object) -> None:
    assert connection.execute(text(statement), parameters).rowcount


def books(connection: Connection, gate: Gate, before: datetime) -> Books:
    return read_books(connection, gate, before)


def verdict(connection: Connection, gate: Gate, before: datetime) -> Verdict:
    return judge_books(gate, books(connection, gate, before))


def claimed(connection: Connection, claim: Claim, now: datetime) -> Verdict:
    return claim.check(connection, now)


def now() -> datetime:
    return datetime.now(UTC)


def test_the_server_goes_by_the_clock_of_this_process(synced_rows: Connection):
    """Also under another clock (`.ci/days`): otherwise nothing that PostgreSQL dates would be tested under it."""
    assert abs(synced_rows.execute(text("SELECT now()")).scalar_one() - now()) < timedelta(hours=1)


def test_after_a_sync_every_gate_holds_and_counts_everything(synced_rows: Connection):
    counted = {gate.name: books(synced_rows, gate, now()) for gate in GATES}
    for gate in GATES:
        assert judge_books(gate, counted[gate.name]).holds, gate.name
    assert counted["fetched_equals_decided_plus_failed"].parts == {"decided": 57, "failed": 1, "dismissed": 0}
    assert counted["fetched_equals_tracked_plus_failed"].parts == {"tracked": 57, "failed": 1, "dismissed": 0}
    assert counted["tracked_equals_with_domain_plus_skipped"].parts == {"with_domain": 46, "skipped": 11}
    assert counted["no_lead_without_company"].total == 46
    assert counted["sums_equal_referrals"].total == 33
    assert counted["one_company_per_domain"].total == counted["scores_within_range_and_explained"].total == 33


BREAKS = [
    ("fetched_equals_decided_plus_failed", f"DELETE FROM normalized_domains WHERE referral_id = {ONE_REFERRAL}"),
    ("fetched_equals_decided_plus_failed", "UPDATE referral_failures SET resolved_at = now() WHERE raw_id IS NOT NULL"),
    (
        "fetched_equals_tracked_plus_failed",
        f"DELETE FROM partner_center_referrals WHERE referral_id = {ONE_REFERRAL}",
    ),
    (
        "fetched_equals_tracked_plus_failed",
        f"UPDATE partner_center_referrals SET raw_id = -1 WHERE referral_id = {ONE_REFERRAL}",
    ),
    (
        "tracked_equals_with_domain_plus_skipped",
        f"UPDATE partner_center_referrals SET domain = 'other.example' WHERE referral_id = {ONE_REFERRAL}",
    ),
    (
        "tracked_equals_with_domain_plus_skipped",
        f"UPDATE partner_center_referrals SET domain = NULL WHERE referral_id = {ONE_REFERRAL}",
    ),
    ("tracked_equals_with_domain_plus_skipped", f"DELETE FROM normalized_domains WHERE referral_id = {ONE_REFERRAL}"),
    (
        "one_company_per_domain",
        "INSERT INTO companies (domain, run_id) SELECT upper(domain), 'x' FROM companies ORDER BY id LIMIT 1",
    ),
    ("no_lead_without_company", "DELETE FROM companies WHERE domain = (SELECT domain FROM raw_leads LIMIT 1)"),
    ("sums_equal_referrals", "UPDATE companies SET referrals = 9 WHERE domain = (SELECT min(domain) FROM companies)"),
    ("sums_equal_referrals", "UPDATE companies SET deals = '[]' WHERE domain = (SELECT min(domain) FROM companies)"),
    (
        "scores_within_range_and_explained",
        "UPDATE lead_scores SET score = (score + 1) % 101 WHERE domain = (SELECT min(domain) FROM lead_scores)",
    ),
    (
        "scores_within_range_and_explained",
        'UPDATE lead_scores SET score = 60, breakdown = \'[{"rule": "without points"}]\''
        " WHERE domain = (SELECT min(domain) FROM lead_scores)",
    ),
]


@pytest.mark.parametrize(("name", "statement"), BREAKS)
def test_a_gate_fails_when_its_rows_are_broken_by_hand(synced_rows: Connection, name: str, statement: str):
    execute(synced_rows, statement)
    found = verdict(synced_rows, BY_NAME[name], now())
    assert not found.holds
    assert found.counts["missing"] == 1
    assert found.examples is not None
    assert len(found.examples.rows) == 1


def test_a_score_out_of_range_fails_even_when_explained(synced_rows: Connection):
    execute(synced_rows, "ALTER TABLE lead_scores DROP CONSTRAINT ck_lead_scores_score; SELECT 1")
    execute(
        synced_rows,
        "UPDATE lead_scores SET score = 101, breakdown = '[{\"points\": 101}]'"
        " WHERE domain = (SELECT min(domain) FROM lead_scores)",
    )
    assert verdict(synced_rows, BY_NAME["scores_within_range_and_explained"], now()).counts["missing"] == 1


OTHERS_WRITE = [
    (
        "fetched_equals_decided_plus_failed",
        """WITH old AS (UPDATE partner_center_referrals_raw SET is_current = false
            WHERE referral_id = (SELECT min(referral_id) FROM normalized_domains) RETURNING *)
        INSERT INTO partner_center_referrals_raw (referral_id, content_hash, partition_day, payload, payload_form,
            fetched_at, last_seen_at, is_current, run_id)
        SELECT 'new', 'new', partition_day, payload, payload_form, :now, :now, true, 'other' FROM old""",
    ),
    (
        "fetched_equals_tracked_plus_failed",
        f"UPDATE normalized_domains SET raw_id = -1, decided_at = :now WHERE referral_id = {ONE_REFERRAL}",
    ),
    (
        "tracked_equals_with_domain_plus_skipped",
        f"UPDATE normalized_domains SET domain = 'new.example', decided_at = :now WHERE referral_id = {ONE_REFERRAL}",
    ),
    (
        "no_lead_without_company",
        "UPDATE raw_leads SET domain = 'new.example', updated_at = :now WHERE id = (SELECT min(id) FROM raw_leads)",
    ),
]


@pytest.mark.parametrize(("name", "statement"), OTHERS_WRITE, ids=[name for name, _ in OTHERS_WRITE])
def test_what_another_run_wrote_since_the_stage_began_breaks_no_gate(
    synced_rows: Connection, name: str, statement: str
):
    before = now()
    execute(synced_rows, statement, now=before + timedelta(seconds=1))
    assert verdict(synced_rows, BY_NAME[name], before).holds
    later = verdict(synced_rows, BY_NAME[name], before + timedelta(seconds=2))
    assert later.holds is (name == "fetched_equals_tracked_plus_failed")  # tracked it is, at the version fetched


def test_a_referral_fetched_anew_before_it_is_tracked_breaks_no_gate_of_tracking(synced_rows: Connection):
    execute(synced_rows, f"DELETE FROM partner_center_referrals WHERE referral_id = {ONE_REFERRAL}")
    gate = BY_NAME["fetched_equals_tracked_plus_failed"]
    assert not verdict(synced_rows, gate, now()).holds
    execute(
        synced_rows,
        "UPDATE normalized_domains SET decided_at = :now"
        " WHERE referral_id NOT IN (SELECT referral_id FROM partner_center_referrals)",
        now=now() + timedelta(minutes=1),
    )
    assert verdict(synced_rows, gate, now()).holds


def test_after_a_sync_only_the_failures_of_the_samples_are_claimed(synced_rows: Connection):
    found = {claim.name: claimed(synced_rows, claim, now()) for claim in CLAIMS}
    assert {name for name, each in found.items() if not each.holds} == {
        "no_unresolved_failures",
        "no_referral_expires_unanswered",
    }
    assert found["no_unresolved_failures"].counts == {"unresolved": 2, "dismissed": 0}
    assert found["few_undetermined_lookups"].counts["domains_to_try_again"] == 2


@pytest.mark.parametrize(
    ("waits_for", "statement"),
    [
        ("normalized_domains", f"DELETE FROM normalized_domains WHERE referral_id = {ONE_REFERRAL}"),
        ("partner_center_referrals", f"DELETE FROM partner_center_referrals WHERE referral_id = {ONE_REFERRAL}"),
        ("raw_leads", "DELETE FROM raw_leads WHERE id = (SELECT min(id) FROM raw_leads)"),
        ("companies", "DELETE FROM companies WHERE domain = (SELECT domain FROM raw_leads GROUP BY 1 LIMIT 1)"),
        ("domain_signals", "DELETE FROM domain_signals WHERE domain = (SELECT min(domain) FROM companies)"),
        ("lead_scores", "DELETE FROM lead_scores WHERE domain = (SELECT min(domain) FROM domain_signals)"),
    ],
)
def test_what_waits_for_a_stage_is_claimed_after_an_hour_and_not_before(
    synced_rows: Connection, waits_for: str, statement: str
):
    execute(synced_rows, statement)
    claim = CLAIM["nothing_unprocessed_for_an_hour"]
    assert claimed(synced_rows, claim, now()).holds
    found = claimed(synced_rows, claim, now() + timedelta(hours=1))
    assert not found.holds
    assert found.examples is not None
    assert {row[0] for row in found.examples.rows} == {waits_for}


def test_lookups_without_an_answer_are_claimed_when_they_are_many(synced_rows: Connection):
    execute(
        synced_rows,
        "UPDATE domain_signals SET status = 'partial',"
        " signals = jsonb_set(signals, '{undetermined}', '[\"mx\", \"ns\"]')"
        " WHERE domain IN (SELECT domain FROM domain_signals WHERE status = 'complete' ORDER BY domain LIMIT 10)",
    )
    found = claimed(synced_rows, CLAIM["few_undetermined_lookups"], now())
    assert not found.holds
    assert found.counts["undetermined_lookups"] == 16  # 10 MX and the samples' six; name servers do not count
    assert found.counts["domains_to_try_again"] == 12


@pytest.mark.parametrize(
    ("status", "hours", "is_open", "claims"),
    [
        ("New", 71, True, True),
        ("new", 1, True, True),
        ("New", 73, True, False),
        ("New", -1, True, False),
        ("Active", 1, True, False),
        ("New", 1, False, False),
    ],
)
def test_a_new_referral_that_expires_within_three_days_is_claimed(
    synced_rows: Connection, status: str, hours: int, is_open: bool, claims: bool
):
    execute(synced_rows, "UPDATE partner_center_referrals SET expires_at = NULL")
    execute(
        synced_rows,
        "UPDATE partner_center_referrals SET status = :status, is_open = :is_open, expires_at = :at"
        f" WHERE referral_id = {ONE_REFERRAL}",
        status=status,
        is_open=is_open,
        at=now() + timedelta(hours=hours),
    )
    assert claimed(synced_rows, CLAIM["no_referral_expires_unanswered"], now()).holds is not claims


def test_examples_are_capped_and_their_number_is_exact(synced_rows: Connection):
    found = find_examples(synced_rows, "SELECT n, now() AS at FROM generate_series(1, 120) n ORDER BY n", {})
    none = find_examples(synced_rows, "SELECT 1 AS n WHERE false", {})
    assert found.total == 120
    assert len(found.rows) == EXAMPLES
    assert found.columns == ("n", "at")
    assert found.rows[0][0] == 1
    assert str(found.rows[0][1]).endswith(" UTC")
    assert none.total == 0
    assert none.columns == ("n",)
