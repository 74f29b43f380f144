"""Every error is one line that names the fix."""

import pytest

from hunter_pipeline.partner_center.errors import ApiError, SignInFailed, SignInRequired, sign_in_error

# Codes and their meaning: learn.microsoft.com/entra/identity-platform/reference-error-codes
FIXES = [
    ("invalid_client", 7000218, "Allow public client flows"),
    ("invalid_tenant", 90002, "HUNTER_PARTNER_CENTER_TENANT_ID"),
    ("invalid_request", 900021, "HUNTER_PARTNER_CENTER_TENANT_ID"),
    ("invalid_request", 900023, "HUNTER_PARTNER_CENTER_TENANT_ID"),
    ("invalid_request", 50059, "HUNTER_PARTNER_CENTER_TENANT_ID"),
    ("unauthorized_client", 700016, "HUNTER_PARTNER_CENTER_CLIENT_ID"),
    ("invalid_grant", 65001, "consent"),
    ("invalid_client", 7000215, "HUNTER_PARTNER_CENTER_CLIENT_SECRET"),
    ("invalid_client", 7000222, "expired.*HUNTER_PARTNER_CENTER_CLIENT_SECRET"),
    ("access_denied", 53003, "conditional access"),
    ("invalid_resource", 500011, "HUNTER_PARTNER_CENTER_SCOPE"),
]
LOGINS = [
    ("invalid_grant", 700082),
    ("invalid_grant", 50173),
    ("interaction_required", 50076),
    ("interaction_required", 50079),
    ("invalid_grant", 70008),
    ("invalid_grant", 123456),
    ("interaction_required", None),
    ("authorization_declined", 70018),
    ("expired_token", 70020),
]


@pytest.mark.parametrize(("error", "code", "fix"), FIXES)
def test_a_refusal_that_settings_or_administrators_mend_says_which(error: str, code: int, fix: str):
    problem = sign_in_error(error, code)
    assert type(problem) is SignInFailed
    assert problem.code == code
    assert not problem.transient
    with pytest.raises(SignInFailed, match=rf"AADSTS{code}\): .*{fix}"):
        raise problem


@pytest.mark.parametrize(("error", "code"), LOGINS)
def test_a_refusal_that_a_new_sign_in_mends_says_so(error: str, code: int | None):
    problem = sign_in_error(error, code)
    assert isinstance(problem, SignInRequired)
    assert "run `hunter login`" in str(problem)
    assert problem.code == code


@pytest.mark.parametrize(("error", "code", "_fix"), [*FIXES, *((*each, "") for each in LOGINS)])
def test_every_refusal_is_one_line(error: str, code: int | None, _fix: str):
    assert "\n" not in str(sign_in_error(error, code))


def test_an_unknown_refusal_keeps_its_word_only_when_it_is_one():
    assert "some_new_error" in str(sign_in_error("some_new_error", None))
    assert "sue@contoso.com" not in str(sign_in_error("refused for sue@contoso.com", None))


@pytest.mark.parametrize(
    ("status", "transient"),
    [(400, False), (401, False), (403, False), (404, False), (408, True), (409, False), (429, True), (500, True),
     (501, True), (503, True), (504, True), (302, False)],
)  # fmt: skip
def test_only_overload_and_server_trouble_pass_by_themselves(status: int, transient: bool):
    assert ApiError(status).transient is transient


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (302, "HUNTER_PARTNER_CENTER_BASE_URL"),
        (401, "HUNTER_PARTNER_CENTER_SCOPE.*hunter login"),
        (403, "Referrals Admin"),
        (404, "HUNTER_PARTNER_CENTER_BASE_URL"),
        (429, "HUNTER_PARTNER_CENTER_REQUEST_INTERVAL"),
        (503, "next sync"),
    ],
)
def test_an_api_error_names_the_fix_and_what_support_asks_for(status: int, fix: str):
    with pytest.raises(ApiError, match=rf"{status} someCode: .*{fix}.*request id abc, correlation id def"):
        raise ApiError(status, "someCode", "abc", "def")
