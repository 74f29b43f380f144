"""The registrable domain of a host, held to the vectors of the Public Suffix List (CC0).

The vectors are those that the package `publicsuffixlist` ships.
"""

import re
import socket
import warnings
from importlib import resources
from typing import Any

import pytest
from ada_url import idna_to_ascii

from hunter_pipeline.suffixes import PublicSuffixes, list_version

REGISTRIES = [
    line
    for line in resources.files("hunter_pipeline.domains").joinpath("registry_suffixes.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
SUFFIXES = PublicSuffixes()
WITH_REGISTRIES = PublicSuffixes(REGISTRIES)

NO_PUBLIC_DOMAIN = {
    "example.example": "`example` is not on the list; the vectors apply the default rule `*`",
    "b.example.example": "`example` is not on the list; the vectors apply the default rule `*`",
    "a.b.example.example": "`example` is not on the list; the vectors apply the default rule `*`",
}
"""Vectors that differ, since an unlisted suffix is no public domain here."""


def vectors() -> list[tuple[str | None, str | None]]:
    text = resources.files("publicsuffixlist").joinpath("test_psl.txt").read_text(encoding="utf-8")
    pairs = re.findall(r"^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);", text, re.MULTILINE)
    return [tuple(None if part == "null" else part.strip("'") for part in pair) for pair in pairs]


def test_the_suffix_list_has_the_78_vectors_that_we_hold_ourselves_to():
    assert len(vectors()) == 78


def test_the_vectors_that_differ_are_vectors():
    assert set(NO_PUBLIC_DOMAIN) <= {host for host, _ in vectors()}


@pytest.mark.parametrize(("host", "registrable"), vectors())
def test_a_vector_of_the_public_suffix_list_gives_its_registrable_domain(host: str | None, registrable: str | None):
    if host is None or host.startswith("."):
        # No host comes here so: the reading of a cell takes leading dots away.
        return
    expected = idna_to_ascii(registrable).decode() if registrable and host not in NO_PUBLIC_DOMAIN else None
    assert WITH_REGISTRIES.registrable(idna_to_ascii(host.lower()).decode()) == expected


def test_the_private_section_counts_only_where_it_is_asked_for():
    assert SUFFIXES.registrable("acme.blogspot.com") == "blogspot.com"
    assert SUFFIXES.suffix("acme.blogspot.com") == "com"
    assert SUFFIXES.suffix("acme.blogspot.com", private=True) == "blogspot.com"


def test_further_suffixes_count_as_public():
    assert SUFFIXES.registrable("www.acme.uk.com") == "uk.com"
    assert WITH_REGISTRIES.registrable("www.acme.uk.com") == "acme.uk.com"


def test_a_suffix_that_is_not_on_the_list_is_no_public_domain():
    assert SUFFIXES.registrable("server.corp") is None
    assert SUFFIXES.suffix("server.corp") is None


def test_nothing_is_fetched_and_nothing_is_left_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("the suffix list was asked for over the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PublicSuffixes().registrable("www.acme.com.tr") == "acme.com.tr"
    assert list(tmp_path.iterdir()) == []


def test_the_version_follows_the_list():
    assert re.fullmatch(r"[0-9a-f]{12}", list_version())
