"""What can go wrong with Partner Center, told apart by what somebody has to do about it.

Belongs here: the error classes and the wording of each fix. Does not belong here: when they are raised.
Every text is one line, names the fix, and holds no token and no personal data. `transient` says whether
the same call can succeed later without anybody changing anything.
"""

from __future__ import annotations

from datetime import datetime

LOGIN = "run `hunter login`"

_CODES: dict[int, str] = {
    # learn.microsoft.com/entra/identity-platform/reference-error-codes
    7000218: "the app registration takes no public clients: set 'Allow public client flows' to Yes under "
    "Authentication, or set HUNTER_PARTNER_CENTER_CLIENT_SECRET",
    90002: "no such tenant: check HUNTER_PARTNER_CENTER_TENANT_ID",
    900021: "no such tenant: check HUNTER_PARTNER_CENTER_TENANT_ID",
    900023: "no such tenant: check HUNTER_PARTNER_CENTER_TENANT_ID",
    50059: "the authority names no tenant: set HUNTER_PARTNER_CENTER_TENANT_ID",
    50194: "the app registration is for one tenant only: set HUNTER_PARTNER_CENTER_TENANT_ID",
    700016: "the tenant knows no such application: check HUNTER_PARTNER_CENTER_CLIENT_ID "
    "and HUNTER_PARTNER_CENTER_TENANT_ID",
    7000215: "the client secret is wrong: set HUNTER_PARTNER_CENTER_CLIENT_SECRET to the secret's value, not its id",
    7000222: "the client secret has expired: make a new one and set HUNTER_PARTNER_CENTER_CLIENT_SECRET",
    65001: "consent is missing: let an administrator grant the delegated permission of the app registration, "
    f"then {LOGIN}",
    500011: "the tenant knows no such API: check HUNTER_PARTNER_CENTER_SCOPE and the app registration's permissions",
    70011: "the scope is not valid: check HUNTER_PARTNER_CENTER_SCOPE",
    53003: "a conditional access policy blocks the sign-in: ask the tenant's administrator to allow the device-code "
    f"flow for this application, then {LOGIN}",
    50105: "the account is not assigned to the application: let an administrator assign it",
    50057: f"the account is disabled: {LOGIN} with another one",
    50020: f"the account does not belong to the tenant: {LOGIN} with an account of the partner's tenant",
}

_LOGIN_CODES: dict[int, str] = {
    700082: "the sign-in has expired after 90 days without use",
    70008: "the sign-in has expired",
    700084: "the sign-in has expired",
    70043: "the sign-in has expired under the tenant's sign-in frequency policy",
    50173: "the sign-in was revoked or the password has changed",
    50132: "the sign-in was revoked or the password has changed",
    50133: "the sign-in was revoked or the password has changed",
    50078: "multi-factor authentication has expired",
    50076: "multi-factor authentication is needed",
    50079: "multi-factor authentication must be set up",
    50072: "multi-factor authentication must be set up",
    50074: "multi-factor authentication is needed",
    50158: "a further check at the sign-in is needed",
    70000: "the stored sign-in was refused",
}

_DEVICE_ERRORS: dict[str, str] = {
    # RFC 8628, section 3.5
    "authorization_declined": "the sign-in was declined",
    "access_denied": "the sign-in was declined",
    "expired_token": "the code was not entered in time",
    "code_expired": "the code was not entered in time",
    "authorization_pending": "the code was not entered in time",
    "slow_down": "the code was not entered in time",
}


class PartnerCenterError(RuntimeError):
    """Anything that kept Hunter from reading Partner Center.

    `transient`: trying later can help. `login_helps`: a new sign-in is all that it takes.
    """

    transient = False
    login_helps = False


class NetworkError(PartnerCenterError):
    """No answer, or none that came through whole."""

    transient = True


class TokenCacheUnreadable(PartnerCenterError):  # noqa: N818
    """There is a stored sign-in or a key, and it cannot be read. Never treated as an absent one."""

    def __init__(self, text: str, *, login_helps: bool = False) -> None:
        super().__init__(text)
        self.login_helps = login_helps


class TokenCacheBusy(PartnerCenterError):  # noqa: N818
    """Another process has held the token cache for longer than a renewal can take."""

    transient = True


class UnreadablePage(PartnerCenterError):  # noqa: N818
    """The API answered 200, and the body is not what a referral call answers with."""

    def __init__(self, text: str, *, transient: bool = True) -> None:
        """Say what is wrong; `transient` is False where the same call would bring the same again."""
        super().__init__(text)
        self.transient = transient


class ReadLimit(PartnerCenterError):  # noqa: N818
    """One sync has read as much, or for as long, as it may. The text names the setting."""


class SignInFailed(PartnerCenterError):  # noqa: N818
    """Microsoft's identity service refused. `code` is the number of the AADSTS error, when it gave one."""

    def __init__(self, text: str, *, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class SignInRequired(SignInFailed):
    """A person has to sign in: nobody has yet, or the sign-in no longer holds."""

    login_helps = True


def sign_in_error(error: str, code: int | None) -> SignInFailed:
    """The error for a refusal of the identity service.

    :param error: the OAuth 2.0 error (RFC 6749, section 5.2; RFC 8628, section 3.5).
    :param code: the number of the AADSTS error, if there was one.
    """
    number = f" (AADSTS{code})" if code else ""
    if code in _CODES:
        return SignInFailed(f"Sign-in failed{number}: {_CODES[code]}", code=code)
    if code in _LOGIN_CODES:
        return SignInRequired(f"Sign-in needed{number}: {_LOGIN_CODES[code]}; {LOGIN}", code=code)
    if error in _DEVICE_ERRORS:
        return SignInRequired(f"Sign-in not completed{number}: {_DEVICE_ERRORS[error]}; {LOGIN} again", code=code)
    if error in ("invalid_grant", "interaction_required", "login_required", "consent_required"):
        return SignInRequired(f"Sign-in needed{number}: Microsoft refused the stored sign-in; {LOGIN}", code=code)
    word = error if error.replace("_", "").isalnum() and len(error) <= 64 else "no reason given"
    return SignInFailed(
        f"Sign-in failed{number}: {word}; check HUNTER_PARTNER_CENTER_CLIENT_ID, _TENANT_ID and _AUTHORITY, "
        f"then {LOGIN}",
        code=code,
    )


class ApiError(PartnerCenterError):
    """The API answered with an error status."""

    def __init__(
        self,
        status: int,
        code: str | None = None,
        request_id: str | None = None,
        correlation_id: str | None = None,
        *,
        fix: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Word the error.

        :param status: HTTP status of the answer.
        :param code: `error.code` of the answer, such as `itemNotFound`.
        :param request_id: Microsoft's id of the request, for a support ticket.
        :param correlation_id: the id that Hunter sent with all requests of one read.
        :param fix: what to do, when the caller knows better than the status alone says.
        :param retry_after: seconds that the API asked to wait.
        """
        self.status = status
        self.code = code
        self.request_id = request_id
        self.correlation_id = correlation_id
        self.retry_after = retry_after
        self.transient = status in (408, 429) or status >= 500
        named = {"request id": request_id, "correlation id": correlation_id}
        ids = ", ".join(f"{name} {value}" for name, value in named.items() if value)
        self.reason = f"Partner Center answered {status}{f' {code}' if code else ''}: {fix or _status_fix(status)}"
        super().__init__(f"{self.reason}{f' ({ids})' if ids else ''}")


class Throttled(ApiError):  # noqa: N818
    """The API asks for a longer pause than this sync can wait. `until` is when the next request may be sent."""

    def __init__(self, status: int, until: datetime, seconds: float) -> None:
        """Word the error.

        :param status: the status that came with the pause: 429 or 503.
        :param seconds: how long the pause still is.
        """
        fix = f"it asks for no request within {seconds:.0f} seconds; a sync after {until:%H:%M} UTC tries again"
        super().__init__(status, fix=fix, retry_after=seconds)
        self.until = until


def _status_fix(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed, the token would go elsewhere; check HUNTER_PARTNER_CENTER_BASE_URL"
    if status == 401:
        return f"a freshly renewed token is refused; check HUNTER_PARTNER_CENTER_SCOPE, then {LOGIN}"
    if status == 403:
        return (
            "the account may not read referrals; give it the Referrals Admin role in Partner Center and let an "
            f"administrator grant consent to the app registration, then {LOGIN}"
        )
    if status == 404:
        return "nothing is there; check HUNTER_PARTNER_CENTER_BASE_URL, or the referral is gone"
    if status == 429:
        return "too many requests; the next sync tries again, or raise HUNTER_PARTNER_CENTER_REQUEST_INTERVAL"
    if status == 408 or status >= 500:
        return "Partner Center is in trouble; the next sync tries again"
    return "the request was refused; check HUNTER_PARTNER_CENTER_BASE_URL"
