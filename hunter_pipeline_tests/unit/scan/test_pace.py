"""How many questions a second a server gets. Every time is the test's own: no clock, no sleep."""

from itertools import pairwise

import pytest

from hunter_pipeline.scan.pace import Pace
from hunter_pipeline.services import make_dns_settings
from hunter_pipeline.settings import Settings


def sent(pace: Pace, now: float, count: int) -> list[float]:
    """The moments at which so many questions go that are all ready at `now`."""
    return [now + max(0.0, pace.turn(now)) for _ in range(count)]


def answered(pace: Pace, now: float, *, clean: int = 0, trouble: int = 0) -> float:
    """Have questions wait for their turn and be answered at once, the bad ones last; return the last moment."""
    for bad in [False] * clean + [True] * trouble:
        now += max(0.0, pace.turn(now))
        pace.note(now, now, trouble=bad)
    return now


def test_a_tenth_of_a_seconds_questions_go_at_once_and_the_others_at_the_rate():
    moments = sent(Pace(200, 200), 50.0, 60)
    assert moments[:20] == pytest.approx([50.0] * 20)
    assert moments[-1] == pytest.approx(50.0 + 40 / 200)
    assert all(later >= earlier for earlier, later in pairwise(moments))


def test_no_second_holds_more_than_the_rate_and_the_burst():
    moments = sent(Pace(100, 100), 0.0, 500)
    for moment in moments:
        assert sum(moment <= other < moment + 1 for other in moments) <= 100 + 10 + 1


def test_a_pace_below_the_burst_still_lets_one_question_go_at_once():
    moments = sent(Pace(2, 2), 0.0, 3)
    assert moments == pytest.approx([0.0, 0.5, 1.0])


def test_what_was_not_used_is_not_saved_up():
    pace = Pace(100, 100)
    sent(pace, 0.0, 1)
    assert sum(moment < 1000.005 for moment in sent(pace, 1000.0, 200)) == 10


def test_it_says_when_the_next_question_may_go():
    pace = Pace(10, 10)
    assert pace.free_at() == float("-inf")
    sent(pace, 5.0, 1)
    assert pace.free_at() == pytest.approx(5.0)
    (turn,) = sent(pace, 5.0, 1)
    assert turn == pytest.approx(5.1)


def test_it_rises_by_a_quarter_after_each_clean_window_and_never_above_the_ceiling():
    pace = Pace(100, 140)
    now = answered(pace, 0.0, clean=25)
    assert pace.rate == pytest.approx(125)
    now = answered(pace, now, clean=200)
    assert (pace.rate, pace.fastest) == (140, 140)


def test_a_small_rate_is_judged_by_twenty_replies_too():
    pace = Pace(4, 100)
    now = answered(pace, 0.0, clean=19)
    assert pace.rate == 4
    answered(pace, now, clean=1)
    assert pace.rate == 5


def test_it_does_not_rise_where_nobody_had_to_wait():
    pace = Pace(100, 1000)
    for second in range(200):
        pace.turn(float(second))
        pace.note(float(second), float(second), trouble=False)
    assert (pace.rate, pace.fastest) == (100, 100)


def test_a_twentieth_of_refusals_halves_it_at_once():
    pace = Pace(200, 1000)
    answered(pace, 0.0, clean=30, trouble=3)
    assert pace.rate == 100


def test_one_dead_domain_neither_slows_nor_quickens_it():
    pace = Pace(100, 1000)
    now = answered(pace, 0.0, clean=20, trouble=1)
    answered(pace, now, clean=4)
    assert pace.rate == 100


def test_it_falls_to_five_a_second_at_least_and_comes_back():
    pace = Pace(200, 200)
    now = 0.0
    for _ in range(20):
        now = answered(pace, now + 1, trouble=10)
    assert pace.rate == 5
    for _ in range(30):
        now = answered(pace, now, clean=50)
    assert (pace.rate, pace.fastest) == (200, 200)


def test_a_pace_that_begins_slower_than_that_never_falls_below_its_beginning():
    pace = Pace(2, 100)
    for second in range(20):
        answered(pace, 10.0 * second, trouble=10)
    assert pace.rate == 2


def test_answers_to_questions_from_before_the_fall_count_for_nothing():
    pace = Pace(400, 400)
    for _ in range(5):
        pace.note(1.0, 2.0, trouble=True)
    assert pace.rate == 200
    for _ in range(100):
        pace.note(1.5, 3.0, trouble=True)
    assert pace.rate == 200
    for _ in range(5):
        pace.note(2.5, 3.0, trouble=True)
    assert pace.rate == 100


def test_a_ceiling_below_the_beginning_is_the_beginning():
    pace = Pace(300, 100)
    answered(pace, 0.0, clean=500)
    assert pace.rate == 300


@pytest.mark.parametrize(
    ("given", "first", "most"),
    [
        ({}, 200, 1000),
        ({"dns_queries_per_second": 5000}, 5000, 5000),
        ({"dns_most_queries_per_second": 100}, 100, 100),
        ({"dns_queries_per_second": 300, "dns_most_queries_per_second": 100}, 100, 100),
    ],
)
def test_no_server_gets_more_than_the_ceiling_that_somebody_set(given: dict[str, float], first: float, most: float):
    made = make_dns_settings(Settings(_env_file=None, **given))
    assert (made.qps_per_server, made.most_qps_per_server) == (first, most)
