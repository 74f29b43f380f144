"""What Partner Center has no more: marked as gone when a sweep did not see it and asking for it finds nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, Window
from hunter_pipeline.sandbox.https_server import Request
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import NOW, Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

STATE = "SELECT referral_id, is_open, gone_at IS NOT NULL FROM partner_center_referrals ORDER BY 1"
EVERYTHING = Window(FIRST_DAY, NOW.date())
TODAY = Window(NOW.date(), NOW.date())


@pytest.fixture
def five(empty: Sandbox) -> Sandbox:
    """Five co-sell referrals of five companies, newest first on pages of two."""
    empty.partner_center.page_size = 2
    for number in range(5):
        empty.partner_center.referrals.add(referral(number))
    return empty


def referral(number: int) -> dict[str, Any]:
    return flat(
        f"R{number}",
        type="co-sell",
        azureTenantId=f"0000000{number}-1111-4111-8111-111111111111",
        updatedDateTime=f"2026-10-01T08:00:{30 - number:02}Z",
    )


def before_page(sandbox: Sandbox, number: int, act: Callable[[], None]) -> None:
    """Let something happen just before the list's page `number` is answered."""
    pages = 0

    def count(request: Request) -> None:
        nonlocal pages
        if not request.path.rpartition("/")[2].startswith("R"):
            pages += 1
            if pages == number:
                act()

    sandbox.partner_center.before_answer = count


def test_what_a_sweep_does_not_see_is_gone_kept_shown_and_no_longer_open(pipeline: Pipeline, five: Sandbox):
    pipeline.sync()
    before = pipeline.rows("SELECT score FROM lead_scores WHERE domain = 'r3-kurgu.com.tr'")
    five.partner_center.referrals.remove("R3")
    report = pipeline.sync()["fetch"]
    assert report.counts["gone"] == 1
    assert pipeline.rows(STATE) == [(f"R{n}", n != 3, n == 3) for n in range(5)]
    assert pipeline.rows("SELECT count(*) FROM raw_leads") == [5]
    assert pipeline.rows("SELECT score FROM lead_scores WHERE domain = 'r3-kurgu.com.tr'") == [before[0] - 15]
    told = dict(
        pipeline.rows("SELECT stage, decision FROM referral_lineage WHERE referral_id = 'R3' AND run_id = 'run-2'")
    )
    assert "gone" in told["partner_center_referrals_raw"]
    assert "gone" in told["partner_center_referrals"]


@pytest.mark.parametrize("window", [EVERYTHING, TODAY], ids=["a sweep", "a catch-up"])
@pytest.mark.parametrize("changed", [False, True])
def test_what_comes_back_is_open_again(pipeline: Pipeline, five: Sandbox, window: Window, changed: bool):
    pipeline.sync()
    five.partner_center.referrals.remove("R3")
    pipeline.sync()
    back = referral(3) | ({"status": "Active", "updatedDateTime": "2026-11-24T00:30:00Z"} if changed else {})
    five.partner_center.referrals.add(back)
    pipeline.sync(window if changed else EVERYTHING)
    assert pipeline.rows(STATE) == [(f"R{n}", True, False) for n in range(5)]


def test_a_sync_of_some_days_marks_nothing_as_gone(pipeline: Pipeline, five: Sandbox):
    pipeline.sync()
    five.partner_center.referrals.remove("R3")
    pipeline.sync(TODAY)
    assert pipeline.rows(STATE) == [(f"R{n}", True, False) for n in range(5)]


@pytest.mark.parametrize("status", [403, 500, 503])
def test_what_cannot_be_asked_for_is_not_gone(pipeline: Pipeline, five: Sandbox, status: int):
    pipeline.sync()
    five.partner_center.referrals.remove("R3")
    five.partner_center.fail_next(2, status, path="/referrals/R3")
    pipeline.sync()
    assert pipeline.rows(STATE) == [(f"R{n}", True, False) for n in range(5)]
    five.partner_center.clear_faults()
    pipeline.now += timedelta(days=2)
    pipeline.sync(TODAY)
    assert pipeline.rows(STATE) == [(f"R{n}", n != 3, n == 3) for n in range(5)], "asked again without a sweep"


def test_a_sweep_that_breaks_off_marks_nothing_as_gone(pipeline: Pipeline, five: Sandbox):
    pipeline.sync()
    five.partner_center.referrals.remove("R3")
    assert pipeline.client is not None
    pipeline.client._page_limit = 1
    with pytest.raises(Exception, match="PAGE_LIMIT"):
        pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw WHERE unseen_since IS NOT NULL") == [0]
    assert pipeline.rows(STATE) == [(f"R{n}", True, False) for n in range(5)]


def test_an_empty_answer_does_not_close_everything(pipeline: Pipeline, five: Sandbox):
    pipeline.sync()
    five.partner_center.fail_next(1, 200, body={"value": []})
    pipeline.sync()
    assert pipeline.rows(STATE) == [(f"R{n}", True, False) for n in range(5)]


def test_a_row_that_is_deleted_while_paging_does_not_hide_its_neighbour(pipeline: Pipeline, five: Sandbox):
    before_page(five, 2, lambda: five.partner_center.referrals.remove("R0"))
    pipeline.sync()
    assert pipeline.rows("SELECT referral_id FROM partner_center_referrals ORDER BY 1") == [
        "R0",
        "R1",
        "R2",
        "R3",
        "R4",
    ]


def test_nor_is_a_known_neighbour_taken_for_gone(pipeline: Pipeline, five: Sandbox):
    pipeline.sync()
    before_page(five, 2, lambda: five.partner_center.referrals.remove("R0"))
    pipeline.sync()
    assert pipeline.rows(STATE) == [(f"R{n}", True, False) for n in range(5)]
    five.partner_center.before_answer = None
    pipeline.sync()
    assert pipeline.rows(STATE) == [(f"R{n}", n != 0, n == 0) for n in range(5)]
