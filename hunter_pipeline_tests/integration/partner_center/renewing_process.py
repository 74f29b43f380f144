"""A process that renews the sign-in again and again, as several workers of a deployment do at once.

Started by test_auth.py with the store, HUNTER_HOME, the sandbox's address and the number of renewals as arguments.
"""

import sys
from pathlib import Path

from hunter_pipeline.partner_center.auth import SignIn
from hunter_pipeline.partner_center.token_cache import BlobStore, FileBlobStore, TokenCache, load_keys

# Those of hunter_pipeline.sandbox.identity, whose import would start the sandbox's libraries here too.
CLIENT_ID = "5a4db0c5-0000-4000-8000-00000000c001"
TENANT_ID = "5a4db0c5-0000-4000-8000-00000000a001"


def open_store(place: str) -> BlobStore:
    if place.startswith("/"):
        return FileBlobStore(Path(place))
    from hunter_pipeline.store.engine import make_engine
    from hunter_pipeline.store.token_store import DatabaseBlobStore

    return DatabaseBlobStore(make_engine(place))


def main(place: str, home: str, base_url: str, renewals: str) -> None:
    cache = TokenCache(open_store(place), load_keys((), Path(home)))
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    for _ in range(int(renewals)):
        # A fresh object each time: nothing remembered in memory decides which refresh token is used.
        sign_in = SignIn(CLIENT_ID, None, f"{base_url}/{TENANT_ID}", [f"{base_url}/.default"], False, cache)
        print(sign_in.acquire(force_refresh=True), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
