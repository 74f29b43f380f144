"""The registrable domain of a host: one label below its public suffix (https://publicsuffix.org/list/).

Belongs here: tldextract, fed with the list that `publicsuffixlist` ships (released almost daily; tldextract's own
snapshot is a year older). The list is read once from the installed package: nothing is fetched, cached or left open.
Does not belong here: which hosts are companies (`domains`) or mail providers (`scan`). A suffix that is not on the
list is no public domain, so the list's default rule for unlisted suffixes is not applied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

_SCHEME = "package://"
_LIST = f"{_SCHEME}publicsuffixlist/public_suffix_list.dat"


class PublicSuffixes:
    """The suffix list, with further suffixes of registries that sell names below a domain of their own.

    :param extra: these suffixes; they count as public.
    """

    def __init__(self, extra: Iterable[str] = ()) -> None:
        from tldextract import TLDExtract

        self._extract = TLDExtract(
            cache_dir=None, suffix_list_urls=(_LIST,), fallback_to_snapshot=False, extra_suffixes=sorted(extra)
        )
        with _packaged_session() as session:
            self._extract("com", session=session)

    def registrable(self, host: str) -> str | None:
        """The registrable domain of a host; None for a public suffix and below a suffix that is not on the list.

        :param host: ASCII, lower case, without a dot at the end.
        """
        return self._extract.extract_str(host).top_domain_under_public_suffix or None

    def suffix(self, host: str, *, private: bool = False) -> str | None:
        """The public suffix of a host; None when it is not on the list.

        :param host: ASCII, lower case, without a dot at the end.
        :param private: count the list's private section too: domains below which names belong to other people.
        """
        return self._extract.extract_str(host, include_psl_private_domains=private).suffix or None


def list_version() -> str:
    """A short hash of the suffix list, for what was decided by it."""
    return hashlib.sha256(_content()).hexdigest()[:12]


def _content() -> bytes:
    return files("publicsuffixlist").joinpath("public_suffix_list.dat").read_bytes()


def _packaged_session() -> requests.Session:
    """A session that answers for the list from the installed package; tldextract asks for it over requests."""
    import requests
    from requests.adapters import BaseAdapter

    class PackagedList(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url or "", request
            response.encoding = "utf-8"
            response.raw = BytesIO(_content())
            return response

        def close(self) -> None:
            pass  # nothing is open

    session = requests.Session()
    session.mount(_SCHEME, PackagedList())
    return session
