"""SPF: the record-level cases of the RFC 7208 suite, and what the product adds to a verdict."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.scan.reply import LookupStatus, Question, Replies, Reply, escape_octets
from hunter_pipeline.scan.spf import open_spf_questions, parse_spf, read_spf, select_spf

SUITE = Path(__file__).parent / "vectors" / "rfc7208-tests.yml"

# The suite's verdicts on a message, as states of a record
STATE_OF_RESULT = {"none": "none", "permerror": "permerror", "temperror": "unknown"}

# Verdicts that depend on more than the records and the names they include
EXPLAINED = {
    "include-temperror": ("ok", "the record was read and is present; what it includes is a warning and asked again"),
    "exists-dnserr": ("ok", "the failing look-up is of an address that exists: names, which a scan never asks for"),
    "mx-limit": ("ok", "the limit of ten addresses per mx needs the address records"),
    "void-over-limit": ("ok", "the void look-ups are of address records"),
    "include-at-limit": ("permerror", "the message matches before the eleventh look-up; another would reach it"),
}


def txt(record: str | list[str]) -> str:
    parts = [record] if isinstance(record, str) else record
    return escape_octets(
        b"".join(part.encode("latin-1" if part.isascii() or max(part) < "Ā" else "utf-8") for part in parts)
    )


def zone_replies(zone: dict[str, list[Any]], asked: str) -> dict[Question, Reply]:
    """The TXT replies of a scenario. An SPF (type 99) entry stands for TXT where there is no TXT, as the suite says."""
    names = {name.lower(): entries for name, entries in zone.items()}
    replies: dict[Question, Reply] = {}
    for name, listed in names.items():
        alias = next((entry["CNAME"] for entry in listed if isinstance(entry, dict) and "CNAME" in entry), None)
        entries = names.get(alias.rstrip(".").lower(), []) if alias else listed
        by_type: dict[str, list[Any]] = {"TXT": [], "SPF": []}
        for entry in entries:
            for rtype, value in entry.items() if isinstance(entry, dict) else []:
                by_type.setdefault(rtype, []).append(value)
        records = [txt(each) for each in by_type["TXT"] or by_type["SPF"] if each != "NONE"]
        status = LookupStatus.timeout if "TIMEOUT" in entries else LookupStatus.nodata
        replies[(name, "TXT")] = Reply(name, "TXT", LookupStatus.answer if records else status, tuple(sorted(records)))
    replies.setdefault((asked, "TXT"), Reply(asked, "TXT", LookupStatus.nxdomain))
    while missing := open_spf_questions(asked, replies):
        replies |= {question: Reply(*question, LookupStatus.nxdomain) for question in missing}
    return replies


SCENARIOS = list(yaml.safe_load_all(SUITE.read_text(encoding="utf-8")))


def suite_cases() -> Iterator[Any]:
    for scenario in SCENARIOS:
        for name, case in scenario["tests"].items():
            yield pytest.param(scenario["zonedata"], case, name, id=name)


@pytest.mark.parametrize(("zone", "case", "name"), list(suite_cases()))
def test_the_rfc_7208_suite_agrees_on_records(zone: dict[str, list[Any]], case: dict[str, Any], name: str):
    domain = (case["mailfrom"] or f"@{case['helo']}").rpartition("@")[2].lower()
    results = case["result"] if isinstance(case["result"], list) else [case["result"]]
    wanted = {STATE_OF_RESULT.get(result, "ok") for result in results}
    got = read_spf(domain, zone_replies(zone, domain)).state
    if name in EXPLAINED:
        expected, why = EXPLAINED[name]
        assert got == expected, why
        assert got not in wanted, f"{name} agrees now: take it off the list"
    else:
        assert got in wanted


def test_the_suite_is_whole():
    assert sum(len(scenario["tests"]) for scenario in SCENARIOS) == 203


def replies(**records: list[str] | LookupStatus) -> Replies:
    made: dict[Question, Reply] = {}
    for key, value in records.items():
        name = key.replace("_", ".")
        status = value if isinstance(value, LookupStatus) else LookupStatus.answer
        made[(name, "TXT")] = Reply(name, "TXT", status, () if isinstance(value, LookupStatus) else tuple(value))
    return made


@pytest.mark.parametrize(
    "status", [LookupStatus.servfail, LookupStatus.refused, LookupStatus.timeout, LookupStatus.other]
)
def test_a_failed_look_up_is_unknown_and_not_absent(status: LookupStatus):
    assert read_spf("a.test", replies(a_test=status)).state == "unknown"
    included = replies(a_test=["v=spf1 include:b.test -all"], b_test=status)
    spf = read_spf("a.test", included)
    assert (spf.state, spf.record, spf.includes, spf.all_qualifier, spf.lookups) == (
        "ok",
        "v=spf1 include:b.test -all",
        1,
        "-",
        None,
    )


@pytest.mark.parametrize("status", [LookupStatus.nodata, LookupStatus.nxdomain])
def test_a_known_absence_is_none(status: LookupStatus):
    assert read_spf("a.test", replies(a_test=status)).state == "none"


def test_other_txt_records_do_not_disturb():
    spf = read_spf("a.test", replies(a_test=["MS=ms1", "spf2.0/pra -all", "v=spf10 x", "V=SPF1 mx ~all"]))
    assert (spf.state, spf.record, spf.all_qualifier, spf.lookups) == ("ok", "V=SPF1 mx ~all", "~", 1)


def test_two_records_are_a_permanent_error_that_shows_both():
    spf = read_spf("a.test", replies(a_test=["v=spf1 -all", "v=spf1 mx -all"]))
    assert (spf.state, spf.record, spf.includes) == ("permerror", "v=spf1 -all\nv=spf1 mx -all", None)


def test_a_redirect_brings_its_all_qualifier():
    spf = read_spf("a.test", replies(a_test=["v=spf1 redirect=b.test"], b_test=["v=spf1 mx ~all"]))
    assert (spf.all_qualifier, spf.lookups, spf.targets) == ("~", 2, ("b.test",))


def test_a_redirect_beside_all_is_ignored():
    spf = read_spf("a.test", replies(a_test=["v=spf1 -all redirect=b.test"]))
    assert (spf.state, spf.all_qualifier, spf.lookups, spf.targets) == ("ok", "-", 0, ())


def test_an_include_of_a_macro_is_counted_and_not_followed():
    known = replies(a_test=["v=spf1 include:%{i}._spf.b.test -all"])
    spf = read_spf("a.test", known)
    assert (spf.state, spf.lookups, spf.includes) == ("ok", 1, 1)
    assert open_spf_questions("a.test", known) == []


def test_the_tree_is_asked_for_level_by_level():
    known = dict(replies(a_test=["v=spf1 include:B.test. include:c.test include:b.test -all"]))
    assert open_spf_questions("a.test", known) == [("b.test", "TXT"), ("c.test", "TXT")]
    known |= replies(b_test=["v=spf1 include:d.test -all"], c_test=["v=spf1 -all"])
    assert open_spf_questions("a.test", known) == [("d.test", "TXT")]
    known |= replies(d_test=["v=spf1 a -all"])
    assert open_spf_questions("a.test", known) == []
    # b and d are paid for twice, since b is included twice
    assert read_spf("a.test", known).lookups == 7


def test_a_tree_that_was_not_asked_for_leaves_the_count_open():
    spf = read_spf("a.test", replies(a_test=["v=spf1 include:b.test -all"]))
    assert (spf.state, spf.lookups) == ("ok", None)


@pytest.mark.parametrize("target", ["spf..b.test", "x" * 64 + ".test", "a\\\\b.test"])
def test_an_include_of_a_malformed_name_is_an_error_and_no_open_question(target: str):
    known = replies(a_test=[f"v=spf1 include:{target} -all"])
    assert read_spf("a.test", known).state == "permerror"
    assert open_spf_questions("a.test", known) == []


def test_a_record_that_includes_itself_ends():
    known = replies(a_test=["v=spf1 include:a.test -all"])
    assert read_spf("a.test", known).state == "permerror"
    assert open_spf_questions("a.test", known) == []


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ("v=spf1 ipv4:192.0.2.1 -all", "ipv4 is no mechanism"),
        ("v=spf1 ip4:192.0.2.256 -all", "ip4 has a malformed value"),
        ("v=spf1 ip6:fe80::1%eth0 -all", "ip6 has a malformed value"),
        ("v=spf1 ip4:192.0.2.0/24/24 -all", "ip4 has a malformed value"),
        ("v=spf1 include:%{c}.b.test -all", "include has a malformed value"),
        ("v=spf1 exists:%{i0}.b.test -all", "exists has a malformed value"),
        ("v=spf1 mx\t-all", "a term holds a character outside printable ASCII"),
        ("v=spf1 mx \\226\\128\\156-all", "a term holds a character outside printable ASCII"),
        ("v=spf1 redirect=b.test redirect=c.test", "redirect= stands twice"),
        ("v=spf1 -all mox", "mox is no mechanism"),
    ],
)
def test_a_syntax_error_is_named(record: str, error: str):
    assert parse_spf(record).errors == (error,)
    assert read_spf("a.test", replies(a_test=[record])).warnings == (f"spf: {error} (in a.test)",)


@pytest.mark.parametrize("record", ["v=spf1\tmx -all", "v=spf10 -all", " v=spf1 -all", "spf1 -all", ""])
def test_a_text_that_only_looks_like_spf_is_not_chosen(record: str):
    assert select_spf([record]) == ()


texts = st.one_of(
    st.binary(max_size=300).map(escape_octets),
    st.text(max_size=300),
    st.lists(
        st.sampled_from(
            [
                "v=spf1",
                " ",
                "include:",
                "redirect=",
                "a.test",
                "/",
                "//33",
                "%{",
                "i}",
                "%",
                "-all",
                "ip4:",
                "1.2.3.4",
                "\\",
                ":",
            ]
        ),
        max_size=30,
    ).map("".join),
)


@settings(deadline=None, max_examples=300)
@given(texts)
def test_no_text_makes_the_parser_raise(text: str):
    parse_spf(text)
    spf = read_spf("a.test", replies(a_test=[text, "v=spf1 " + text]))
    assert spf.state in ("ok", "permerror")


@settings(deadline=None, max_examples=50)
@given(st.sampled_from("0a.-%{}/:=_ "), st.sampled_from("0a.-%{}/:=_ "))
def test_a_long_record_takes_no_long_time(one: str, other: str):
    # 60,000 characters: a parser that is worse than linear does not come back within the suite's time limit
    parse_spf("v=spf1 a:" + (one + other) * 30_000 + "!")
