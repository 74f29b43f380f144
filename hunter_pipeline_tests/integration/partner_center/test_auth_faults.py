"""An identity service that misbehaves, or something else that answers in its place."""

from pathlib import Path

import pytest

from hunter_pipeline.partner_center.auth import DeviceCode, SignIn
from hunter_pipeline.partner_center.errors import NetworkError, PartnerCenterError, SignInFailed
from hunter_pipeline.partner_center.token_cache import FileBlobStore, TokenCache, load_keys
from hunter_pipeline.sandbox.https_server import Response, json_response
from hunter_pipeline_tests.integration.partner_center.scripted_server import Script

TENANT_ID = "5a4db0c5-0000-4000-8000-00000000a001"
CODE = {
    "user_code": "ABC",
    "device_code": "d",
    "verification_uri": "https://x.example",
    "interval": 0,
    "expires_in": 60,
}
PENDING = {"error": "authorization_pending", "error_codes": [70016]}
# client_info: {"uid": "u", "utid": "t"}; id_token: claims {"sub": "s", "preferred_username": "a@b.example"}, unsigned
TOKENS = {
    "access_token": "at",
    "refresh_token": "rt",
    "expires_in": 3600,
    "token_type": "Bearer",
    "client_info": "eyJ1aWQiOiAidSIsICJ1dGlkIjogInQifQ",
    "id_token": "e30.eyJzdWIiOiAicyIsICJwcmVmZXJyZWRfdXNlcm5hbWUiOiAiYUBiLmV4YW1wbGUifQ.",
}


@pytest.fixture
def sign_in(script: Script, tmp_path: Path) -> SignIn:
    cache = TokenCache(FileBlobStore(tmp_path / "cache.bin"), load_keys((), tmp_path))
    return SignIn("client", None, f"{script.base_url}/{TENANT_ID}", ["https://api.example/.default"], False, cache)


def ignore(_: DeviceCode) -> None:
    """Nobody looks at the code."""


def discovery(script: Script, **changes: object) -> Response:
    base = f"{script.base_url}/{TENANT_ID}/oauth2/v2.0"
    names = {"authorization": "authorize", "token": "token", "device_authorization": "devicecode"}
    return json_response(200, {**{f"{name}_endpoint": f"{base}/{path}" for name, path in names.items()}, **changes})


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_sign_in_follows_no_redirect(script: Script, sign_in: SignIn, status: int):
    elsewhere = {"Location": f"{script.base_url}/elsewhere"}
    script.answers += [discovery(script), json_response(200, CODE), Response(status, headers=elsewhere)]
    with pytest.raises(SignInFailed, match=r"redirects.*HUNTER_PARTNER_CENTER_AUTHORITY"):
        sign_in.device_login(ignore)
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b"<html>Sign in to the guest network</html>"),
        Response(200, b"[]"),
        Response(200, b"{}"),
        Response(404, b"not found"),
    ],
)
def test_something_else_at_the_authority_names_the_setting(script: Script, sign_in: SignIn, answer: Response):
    script.answers.append(answer)
    with pytest.raises(SignInFailed, match="HUNTER_PARTNER_CENTER_AUTHORITY") as caught:
        sign_in.device_login(ignore)
    assert "\n" not in str(caught.value)


def test_a_token_endpoint_without_tls_is_refused(script: Script, sign_in: SignIn):
    script.answers.append(discovery(script, token_endpoint=f"http{script.base_url[5:]}/{TENANT_ID}/oauth2/v2.0/token"))
    with pytest.raises(SignInFailed):
        sign_in.device_login(ignore)
    assert len(script.requests) == 1


def test_an_identity_service_in_trouble_can_be_tried_later(script: Script, sign_in: SignIn):
    script.answers.append(Response(503))
    with pytest.raises(NetworkError, match="in trouble") as caught:
        sign_in.device_login(ignore)
    assert caught.value.transient


def test_a_lost_answer_does_not_end_the_sign_in(script: Script, sign_in: SignIn):
    answers = [discovery(script), json_response(200, CODE), None, json_response(200, TOKENS)]
    script.answers += answers
    account = sign_in.device_login(ignore)
    assert (account.username, account.tenant_id) == ("a…@b.example", "t")
    assert len(script.requests) == len(answers)


def test_a_code_that_is_still_pending_is_asked_for_with_a_pause_even_if_none_is_given(script: Script, sign_in: SignIn):
    script.answers += [discovery(script), json_response(200, CODE), json_response(400, PENDING)]
    with pytest.raises(PartnerCenterError):
        sign_in.device_login(ignore, timeout=0)
    assert len(script.requests) == 3


@pytest.mark.parametrize("missing", ["refresh_token", "client_info"])
def test_a_sign_in_that_could_not_be_renewed_later_is_not_stored(script: Script, sign_in: SignIn, missing: str):
    tokens = {name: value for name, value in TOKENS.items() if name not in (missing, "id_token")}
    script.answers += [discovery(script), json_response(200, CODE), json_response(200, tokens)]
    with pytest.raises(SignInFailed, match="no refresh token"):
        sign_in.device_login(ignore)
    assert sign_in.status().account is None
