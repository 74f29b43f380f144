"""A local identity provider: the part of Microsoft Entra ID that a device-code sign-in and its refreshes use.

Here belong discovery, the device code, tokens, and the errors with Microsoft's codes, so that MSAL works unchanged.
Left out: browser redirects, passwords, signatures (MSAL reads the id token without checking one). Sources: RFC 8628
for the flow, and learn.microsoft.com/entra/identity-platform `v2-oauth2-device-code` and `reference-error-codes`.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from hunter_pipeline.sandbox.https_server import Request, Response, json_response
from hunter_pipeline.sandbox.identity_answers import code_form, done_page, entra_error, tenant_not_found

TENANT_ID: Final = "5a4db0c5-0000-4000-8000-00000000a001"
CLIENT_ID: Final = "5a4db0c5-0000-4000-8000-00000000c001"
USER_ID: Final = "5a4db0c5-0000-4000-8000-00000000e001"
USERNAME: Final = "referrals.admin@sandbox-partner.example"
REAL_RESOURCE: Final = "https://api.partner.microsoft.com"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

_TENANT_ALIASES: Final = frozenset({"common", "organizations", "consumers"})
_OIDC_SCOPES: Final = frozenset({"openid", "profile", "offline_access", "email"})
_CODE_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_DISCOVERY: Final = "/v2.0/.well-known/openid-configuration"


@dataclass
class DeviceCode:
    """One sign-in under way. `state` moves from pending to approved or declined, then to redeemed."""

    device_code: str
    user_code: str
    scope: str
    expires_at: float
    state: Literal["pending", "approved", "declined", "redeemed"] = "pending"


@dataclass
class Identity:
    """The state of the identity provider; one person, one application.

    :param approve_mode: `auto` (a device code is approved when it is made) or `manual` (a person enters it on the page,
        or a test calls `approve`).
    :param access_token_seconds: MSAL counts a token as expired five minutes early, so 300 or less means a refresh for
        every request.
    :param strict_rotation: refuse a refresh token that was used before.
    :param client_secret: makes the application confidential: every token request must carry it.
    :param tenants: for a domain, the tenant id and region that discovery shows.
    :param device_interval: polling pause of a device code, in seconds.
    :param device_seconds: life time of a device code, in seconds.
    :param tenant_id: the tenant of who signs in.
    """

    approve_mode: Literal["auto", "manual"] = "auto"
    access_token_seconds: int = 3600
    strict_rotation: bool = False
    client_secret: str | None = None
    tenants: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    device_interval: int = 1
    device_seconds: int = 900
    tenant_id: str = TENANT_ID
    base_url: str = ""
    refreshes: int = 0
    device_codes: list[DeviceCode] = field(default_factory=list)
    _access_tokens: dict[str, float] = field(default_factory=dict)
    _refresh_tokens: dict[str, str] = field(default_factory=dict)
    _denials: deque[tuple[str, str]] = field(default_factory=deque)
    _troubles: deque[int] = field(default_factory=deque)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def approve(self, user_code: str) -> bool:
        """Approve the pending sign-in with this code (any case); False when there is none."""
        return self._decide(user_code, "approved")

    def decline(self, user_code: str) -> bool:
        """Decline the pending sign-in with this code; False when there is none."""
        return self._decide(user_code, "declined")

    def revoke(self) -> None:
        """Let every refresh token end (AADSTS700082), as after 90 idle days; a new sign-in is needed."""
        with self._lock:
            self._refresh_tokens = dict.fromkeys(self._refresh_tokens, "ended")

    def expire_access_tokens(self) -> None:
        """Let the API refuse every access token handed out so far, whatever life time it was given."""
        with self._lock:
            self._access_tokens.clear()

    def deny_next(self, error: str, aadsts: str) -> None:
        """Refuse the next token request with this OAuth error and Microsoft's code, such as `AADSTS50076`."""
        self._denials.append((error, aadsts))

    def fail_next(self, count: int = 1, status: int = 503) -> None:
        """Answer the next `count` token requests with this status and a page of HTML, as a gateway in trouble does."""
        self._troubles.extend([status] * count)

    def accepts(self, access_token: str) -> bool:
        """Whether the API takes this access token now."""
        with self._lock:
            return time.time() < self._access_tokens.get(access_token, 0.0)

    def answer(self, request: Request) -> Response | None:
        """Answer what is asked of the identity provider; None for a path that is not its own."""
        path = request.path
        tenant = path.split("/")[1]
        if path.endswith(_DISCOVERY) and path.count("/") == _DISCOVERY.count("/") + 1:
            return self._discover(tenant)
        rest = path.removeprefix(f"/{tenant}")
        if rest == "/oauth2/deviceauth":
            return self._page(request)
        if rest == "/discovery/v2.0/keys":
            return json_response(200, {"keys": []})
        if rest not in {"/oauth2/v2.0/devicecode", "/oauth2/v2.0/token"}:
            return None
        if request.method != "POST":
            return entra_error("invalid_request", "AADSTS900561", "The endpoint only accepts POST requests.")
        with self._lock:
            if self._troubles:
                return Response(self._troubles.popleft(), b"<html>The service is unavailable</html>", "text/html")
            form = request.form
            refused = self._refuse_client(tenant, form)
            if refused:
                return refused
            return self._start_device_flow(form) if rest.endswith("devicecode") else self._token(form)

    def _discover(self, tenant: str) -> Response:
        known = self._tenant(tenant)
        if known is None:
            return tenant_not_found(tenant)
        tenant_id, region = known
        base, own = self.base_url, f"{self.base_url}/{tenant_id}"
        return json_response(
            200,
            {
                "token_endpoint": f"{own}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "jwks_uri": f"{own}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["none"],
                "response_types_supported": ["code"],
                "scopes_supported": sorted(_OIDC_SCOPES),
                "issuer": f"{own}/v2.0",
                "authorization_endpoint": f"{own}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{own}/oauth2/v2.0/devicecode",
                "tenant_region_scope": region,
                "cloud_instance_name": base.removeprefix("https://"),
            },
        )

    def _tenant(self, name: str) -> tuple[str, str] | None:
        """Tenant id and region of a tenant id, alias or domain."""
        name = name.lower()
        if name == TENANT_ID or name in _TENANT_ALIASES:
            return TENANT_ID, "EU"
        if name in self.tenants:
            return self.tenants[name]
        return next((known for known in self.tenants.values() if known[0] == name), None)

    def _refuse_client(self, tenant: str, form: Mapping[str, str]) -> Response | None:
        if self._tenant(tenant) is None:
            return tenant_not_found(tenant)
        client_id = form.get("client_id", "")
        if not client_id:
            return entra_error(
                "invalid_request",
                "AADSTS900144",
                "The request body must contain the following parameter: 'client_id'.",
            )
        if client_id.lower() != CLIENT_ID:
            return entra_error(
                "unauthorized_client",
                "AADSTS700016",
                f"Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can "
                "happen if the application has not been installed by the administrator of the tenant or consented "
                "to by any user in the tenant.",
            )
        return None

    def _start_device_flow(self, form: Mapping[str, str]) -> Response:
        scope = form.get("scope", "")
        refused = self._refuse_scope(scope)
        if refused:
            return refused
        code = DeviceCode(
            device_code=secrets.token_urlsafe(32),
            user_code="".join(secrets.choice(_CODE_LETTERS) for _ in range(9)),
            scope=scope,
            expires_at=time.time() + self.device_seconds,
            state="approved" if self.approve_mode == "auto" else "pending",
        )
        self.device_codes.append(code)
        page = f"{self.base_url}/common/oauth2/deviceauth"
        return json_response(
            200,
            {
                "user_code": code.user_code,
                "device_code": code.device_code,
                "verification_uri": page,
                "expires_in": self.device_seconds,
                "interval": self.device_interval,
                "message": f"To sign in, use a web browser to open the page {page} and enter the code "
                f"{code.user_code} to authenticate.",
            },
        )

    def _refuse_scope(self, scope: str) -> Response | None:
        wanted = [each for each in scope.split() if each not in _OIDC_SCOPES]
        own = {self.base_url, REAL_RESOURCE}
        allowed = {f"{resource}/{name}" for resource in own for name in (".default", "user_impersonation")}
        if wanted and set(wanted) <= allowed:
            return None
        for each in wanted:
            resource = each.rpartition("/")[0]
            if "://" in each and resource not in own:
                return entra_error(
                    "invalid_resource",
                    "AADSTS500011",
                    f"The resource principal named {resource} was not found in the tenant named Sandbox Partner. "
                    "This can happen if the application has not been installed by the administrator of the tenant "
                    "or consented to by any user in the tenant.",
                )
        return entra_error(
            "invalid_scope",
            "AADSTS70011",
            "The provided request must include a 'scope' input parameter. The provided value for the input "
            f"parameter 'scope' is not valid. The scope {scope} is not valid.",
        )

    def _token(self, form: Mapping[str, str]) -> Response:
        if self._denials:
            error, aadsts = self._denials.popleft()
            return entra_error(error, aadsts, "The sandbox was told to refuse this request.")
        if self.client_secret is not None and "client_secret" not in form:
            return entra_error(
                "invalid_client",
                "AADSTS7000218",
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
                status=401,
            )
        if form.get("client_secret", self.client_secret) != self.client_secret:
            return entra_error(
                "invalid_client",
                "AADSTS7000215",
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{CLIENT_ID}'.",
                status=401,
            )
        grant = form.get("grant_type")
        if grant == DEVICE_GRANT:
            return self._redeem_device_code(form)
        if grant == "refresh_token":
            return self._refresh(form)
        return entra_error(
            "unsupported_grant_type", "AADSTS70003", f"The app requested an unsupported grant type '{grant}'."
        )

    def _redeem_device_code(self, form: Mapping[str, str]) -> Response:
        code = next((each for each in self.device_codes if each.device_code == form.get("device_code")), None)
        if code is None or code.state == "redeemed":
            return entra_error(
                "bad_verification_code",
                "AADSTS70000" if code is None else "AADSTS54005",
                "The device code is not known." if code is None else "The device code was already redeemed.",
            )
        if time.time() >= code.expires_at:
            return entra_error(
                "expired_token",
                "AADSTS70020",
                "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
            )
        if code.state == "declined":
            return entra_error(
                "authorization_declined", "AADSTS70018", "The end user declined the authorization request."
            )
        if code.state == "pending":
            return entra_error(
                "authorization_pending",
                "AADSTS70016",
                "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            )
        code.state = "redeemed"
        return self._grant(code.scope, form)

    def _refresh(self, form: Mapping[str, str]) -> Response:
        token = form.get("refresh_token", "")
        state = self._refresh_tokens.get(token)
        if state == "ended":
            return entra_error(
                "invalid_grant",
                "AADSTS700082",
                "The refresh token has expired due to inactivity. The token was issued on an earlier day and was "
                "inactive for 90.00:00:00.",
            )
        if state is None or (state == "used" and self.strict_rotation):
            return entra_error(
                "invalid_grant",
                "AADSTS70000" if state is None else "AADSTS50173",
                "The provided grant is invalid or malformed."
                if state is None
                else "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
            )
        scope = form.get("scope", "")
        refused = self._refuse_scope(scope)
        if refused:
            return refused
        self._refresh_tokens[token] = "used"
        self.refreshes += 1
        return self._grant(scope, form)

    def _grant(self, scope: str, form: Mapping[str, str]) -> Response:
        now = time.time()
        resource = next(each for each in scope.split() if each not in _OIDC_SCOPES).rpartition("/")[0]
        access_token = f"sandbox-at-{secrets.token_urlsafe(32)}"
        refresh_token = f"sandbox-rt-{secrets.token_urlsafe(32)}"
        self._access_tokens[access_token] = now + self.access_token_seconds
        self._refresh_tokens[refresh_token] = "fresh"
        claims = {
            "aud": CLIENT_ID,
            "iss": f"{self.base_url}/{self.tenant_id}/v2.0",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + 3600,
            "name": "Sandbox Referrals Admin",
            "oid": USER_ID,
            "preferred_username": USERNAME,
            "sub": "sandbox-subject",
            "tid": self.tenant_id,
            "ver": "2.0",
        }
        answer: dict[str, object] = {
            "token_type": "Bearer",
            "scope": f"{resource}/user_impersonation {resource}/.default",
            "expires_in": self.access_token_seconds,
            "ext_expires_in": self.access_token_seconds,
            "access_token": access_token,
            "refresh_token": refresh_token,
            "id_token": f"{_base64({'typ': 'JWT', 'alg': 'none'})}.{_base64(claims)}.",
        }
        if form.get("client_info") == "1":
            answer["client_info"] = _base64({"uid": USER_ID, "utid": self.tenant_id})
        return json_response(200, answer, {"Cache-Control": "no-store"})

    def _decide(self, user_code: str, state: Literal["approved", "declined"]) -> bool:
        typed = user_code.strip().upper()
        with self._lock:
            for code in self.device_codes:
                if code.user_code == typed and code.state == "pending" and time.time() < code.expires_at:
                    code.state = state
                    return True
        return False

    def _page(self, request: Request) -> Response:
        if request.method != "POST":
            return code_form(request.query.get("otc", ""))
        typed = request.form.get("otc", "")
        if request.form.get("action") == "decline":
            return done_page("The sign-in was declined.") if self.decline(typed) else code_form(typed, refused=True)
        return done_page("You are signed in on the device.") if self.approve(typed) else code_form(typed, refused=True)


def _base64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
