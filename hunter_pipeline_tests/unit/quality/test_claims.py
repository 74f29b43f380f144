"""The judgements behind the standing checks, at their limits."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hunter_pipeline.quality.claims import (
    SIGN_IN_NOTICE,
    SignInFacts,
    judge_expiring,
    judge_failures,
    judge_recency,
    judge_sign_in,
    judge_undetermined,
    judge_unprocessed,
)
from hunter_pipeline.quality.verdicts import Verdict
from hunter_pipeline.readers.examples import Examples

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NONE = Examples(0, ("item",), ())
TWO = Examples(2, ("item",), (("a",), ("b",)))
TEN_MINUTES = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("judge", "fix"),
    [
        (judge_unprocessed, "materialize the asset"),
        (lambda unresolved: judge_failures(unresolved, 1), "`hunter failures --dismiss ID`"),
        (judge_expiring, "accept or decline them in Partner Center"),
    ],
)
def test_a_list_that_should_be_empty_is_shown_with_its_number_and_the_fix(
    judge: Callable[[Examples], Verdict], fix: str
):
    assert judge(NONE).holds
    assert judge(NONE).examples is None
    verdict = judge(TWO)
    assert not verdict.holds
    assert verdict.summary.startswith("2 ")
    assert fix in verdict.summary
    assert verdict.examples == TWO


@pytest.mark.parametrize(
    ("age", "interval", "holds"),
    [
        (timedelta(minutes=60), TEN_MINUTES, True),
        (timedelta(minutes=60, seconds=1), TEN_MINUTES, False),
        (timedelta(hours=3), timedelta(hours=1), True),
        (timedelta(hours=3, seconds=1), timedelta(hours=1), False),
    ],
)
def test_data_is_recent_within_an_hour_or_three_intervals(age: timedelta, interval: timedelta, holds: bool):
    verdict = judge_recency(NOW - age, NOW, interval, enabled=True)
    assert verdict.holds is holds
    assert verdict.counts["minutes_since_success"] == round(age.total_seconds() / 60)


def test_no_sync_at_all_is_no_recent_data_and_a_disabled_feature_expects_none():
    assert not judge_recency(None, NOW, TEN_MINUTES, enabled=True).holds
    assert "referral_sync_schedule" in judge_recency(None, NOW, TEN_MINUTES, enabled=True).summary
    assert judge_recency(None, NOW, TEN_MINUTES, enabled=False).holds


@pytest.mark.parametrize(("lookups", "holds"), [(0, True), (3, True), (4, False), (40, False)])
def test_a_tenth_of_the_lookups_without_an_answer_is_too_much(lookups: int, holds: bool):
    verdict = judge_undetermined(10, lookups, TWO)
    assert verdict.holds is holds
    assert verdict.counts["undetermined_percent"] == lookups / 40 * 100
    assert ("HUNTER_DNS_SERVERS" in verdict.summary) is not holds


def test_without_a_scanned_domain_no_share_is_too_large():
    assert judge_undetermined(0, 0, NONE).holds


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (SignInFacts(problem="Nobody has signed in yet; run `hunter login`"), "run `hunter login`"),
        (SignInFacts(problem="no answer", unreachable=True), "could not be checked: no answer"),
        (SignInFacts(until=None), "run `hunter login`"),
        (SignInFacts(until=NOW + SIGN_IN_NOTICE - timedelta(seconds=1)), "ends in 13 days"),
    ],
)
def test_a_sign_in_that_is_missing_lost_unchecked_or_ending_is_mentioned(facts: SignInFacts, said: str):
    verdict = judge_sign_in(facts, NOW)
    assert not verdict.holds
    assert said in verdict.summary


def test_a_sign_in_that_lasts_is_good():
    assert judge_sign_in(SignInFacts(until=NOW + SIGN_IN_NOTICE), NOW).holds
