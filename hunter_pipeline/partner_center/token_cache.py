"""The encrypted token cache: MSAL's cache as one ciphertext, in a file or in the database.

Belongs here: encryption, keys, the file store and what a store must offer. Does not belong here: the use
of the tokens (auth.py) and the table (hunter_pipeline.store.token_store). The refresh token in it is as
good as a password for 90 days, so that there is no plain-text form, and what cannot be decrypted is an
error, never an empty cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from filelock import FileLock

from hunter_pipeline.partner_center.errors import LOGIN, TokenCacheBusy, TokenCacheUnreadable

LOCK_SECONDS = 120.0
"""How long to wait for another process: more than a renewal with its time-outs takes."""

KEY_FILE = "token_cache.key"

_log = structlog.get_logger(__name__)


class Blob(Protocol):
    """One stored byte string, held exclusively."""

    def read(self) -> bytes | None:
        """The bytes, None when nothing is stored."""

    def write(self, data: bytes) -> None:
        """Replace the bytes as a whole."""

    def delete(self) -> None:
        """Remove them; not an error when nothing is stored."""


class BlobStore(Protocol):
    """Where the ciphertext is kept: `FileBlobStore`, or the database's store."""

    def read(self) -> bytes | None:
        """The bytes as last written, without waiting for a lock."""

    def locked(self) -> AbstractContextManager[Blob]:
        """Hold the bytes against every other process until the block ends.

        :raises TimeoutError: another process held them for too long.
        """


@dataclass(frozen=True)
class CacheState:
    """What is encrypted."""

    authority: str
    """The authority that the tokens were asked from; another one's tokens are not used unseen."""
    tokens: str
    """MSAL's own serialization."""


class LockedTokenCache:
    """The token cache while this process holds it."""

    def __init__(self, blob: Blob, fernet: MultiFernet) -> None:
        self._blob = blob
        self._fernet = fernet

    def read(self) -> CacheState | None:
        """The stored state, None when nobody has signed in.

        :raises TokenCacheUnreadable: something is stored and cannot be decrypted.
        """
        return _decrypt(self._fernet, self._blob.read())

    def write(self, state: CacheState) -> None:
        """Encrypt with the newest key and store."""
        self._blob.write(self._fernet.encrypt(json.dumps(asdict(state)).encode()))

    def delete(self) -> None:
        """Forget the stored state, readable or not."""
        self._blob.delete()


class TokenCache:
    """An encrypted cache over a store."""

    def __init__(self, store: BlobStore, fernet: MultiFernet) -> None:
        self._store = store
        self._fernet = fernet

    def read(self) -> CacheState | None:
        """The state as last written, without a lock.

        :raises TokenCacheUnreadable: something is stored and cannot be decrypted.
        """
        return _decrypt(self._fernet, self._store.read())

    @contextmanager
    def locked(self) -> Iterator[LockedTokenCache]:
        """Hold the cache against every other process: read again, renew, write.

        :raises TokenCacheBusy: another process held it for longer than a renewal takes.
        """
        with ExitStack() as stack:
            try:
                blob = stack.enter_context(self._store.locked())
            except TimeoutError:
                raise TokenCacheBusy(
                    "Another process keeps the token cache locked; try again later, or end the process that hangs"
                ) from None
            yield LockedTokenCache(blob, self._fernet)


def _decrypt(fernet: MultiFernet, data: bytes | None) -> CacheState | None:
    if data is None:
        return None
    try:
        content = json.loads(fernet.decrypt(data))
        return CacheState(authority=content["authority"], tokens=content["tokens"])
    except (InvalidToken, ValueError, KeyError, TypeError):
        raise TokenCacheUnreadable(
            "The stored sign-in cannot be decrypted: it is damaged, or was written with another key than "
            f"HUNTER_TOKEN_CACHE_KEY (unset: {KEY_FILE} in HUNTER_HOME); put the old key back, or {LOGIN}",
            login_helps=True,
        ) from None


class FileBlobStore:
    """Bytes in one file of mode 0600, replaced atomically, with a lock file beside it.

    :param path: the file. Its folder is made when it is missing.
    :param lock_seconds: how long to wait for another process.
    """

    def __init__(self, path: Path, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self._path = path
        self._lock_seconds = lock_seconds

    def read(self) -> bytes | None:
        """The bytes as last written, None when the file is missing.

        :raises TokenCacheUnreadable: other users can read the file, or nobody can.
        """
        try:
            with self._path.open("rb") as file:
                if _open_to_others(os.fstat(file.fileno())):
                    raise TokenCacheUnreadable(
                        f"The token cache {self._path} can be read by other users; run: chmod 600 {self._path}"
                    )
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None

    @contextmanager
    def locked(self) -> Iterator[FileBlobStore]:
        """Hold the lock file while the block runs.

        :raises TimeoutError: another process held it for too long.
        """
        lock = FileLock(f"{self._path}.lock", timeout=self._lock_seconds, mode=0o600)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except TimeoutError:
            raise
        except OSError as error:
            raise self._unusable(error) from None
        try:
            yield self
        finally:
            lock.release()

    def write(self, data: bytes) -> None:
        """Replace the file as a whole; it is on the disk when this returns."""
        try:
            replace_file(self._path, data)
        except OSError as error:
            raise self._unusable(error) from None

    def delete(self) -> None:
        """Remove the file."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> TokenCacheUnreadable:
        return TokenCacheUnreadable(
            f"The token cache file {self._path} cannot be used ({error.strerror or 'input/output error'}); "
            "check HUNTER_PARTNER_CENTER_TOKEN_CACHE_PATH and the permissions"
        )


def _open_to_others(status: os.stat_result) -> bool:
    return os.name == "posix" and bool(status.st_mode & 0o077)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 so that a reader, or a crash, sees the old content or the new and nothing between.

    :raises OSError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The rename itself is only lasting once the folder is synced.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load_keys(keys: tuple[str, ...], home: Path) -> MultiFernet:
    """The keys of the token cache.

    :param keys: Fernet keys, newest first: the first encrypts, all decrypt. Empty: the key in
        `<home>/token_cache.key` is used, made once when it is missing.
    :param home: HUNTER_HOME; made when it is missing.
    :raises TokenCacheUnreadable: a key is no Fernet key, or the key file is readable by others.
    """
    if not keys:
        path = home / KEY_FILE
        return MultiFernet([_fernet(_key_file(path), f"{path} holds no Fernet key; delete the file, then {LOGIN}")])
    return MultiFernet([_fernet(key, "HUNTER_TOKEN_CACHE_KEY holds a key that is no Fernet key") for key in keys])


def _fernet(key: str, problem: str) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        raise TokenCacheUnreadable(problem) from None


def _key_file(path: Path) -> str:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Under the lock, two first starts agree on one key: the second finds the first one's file.
            with FileLock(f"{path}.lock", timeout=LOCK_SECONDS, mode=0o600):
                if not path.exists():
                    replace_file(path, Fernet.generate_key())
                    _log.info("token_cache_key_made", path=str(path))
        if _open_to_others(path.stat()):
            raise TokenCacheUnreadable(f"The key {path} can be read by other users; run: chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or "busy" if isinstance(error, OSError) else "no text"
        raise TokenCacheUnreadable(
            f"The key {path} cannot be used ({reason}); check HUNTER_HOME, or set HUNTER_TOKEN_CACHE_KEY"
        ) from None
