"""Which version of a referral is the current one: what was seen last, whatever dates it carries."""

from typing import Any

import pytest
from sqlalchemy import event, text

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat


def replace(empty: Sandbox, **fields: Any) -> None:
    """Let the source hold one referral, in another state than before."""
    empty.partner_center.referrals.clear()
    empty.partner_center.referrals.add(flat("A1", **fields))


def shown(pipeline: Pipeline) -> list[Any]:
    return pipeline.rows("SELECT status FROM partner_center_referrals")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "first",
    ["2099-01-01T00:00:00Z", "2026-11-20T00:00:00Z", None, "soon", "0001-01-01T00:00:00"],
    ids=["in 2099", "going back", "missing once", "unreadable", "never set"],
)
def test_the_newest_answer_is_current_whatever_its_date_was_before(
    pipeline: Pipeline, empty: Sandbox, first: str | None, force: bool
):
    replace(empty, status="New", updatedDateTime="2026-10-01T08:00:00Z")
    pipeline.sync()
    replace(empty, status="Active", updatedDateTime=first)
    pipeline.sync()
    assert shown(pipeline) == ["Active"]
    replace(empty, status="Closed", updatedDateTime="2026-10-02T08:00:00Z")
    pipeline.sync(force=force)
    assert shown(pipeline) == ["Closed"]
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw WHERE is_current") == [1]


def test_an_earlier_state_that_comes_back_is_current_again(pipeline: Pipeline, empty: Sandbox):
    for status in ("New", "Active", "New"):
        replace(empty, status=status)
        pipeline.sync()
        assert shown(pipeline) == [status]
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw") == [2]


@pytest.mark.parametrize("page_size", [1, 10])
def test_between_two_copies_in_one_sync_the_sources_own_time_decides(
    pipeline: Pipeline, empty: Sandbox, page_size: int
):
    empty.partner_center.page_size = page_size
    replace(empty, status="Active", updatedDateTime="2026-10-05T08:00:00Z")
    empty.partner_center.referrals.add(flat("A1", status="New", updatedDateTime="2026-10-02T08:00:00Z"))
    pipeline.sync()
    assert shown(pipeline) == ["Active"]
    pipeline.sync()
    assert shown(pipeline) == ["Active"]


def test_the_companys_name_follows_what_was_seen_last(pipeline: Pipeline, empty: Sandbox):
    replace(empty, companyName="From the future", updatedDateTime="2099-01-01T00:00:00Z")
    pipeline.sync()
    replace(empty, companyName="Corrected")
    pipeline.sync()
    assert pipeline.rows("SELECT canonical_name FROM companies") == ["Corrected"]


def test_the_only_version_of_a_referral_is_written_once(pipeline: Pipeline, empty: Sandbox):
    replace(empty, status="New")
    with pipeline.engine.begin() as connection:
        connection.execute(
            text("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written twice'; END $$")
        )
        connection.execute(
            text(
                "CREATE TRIGGER refuse BEFORE UPDATE ON partner_center_referrals_raw"
                " FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    pipeline.sync()
    assert pipeline.rows("SELECT is_current FROM partner_center_referrals_raw") == [True]


def test_a_version_that_is_seen_again_is_not_sent_again(pipeline: Pipeline, empty: Sandbox):
    replace(empty, companyName="Sent Once Ltd")
    pipeline.sync(upto="fetch")
    carrying: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "Sent Once Ltd" in str(parameters):
            carrying.append(statement)

    event.listen(pipeline.engine, "before_cursor_execute", note)
    pipeline.sync(upto="fetch")
    assert carrying == []
    replace(empty, companyName="Sent Once Ltd", status="Active")
    pipeline.sync(upto="fetch")
    assert len(carrying) == 1
    seen = pipeline.rows("SELECT last_seen_run_id = run_id FROM partner_center_referrals_raw ORDER BY id")
    assert seen == [False, True]
