"""DMARC records and policy discovery by RFC 9989."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.scan.dmarc import (
    DmarcRecord,
    open_dmarc_questions,
    parse_dmarc,
    read_dmarc,
    select_dmarc,
)
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply, escape_octets

RUA = "rua=mailto:reports@a.test"


def replies(**at: list[str] | LookupStatus) -> dict[Question, Reply]:
    """Replies of the ``_dmarc`` name below each domain, written with underscores for dots."""
    made: dict[Question, Reply] = {}
    for key, value in at.items():
        name = f"_dmarc.{key.replace('_', '.')}"
        records = () if isinstance(value, LookupStatus) else tuple(value)
        status = value if isinstance(value, LookupStatus) else LookupStatus.answer
        made[(name, "TXT")] = Reply(name, "TXT", status, records)
    return made


NO = LookupStatus.nxdomain


@pytest.mark.parametrize(
    ("record", "state", "policy"),
    [
        ("v=DMARC1; p=reject", "ok", "reject"),
        ("v=DMARC1;p=quarantine", "ok", "quarantine"),
        ("v=DMARC1; p=reject; sp=none", "ok", "reject"),
        ("v=DMARC1; p=reject; np=none", "ok", "reject"),
        ("v=DMARC1; sp=none; p=quarantine", "ok", "quarantine"),
        ("v=DMARC1; p = Reject ;", "ok", "reject"),
        ("V = DMARC1 ; P=NONE", "ok", "none"),
        ("v=DMARC1;\tp=reject;;", "ok", "reject"),
        ("v=DMARC1; p=reject; t=y", "ok", "quarantine"),
        ("v=DMARC1; p=quarantine; t=y", "ok", "none"),
        ("v=DMARC1; p=none; t=y", "ok", "none"),
        ("v=DMARC1; p=reject; t=n", "ok", "reject"),
        ("v=DMARC1; p=reject; pct=10", "ok", "reject"),
        ("v=DMARC1; p=reject; p=none", "ok", "reject"),
        ("v=DMARC1; xp=none; p=reject; policy=none", "ok", "reject"),
        (f"v=DMARC1; {RUA}", "ok", "none"),
        (f"v=DMARC1; p=bogus; {RUA}", "ok", "none"),
        (f"v=DMARC1; p=; {RUA}", "ok", "none"),
        (f"v=DMARC1; p=reject; sp=bogus; {RUA}", "ok", "none"),
        (f"v=DMARC1; p=reject; np=bogus; {RUA}", "ok", "none"),
        ("v=DMARC1", "invalid", None),
        ("v=DMARC1; p=bogus", "invalid", None),
        ("v=DMARC1; p=reject; sp=bogus", "invalid", None),
        ("v=DMARC1; rua=", "invalid", None),
        ("v=DMARC1; rua=reports@a.test", "invalid", None),
        ("v=DMARC1; rua=mailto:", "invalid", None),
        ("v=DMARC1; rua=nothing, mailto:reports@a.test!10m", "ok", "none"),
        ("v=DMARC1; rua=https://reports.a.test/in", "ok", "none"),
        ("x v=DMARC1; p=reject", "none", None),
        ("v=dmarc1; p=reject", "none", None),
        ("v=DMARC10; p=reject", "none", None),
        ("v=DMARC1 p=reject", "none", None),
        ("p=reject; v=DMARC1", "none", None),
        ("v=spf1 -all", "none", None),
    ],
)
def test_one_record_at_the_domain(record: str, state: str, policy: str | None):
    dmarc = read_dmarc("a.test", replies(a_test=[record], test=NO))
    assert (dmarc.state, dmarc.policy) == (state, policy)
    assert dmarc.record == (record if state != "none" else None)


def test_several_records_at_the_domain_are_no_policy_and_no_climb():
    known = replies(a_test=["v=DMARC1; p=none", "v=DMARC1; p=reject"], test=["v=DMARC1; p=reject"])
    dmarc = read_dmarc("a.test", known)
    assert (dmarc.state, dmarc.policy) == ("invalid", None)
    assert dmarc.record == "v=DMARC1; p=none\nv=DMARC1; p=reject"


def test_other_text_beside_the_record_is_ignored():
    assert read_dmarc("a.test", replies(a_test=["wild", "v=DMARC1; p=reject"])).policy == "reject"


@pytest.mark.parametrize(
    ("record", "policy"),
    [
        ("v=DMARC1; p=reject", "reject"),
        ("v=DMARC1; p=reject; sp=quarantine; np=none", "quarantine"),
        ("v=DMARC1; p=none; sp=reject", "reject"),
        ("v=DMARC1; p=reject; t=y", "quarantine"),
    ],
)
def test_a_sub_domain_takes_the_policy_of_its_parent(record: str, policy: str):
    dmarc = read_dmarc("mail.a.test", replies(mail_a_test=NO, a_test=[record], test=NO))
    assert (dmarc.state, dmarc.policy, dmarc.found_at) == ("ok", policy, "a.test")


@pytest.mark.parametrize(
    ("record", "policy"),
    [
        ("v=DMARC1; p=reject; sp=quarantine; np=none", "none"),
        ("v=DMARC1; p=reject; sp=quarantine", "quarantine"),
    ],
)
def test_a_sub_domain_that_does_not_exist_takes_np(record: str, policy: str):
    known = replies(mail_a_test=NO, a_test=[record])
    known[("mail.a.test", "MX")] = Reply("mail.a.test", "MX", NO)
    assert read_dmarc("mail.a.test", known).policy == policy


def test_an_alias_that_points_nowhere_exists_so_np_is_not_for_it():
    """The reply code is about the last name of the chain (RFC 8020, section 2; RFC 6604, section 2.1)."""
    known = replies(mail_a_test=NO, a_test=["v=DMARC1; p=reject; sp=quarantine; np=none"])
    known[("mail.a.test", "MX")] = Reply("mail.a.test", "MX", NO, cnames=("gone.test",))
    assert read_dmarc("mail.a.test", known).policy == "quarantine"


def test_the_record_nearest_the_root_is_the_organizations():
    known = replies(x_b_a_test=NO, b_a_test=["v=DMARC1; p=none"], a_test=["v=DMARC1; p=reject"], test=NO)
    dmarc = read_dmarc("x.b.a.test", known)
    assert (dmarc.policy, dmarc.found_at) == ("reject", "a.test")


def test_psd_n_ends_the_climb():
    known = replies(x_b_a_test=NO, b_a_test=["v=DMARC1; p=none; psd=n"], a_test=["v=DMARC1; p=reject"])
    assert read_dmarc("x.b.a.test", known).found_at == "b.a.test"


def test_below_a_public_suffix_the_organizations_record_goes_first():
    bank = ["v=DMARC1; p=reject; sp=quarantine; psd=y"]
    with_own = replies(x_a_bank=NO, a_bank=["v=DMARC1; p=none"], bank=bank)
    assert read_dmarc("x.a.bank", with_own).found_at == "a.bank"
    without = replies(a_bank=NO, bank=bank)
    dmarc = read_dmarc("a.bank", without)
    assert (dmarc.policy, dmarc.found_at) == ("quarantine", "bank")


def test_parents_with_several_records_are_passed_over():
    known = replies(
        m_a_test=NO, a_test=["v=DMARC1; p=none", "v=DMARC1; p=reject"], test=["v=DMARC1; p=none; sp=reject"]
    )
    assert read_dmarc("m.a.test", known).found_at == "test"


@pytest.mark.parametrize(
    "status", [LookupStatus.servfail, LookupStatus.refused, LookupStatus.timeout, LookupStatus.other]
)
def test_a_failed_look_up_is_unknown_and_not_absent(status: LookupStatus):
    assert read_dmarc("a.test", replies(a_test=status)).state == "unknown"
    assert read_dmarc("m.a.test", replies(m_a_test=NO, a_test=status)).state == "unknown"


def test_parents_are_asked_for_only_without_an_own_record():
    assert open_dmarc_questions("m.a.test", {}) == []
    assert open_dmarc_questions("m.a.test", replies(m_a_test=LookupStatus.timeout)) == []
    assert open_dmarc_questions("m.a.test", replies(m_a_test=["v=DMARC1; p=none"])) == []
    missing = replies(m_a_test=["unrelated"])
    assert open_dmarc_questions("m.a.test", missing) == [("_dmarc.a.test", "TXT"), ("_dmarc.test", "TXT")]
    missing |= replies(a_test=NO)
    assert open_dmarc_questions("m.a.test", missing) == [("_dmarc.test", "TXT")]


def test_a_deep_name_costs_eight_questions_at_most():
    domain = ".".join("abcdefghijkl")
    asked = open_dmarc_questions(domain, {(f"_dmarc.{domain}", "TXT"): Reply(f"_dmarc.{domain}", "TXT", NO)})
    assert asked[0] == ("_dmarc.f.g.h.i.j.k.l", "TXT")
    assert len(asked) == 7


def test_the_tags_are_read_exactly():
    assert parse_dmarc(f"v=DMARC1; p=reject; sp=none; np=quarantine; t=y; psd=n; pct=50; {RUA}") == DmarcRecord(
        "reject", "none", "quarantine", testing=True, psd="n", pct=50, has_rua=True
    )
    assert parse_dmarc("v=DMARC1; pct=150").pct is None
    assert parse_dmarc("v=DMARC1; junk; p=none; p=reject").warnings == (
        "dmarc: a part of the record is no tag and is ignored",
        "dmarc: the tag p stands twice; the first counts",
    )


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200).map(escape_octets),
        st.text(max_size=200),
        st.lists(st.sampled_from(["v", "=", "DMARC1", ";", " ", "p", "reject", "rua", "mailto:", "@", ",", "\\"])).map(
            "".join
        ),
    )
)
def test_no_text_makes_the_parser_raise(text: str):
    for record in (text, f"v=DMARC1;{text}"):
        select_dmarc([record])
        parse_dmarc(record)
        assert read_dmarc("a.test", replies(a_test=[record], test=NO)).state in ("ok", "none", "invalid")


@pytest.mark.parametrize("filler", [" ", "\t", "=", ";", "a", "p=", ",", "mailto:a@b,", "mailto:", "!"])
def test_a_long_record_takes_no_long_time(filler: str):
    # 60,000 characters: a parser that is worse than linear does not come back within the suite's time limit
    for tag in ("p", "rua"):
        parse_dmarc(f"v=DMARC1; {tag}=x{filler * 60_000}x")
