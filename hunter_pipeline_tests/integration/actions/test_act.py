"""Acting on referrals against the sandbox: what is sent, what became of it, and what the tables say then."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from hunter_pipeline.actions.act import Acting, Result, carry_out, propose
from hunter_pipeline.actions.book import read_attempts
from hunter_pipeline.partner_center.changes import ChangeRefused, Wish
from hunter_pipeline.partner_center.client import Page
from hunter_pipeline.partner_center.errors import ApiError
from hunter_pipeline.pipeline.fetch import fetch_referrals
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_acting
from hunter_pipeline.settings import Settings, SettingsError, load_settings
from hunter_pipeline.store.migrate import STAGE_LOCK
from hunter_pipeline_tests.pipeline_runs import Pipeline


def payload(referral_id: str = "r-1", **more: Any) -> dict[str, Any]:
    """A co-sell referral that waits for an answer."""
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    return {
        "id": referral_id,
        "type": "Shared",
        "status": "New",
        "substatus": "Received",
        "qualification": "SalesQualified",
        "createdDateTime": moment,
        "updatedDateTime": moment,
        "expirationDateTime": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        "eTag": '"e-1"',
        "azureTenantId": "11111111-2222-4333-8444-555555555555",
        "customerProfile": {"name": "Acme", "team": [{"firstName": "Jane", "email": "jane@acme-example.com"}]},
        "details": {"dealValue": 1000, "currency": "USD"},
        **more,
    }


@pytest.fixture
def world(pipeline: Pipeline, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """One referral, synced, and writing switched on."""
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_WRITE_ENABLED", "true")
    sandbox.partner_center.referrals.clear()
    sandbox.partner_center.referrals.add(payload())
    pipeline.sync()
    sandbox.partner_center.requests.clear()
    return pipeline


def acting(world: Pipeline) -> Acting:
    return make_acting(load_settings(home=world.home), world.engine, lambda: datetime.now(UTC))


def say_yes(world: Pipeline, wish: Wish) -> Result:
    """Both steps of a person who says yes."""
    hands = acting(world)
    proposal = propose(hands, "r-1", wish)
    return carry_out(hands, "r-1", wish, proposal.etag, actor="Deniz", channel="web")


def sent(sandbox: Sandbox) -> list[str]:
    return [each.method for each in sandbox.partner_center.requests]


def state(world: Pipeline) -> Any:
    return world.rows("SELECT status, substatus, is_open FROM partner_center_referrals WHERE referral_id = 'r-1'")[0]


def outcomes(world: Pipeline) -> list[tuple[str, str, str]]:
    with world.engine.connect() as connection:
        return [(each.action, each.outcome, each.actor) for each in read_attempts(connection, "r-1")]


def test_accepting_goes_to_partner_center_and_through_every_stage(world: Pipeline, sandbox: Sandbox):
    hands = acting(world)
    proposal = propose(hands, "r-1", Wish("accept", deal_value=Decimal(2500), reference="CRM-7"))
    assert [(each.label, each.before, each.after) for each in proposal.changes] == [
        ("Status", "New", "Active"),
        ("Substatus", "Received", "Accepted"),
        ("Deal value", 1000, 2500),
        ("Own reference", None, "CRM-7"),
    ]
    assert sent(sandbox) == ["GET"]
    result = carry_out(hands, "r-1", Wish("accept", deal_value=Decimal(2500), reference="CRM-7"), proposal.etag,
                       actor="Deniz", channel="web")  # fmt: skip
    assert (result.outcome, result.text) == ("done", "Done: it is now Active / Accepted")
    assert sent(sandbox) == ["GET", "GET", "PATCH"]
    there = sandbox.partner_center.referrals.get("r-1")
    assert there is not None
    assert (there.fields["status"], there.fields["details"]["dealValue"]) == ("Active", 2500)
    assert state(world) == ("Active", "Accepted", True)
    assert world.rows("SELECT deal_value FROM partner_center_referrals") == [Decimal(2500)]
    assert outcomes(world) == [("accept", "done", "Deniz")]
    told = world.rows("SELECT DISTINCT stage FROM referral_lineage WHERE run_id LIKE 'action-%'")
    assert {"partner_center_referrals_raw", "normalized_domains", "partner_center_referrals"} <= set(told)
    before = world.rows("SELECT count(*) FROM partner_center_referrals_raw")
    world.sync()
    assert world.rows("SELECT count(*) FROM partner_center_referrals_raw") == before
    assert state(world) == ("Active", "Accepted", True)


def test_a_page_that_was_asked_for_before_a_change_does_not_bring_the_old_state_back(world: Pipeline):
    client = world.signed_in_client()

    class Meanwhile:
        """The client, beside which a person acts between a page's answer and its writing."""

        host = client.host
        tenant = client.tenant
        get_referral = client.get_referral

        def iter_pages(self, since: datetime | None) -> Iterator[Page]:
            for page in client.iter_pages(since):
                assert say_yes(world, Wish("accept")).outcome == "done"
                yield page

    fetch_referrals(world.context(force=True), Meanwhile(), world.everything())
    current = "SELECT payload->>'status' FROM partner_center_referrals_raw WHERE is_current"
    assert world.rows(current) == ["Active"]
    assert len(world.rows("SELECT id FROM partner_center_referrals_raw WHERE referral_id = 'r-1'")) == 2


def test_the_etag_is_sent_as_given_quotes_included(world: Pipeline, sandbox: Sandbox):
    seen = []
    sandbox.partner_center.before_answer = lambda request: seen.append(dict(request.headers)) if (
        request.method == "PATCH"
    ) else None  # fmt: skip
    assert say_yes(world, Wish("accept")).outcome == "done"
    assert seen[0]["If-Match"] == '"e-1"'
    assert seen[0]["Prefer"] == "return=representation"
    assert seen[0]["Content-Type"] == "application/json"


def test_declining_and_losing_keep_the_reason_and_close_the_referral(world: Pipeline, sandbox: Sandbox):
    assert say_yes(world, Wish("decline", reason="Outside our region")).outcome == "done"
    assert state(world) == ("Closed", "Declined", False)
    there = sandbox.partner_center.referrals.get("r-1")
    assert there is not None
    assert there.fields["statusReason"] == "Outside our region"
    with pytest.raises(ChangeRefused, match="it is Closed / Declined and cannot be accepted"):
        propose(acting(world), "r-1", Wish("accept"))


def test_won_only_follows_accepted_and_moves_the_score_off_the_bonus(world: Pipeline):
    with pytest.raises(ChangeRefused, match="New / Received and cannot be closed as won"):
        propose(acting(world), "r-1", Wish("won"))
    say_yes(world, Wish("accept"))
    before = world.rows("SELECT score FROM lead_scores")
    assert say_yes(world, Wish("won", closing=date(2031, 1, 2))).outcome == "done"
    assert state(world) == ("Closed", "Won", False)
    assert before[0] - world.rows("SELECT score FROM lead_scores")[0] == 15


def test_what_somebody_else_changed_is_shown_and_not_overwritten(world: Pipeline, sandbox: Sandbox):
    hands = acting(world)
    proposal = propose(hands, "r-1", Wish("accept"))
    sandbox.partner_center.referrals.update("r-1", status="Closed", substatus="Expired")
    result = carry_out(hands, "r-1", Wish("accept"), proposal.etag, actor="Deniz", channel="web")
    assert result.outcome == "moved"
    assert [(each.label, each.before, each.after) for each in result.meanwhile] == [
        ("Status", "New", "Closed"),
        ("Substatus", "Received", "Expired"),
    ]
    assert "PATCH" not in sent(sandbox)
    assert state(world) == ("Closed", "Expired", False)


def test_a_change_between_the_last_look_and_the_request_is_refused_by_the_etag(world: Pipeline, sandbox: Sandbox):
    def other(request: Any) -> None:
        if request.method == "PATCH":
            sandbox.partner_center.before_answer = None
            sandbox.partner_center.referrals.update("r-1", name="renamed by somebody else", eTag='"e-2"')

    hands = acting(world)
    proposal = propose(hands, "r-1", Wish("accept"))
    sandbox.partner_center.before_answer = other
    result = carry_out(hands, "r-1", Wish("accept"), proposal.etag, actor="Deniz", channel="web")
    assert result.outcome == "moved"
    assert state(world)[:2] == ("New", "Received")
    assert sent(sandbox) == ["GET", "GET", "PATCH", "GET"]
    assert outcomes(world) == [("accept", "moved", "Deniz")]


def test_two_people_at_once_the_second_is_told_what_the_first_did(world: Pipeline, sandbox: Sandbox):
    hands = acting(world)
    accept, decline = Wish("accept"), Wish("decline", reason="no")
    etag = propose(hands, "r-1", accept).etag
    assert propose(acting(world), "r-1", decline).etag == etag
    barrier, results = threading.Barrier(2), []

    def go(wish: Wish) -> None:
        mine = acting(world)
        barrier.wait()
        results.append(carry_out(mine, "r-1", wish, etag, actor="x", channel="web").outcome)

    threads = [threading.Thread(target=go, args=(wish,)) for wish in (accept, decline)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["done", "moved"]
    there = sandbox.partner_center.referrals.get("r-1")
    assert there is not None
    assert state(world)[0] == there.fields["status"]


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_cut_answer_ends_in_the_truth_and_is_never_sent_twice(world: Pipeline, sandbox: Sandbox, how: Any):
    sandbox.partner_center.break_next(1, how, method="PATCH")
    result = say_yes(world, Wish("accept"))
    assert result.outcome == "done"
    assert "read again" in result.text
    assert sent(sandbox).count("PATCH") == 1
    assert state(world) == ("Active", "Accepted", True)
    assert outcomes(world) == [("accept", "done", "Deniz")]


@pytest.mark.parametrize("status", [0, 500, 503])
def test_a_request_that_did_not_arrive_is_told_as_such(world: Pipeline, sandbox: Sandbox, status: int):
    sandbox.partner_center.fail_next(1, status, method="PATCH")
    result = say_yes(world, Wish("accept"))
    assert result.outcome == "failed"
    assert "it is now New / Received as before" in result.text
    assert sent(sandbox).count("PATCH") == 1
    assert state(world) == ("New", "Received", True)
    assert say_yes(world, Wish("accept")).outcome == "done"


def test_what_cannot_be_read_again_stays_open_and_the_next_sync_settles_it(world: Pipeline, sandbox: Sandbox):
    def then_nothing(request: Any) -> None:
        if request.method == "PATCH":
            sandbox.partner_center.fail_next(2, 500, method="GET")

    sandbox.partner_center.break_next(1, "cut", method="PATCH")
    sandbox.partner_center.before_answer = then_nothing
    result = say_yes(world, Wish("accept"))
    assert result.outcome == "unknown"
    assert outcomes(world) == [("accept", "unknown", "Deniz")]
    sandbox.partner_center.before_answer = None
    sandbox.partner_center.clear_faults()
    world.now = datetime.now(UTC) + timedelta(minutes=5)
    world.sync()
    assert state(world) == ("Active", "Accepted", True)
    assert outcomes(world) == [("accept", "done", "Deniz")]


def test_an_attempt_whose_process_died_before_it_was_sent_is_settled_as_not_arrived(world: Pipeline):
    hands = acting(world)
    proposal = propose(hands, "r-1", Wish("accept"))

    def power_goes_off(*_: Any) -> None:
        raise KeyboardInterrupt

    hands.editor.patch_referral = power_goes_off  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        carry_out(hands, "r-1", Wish("accept"), proposal.etag, actor="Deniz", channel="web")
    assert outcomes(world) == [("accept", "sending", "Deniz")]
    world.now = datetime.now(UTC) + timedelta(minutes=5)
    world.sync()
    assert outcomes(world) == [("accept", "failed", "Deniz")]


def test_a_refusal_of_partner_center_is_told_with_its_code(world: Pipeline, sandbox: Sandbox):
    sandbox.partner_center.fail_next(1, 403, method="PATCH")
    result = say_yes(world, Wish("accept"))
    assert result.outcome == "refused"
    assert "accessDenied" in result.text
    assert state(world)[:2] == ("New", "Received")


def test_a_token_that_ran_out_is_renewed_once(world: Pipeline, sandbox: Sandbox):
    sandbox.partner_center.fail_next(1, 401, method="PATCH")
    assert say_yes(world, Wish("accept")).outcome == "done"
    assert sent(sandbox).count("PATCH") == 2


def test_a_sync_that_is_writing_is_not_waited_for_long_and_the_book_is_right(
    world: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hunter_pipeline.services.ACTION_LOCK_WAIT", 1)
    hands = acting(world)
    proposal = propose(hands, "r-1", Wish("accept"))
    with world.engine.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:key)"), {"key": STAGE_LOCK})
        result = carry_out(hands, "r-1", Wish("accept"), proposal.etag, actor="Deniz", channel="web")
        other.rollback()
        other.execute(text("SELECT pg_advisory_unlock_all()"))
    assert result.outcome == "done"
    assert "after the next sync" in result.text
    assert outcomes(world) == [("accept", "done", "Deniz")]
    world.now = datetime.now(UTC) + timedelta(minutes=5)
    world.sync()
    assert state(world) == ("Active", "Accepted", True)


def test_a_list_that_still_runs_after_an_upgrade_sends_the_change_and_leaves_the_tables_to_the_next_sync(
    world: Pipeline,
):
    hands = acting(world)
    proposal = propose(hands, "r-1", Wish("accept"))
    with world.engine.begin() as newer:
        ours = newer.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        newer.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    result = carry_out(hands, "r-1", Wish("accept"), proposal.etag, actor="Deniz", channel="web")
    assert state(world)[:2] == ("New", "Received"), "this version does not know what else the newer tables keep"
    assert result.outcome == "done"
    assert "after the next sync" in result.text
    assert outcomes(world) == [("accept", "done", "Deniz")]
    with world.engine.begin() as newer:
        newer.execute(text("UPDATE alembic_version SET version_num = :ours"), {"ours": ours})
    world.now = datetime.now(UTC) + timedelta(minutes=5)
    world.sync()
    assert state(world) == ("Active", "Accepted", True)


def test_one_that_is_not_there_any_more_is_said_to_be_gone(world: Pipeline, sandbox: Sandbox):
    sandbox.partner_center.referrals.remove("r-1")
    with pytest.raises(ApiError, match="404"):
        propose(acting(world), "r-1", Wish("accept"))


def test_the_story_names_no_person(world: Pipeline):
    say_yes(world, Wish("decline", reason="Jane said no"))
    told = world.rows("SELECT concat_ws(' ', input, decision, row_key) FROM referral_lineage")
    assert [line for line in told if "Deniz" in line or "Jane" in line] == []


def test_with_writing_off_there_is_nothing_to_act_with(world: Pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HUNTER_PARTNER_CENTER_WRITE_ENABLED")
    with pytest.raises(SettingsError, match="HUNTER_PARTNER_CENTER_WRITE_ENABLED=true"):
        acting(world)
    assert Settings(_env_file=None).partner_center_write_enabled is False
