"""Sign-in, silent renewal and the stored tokens, against a local identity provider over real HTTPS."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.fernet import Fernet, MultiFernet

from hunter_pipeline.partner_center.auth import DeviceCode, SignIn
from hunter_pipeline.partner_center.client import PartnerCenterClient
from hunter_pipeline.partner_center.errors import (
    NetworkError,
    SignInFailed,
    SignInRequired,
    TokenCacheUnreadable,
)
from hunter_pipeline.partner_center.token_cache import BlobStore, FileBlobStore, TokenCache, load_keys
from hunter_pipeline.sandbox.identity import CLIENT_ID, TENANT_ID, USERNAME
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.store.tables import token_cache
from hunter_pipeline.store.token_store import DatabaseBlobStore

RENEWING_PROCESS = Path(__file__).with_name("renewing_process.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    return tmp_path / "cache.bin"


@pytest.fixture
def cache(cache_file: Path, home: Path) -> TokenCache:
    return TokenCache(FileBlobStore(cache_file), load_keys((), home))


@pytest.fixture
def token_database(empty_database_url: str) -> str:
    engine = make_engine(empty_database_url)
    token_cache.create(engine)
    engine.dispose()
    return empty_database_url


def at(sandbox: Sandbox, cache: TokenCache, **options: Any) -> SignIn:
    return SignIn(
        **{
            "client_id": CLIENT_ID,
            "client_secret": None,
            "authority": f"{sandbox.base_url}/{TENANT_ID}",
            "scopes": [f"{sandbox.base_url}/.default"],
            "instance_discovery": False,
            "cache": cache,
            **options,
        }
    )


def ignore(_: DeviceCode) -> None:
    """Nobody looks at the code: the sandbox approves it by itself."""


@pytest.fixture
def signed_in(sandbox: Sandbox, cache: TokenCache) -> SignIn:
    sign_in = at(sandbox, cache)
    sign_in.device_login(ignore)
    return sign_in


def secrets_in(cache: TokenCache) -> list[str]:
    state = cache.read()
    assert state is not None
    content = json.loads(state.tokens)
    return [entry["secret"] for kind in content.values() for entry in kind.values() if "secret" in entry]


# Signing in


def test_a_sign_in_shows_the_code_and_tells_who_and_until_when(sandbox: Sandbox, cache: TokenCache):
    shown: list[DeviceCode] = []
    account = at(sandbox, cache).device_login(shown.append)
    (code,) = shown
    assert code.user_code == sandbox.identity.device_codes[0].user_code
    assert code.verification_uri.startswith(sandbox.base_url)
    assert timedelta(minutes=14) < code.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    assert account.username == "r…@sandbox-partner.example"
    assert account.tenant_id == TENANT_ID
    assert timedelta(days=89) < account.signed_in_until - datetime.now(UTC) <= timedelta(days=90)


def test_the_sign_in_waits_for_the_person(sandbox: Sandbox, cache: TokenCache):
    sandbox.identity.approve_mode = "manual"

    def show(code: DeviceCode) -> None:
        threading.Timer(0.2, sandbox.identity.approve, [code.user_code]).start()

    at(sandbox, cache).device_login(show)
    assert at(sandbox, cache).acquire()


def test_a_declined_sign_in_is_told_apart(sandbox: Sandbox, cache: TokenCache):
    sandbox.identity.approve_mode = "manual"
    with pytest.raises(SignInRequired, match="declined"):
        at(sandbox, cache).device_login(lambda code: sandbox.identity.decline(code.user_code) and None)


def test_a_sign_in_that_nobody_completes_ends_with_the_time(sandbox: Sandbox, cache: TokenCache):
    sandbox.identity.approve_mode = "manual"
    with pytest.raises(SignInRequired, match="not entered in time"):
        at(sandbox, cache).device_login(ignore, timeout=0.1)
    assert cache.read() is None


def test_an_attempt_that_fails_leaves_the_earlier_sign_in(sandbox: Sandbox, signed_in: SignIn, cache: TokenCache):
    before = cache.read()
    sandbox.identity.approve_mode = "manual"
    with pytest.raises(SignInRequired):
        signed_in.device_login(ignore, timeout=0)
    assert cache.read() == before


def test_a_new_sign_in_replaces_a_cache_that_cannot_be_read(sandbox: Sandbox, cache: TokenCache, cache_file: Path):
    cache_file.write_bytes(b"damaged")
    with pytest.raises(TokenCacheUnreadable):
        at(sandbox, cache).acquire()
    at(sandbox, cache).device_login(ignore)
    assert at(sandbox, cache).acquire()


def test_a_new_sign_in_leaves_nothing_of_the_earlier_one(signed_in: SignIn, cache: TokenCache):
    earlier = set(secrets_in(cache))
    signed_in.device_login(ignore)
    tokens = {each for each in secrets_in(cache) if each.startswith("sandbox-")}
    assert len(tokens) == 2
    assert not earlier & tokens


def test_a_confidential_client_signs_in_and_renews_with_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Sandbox(directory=tmp_path / "sandbox", client_secret="the-secret") as sandbox:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_file))
        cache = TokenCache(FileBlobStore(tmp_path / "cache.bin"), load_keys((), tmp_path))
        sign_in = at(sandbox, cache, client_secret="the-secret")
        sign_in.device_login(ignore)
        assert sign_in.acquire(force_refresh=True)
        with pytest.raises(SignInFailed, match=r"AADSTS7000218.*Allow public client flows"):
            at(sandbox, cache).device_login(ignore)
        with pytest.raises(SignInFailed, match=r"AADSTS7000215.*HUNTER_PARTNER_CENTER_CLIENT_SECRET"):
            at(sandbox, cache, client_secret="another").device_login(ignore)


def test_forgetting_removes_everything(signed_in: SignIn, cache: TokenCache, cache_file: Path):
    signed_in.forget()
    assert not cache_file.exists()
    assert signed_in.status().account is None
    with pytest.raises(SignInRequired, match="hunter login"):
        signed_in.acquire()


def test_a_cache_that_cannot_be_read_can_be_forgotten(sandbox: Sandbox, cache: TokenCache, cache_file: Path):
    cache_file.write_bytes(b"damaged")
    at(sandbox, cache).forget()
    assert cache.read() is None


# Acquiring a token


@pytest.mark.parametrize("force_refresh", [False, True])
def test_without_a_sign_in_the_error_names_the_command(sandbox: Sandbox, cache: TokenCache, force_refresh: bool):
    with pytest.raises(SignInRequired, match="run `hunter login`"):
        at(sandbox, cache).acquire(force_refresh=force_refresh)


def test_a_valid_token_needs_neither_network_nor_lock(sandbox: Sandbox, signed_in: SignIn, cache: TokenCache):
    token = signed_in.acquire()
    sandbox.stop()
    with cache.locked():
        assert at(sandbox, cache).acquire() == token
        assert signed_in.acquire() == token


@pytest.mark.parametrize("seconds", [1, 200])
def test_a_token_about_to_expire_is_renewed_and_written_back(sandbox: Sandbox, cache: TokenCache, seconds: int):
    sandbox.identity.access_token_seconds = seconds
    at(sandbox, cache).device_login(ignore)
    before = set(secrets_in(cache))
    sandbox.identity.access_token_seconds = 3600
    token = at(sandbox, cache).acquire()
    assert token not in before
    assert token in secrets_in(cache)
    assert sandbox.identity.refreshes == 1
    assert at(sandbox, cache).acquire() == token
    assert sandbox.identity.refreshes == 1


def test_a_refused_token_is_not_handed_out_again(sandbox: Sandbox, signed_in: SignIn):
    refused = signed_in.acquire()
    assert signed_in.acquire(force_refresh=True) != refused
    assert sandbox.identity.refreshes == 1


def test_a_token_that_another_process_renewed_meanwhile_is_taken(
    sandbox: Sandbox, signed_in: SignIn, cache: TokenCache
):
    signed_in.acquire()
    renewed = at(sandbox, cache).acquire(force_refresh=True)
    assert signed_in.acquire(force_refresh=True) == renewed
    assert sandbox.identity.refreshes == 1


def test_a_token_of_another_tenant_is_not_used(sandbox: Sandbox, signed_in: SignIn, cache: TokenCache):
    token = signed_in.acquire()
    tenant_id, _ = next(iter(sandbox.identity.tenants.values()))
    other = at(sandbox, cache, authority=f"{sandbox.base_url}/{tenant_id}")
    assert other.acquire() != token
    assert sandbox.identity.refreshes == 1


def test_a_sign_in_of_another_client_is_not_used(sandbox: Sandbox, signed_in: SignIn, cache: TokenCache):
    with pytest.raises(SignInRequired):
        at(sandbox, cache, client_id="5a4db0c5-0000-4000-8000-00000000c002").acquire()


def test_a_token_for_another_api_is_not_used(sandbox: Sandbox, signed_in: SignIn, cache: TokenCache):
    token = signed_in.acquire()
    assert at(sandbox, cache, scopes=["https://api.partner.microsoft.com/.default"]).acquire() != token


def test_the_cache_read_with_an_older_key_is_written_with_the_newest(sandbox: Sandbox, cache_file: Path):
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    at(sandbox, TokenCache(FileBlobStore(cache_file), MultiFernet([old]))).device_login(ignore)
    at(sandbox, TokenCache(FileBlobStore(cache_file), MultiFernet([new, old]))).acquire(force_refresh=True)
    assert at(sandbox, TokenCache(FileBlobStore(cache_file), MultiFernet([new]))).acquire()


def test_the_status_tells_the_times_without_network(sandbox: Sandbox, signed_in: SignIn):
    sandbox.stop()
    status = signed_in.status()
    assert status.account is not None
    assert status.access_token_expires_at is not None
    assert status.refresh_token_renewed_at is not None
    now = datetime.now(UTC)
    assert timedelta(minutes=55) < status.access_token_expires_at - now <= timedelta(hours=1)
    assert timedelta(0) <= now - status.refresh_token_renewed_at < timedelta(minutes=5)


# Refusals and failures


@pytest.mark.parametrize(
    ("error", "aadsts", "kind", "fix"),
    [
        ("interaction_required", "AADSTS50076", SignInRequired, "multi-factor.*hunter login"),
        ("invalid_grant", "AADSTS65001", SignInFailed, "consent"),
        ("invalid_grant", "AADSTS53003", SignInFailed, "conditional access"),
        ("invalid_grant", "AADSTS50173", SignInRequired, "hunter login"),
        ("invalid_client", "AADSTS7000218", SignInFailed, "Allow public client flows"),
        ("temporarily_unavailable", "AADSTS90033", NetworkError, "try again later"),
    ],
)
def test_a_refused_renewal_names_the_fix_and_keeps_the_sign_in(
    sandbox: Sandbox, signed_in: SignIn, cache: TokenCache, error: str, aadsts: str, kind: type[Exception], fix: str
):
    sandbox.identity.deny_next(error, aadsts)
    with pytest.raises(kind, match=fix):
        signed_in.acquire(force_refresh=True)
    assert at(sandbox, cache).acquire(force_refresh=True)


def test_a_revoked_sign_in_asks_for_a_new_one(sandbox: Sandbox, signed_in: SignIn):
    sandbox.identity.revoke()
    with pytest.raises(SignInRequired, match=r"AADSTS700082.*hunter login") as caught:
        signed_in.acquire(force_refresh=True)
    assert caught.value.code == 700082
    signed_in.device_login(ignore)
    assert signed_in.acquire(force_refresh=True)


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"authority": "BASE/11111111-0000-4000-8000-000000000000"}, r"AADSTS90002.*HUNTER_PARTNER_CENTER_TENANT_ID"),
        ({"client_id": "5a4db0c5-0000-4000-8000-00000000c002"}, r"AADSTS700016.*HUNTER_PARTNER_CENTER_CLIENT_ID"),
        ({"scopes": ["https://other.example/.default"]}, r"AADSTS500011.*HUNTER_PARTNER_CENTER_SCOPE"),
        ({"scopes": ["openid"]}, "HUNTER_PARTNER_CENTER_SCOPE"),
        ({"authority": "BASE"}, "HUNTER_PARTNER_CENTER_AUTHORITY"),
        ({"authority": "BASE/v1.0/engagements"}, "HUNTER_PARTNER_CENTER_AUTHORITY"),
    ],
)
def test_a_wrong_setting_is_named(sandbox: Sandbox, cache: TokenCache, options: dict[str, Any], fix: str):
    if "authority" in options:
        options = {"authority": options["authority"].replace("BASE", sandbox.base_url)}
    with pytest.raises(SignInFailed, match=fix) as caught:
        at(sandbox, cache, **options).device_login(ignore)
    assert "\n" not in str(caught.value)
    assert not caught.value.transient


def test_an_identity_service_that_is_down_is_a_network_error(sandbox: Sandbox, signed_in: SignIn):
    sandbox.stop()
    with pytest.raises(NetworkError, match="cannot be reached"):
        signed_in.acquire(force_refresh=True)


def test_a_certificate_that_is_not_trusted_names_the_variable(
    sandbox: Sandbox, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(NetworkError, match="REQUESTS_CA_BUNDLE"):
        at(sandbox, cache).device_login(ignore)


def test_a_netrc_file_does_not_get_in_the_way(
    sandbox: Sandbox, cache: TokenCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    at(sandbox, cache).device_login(ignore)


def test_no_log_line_holds_a_token_a_code_or_a_name(sandbox: Sandbox, cache: TokenCache):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    shown: list[DeviceCode] = []
    try:
        with structlog.testing.capture_logs() as lines:
            sign_in = at(sandbox, cache)
            sign_in.device_login(shown.append)
            secrets = secrets_in(cache)
            sign_in.acquire(force_refresh=True)
            sandbox.identity.revoke()
            with pytest.raises(SignInRequired):
                at(sandbox, cache).acquire(force_refresh=True)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    logged = stream.getvalue() + str(lines)
    assert "partner_center_signed_in" in logged
    hidden = [*secrets, *secrets_in(cache), shown[0].user_code, sandbox.identity.device_codes[0].device_code, USERNAME]
    assert [each for each in hidden if each in logged] == []


# Several at once


def renew_in_processes(sandbox: Sandbox, place: str, home: Path, processes: int, renewals: int) -> list[str]:
    """Let several processes renew at the same moment; the tokens that they got."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(RENEWING_PROCESS), place, str(home), sandbox.base_url, str(renewals)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
                )
            )
            for _ in range(processes)
        ]  # fmt: skip
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        tokens: list[str] = []
        for process in running:
            output, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
            tokens += [line for line in output.splitlines() if line.startswith("sandbox-at-")]
        return tokens


@pytest.mark.processes
@pytest.mark.parametrize("place", ["file", "database"])
def test_processes_that_renew_at_once_lose_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, place: str
):
    # The identity provider gives each refresh token out once and refuses a used one: a process that worked from
    # what it had read before another one's renewal would fail, and so would everybody after a lost write.
    processes, renewals = 3, 8
    with Sandbox(directory=tmp_path / "sandbox", strict_rotation=True) as sandbox:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_file))
        if place == "file":
            address = str(tmp_path / "cache.bin")
            store: BlobStore = FileBlobStore(tmp_path / "cache.bin")
        else:
            address = request.getfixturevalue("token_database")
            engine = make_engine(address)
            request.addfinalizer(engine.dispose)
            store = DatabaseBlobStore(engine)
        cache = TokenCache(store, load_keys((), home))
        at(sandbox, cache).device_login(ignore)
        tokens = renew_in_processes(sandbox, address, home, processes, renewals)
        assert len(tokens) == len(set(tokens)) == processes * renewals == sandbox.identity.refreshes
        assert at(sandbox, cache).acquire() in tokens
        assert at(sandbox, cache).acquire(force_refresh=True) not in tokens


def test_threads_that_share_a_sign_in_renew_once(sandbox: Sandbox, cache: TokenCache):
    sandbox.identity.access_token_seconds = 1
    sign_in = at(sandbox, cache)
    sign_in.device_login(ignore)
    sandbox.identity.access_token_seconds = 3600
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(sign_in.acquire())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1
    assert sandbox.identity.refreshes == 1


# The whole way


def test_every_referral_comes_once_over_a_signed_in_connection(sandbox: Sandbox, signed_in: SignIn):
    client = PartnerCenterClient(sandbox.base_url, signed_in.acquire, interval=0)
    pages = list(client.iter_pages())
    items = [item for page in pages for item in page.items]
    assert len(items) == pages[0].total
    assert len(pages) > 1 or len(items) <= 10
    assert all(each.secure and each.authorized and each.status == 200 for each in sandbox.partner_center.requests)


def test_a_token_that_ends_in_the_middle_of_a_sync_is_renewed_and_no_page_is_lost(
    tmp_path: Path, sandbox: Sandbox, signed_in: SignIn
):
    client = PartnerCenterClient(sandbox.base_url, signed_in.acquire, interval=0)
    sandbox.partner_center.page_size = 2
    expected = sum(len(page.items) for page in client.iter_pages())
    read = 0
    for page in client.iter_pages():
        read += len(page.items)
        if page.number == 1:
            sandbox.identity.expire_access_tokens()
    assert read == expected > 2
    assert sandbox.identity.refreshes == 1
    assert [each.status for each in sandbox.partner_center.requests].count(401) == 1
