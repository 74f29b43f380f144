"""The list files: each entry is a well-formed name, stands once, and does what its file promises."""

from importlib import resources

import pytest
from ada_url import idna_to_ascii
from publicsuffixlist import PublicSuffixList

from hunter_pipeline.domains.normalize import SkipReason, domain_from_email, domain_from_website

FILES = [
    "consumer_providers",
    "consumer_typing_errors",
    "platforms",
    "registry_suffixes",
    "reserved_names",
    "shared_hosts",
    "social_and_site_builders",
]


def lines(name: str) -> list[str]:
    text = resources.files("hunter_pipeline.domains").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return text.splitlines()


def entries(name: str) -> list[str]:
    return [line for line in lines(name) if not line.startswith("#")]


def test_every_list_file_of_the_package_is_checked_here():
    found = [p.name.removesuffix(".txt") for p in resources.files("hunter_pipeline.domains").iterdir()]
    assert sorted(name for name in FILES) == sorted(n for n in found if not n.endswith(".py") and not n.startswith("_"))


@pytest.mark.parametrize("name", FILES)
def test_a_list_is_sorted_without_repeats_and_names_its_source(name: str):
    assert entries(name) == sorted(set(entries(name)))
    assert any(line.startswith("# Source:") for line in lines(name))
    assert all(entry == entry.strip().lower() and entry.isascii() for entry in entries(name))


@pytest.mark.parametrize("name", ["consumer_providers", "consumer_typing_errors"])
def test_every_consumer_provider_is_refused_as_such(name: str):
    reasons = {entry: domain_from_email(f"somebody@{entry}").reason for entry in entries(name)}
    assert {entry: reason for entry, reason in reasons.items() if reason is not SkipReason.consumer_mail} == {}


def test_a_typing_error_is_one_slip_away_from_a_provider_and_none_itself():
    providers = set(entries("consumer_providers"))
    errors = entries("consumer_typing_errors")
    assert not providers & set(errors)
    far = {error: min(slips(error, provider) for provider in providers) for error in errors}
    assert {error: slip for error, slip in far.items() if slip > 1} == {}


def slips(text: str, meant: str) -> int:
    """1 when one letter is too many, too few, another, or changed with its neighbour, or `.tr` stands behind."""
    if text in (meant, f"{meant}.tr"):
        return int(text != meant)
    swapped = {text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)}
    start = next((at for at, pair in enumerate(zip(text, meant, strict=False)) if pair[0] != pair[1]), None)
    start = min(len(text), len(meant)) if start is None else start
    tails = {
        (text[start + 1 :], meant[start:]),
        (text[start:], meant[start + 1 :]),
        (text[start + 1 :], meant[start + 1 :]),
    }
    return 1 if meant in swapped or any(one == other for one, other in tails) else 2


def test_every_shared_host_is_refused_as_such():
    reasons = {entry: domain_from_website(f"https://acme.{entry}/").reason for entry in entries("shared_hosts")}
    assert {entry: reason for entry, reason in reasons.items() if reason is not SkipReason.shared_host} == {}


@pytest.mark.parametrize("name", ["social_and_site_builders", "platforms"])
def test_every_platform_is_refused_as_a_website(name: str):
    reasons = {entry: domain_from_website(f"https://{entry}/acme").reason for entry in entries(name)}
    expected = SkipReason.social_or_site_builder
    assert {entry: reason for entry, reason in reasons.items() if reason is not expected} == {}


def test_every_platform_of_staff_is_accepted_as_a_mail_domain():
    refused = {e: domain_from_email(f"somebody@{e}").reason for e in entries("platforms")}
    assert {entry: reason for entry, reason in refused.items() if reason is not None} == {}


def test_every_registry_suffix_is_a_private_suffix_of_the_list():
    everything, icann = PublicSuffixList(), PublicSuffixList(only_icann=True)
    for entry in entries("registry_suffixes"):
        assert everything.publicsuffix(f"acme.{entry}", accept_unknown=False) == entry
        assert icann.publicsuffix(f"acme.{entry}") != entry


def test_no_mail_provider_stands_for_a_whole_suffix():
    icann = PublicSuffixList(only_icann=True)
    files = [name for name in FILES if name not in ("registry_suffixes", "reserved_names")]
    suffixes = [entry for name in files for entry in entries(name) if icann.is_public(entry)]
    assert suffixes == []


def test_every_international_suffix_is_known_in_its_ascii_form():
    text = resources.files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text(encoding="utf-8")
    rules = text.partition("// ===END ICANN DOMAINS===")[0].splitlines()
    suffixes = [rule for rule in rules if not rule.startswith(("//", "*", "!")) and rule and not rule.isascii()]
    assert len(suffixes) > 50
    for suffix in suffixes:
        ascii_form = idna_to_ascii(suffix).decode()
        assert domain_from_website(f"www.acme.{suffix}").domain == f"acme.{ascii_form}"
