"""The token cache is encrypted, whole or refused, and never taken for empty."""

import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.partner_center.errors import PartnerCenterError, TokenCacheBusy, TokenCacheUnreadable
from hunter_pipeline.partner_center.token_cache import CacheState, FileBlobStore, TokenCache, load_keys

STATE = CacheState("https://login.example/tenant", '{"RefreshToken": {"a": {"secret": "0.AXoA-refresh"}}}')
OLD, NEW = "2Yb0JrMxvh6DO0DgfX9JtnVJvVxL1PyPSqjMLNYfQ1o=", "x1QH8S6zr0kYFh2yYdEoGdcMXQvA4p8dV6sWqk0uFJE="


def keys(*values: str) -> MultiFernet:
    return MultiFernet([Fernet(value) for value in values])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.bin"


def store(path: Path, *values: str, state: CacheState = STATE) -> TokenCache:
    cache = TokenCache(FileBlobStore(path), keys(*values))
    with cache.locked() as held:
        held.write(state)
    return cache


def test_what_was_written_is_read_back_with_and_without_the_lock(path: Path):
    cache = store(path, OLD)
    with cache.locked() as held:
        assert held.read() == STATE
    assert cache.read() == STATE


def test_no_part_of_a_token_stands_in_the_file_and_only_its_owner_may_read_it(path: Path):
    store(path, OLD)
    assert b"refresh" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir() if each.name not in ("cache.bin", "cache.bin.lock")] == []


def test_a_file_that_others_could_read_is_replaced_by_one_that_they_cannot(path: Path):
    path.parent.mkdir()
    path.touch(0o644)
    store(path, OLD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_cache_that_others_can_read_is_refused_with_the_command_that_fixes_it(path: Path, mode: int):
    cache = store(path, OLD)
    path.chmod(mode)
    with pytest.raises(TokenCacheUnreadable, match=f"chmod 600 {path}"):
        cache.read()
    path.chmod(0o600)
    assert cache.read() == STATE


def test_a_key_is_rotated_without_a_new_sign_in(path: Path):
    store(path, OLD)
    both = TokenCache(FileBlobStore(path), keys(NEW, OLD))
    with both.locked() as held:  # as each renewal does
        state = held.read()
        assert state == STATE
        held.write(state)
    assert TokenCache(FileBlobStore(path), keys(NEW)).read() == STATE
    with pytest.raises(TokenCacheUnreadable):
        TokenCache(FileBlobStore(path), keys(OLD)).read()


def test_a_missing_file_means_that_nobody_has_signed_in(path: Path):
    assert TokenCache(FileBlobStore(path), keys(OLD)).read() is None


def test_an_empty_file_is_damage_and_not_an_empty_cache(path: Path):
    path.parent.mkdir()
    path.touch(0o600)
    with pytest.raises(TokenCacheUnreadable, match="hunter login"):
        TokenCache(FileBlobStore(path), keys(OLD)).read()


def test_another_key_is_refused_with_the_variable_and_the_command(path: Path):
    store(path, OLD)
    with pytest.raises(TokenCacheUnreadable, match=r"HUNTER_TOKEN_CACHE_KEY.*hunter login"):
        TokenCache(FileBlobStore(path), keys(NEW)).read()


def test_the_next_write_after_a_key_change_needs_the_new_key_alone(path: Path):
    store(path, OLD)
    both = TokenCache(FileBlobStore(path), keys(NEW, OLD))
    with both.locked() as held:
        state = held.read()
        assert state == STATE
        held.write(state)
    assert TokenCache(FileBlobStore(path), keys(NEW)).read() == STATE


@settings(deadline=None, max_examples=60)
@given(position=st.integers(0, 10_000), change=st.integers(1, 255), cut=st.booleans())
def test_damage_never_yields_other_content(position: int, change: int, cut: bool):
    whole = keys(OLD).encrypt(b'{"authority": "a", "tokens": "{}"}')
    place = position % len(whole)
    damaged = whole[:place] if cut else whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :]

    class Memory(FileBlobStore):
        def read(self) -> bytes:
            return damaged

    try:
        state = TokenCache(Memory(Path("unused")), keys(OLD)).read()
    except TokenCacheUnreadable:
        return
    # Base64 ends in bits that mean nothing; a change of those alone is none.
    assert state == CacheState("a", "{}")
    assert place >= len(whole) - 3


def test_a_damaged_cache_can_be_forgotten(path: Path):
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    cache = TokenCache(FileBlobStore(path), keys(OLD))
    with cache.locked() as held:
        held.delete()
        held.delete()
    assert cache.read() is None


def test_a_plain_text_cache_is_refused(path: Path):
    path.parent.mkdir()
    path.write_text('{"authority": "a", "tokens": "{}"}')
    with pytest.raises(TokenCacheUnreadable):
        TokenCache(FileBlobStore(path), keys(OLD)).read()


def test_a_lock_that_another_holds_too_long_is_a_passing_trouble(path: Path):
    cache = store(path, OLD)
    impatient = TokenCache(FileBlobStore(path, lock_seconds=0.05), keys(OLD))
    problems: list[PartnerCenterError] = []

    def wait() -> None:
        try:
            with impatient.locked():
                pass
        except TokenCacheBusy as error:
            problems.append(error)

    with cache.locked():
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join()
    assert [error.transient for error in problems] == [True]


def test_the_lock_is_free_again_after_a_failure_inside(path: Path):
    cache = TokenCache(FileBlobStore(path, lock_seconds=0.05), keys(OLD))
    with pytest.raises(ZeroDivisionError), cache.locked():
        raise ZeroDivisionError
    with cache.locked() as held:
        assert held.read() is None


@pytest.mark.parametrize("blocked", ["path", "parent"])
def test_a_path_that_cannot_be_used_names_the_setting(path: Path, blocked: str):
    if blocked == "path":
        path.mkdir(parents=True)
    else:
        path.parent.touch()
    cache = TokenCache(FileBlobStore(path), keys(OLD))
    with pytest.raises(TokenCacheUnreadable, match="HUNTER_PARTNER_CENTER_TOKEN_CACHE_PATH"), cache.locked() as held:
        held.write(STATE)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path):
    home = tmp_path / "home"
    ciphertext = load_keys((), home).encrypt(b"secret")
    assert load_keys((), home).decrypt(ciphertext) == b"secret"
    assert stat.S_IMODE((home / "token_cache.key").stat().st_mode) == 0o600


def test_given_keys_make_no_file(tmp_path: Path):
    both = load_keys((NEW, OLD), tmp_path / "home")
    assert Fernet(NEW).decrypt(both.encrypt(b"x")) == b"x"
    assert both.decrypt(Fernet(OLD).encrypt(b"x")) == b"x"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_fixes_it(tmp_path: Path, mode: int):
    load_keys((), tmp_path)
    key = tmp_path / "token_cache.key"
    key.chmod(mode)
    with pytest.raises(TokenCacheUnreadable, match=f"chmod 600 {key}"):
        load_keys((), tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe"])
def test_a_damaged_key_file_is_refused_and_left_in_place(tmp_path: Path, content: bytes):
    key = tmp_path / "token_cache.key"
    key.write_bytes(content)
    key.chmod(0o600)
    with pytest.raises(TokenCacheUnreadable, match=r"token_cache\.key"):
        load_keys((), tmp_path)
    assert key.read_bytes() == content


def test_a_configured_key_that_is_none_names_the_variable(tmp_path: Path):
    with pytest.raises(TokenCacheUnreadable, match="HUNTER_TOKEN_CACHE_KEY") as caught:
        load_keys(("not-a-key",), tmp_path)
    assert "not-a-key" not in str(caught.value)
