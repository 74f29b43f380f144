"""MSAL itself signs in at the local identity provider, refreshes, and meets Microsoft's errors."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import msal
import pytest
import requests

from hunter_pipeline.sandbox.identity import CLIENT_ID, DEVICE_GRANT, TENANT_ID, USERNAME
from hunter_pipeline.sandbox.sandbox import Sandbox


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False  # else REQUESTS_CA_BUNDLE wins over `verify`
        opened.verify = str(sandbox.ca_file)
        yield opened


def make_app(
    sandbox: Sandbox, session: requests.Session, *, client_id: str = CLIENT_ID, tenant: str = TENANT_ID
) -> msal.PublicClientApplication:
    return msal.PublicClientApplication(
        client_id, authority=f"{sandbox.base_url}/{tenant}", instance_discovery=False, http_client=session
    )


def scopes(sandbox: Sandbox) -> list[str]:
    return [f"{sandbox.base_url}/.default"]


def sign_in(sandbox: Sandbox, session: requests.Session) -> msal.PublicClientApplication:
    app = make_app(sandbox, session)
    result = app.acquire_token_by_device_flow(app.initiate_device_flow(scopes(sandbox)))
    assert "access_token" in result, result
    return app


def silent(app: msal.PublicClientApplication, sandbox: Sandbox, *, force: bool = False) -> dict[str, object]:
    return app.acquire_token_silent_with_error(scopes(sandbox), app.get_accounts()[0], force_refresh=force)


def test_the_device_flow_signs_a_person_in(sandbox: Sandbox, session: requests.Session) -> None:
    app = make_app(sandbox, session)
    flow = app.initiate_device_flow(scopes(sandbox))
    assert flow["user_code"] in flow["message"]
    assert flow["verification_uri"].startswith(sandbox.base_url)
    result = app.acquire_token_by_device_flow(flow)
    assert result["id_token_claims"]["preferred_username"] == USERNAME
    assert result["id_token_claims"]["tid"] == TENANT_ID
    assert [account["username"] for account in app.get_accounts()] == [USERNAME]
    assert sandbox.identity.accepts(result["access_token"])


def test_a_valid_token_comes_from_the_cache_and_a_forced_one_from_a_refresh(
    sandbox: Sandbox, session: requests.Session
) -> None:
    app = sign_in(sandbox, session)
    first = silent(app, sandbox)
    assert (first["token_source"], sandbox.identity.refreshes) == ("cache", 0)
    second = silent(app, sandbox, force=True)
    assert sandbox.identity.refreshes == 1
    assert second["access_token"] != first["access_token"]


def test_a_token_that_ends_within_five_minutes_is_refreshed_each_time(session: requests.Session) -> None:
    with Sandbox(access_token_seconds=300) as short:
        session.verify = str(short.ca_file)
        app = sign_in(short, session)
        silent(app, short)
        silent(app, short)
        assert short.identity.refreshes == 2


def test_the_api_refuses_an_access_token_after_its_time(sandbox: Sandbox, session: requests.Session) -> None:
    sandbox.identity.access_token_seconds = 0
    app = make_app(sandbox, session)
    result = app.acquire_token_by_device_flow(app.initiate_device_flow(scopes(sandbox)))
    assert not sandbox.identity.accepts(result["access_token"])


def test_expired_access_tokens_need_one_refresh(sandbox: Sandbox, session: requests.Session) -> None:
    app = sign_in(sandbox, session)
    old = silent(app, sandbox)["access_token"]
    sandbox.identity.expire_access_tokens()
    assert not sandbox.identity.accepts(str(old))
    assert sandbox.identity.accepts(str(silent(app, sandbox, force=True)["access_token"]))


def test_revoked_refresh_tokens_ask_for_a_new_sign_in(sandbox: Sandbox, session: requests.Session) -> None:
    app = sign_in(sandbox, session)
    sandbox.identity.revoke()
    result = silent(app, sandbox, force=True)
    assert result["error"] == "invalid_grant"
    assert str(result["error_description"]).startswith("AADSTS700082")
    assert "access_token" in silent(sign_in(sandbox, session), sandbox, force=True)


def refresh(sandbox: Sandbox, session: requests.Session, token: str) -> dict[str, object]:
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "refresh_token": token,
        "scope": f"{sandbox.base_url}/.default offline_access",
    }
    answer: dict[str, object] = session.post(f"{sandbox.base_url}/{TENANT_ID}/oauth2/v2.0/token", data=form).json()
    return answer


@pytest.mark.parametrize("strict", [False, True])
def test_refresh_tokens_rotate_and_strictly_a_used_one_is_refused(strict: bool, session: requests.Session) -> None:
    with Sandbox(strict_rotation=strict) as rotating:
        session.verify = str(rotating.ca_file)
        app = make_app(rotating, session)
        old = app.acquire_token_by_device_flow(app.initiate_device_flow(scopes(rotating)))["refresh_token"]
        new = refresh(rotating, session, old)["refresh_token"]
        assert new != old
        replayed = refresh(rotating, session, old)
        assert (replayed.get("error") == "invalid_grant") == strict
        assert ("AADSTS50173" in str(replayed.get("error_description"))) == strict
        assert "access_token" in refresh(rotating, session, str(new))


def test_a_refresh_token_from_elsewhere_is_refused(sandbox: Sandbox, session: requests.Session) -> None:
    assert refresh(sandbox, session, "0.made-up")["error"] == "invalid_grant"


def test_a_denied_request_carries_the_wanted_error_once(sandbox: Sandbox, session: requests.Session) -> None:
    app = sign_in(sandbox, session)
    sandbox.identity.deny_next("interaction_required", "AADSTS50076")
    refused = silent(app, sandbox, force=True)
    assert (refused["error"], refused["error_codes"]) == ("interaction_required", [50076])
    assert "access_token" in silent(sign_in(sandbox, session), sandbox, force=True)


def test_an_unknown_tenant_gets_microsofts_error(sandbox: Sandbox, session: requests.Session) -> None:
    answer = session.get(f"{sandbox.base_url}/nobody.example/v2.0/.well-known/openid-configuration")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_tenant")
    assert answer.json()["error_codes"] == [90002]
    assert answer.json()["error_description"].startswith("AADSTS90002")
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        make_app(sandbox, session, tenant="nobody.example").initiate_device_flow(scopes(sandbox))


def test_an_unknown_application_gets_microsofts_error(sandbox: Sandbox, session: requests.Session) -> None:
    flow = make_app(sandbox, session, client_id="00000000-0000-4000-8000-000000000001").initiate_device_flow(
        scopes(sandbox)
    )
    assert flow["error"] == "unauthorized_client"
    assert flow["error_description"].startswith("AADSTS700016")


@pytest.mark.parametrize(
    ("scope", "code"), [("https://graph.example/.default", "AADSTS500011"), ("nonsense", "AADSTS70011")]
)
def test_a_wrong_scope_gets_microsofts_error(
    scope: str, code: str, sandbox: Sandbox, session: requests.Session
) -> None:
    flow = make_app(sandbox, session).initiate_device_flow([scope])
    assert flow["error_description"].startswith(code)


def test_a_confidential_application_needs_its_secret(session: requests.Session) -> None:
    with Sandbox(client_secret="s3cret") as confidential:
        session.verify = str(confidential.ca_file)
        app = make_app(confidential, session)
        result = app.acquire_token_by_device_flow(app.initiate_device_flow(scopes(confidential)))
        assert result["error_description"].startswith("AADSTS7000218")
        form = {
            "grant_type": DEVICE_GRANT,
            "client_id": CLIENT_ID,
            "device_code": confidential.identity.device_codes[0].device_code,
        }
        url = f"{confidential.base_url}/{TENANT_ID}/oauth2/v2.0/token"
        assert session.post(url, data={**form, "client_secret": "wrong"}).json()["error_codes"] == [7000215]
        assert "access_token" in session.post(url, data={**form, "client_secret": "s3cret"}).json()


@pytest.fixture
def manual(session: requests.Session) -> Iterator[Sandbox]:
    with Sandbox(approve="manual") as running:
        session.verify = str(running.ca_file)
        yield running


def poll_once(app: msal.PublicClientApplication, flow: dict[str, object]) -> dict[str, object]:
    return app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)


def test_a_person_enters_the_code_on_the_page(manual: Sandbox, session: requests.Session) -> None:
    app = make_app(manual, session)
    flow = app.initiate_device_flow(scopes(manual))
    assert poll_once(app, flow)["error"] == "authorization_pending"
    page = session.get(flow["verification_uri"])
    assert '<label for="otc">' in page.text
    wrong = session.post(flow["verification_uri"], data={"otc": '"><script>', "action": "approve"})
    assert (wrong.status_code, "<script>" in wrong.text, 'role="alert"' in wrong.text) == (400, False, True)
    done = session.post(flow["verification_uri"], data={"otc": f" {flow['user_code'].lower()} ", "action": "approve"})
    assert "You are signed in" in done.text
    flow["latest_attempt_at"] = 0
    assert "access_token" in poll_once(app, flow)


def test_a_declined_sign_in_says_so(manual: Sandbox, session: requests.Session) -> None:
    app = make_app(manual, session)
    flow = app.initiate_device_flow(scopes(manual))
    session.post(flow["verification_uri"], data={"otc": flow["user_code"], "action": "decline"})
    assert poll_once(app, flow)["error"] == "authorization_declined"


def test_a_device_code_is_good_once_and_not_for_ever(manual: Sandbox, session: requests.Session) -> None:
    app = make_app(manual, session)
    flow = app.initiate_device_flow(scopes(manual))
    assert manual.identity.approve(flow["user_code"])
    assert "access_token" in poll_once(app, flow)
    assert not manual.identity.approve(flow["user_code"])
    flow["latest_attempt_at"] = 0
    assert poll_once(app, flow)["error"] == "bad_verification_code"
    manual.identity.device_seconds = 0
    late = app.initiate_device_flow(scopes(manual))
    assert poll_once(app, late)["error"] == "expired_token"


def test_discovery_finds_the_tenant_of_a_sample_domain(sandbox: Sandbox, session: requests.Session) -> None:
    found = session.get(f"{sandbox.base_url}/contoso.com/v2.0/.well-known/openid-configuration").json()
    tenant_id = urlsplit(found["issuer"]).path.split("/")[1]
    assert found["tenant_region_scope"] == "NA"
    assert tenant_id != TENANT_ID
    by_id = session.get(f"{sandbox.base_url}/{tenant_id}/v2.0/.well-known/openid-configuration").json()
    assert by_id["issuer"] == found["issuer"]
    own = session.get(f"{sandbox.base_url}/{TENANT_ID}/v2.0/.well-known/openid-configuration").json()
    assert json.dumps(own).count(f"{sandbox.base_url}/{TENANT_ID}/") >= 4
