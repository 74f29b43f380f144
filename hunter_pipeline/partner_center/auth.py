"""Sign-in to Microsoft with the device-code flow, and silent renewal afterwards.

Belongs here: everything that asks Microsoft's identity service, through MSAL. Does not belong here: how
the tokens are kept (token_cache.py) and what they are used for (client.py). A person signs in once with
`device_login`; everything in the background calls `acquire`, which never prompts.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msal
import requests
import structlog
from msal.exceptions import MsalError
from requests.adapters import HTTPAdapter

from hunter_pipeline.masking import mask_email, mask_id
from hunter_pipeline.partner_center.errors import (
    LOGIN,
    NetworkError,
    SignInFailed,
    SignInRequired,
    sign_in_error,
)
from hunter_pipeline.partner_center.network import network_error
from hunter_pipeline.partner_center.token_cache import CacheState, LockedTokenCache, TokenCache

IDLE_LIFETIME = timedelta(days=90)
"""A refresh token lasts this long after its last use (learn.microsoft.com/entra/identity-platform/refresh-tokens)."""

EXPIRY_MARGIN = 300
"""Seconds before its expiry at which an access token counts as expired; MSAL's own figure."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class DeviceCode:
    """What a person needs to sign in on any device with a browser."""

    user_code: str
    verification_uri: str
    expires_at: datetime


@dataclass(frozen=True)
class Account:
    """Who is signed in."""

    username: str
    """The masked user name."""
    tenant_id: str
    """The tenant that it is signed in to; a guest's home is another."""
    signed_in_until: datetime
    """When the sign-in ends if it is not used before; each use moves it."""


@dataclass(frozen=True)
class SignInStatus:
    """What the token cache says, without asking Microsoft."""

    account: Account | None
    access_token_expires_at: datetime | None
    refresh_token_renewed_at: datetime | None


class _ConfidentialClient(msal.ConfidentialClientApplication):  # type: ignore[misc]
    """A confidential client that can do the device-code flow.

    MSAL offers the flow on its public client only. The identity service takes it from a client with a
    secret as well (AADSTS7000218 asks for just that), and a refresh token got with a secret is renewed with it.
    """

    DEVICE_FLOW_CORRELATION_ID = msal.PublicClientApplication.DEVICE_FLOW_CORRELATION_ID
    initiate_device_flow = msal.PublicClientApplication.initiate_device_flow
    acquire_token_by_device_flow = msal.PublicClientApplication.acquire_token_by_device_flow


class _TimeoutAdapter(HTTPAdapter):
    """Gives every request a time-out, which MSAL does not."""

    def __init__(self, timeout: float) -> None:
        super().__init__(max_retries=1)
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send with the time-out, unless the caller set one."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        return super().send(request, *args, **kwargs)


class SignIn:
    """The sign-in of one application at one authority. Safe to share between threads.

    :param client_id: application (client) id.
    :param client_secret: for a confidential client; None for a public one.
    :param authority: https address of the authority with the tenant, such as
        `https://login.microsoftonline.com/<tenant id>`.
    :param scopes: delegated scopes to ask for.
    :param instance_discovery: whether MSAL checks the authority's host with Microsoft.
    :param cache: where the tokens are kept.
    :param timeout: seconds to wait for each answer of the identity service.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        authority: str,
        scopes: Sequence[str],
        instance_discovery: bool,
        cache: TokenCache,
        *,
        timeout: float = 30.0,
    ) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._authority = authority
        self._scopes = list(scopes)
        self._instance_discovery = instance_discovery
        self._cache = cache
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._tokens = msal.SerializableTokenCache()
        self._application: Any = None
        self._answers: dict[Any, Any] = {}
        self._handed_out: str | None = None

    def acquire(self, *, force_refresh: bool = False) -> str:
        """An access token, without asking anybody.

        A token in the cache that is still valid is returned without lock and without network. Else the
        cache is locked and read again, as another process may have renewed meanwhile, then renewed and
        written back. Should this process die between Microsoft's answer and the writing, the older refresh
        token stays valid: Microsoft does not revoke one by its use.

        :param force_refresh: the API refused the last token: do not return that one again.
        :raises SignInRequired: nobody has signed in, or the sign-in no longer holds.
        :raises SignInFailed: the application, tenant or scope is wrong.
        :raises NetworkError: the identity service cannot be reached or is in trouble.
        :raises TokenCacheUnreadable: the cache is damaged or written with another key.
        """
        refused = self._handed_out if force_refresh else None
        if not force_refresh:
            token = self._valid_token(self._cache.read())
            if token:
                self._handed_out = token
                return token
        elif self._cache.read() is None:
            raise _nobody()
        with self._mutex:
            application = self._connect()
            with self._cache.locked() as cache:
                state = cache.read()
                token = self._valid_token(state)
                if token is None or (force_refresh and token == (refused or token)):
                    token = self._renew(application, cache, state, force_refresh)
        self._handed_out = token
        return token

    def device_login(self, show: Callable[[DeviceCode], None], timeout: float = 900.0) -> Account:
        """Sign a person in and store the sign-in in place of any earlier one.

        With a client secret the flow is done as a confidential client, see `_ConfidentialClient`. The
        earlier sign-in stays untouched until this one has succeeded.

        :param show: called once with the code and the address to enter it at.
        :param timeout: seconds to wait for the person; never longer than the code is valid.
        :returns: who signed in, and until when that lasts.
        :raises SignInRequired: declined, or not completed in time.
        :raises SignInFailed: the application, tenant or scope is wrong.
        :raises NetworkError: the identity service cannot be reached.
        """
        tokens = msal.SerializableTokenCache()
        application = self._build(tokens)
        flow = self._ask(lambda: application.initiate_device_flow(scopes=self._scopes))
        if "user_code" not in flow:
            raise _refusal(flow)
        # Of an interval of 0, MSAL would make a loop without a pause.
        flow["interval"] = max(1, flow["interval"])
        deadline = min(time.time() + timeout, flow["expires_at"])
        show(DeviceCode(flow["user_code"], str(flow.get("verification_uri")), datetime.fromtimestamp(deadline, UTC)))
        result = self._poll(application, flow, deadline)
        if "access_token" not in result:
            raise _refusal(result)
        state = CacheState(self._authority, tokens.serialize())
        account = _status(_entries(state)).account
        if account is None or not _entries(state, "RefreshToken"):
            raise SignInFailed(
                "Microsoft gave no refresh token: let the app registration have delegated permissions, and check "
                "HUNTER_PARTNER_CENTER_SCOPE"
            )
        with self._cache.locked() as cache:
            cache.write(state)
        _log.info("partner_center_signed_in", account=account.username, tenant_id=mask_id(account.tenant_id))
        return account

    def forget(self) -> None:
        """Remove the stored sign-in, readable or not. Microsoft itself is not told: it offers no call for that."""
        with self._cache.locked() as cache:
            cache.delete()
        self._handed_out = None

    def status(self) -> SignInStatus:
        """What the cache says.

        :raises TokenCacheUnreadable: the cache is damaged or written with another key.
        """
        state = self._cache.read()
        return _status(_entries(state) if state else {})

    def tenant(self) -> str | None:
        """The tenant that the stored sign-in is for; None when nobody is signed in.

        :raises TokenCacheUnreadable: the cache is damaged or written with another key.
        """
        account = self.status().account
        return account.tenant_id if account else None

    def _valid_token(self, state: CacheState | None) -> str | None:
        """The access token in the cache if it is good for a request to come; MSAL's rules, without its discovery."""
        if state is None or state.authority != self._authority:
            return None
        now = time.time()
        for entry in _entries(state, "AccessToken"):
            if (
                entry.get("client_id") == self._client_id
                and set(self._scopes) <= set(str(entry.get("target", "")).split())
                and int(entry["expires_on"]) - now >= EXPIRY_MARGIN
                and int(entry.get("refresh_on", entry["expires_on"])) > now
            ):
                return str(entry["secret"])
        return None

    def _renew(self, application: Any, cache: LockedTokenCache, state: CacheState | None, force_refresh: bool) -> str:
        if state is None:
            raise _nobody()
        self._tokens.deserialize(state.tokens)
        accounts = self._ask(application.get_accounts)
        if not accounts:
            raise _nobody()
        result = self._ask(
            lambda: application.acquire_token_silent_with_error(
                self._scopes, account=accounts[0], force_refresh=force_refresh
            )
        )
        if self._tokens.has_state_changed:
            cache.write(CacheState(self._authority, self._tokens.serialize()))
        if result is None:
            raise _nobody()
        if "access_token" not in result:
            raise _refusal(result)
        if result.get("token_source") == "identity_provider":
            _log.debug("partner_center_token_renewed", client_id=mask_id(self._client_id), forced=force_refresh)
        return str(result["access_token"])

    def _poll(self, application: Any, flow: dict[str, Any], deadline: float) -> Mapping[str, Any]:
        """Ask until the person is done (RFC 8628, section 3.5); a lost answer does not end the sign-in."""
        while True:
            try:
                result: Mapping[str, Any] = self._ask(
                    lambda: application.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
                )
                if result.get("error") not in ("authorization_pending", "slow_down") or time.time() >= deadline:
                    return result
            except NetworkError:
                if time.time() >= deadline:
                    raise
                flow["interval"] += 1
            time.sleep(max(0.0, min(flow["interval"], deadline - time.time())))

    def _connect(self) -> Any:
        """MSAL's application over the shared cache, made when it is first needed: making it asks the network."""
        if self._application is None:
            self._application = self._build(self._tokens)
        return self._application

    def _build(self, tokens: Any) -> Any:
        # MSAL logs answers of the identity service, the device code among them.
        logging.getLogger("msal").setLevel(logging.CRITICAL + 1)
        session = requests.Session()
        session.mount("https://", _TimeoutAdapter(self._timeout))
        # A redirect would carry the refresh token to another address.
        session.max_redirects = 0
        # With no authentication set, requests would take one from ~/.netrc.
        session.auth = lambda request: request
        credential = {"client_credential": self._client_secret} if self._client_secret else {}
        kind = _ConfidentialClient if self._client_secret else msal.PublicClientApplication
        return self._ask(
            lambda: kind(
                self._client_id,
                authority=self._authority,
                instance_discovery=self._instance_discovery,
                token_cache=tokens,
                http_client=session,
                http_cache=self._answers,
                **credential,
            )
        )

    def _ask(self, call: Callable[[], Any]) -> Any:
        """Run a call of MSAL and turn what it raises into our errors."""
        host = urlsplit(self._authority).netloc
        try:
            return call()
        except requests.TooManyRedirects:
            raise SignInFailed(
                f"{host} redirects, which a sign-in does not follow; check HUNTER_PARTNER_CENTER_AUTHORITY"
            ) from None
        except requests.RequestException as error:
            raise network_error(host, error, self._timeout) from None
        except MsalError:
            # MSAL keeps an answer of 5xx for seconds and gives it again unasked: a second attempt would be none.
            self._answers.clear()
            raise NetworkError(f"The identity service at {host} is in trouble; try again later") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _discovery_error(host, error) from None


def _discovery_error(host: str, error: Exception) -> SignInFailed:
    """MSAL reports an unknown tenant and a bad authority as ValueError, Microsoft's answer only in its context."""
    text = f"{error} {error.__context__ or ''}"
    code = re.search(r"AADSTS(\d{4,8})", text)
    if code:
        return sign_in_error("invalid_tenant", int(code[1]))
    if "invalid_instance" in text:
        return SignInFailed(
            f"Microsoft does not know the authority {host}; check HUNTER_PARTNER_CENTER_AUTHORITY, or set "
            "HUNTER_PARTNER_CENTER_INSTANCE_DISCOVERY=false"
        )
    return SignInFailed(
        f"{host} does not answer as an identity service does; check HUNTER_PARTNER_CENTER_AUTHORITY, "
        "HUNTER_PARTNER_CENTER_TENANT_ID and HUNTER_PARTNER_CENTER_SCOPE, and whether a proxy answers in its place"
    )


def _refusal(result: Mapping[str, Any]) -> SignInFailed | NetworkError:
    """The error for an error answer (RFC 6749, section 5.2, with Microsoft's `error_codes`)."""
    error = str(result.get("error", ""))
    codes = [code for code in result.get("error_codes") or [] if isinstance(code, int)]
    named = re.search(r"AADSTS(\d{4,8})", str(result.get("error_description", "")))
    if error in ("temporarily_unavailable", "server_error"):
        return NetworkError("Microsoft's identity service is in trouble; try again later")
    return sign_in_error(error, codes[0] if codes else int(named[1]) if named else None)


def _nobody() -> SignInRequired:
    return SignInRequired(f"Nobody has signed in to Partner Center yet; {LOGIN}")


def _entries(state: CacheState, kind: str | None = None) -> Any:
    """MSAL's cache as a mapping of kinds, or the entries of one kind."""
    content = json.loads(state.tokens)
    return content if kind is None else list(content.get(kind, {}).values())


def _tenant(content: Mapping[str, Any]) -> str | None:
    """Claim `tid` of the ID token: the tenant that gave the tokens, whatever name the settings call it by."""
    for entry in content.get("IdToken", {}).values():
        try:
            claims = str(entry["secret"]).split(".")[1]
            tenant = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))).get("tid")
        except (IndexError, ValueError, AttributeError):
            continue
        if tenant:
            return str(tenant).lower()
    return None


def _status(content: Mapping[str, Any]) -> SignInStatus:
    accounts = list(content.get("Account", {}).values())
    renewed = [int(entry["last_modification_time"]) for entry in content.get("RefreshToken", {}).values()]
    expires = [int(entry["expires_on"]) for entry in content.get("AccessToken", {}).values()]
    renewed_at = datetime.fromtimestamp(max(renewed), UTC) if renewed else None
    account = None
    if accounts and renewed_at:
        account = Account(
            username=mask_email(str(accounts[0].get("username", ""))),
            tenant_id=_tenant(content) or str(accounts[0].get("home_account_id", "")).rpartition(".")[2],
            signed_in_until=renewed_at + IDLE_LIFETIME,
        )
    return SignInStatus(
        account=account,
        access_token_expires_at=datetime.fromtimestamp(max(expires), UTC) if expires else None,
        refresh_token_renewed_at=renewed_at,
    )
