"""DKIM key records, and what may be concluded from the selectors that were asked."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.scan.dkim import DkimKey, parse_dkim_key, read_dkim
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply, escape_octets

KEY = base64.b64encode(bytes(range(200))).decode()
NO, EMPTY, BROKEN = LookupStatus.nxdomain, LookupStatus.nodata, LookupStatus.servfail


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (f"v=DKIM1; k=rsa; p={KEY}", DkimKey(revoked=False)),
        (f"p={KEY}", DkimKey(revoked=False)),
        (f"k=rsa;p={KEY};", DkimKey(revoked=False)),
        (f"v = DKIM1 ; p = {KEY[:40]} {KEY[40:]}", DkimKey(revoked=False)),
        (f"v=DKIM1; t=s:y; p={KEY}", DkimKey(revoked=False, testing=True)),
        (f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(32)).decode()}", DkimKey(revoked=False)),
        ("v=DKIM1; p=", DkimKey(revoked=True)),
        ("v=DKIM1; p=;", DkimKey(revoked=True)),
        ("v=DKIM1", None),
        (f"k=rsa; v=DKIM1; p={KEY}", None),
        (f"v=DKIM2; p={KEY}", None),
        ("v=DKIM1; p=not base64!", None),
        ("v=DKIM1; p=abcd", None),
        (f"v=DKIM1; p={KEY}; p={KEY}", None),
        ("v=DMARC1; p=reject", None),
        ("v=DMARC1; p=", None),
        ("v=spf1 include:a.test -all", None),
        ("o=~; r=postmaster@a.test", None),
        ("", None),
    ],
)
def test_key_records(record: str, key: DkimKey | None):
    assert parse_dkim_key(record) == key


def replies(probe: LookupStatus | str | None = None, **selectors: LookupStatus | str) -> dict[Question, Reply]:
    made: dict[Question, Reply] = {}
    named = {"_domainkey.a.test": probe} if probe is not None else {}
    named |= {f"{selector}._domainkey.a.test": value for selector, value in selectors.items()}
    for name, value in named.items():
        found = isinstance(value, str) and not isinstance(value, LookupStatus)
        status = LookupStatus.answer if found else LookupStatus(value)
        made[(name, "TXT")] = Reply(name, "TXT", status, (str(value),) if found else ())
    return made


REVOKED = "v=DKIM1; p="
GOOD = f"v=DKIM1; p={KEY}"


@pytest.mark.parametrize(
    ("known", "state", "selectors"),
    [
        (replies(selector1=GOOD), "found", ("selector1",)),
        (replies(NO, selector1=NO, mail=GOOD), "found", ("mail",)),
        (replies(selector1=BROKEN, selector2=GOOD), "found", ("selector2",)),
        (replies(BROKEN, selector1=GOOD), "found", ("selector1",)),
        (replies(EMPTY, selector1=REVOKED, selector2=GOOD), "found", ("selector2",)),
        (replies(EMPTY, selector1=REVOKED), "revoked", ("selector1",)),
        (replies(selector1=REVOKED), "revoked", ("selector1",)),
        (replies(EMPTY, selector1=REVOKED, selector2=BROKEN), "unknown", ()),
        (replies(NO, selector1=NO), "none", ()),
        (replies(NO), "none", ()),
        (replies(EMPTY, selector1=NO, default=NO), "unknown_selector", ()),
        (replies("o=~", selector1=NO), "unknown_selector", ()),
        (replies(EMPTY, selector1=EMPTY, default=EMPTY), "unknown_selector", ()),
        (replies("wild", selector1="wild", default="wild"), "none", ()),
        (replies(NO, selector1=LookupStatus.timeout), "unknown", ()),
        (replies(LookupStatus.refused, selector1=NO), "unknown", ()),
        (replies(), "unknown", ()),
    ],
)
def test_the_state_follows_from_the_replies(known: dict[Question, Reply], state: str, selectors: tuple[str, ...]):
    dkim = read_dkim("a.test", known)
    assert (dkim.state, dkim.selectors) == (state, selectors)


def test_selectors_that_point_nowhere_are_no_key():
    known = replies(EMPTY, selector1=NO, default=NO)
    name = "selector1._domainkey.a.test"
    known[(name, "CNAME")] = Reply(name, "CNAME", LookupStatus.answer, ("selector1-a-test._domainkey.gone.test",))
    dkim = read_dkim("a.test", known)
    assert (dkim.state, dkim.warnings) == ("none", ("dkim: selector1 points at a name without a key",))


def test_a_domain_that_does_not_exist_has_no_key():
    assert read_dkim("a.test", {("a.test", "MX"): Reply("a.test", "MX", NO)}).state == "none"


def test_a_key_in_testing_mode_is_found_with_a_warning():
    dkim = read_dkim("a.test", replies(mail=f"v=DKIM1; t=y; p={KEY}"))
    assert (dkim.state, dkim.warnings) == ("found", ("dkim: the key of mail is in testing mode",))


def test_selectors_of_another_domain_do_not_count():
    assert read_dkim("b.test", replies(selector1=GOOD)).state == "unknown"


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200).map(escape_octets),
        st.text(max_size=200),
        st.lists(st.sampled_from(["v", "=", "DKIM1", ";", " ", "p", "k", "t", "y", ":", KEY, "\\"])).map("".join),
    )
)
def test_no_text_makes_the_parser_raise(text: str):
    for record in (text, f"v=DKIM1;{text}", f"v=DKIM1; p={text}"):
        parse_dkim_key(record)


@pytest.mark.parametrize("filler", [" ", "\t", "=", ";", "a", "p="])
def test_a_long_record_takes_no_long_time(filler: str):
    # 60,000 characters: a parser that is worse than linear does not come back within the suite's time limit
    parse_dkim_key(f"v=DKIM1; p=x{filler * 60_000}x")
