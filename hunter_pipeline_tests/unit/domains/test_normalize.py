"""The company domain of website and e-mail cells: clean-up, refusals, and which cell wins."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.domains.normalize import (
    MAX_CELL_LENGTH,
    MAX_VALUES_PER_CELL,
    SkipReason,
    Verdict,
    decide_domain,
    domain_from_email,
    domain_from_website,
)

WEBSITES = {
    "a plain host": ("acme.com", "acme.com"),
    "a page of a sub-domain": ("https://www.shop.acme.com.tr/tr/urunler?x=1#a", "acme.com.tr"),
    "upper case": ("HTTP://WWW.ACME.COM/", "acme.com"),
    "a repeated scheme": ("http://http://acme.com", "acme.com"),
    "two schemes": ("HTTPS://http://www.acme.com", "acme.com"),
    "a scheme with one slash": ("https:/acme.com", "acme.com"),
    "a scheme with three slashes": ("http:///acme.com", "acme.com"),
    "a scheme without a colon": ("https//acme.com", "acme.com"),
    "a scheme with backslashes": ("http:\\\\acme.com", "acme.com"),
    "a scheme with a semicolon": ("http;//acme.com", "acme.com"),
    "a mistyped scheme": ("htpps://acme.com", "acme.com"),
    "another scheme": ("ftp://acme.com/pub", "acme.com"),
    "no scheme but slashes": ("//acme.com", "acme.com"),
    "a label in front": ("Web: acme.com", "acme.com"),
    "a label without a space": ("web:acme.com", "acme.com"),
    "a port": ("acme.com:8080", "acme.com"),
    "a port and a path": ("acme.com:8080/x", "acme.com"),
    "user info": ("https://user:p@acme.com/", "acme.com"),
    "an e-mail address": ("info@acme.com", "acme.com"),
    "a mailto link": ("mailto:info@acme.com?subject=x@other.com", "acme.com"),
    "a trailing dot": ("www.acme.com.", "acme.com"),
    "several trailing dots": ("acme.com...", "acme.com"),
    "brackets": ("(acme.com)", "acme.com"),
    "a wildcard": ("*.acme.com", "acme.com"),
    "several values": ("acme.com; www.other.com", "acme.com"),
    "a comma without a space": ("acme.com,other.com", "acme.com"),
    "a comma in a path": ("https://acme.com/a,other.com", "acme.com"),
    "a line break": ("Acme Ltd\nacme.com", "acme.com"),
    "words around it": ("bizim site acme.com.tr dir", "acme.com.tr"),
    "a refused value first": ("https://facebook.com/acme | acme.com", "acme.com"),
    "a left-to-right mark": ("acme\u200e.com", "acme.com"),
    "a zero-width space": ("\u200bacme.com", "acme.com"),
    "a zero-width joiner": ("ac\u200dme.com", "acme.com"),
    "a byte order mark": ("\ufeffacme.com", "acme.com"),
    "a soft hyphen": ("ac\u00adme.com", "acme.com"),
    "no-break spaces": ("\u00a0acme.com\u00a0", "acme.com"),
    "a NUL": ("acme.com\x00", "acme.com"),
    "an HTML link": ("&lt;a href=&quot;https://www.acme.com/&quot;&gt;", "acme.com"),
    "escaped spaces": ("acme.com&nbsp;&nbsp;", "acme.com"),
    "an escaped address line": ("https://acme.com/?a=1&amp;copy;=2", "acme.com"),
    "a parameter that looks like an entity": ("https://acme.com/?a=1&lt=2&copy=3", "acme.com"),
    "escaped letters": ("www.&#351;i&#x15F;ecam.com.tr", "xn--iecam-idbb.com.tr"),
    "Turkish dotted capital I": ("İSTANBUL.com", "istanbul.com"),
    "decomposed dotted capital I": ("I\u0307STANBUL.com", "istanbul.com"),
    "dotted capital I lowered by other software": ("i\u0307stanbul.com", "istanbul.com"),
    "Turkish letters": ("www.şişecam.com.tr", "xn--iecam-idbb.com.tr"),
    "German letters": ("bücher.de", "xn--bcher-kva.de"),
    "punycode": ("www.xn--bcher-kva.de", "xn--bcher-kva.de"),
    "an IDN suffix": ("www.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"),
    "a Persian name with a joiner": ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
    "an ideographic full stop": ("acme。com", "acme.com"),
    "percent escapes": ("%61cme.com", "acme.com"),
    "www as the name": ("www.com", "www.com"),
    "a registry below com": ("www.acme.uk.com", "acme.uk.com"),
    "a two-part Turkish suffix": ("acme.k12.tr", "acme.k12.tr"),
}


@pytest.mark.parametrize(("cell", "domain"), WEBSITES.values(), ids=WEBSITES.keys())
def test_a_website_cell_gives_the_registrable_domain(cell: str, domain: str):
    assert domain_from_website(cell) == Verdict(domain, None)


REFUSED_WEBSITES = [
    ("", SkipReason.no_candidate),
    (" \u200b\u200d\u00a0\t", SkipReason.no_candidate),
    ("-", SkipReason.not_a_host),
    ("acme..com", SkipReason.not_a_host),
    ("a_b.com", SkipReason.not_a_host),
    ("-acme.com", SkipReason.not_a_host),
    ("acme.com:99999", SkipReason.not_a_host),
    ("xn--a.com", SkipReason.not_a_host),
    ("a" * 64 + ".com", SkipReason.not_a_host),
    (".".join(["a" * 60] * 5) + ".com", SkipReason.not_a_host),
    ("javascript:alert(1)", SkipReason.not_a_host),
    ("\ud800.com", SkipReason.not_a_host),
    ("2024", SkipReason.not_a_host),
    ("+90 212 555 44 33", SkipReason.not_a_host),
    ("http://192.0.2.1/", SkipReason.ip_address),
    ("0x7f.1", SkipReason.ip_address),
    ("http://[2001:db8::1]:80/", SkipReason.ip_address),
    ("n/a", SkipReason.single_label),
    ("localhost", SkipReason.single_label),
    ("com.tr", SkipReason.public_suffix),
    ("uk.com", SkipReason.public_suffix),
    ("gmail.com", SkipReason.consumer_mail),
    ("info@hotmail.com.tr", SkipReason.consumer_mail),
    ("acme.onmicrosoft.com", SkipReason.shared_host),
    ("https://acme.sharepoint.com/sites/x", SkipReason.shared_host),
    ("acme.azurewebsites.net", SkipReason.shared_host),
    ("acme.s3.eu-west-1.amazonaws.com", SkipReason.shared_host),
    ("acme.bplaced.net", SkipReason.shared_host),
    ("https://tr.linkedin.com/company/acme", SkipReason.social_or_site_builder),
    ("https://x.com/acme", SkipReason.social_or_site_builder),
    ("acme.squarespace.com", SkipReason.social_or_site_builder),
    ("https://fb.com/acme", SkipReason.social_or_site_builder),
    ("acme.zohosites.com", SkipReason.social_or_site_builder),
    ("acme.kolaysite.com", SkipReason.social_or_site_builder),
    ("https://nsosyal.com/acme", SkipReason.social_or_site_builder),
    ("acme.zohocreatorapp.com", SkipReason.shared_host),
    ("neocities.org", SkipReason.shared_host),
    ("gmial.com", SkipReason.consumer_mail),
    ("acme.blogspot.com", SkipReason.social_or_site_builder),
    ("acme.wixsite.com/home", SkipReason.social_or_site_builder),
    ("apps.apple.com/app/1", SkipReason.social_or_site_builder),
    ("https://www.amazon.com.tr/acme", SkipReason.social_or_site_builder),
    ("https://maps.app.goo.gl/x", SkipReason.social_or_site_builder),
    ("www.example.com", SkipReason.reserved_or_invalid),
    ("fabrikam.example", SkipReason.reserved_or_invalid),
    ("acme.test", SkipReason.reserved_or_invalid),
    ("printer.local", SkipReason.reserved_or_invalid),
    ("1.2.0.192.in-addr.arpa", SkipReason.reserved_or_invalid),
    ("acme.onion", SkipReason.reserved_or_invalid),
    ("acme.corp", SkipReason.reserved_or_invalid),
    ("offer.docx", SkipReason.reserved_or_invalid),
    ("gmail.com; facebook.com/acme", SkipReason.consumer_mail),
]


@pytest.mark.parametrize(("cell", "reason"), REFUSED_WEBSITES)
def test_a_website_that_names_no_company_is_refused_with_its_reason(cell: str, reason: SkipReason):
    assert domain_from_website(cell) == Verdict(None, reason)


EMAILS = [
    ("ali@acme.com", "acme.com"),
    ("ALI@MAIL.ACME.CO.UK", "acme.co.uk"),
    ("Ali Veli <ali@acme.com>", "acme.com"),
    ('"Veli, Ali" <ali@acme.com>', "acme.com"),
    ("mailto:ali@acme.com?cc=veli@other.com", "acme.com"),
    ("SMTP:ali@acme.com", "acme.com"),
    ("E-posta: ali@acme.com.", "acme.com"),
    ("{ali@acme.com}", "acme.com"),
    ("ali@gmail.com; veli@acme.com", "acme.com"),
    ("ali@acme.com,veli@gmail.com", "acme.com"),
    ("ali@İSTANBUL.com", "istanbul.com"),
    ("ali@şişecam.com.tr", "xn--iecam-idbb.com.tr"),
    ("çağrı@acme.com", "acme.com"),
    ("ali＠acme.com", "acme.com"),
    ("&lt;info@firma.com&gt;", "firma.com"),
    ("Ali &amp; Veli &lt;info@firma.com&gt;", "firma.com"),
    ("&amp;lt;info@firma.com&amp;gt;", "firma.com"),
    ("&amp;amp;lt;info@firma.com&amp;amp;gt;", "firma.com"),
    ("&quot;Ali&quot; &#60;info&#64;firma&period;com&#x3E;", "firma.com"),
    ("r&d@firma.com", "firma.com"),
    ("r&amp;d@firma.com", "firma.com"),
    ("ali@gmial.com; ali@firma.com", "firma.com"),
    ("ali@linkedin.com", "linkedin.com"),
    ("ali@facebook.com", "facebook.com"),
    ("ali@x.com", "x.com"),
    ("ali@squarespace.com", "squarespace.com"),
    ("ali@google.com", "google.com"),
    ("ali@isnet.net.tr", "isnet.net.tr"),
    ("ali@doruk.net.tr", "doruk.net.tr"),
    ("ali@gail.com", "gail.com"),
    ("ali@linkedin.example.de", "example.de"),
]


@pytest.mark.parametrize(("cell", "domain"), EMAILS)
def test_an_email_cell_gives_the_registrable_domain(cell: str, domain: str):
    assert domain_from_email(cell) == Verdict(domain, None)


REFUSED_EMAILS = [
    ("", SkipReason.no_candidate),
    ("ali", SkipReason.not_a_host),
    ("ali@", SkipReason.not_a_host),
    ("@acme.com", SkipReason.not_a_host),
    ("ali@@acme.com", SkipReason.not_a_host),
    ("a..b@acme.com", SkipReason.not_a_host),
    ("ali@acme.com:25", SkipReason.not_a_host),
    ("ali@acme.com/x", SkipReason.not_a_host),
    ("https://acme.com", SkipReason.not_a_host),
    ("ali@[192.0.2.1]", SkipReason.ip_address),
    ("ali@192.0.2.1", SkipReason.ip_address),
    ("ali@[IPv6:2001:db8::1]", SkipReason.ip_address),
    ("ali@acme", SkipReason.single_label),
    ("ali@com.tr", SkipReason.public_suffix),
    ("ali@gmail.com", SkipReason.consumer_mail),
    ("ali@eu.hotmail.com", SkipReason.consumer_mail),
    ("ali@acme.onmicrosoft.com", SkipReason.shared_host),
    ("ali@fb.com", SkipReason.social_or_site_builder),
    ("ali@acme.zohosites.com", SkipReason.social_or_site_builder),
    ("ali@gmial.com", SkipReason.consumer_mail),
    ("ali@hotmial.com", SkipReason.consumer_mail),
    ("&lt;ali@gmail.co&gt;", SkipReason.consumer_mail),
    ("&nbsp;&amp;nbsp;", SkipReason.no_candidate),
    ("&lt;&gt;", SkipReason.not_a_host),
    ("ali&lt;acme.com", SkipReason.not_a_host),
    ("ali@acme&#0;.com", SkipReason.not_a_host),
    ("ali@acme.invalid", SkipReason.reserved_or_invalid),
    ("ali@gmail.com, veli@192.0.2.1", SkipReason.consumer_mail),
]


@pytest.mark.parametrize(("cell", "reason"), REFUSED_EMAILS)
def test_an_email_that_names_no_company_is_refused_with_its_reason(cell: str, reason: SkipReason):
    assert domain_from_email(cell) == Verdict(None, reason)


def test_a_page_on_a_marketplace_is_no_company_but_its_staff_are():
    assert domain_from_website("hepsiburada.com/magaza/acme").reason is SkipReason.social_or_site_builder
    assert domain_from_email("ali@hepsiburada.com").domain == "hepsiburada.com"


def test_names_below_a_private_suffix_are_shared_but_the_suffix_is_its_operators():
    assert domain_from_email("ali@tenant.homeoffice.gov.uk").domain == "homeoffice.gov.uk"
    assert domain_from_website("campaign.service.gov.uk").reason is SkipReason.shared_host
    assert domain_from_website("service.gov.uk").domain == "service.gov.uk"


def test_a_website_is_preferred_to_an_email():
    decision = decide_domain([("website", "acme.com")], [("contact.email", "ali@other.com")])
    assert (decision.domain, decision.source, decision.path, decision.raw) == (
        "acme.com",
        "website",
        "website",
        "acme.com",
    )
    assert decision.skip_reason is None
    assert len(decision.attempts) == 1


def test_a_refused_website_leaves_it_to_the_email_and_both_attempts_are_kept():
    decision = decide_domain(
        [("website", "facebook.com/acme")],
        [("contact.email", "acme@gmail.com"), ("customerProfile.team[0].email", "Ali <ali@acme.com>")],
    )
    assert (decision.domain, decision.source, decision.path) == ("acme.com", "email", "customerProfile.team[0].email")
    assert decision.raw == "Ali <ali@acme.com>"
    assert [(a.kind, a.path, a.domain, a.reason) for a in decision.attempts] == [
        ("website", "website", None, SkipReason.social_or_site_builder),
        ("email", "contact.email", None, SkipReason.consumer_mail),
        ("email", "customerProfile.team[0].email", "acme.com", None),
    ]


def test_without_a_usable_text_the_reason_is_that_of_the_first_refused_one():
    decision = decide_domain([("website", " ")], [("a", "ali@gmail.com"), ("b", "ali@acme.onmicrosoft.com")])
    assert decision.skip_reason is SkipReason.consumer_mail
    assert (decision.domain, decision.source, decision.path, decision.raw) == (None, None, None, None)
    assert [attempt.path for attempt in decision.attempts] == ["a", "b"]


@pytest.mark.parametrize("websites", [[], [("website", "")], [("website", " \u200b")]])
def test_blank_cells_count_as_no_candidate(websites: list[tuple[str, str]]):
    decision = decide_domain(websites, [])
    assert decision.skip_reason is SkipReason.no_candidate
    assert decision.attempts == ()


def test_a_huge_cell_is_read_up_to_the_limit():
    late = "x " * MAX_CELL_LENGTH + "acme.com"
    decision = decide_domain([("website", late)], [])
    assert decision.domain is None
    assert len(decision.attempts[0].raw) == MAX_CELL_LENGTH
    assert domain_from_website("x " * (MAX_VALUES_PER_CELL - 1) + "acme.com").domain == "acme.com"
    assert domain_from_website("x " * MAX_VALUES_PER_CELL + "acme.com").domain is None


def test_a_host_that_the_limit_cuts_in_two_is_not_taken_for_another_company():
    filler = "x" * (MAX_CELL_LENGTH - len(" acme.co"))
    assert domain_from_website(f"{filler} acme.com").domain is None
    assert domain_from_email(f"{filler[:-2]} a@acme.com").domain is None


def test_a_long_path_does_not_hide_the_host_before_it():
    assert domain_from_website("https://acme.com/?t=" + "x" * MAX_CELL_LENGTH).domain == "acme.com"


# Texts that come near addresses, so that the rules are reached and not only the first refusal.
WORDS = (
    "acme .com .tr .co.uk www. http:// https: // @ : / \\ ? # % . , ; | < > [ ] ( ) _ - * 1 255 xn-- İ ş ı ß 公司 "
    ".example gmail.com .uk.com blogspot.com \u200b \u200d \u202e \x00 \ud800 \u3002 %2e 0x1 mailto: a b "
    "&lt; &amp; &#64; &#x0;"
)
PIECES = st.sampled_from(WORDS.split()) | st.characters()
CELLS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60)


@settings(max_examples=400, deadline=None)
@given(CELLS)
def test_any_text_gives_a_registrable_domain_that_gives_itself_or_a_reason(cell: str):
    for verdict in (domain_from_website(cell), domain_from_email(cell)):
        assert (verdict.domain is None) != (verdict.reason is None)
        if verdict.domain is not None:
            assert re.fullmatch(r"[a-z0-9.-]{3,253}", verdict.domain)
            assert domain_from_website(verdict.domain) == verdict
            assert domain_from_email(f"ali@{verdict.domain}") == verdict
    website = domain_from_website(cell)
    if website.domain is not None:
        assert domain_from_website(website.domain) == website
        assert domain_from_website(f"https://www.{website.domain}/") in (website, Verdict(website.domain, None))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.just("w"), CELLS), max_size=3), st.lists(st.tuples(st.just("e"), CELLS), max_size=3))
def test_a_decision_has_a_domain_or_a_reason_and_the_attempt_that_explains_it(
    websites: list[tuple[str, str]], emails: list[tuple[str, str]]
):
    decision = decide_domain(websites, emails)
    assert (decision.domain is None) != (decision.skip_reason is None)
    if decision.domain is not None:
        last = decision.attempts[-1]
        assert (last.domain, last.kind, last.path, last.raw) == (
            decision.domain,
            decision.source,
            decision.path,
            decision.raw,
        )
    elif decision.attempts:
        assert decision.skip_reason is decision.attempts[0].reason
    else:
        assert decision.skip_reason is SkipReason.no_candidate
    assert [a for a in decision.attempts if a.domain is not None] == list(decision.attempts[-1:])[
        : int(decision.domain is not None)
    ]
