"""Two partners' accounts on one host: a database takes the referrals of one, and refuses the other's by name."""

import pytest
from sqlalchemy import text

from hunter_pipeline.partner_center.errors import ApiError
from hunter_pipeline.pipeline.fetch_preview import preview_fetch
from hunter_pipeline.pipeline.sync_runs import SourceMismatch
from hunter_pipeline.sandbox.identity import TENANT_ID
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

OTHER = "0ther000-0000-4000-8000-00000000b002"


@pytest.fixture
def two(empty: Sandbox) -> Sandbox:
    """Two referrals to fetch."""
    empty.partner_center.referrals.add(flat("A1"))
    empty.partner_center.referrals.add(flat("A2"))
    return empty


def sign_in(pipeline: Pipeline, sandbox: Sandbox, tenant: str) -> None:
    sandbox.identity.tenant_id = tenant
    pipeline.client = None
    pipeline.signed_in_client()


def test_the_account_of_another_partner_is_refused_with_the_fix_and_nothing_is_read(pipeline: Pipeline, two: Sandbox):
    pipeline.sync()
    two.partner_center.referrals.clear()
    two.partner_center.referrals.add(flat("B1"))
    sign_in(pipeline, two, OTHER)
    asked = len(two.partner_center.requests)
    with pytest.raises(SourceMismatch, match=r"5a4d…a001, .* belongs to 0the…b002; .*HUNTER_DATABASE_URL"):
        pipeline.sync()
    with pytest.raises(SourceMismatch):
        preview_fetch(pipeline.context(), pipeline.signed_in_client(), pipeline.everything())
    assert len(two.partner_center.requests) == asked
    assert pipeline.rows("SELECT status, tenant FROM sync_runs ORDER BY started_at") == [
        ("success", TENANT_ID),
        ("failed", None),
    ]
    assert pipeline.rows("SELECT referral_id, gone_at IS NULL FROM partner_center_referrals ORDER BY 1") == [
        ("A1", True),
        ("A2", True),
    ]
    two.partner_center.referrals.add(flat("A1"))
    two.partner_center.referrals.add(flat("A2"))
    sign_in(pipeline, two, TENANT_ID)
    pipeline.sync()


@pytest.mark.parametrize("trouble", ["may read nothing", "sees nothing"])
def test_an_account_that_has_read_nothing_binds_the_database_to_nobody(pipeline: Pipeline, two: Sandbox, trouble: str):
    sign_in(pipeline, two, OTHER)
    if trouble == "sees nothing":
        two.partner_center.fail_next(1, 200, body={"value": []})
        pipeline.sync()
    else:
        two.partner_center.fail_next(1, 403)
        with pytest.raises(ApiError):
            pipeline.sync()
    sign_in(pipeline, two, TENANT_ID)
    pipeline.sync()
    assert pipeline.rows("SELECT DISTINCT tenant FROM sync_runs WHERE tenant IS NOT NULL") == [TENANT_ID]


def test_the_tenant_is_known_by_its_id_under_whatever_name_the_settings_call_it(
    pipeline: Pipeline, two: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    pipeline.sync()
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_TENANT_ID", "organizations")
    sign_in(pipeline, two, TENANT_ID)
    pipeline.sync()
    assert pipeline.rows("SELECT DISTINCT tenant FROM sync_runs") == [TENANT_ID]


def test_referrals_from_before_the_tenant_was_kept_are_taken_for_this_ones(pipeline: Pipeline, two: Sandbox):
    pipeline.sync()
    with pipeline.engine.begin() as connection:
        connection.execute(text("UPDATE sync_runs SET tenant = NULL"))
    pipeline.sync()
    assert pipeline.rows("SELECT tenant FROM sync_runs ORDER BY started_at") == [None, TENANT_ID]
