"""Signals from stored replies, the plan of questions, and what is kept when look-ups fail."""

import base64
import json
from dataclasses import replace

import pytest

from hunter_pipeline.scan.reply import LookupStatus, Question, Reply
from hunter_pipeline.scan.scan import SIGNALS_VERSION, Signals, derive_signals, keep_last_good, open_questions

KEY = f"v=DKIM1; p={base64.b64encode(bytes(200)).decode()}"
NO, EMPTY = LookupStatus.nxdomain, LookupStatus.nodata
FAILED = [LookupStatus.servfail, LookupStatus.refused, LookupStatus.timeout, LookupStatus.other]

Zone = dict[Question, tuple[str, ...] | LookupStatus]

M365: Zone = {
    ("acme.com", "MX"): ("0 acme-com.mail.protection.outlook.com",),
    ("acme.com", "TXT"): ("v=spf1 include:spf.protection.outlook.com -all",),
    ("_dmarc.acme.com", "TXT"): ("v=DMARC1; p=reject",),
    ("acme.com", "NS"): ("ns1.acme.com", "ns2.acme.com"),
    ("spf.protection.outlook.com", "TXT"): ("v=spf1 ip4:192.0.2.0/24 -all",),
    ("selector1._domainkey.acme.com", "TXT"): (KEY,),
}


def scan(zone: Zone, domain: str = "acme.com") -> list[Reply]:
    """What a scan collects from a zone; names that are not in it do not exist."""
    replies: list[Reply] = []
    while questions := open_questions(domain, replies):
        for name, rtype in questions:
            found = zone.get((name, rtype), NO)
            status, records = (found, ()) if isinstance(found, LookupStatus) else (LookupStatus.answer, found)
            replies.append(Reply(name, rtype, status, records))
    return replies


def signals(zone: Zone) -> Signals:
    return derive_signals("acme.com", scan(zone))


def asked(zone: Zone) -> list[Question]:
    return [(reply.name, reply.rtype) for reply in scan(zone)]


def test_a_complete_set_up():
    assert signals(M365) == Signals(
        provider="M365",
        gateway=None,
        confidence="high",
        evidence=("mx acme-com.mail.protection.outlook.com: M365",),
        local_hoster=None,
        tenant_size="medium",
        mx_state="present",
        mx_hosts=("acme-com.mail.protection.outlook.com",),
        spf_state="ok",
        spf_record="v=spf1 include:spf.protection.outlook.com -all",
        spf_includes=1,
        spf_all="-",
        dkim_state="found",
        dkim_selectors=("selector1",),
        dmarc_state="ok",
        dmarc_policy="reject",
        dmarc_record="v=DMARC1; p=reject",
        dmarc_pct=None,
        name_servers=("ns1.acme.com", "ns2.acme.com"),
    )
    assert signals(M365).status == "complete"


def test_a_complete_set_up_costs_six_questions():
    assert asked(M365) == list(M365)


def test_a_domain_that_does_not_exist_costs_five_questions_and_is_known_to_be_empty():
    assert len(asked({})) == 5
    empty = signals({})
    assert (empty.mx_state, empty.spf_state, empty.dkim_state, empty.dmarc_state) == ("none", "none", "none", "none")
    assert empty.status == "complete"


@pytest.mark.parametrize("status", FAILED)
def test_an_undetermined_mx_never_looks_like_no_mx(status: LookupStatus):
    failed = signals(M365 | {("acme.com", "MX"): status})
    assert (failed.mx_state, failed.mx_hosts, failed.provider) == ("unknown", (), "Unknown")
    assert (failed.undetermined, failed.status) == (("mx",), "partial")


@pytest.mark.parametrize("status", FAILED)
@pytest.mark.parametrize(
    ("question", "name"),
    [
        (("acme.com", "TXT"), "spf"),
        (("spf.protection.outlook.com", "TXT"), "spf"),
        (("_dmarc.acme.com", "TXT"), "dmarc"),
        (("acme.com", "NS"), "ns"),
        (("selector1._domainkey.acme.com", "TXT"), "dkim"),
    ],
)
def test_each_failed_look_up_leaves_its_own_signal_open(question: Question, name: str, status: LookupStatus):
    failed = signals(M365 | {question: status})
    assert (failed.undetermined, failed.status) == ((name,), "partial")
    states = {"spf": failed.spf_state, "dmarc": failed.dmarc_state, "dkim": failed.dkim_state}
    read_all_the_same = name == "ns" or question[0] == "spf.protection.outlook.com"
    assert [key for key, state in states.items() if state == "unknown"] == ([] if read_all_the_same else [name])


def test_nothing_asked_is_nothing_known():
    nothing = derive_signals("acme.com", [])
    assert nothing.undetermined == ("mx", "spf", "dkim", "dmarc", "ns")


def test_a_null_mx_is_told_from_a_missing_one():
    assert signals(M365 | {("acme.com", "MX"): ("0 .",)}).mx_state == "null"
    assert signals(M365 | {("acme.com", "MX"): EMPTY}).mx_state == "none"


def test_dkim_is_asked_for_from_the_likeliest_selector_on():
    second = M365 | {("selector1._domainkey.acme.com", "TXT"): NO, ("selector2._domainkey.acme.com", "TXT"): (KEY,)}
    assert asked(second)[-3:] == [
        ("selector1._domainkey.acme.com", "TXT"),
        ("selector2._domainkey.acme.com", "TXT"),
        ("_domainkey.acme.com", "TXT"),
    ]
    assert signals(second).dkim_selectors == ("selector2",)


def test_other_selectors_are_asked_for_only_where_something_exists():
    without = M365 | {("selector1._domainkey.acme.com", "TXT"): NO}
    assert len(asked(without)) == 8
    assert signals(without).dkim_state == "none"
    there = without | {("_domainkey.acme.com", "TXT"): EMPTY, ("k1._domainkey.acme.com", "TXT"): (KEY,)}
    assert signals(there).dkim_selectors == ("k1",)
    hidden = without | {("_domainkey.acme.com", "TXT"): EMPTY}
    assert signals(hidden).dkim_state == "unknown_selector"


def test_selectors_that_point_nowhere_are_no_key():
    dangling = M365 | {
        ("selector1._domainkey.acme.com", "TXT"): NO,
        ("_domainkey.acme.com", "TXT"): EMPTY,
        ("selector1._domainkey.acme.com", "CNAME"): ("selector1-acme-com._domainkey.gone.onmicrosoft.com",),
    }
    assert signals(dangling).dkim_state == "none"


GATEWAY = M365 | {("acme.com", "MX"): ("10 mxa.gslb.pphosted.com",)}


def test_aliases_are_asked_for_behind_a_gateway_only():
    aliases = [("autodiscover.acme.com", "CNAME"), ("selector1._domainkey.acme.com", "CNAME")]
    assert not set(aliases) & set(asked(M365))
    assert set(aliases) <= set(asked(GATEWAY))


def test_a_failed_alias_behind_a_gateway_leaves_the_provider_open():
    failed = signals(GATEWAY | {("autodiscover.acme.com", "CNAME"): LookupStatus.timeout})
    assert (failed.provider, failed.confidence, failed.undetermined) == ("M365", "low", ("provider",))


def test_the_parents_dmarc_record_is_asked_for_when_there_is_no_own():
    inherited = M365 | {
        ("_dmarc.acme.com", "TXT"): NO,
        ("_dmarc.com", "TXT"): ("v=DMARC1; p=none; sp=quarantine; psd=y",),
    }
    assert signals(inherited).dmarc_policy == "quarantine"
    assert signals(M365 | {("_dmarc.acme.com", "TXT"): NO}).dmarc_state == "none"


def test_a_domain_that_does_not_exist_is_under_its_parents_np_policy():
    parent = {("_dmarc.com", "TXT"): ("v=DMARC1; p=none; sp=quarantine; np=reject; psd=y",)}
    assert signals(parent).dmarc_policy == "reject"


@pytest.mark.parametrize("status", FAILED)
def test_a_parent_that_cannot_be_asked_leaves_the_policy_of_a_missing_domain_open(status: LookupStatus):
    failed = signals({("_dmarc.com", "TXT"): status})
    assert (failed.dmarc_state, failed.undetermined) == ("unknown", ("dmarc",))


def test_replies_stored_before_proofs_were_looked_at_are_facts_only_beside_name_servers():
    def stored(zone: Zone) -> Signals:
        replies = [reply.to_json() for reply in scan(zone)]
        for reply in replies:
            del reply["detail"]
        return derive_signals("acme.com", [Reply.from_json(reply) for reply in replies])

    assert stored(M365 | {("acme.com", "MX"): EMPTY}).mx_state == "none"
    assert stored(M365 | {("acme.com", "MX"): EMPTY, ("acme.com", "NS"): EMPTY}).mx_state == "unknown"


def test_an_spf_record_that_was_read_is_kept_over_an_older_one():
    new = signals(
        M365
        | {
            ("acme.com", "TXT"): ("v=spf1 include:elsewhere.net ~all",),
            ("elsewhere.net", "TXT"): LookupStatus.timeout,
        }
    )
    kept, names = keep_last_good(new, GOOD)
    assert (kept.spf_record, kept.spf_state, names) == ("v=spf1 include:elsewhere.net ~all", "ok", ())


def test_signals_are_derived_again_from_stored_replies():
    replies = scan(M365)
    stored = json.loads(json.dumps([reply.to_json() for reply in replies]))
    assert derive_signals("acme.com", [Reply.from_json(item) for item in stored]) == signals(M365)


def test_the_order_of_the_replies_does_not_matter():
    assert derive_signals("acme.com", scan(GATEWAY)[::-1]) == signals(GATEWAY)


def test_the_version_names_the_catalogue_too():
    assert SIGNALS_VERSION.partition("-")[0].isdigit()
    assert len(SIGNALS_VERSION.partition("-")[2]) == 12


# --- keeping the last good values -----------------------------------------------------------------------------------

GOOD = signals(M365)


def test_a_first_scan_has_nothing_to_keep():
    failed = signals(M365 | {("acme.com", "MX"): LookupStatus.timeout})
    assert keep_last_good(failed, None) == (failed, ())


def test_a_complete_scan_keeps_nothing():
    changed = signals(M365 | {("_dmarc.acme.com", "TXT"): ("v=DMARC1; p=none",)})
    assert keep_last_good(changed, GOOD) == (changed, ())


def test_a_failed_scan_keeps_every_last_good_value_and_stays_partial():
    nothing = derive_signals("acme.com", [])
    kept, names = keep_last_good(nothing, GOOD)
    assert names == ("mx", "spf", "dkim", "dmarc", "ns")
    assert kept == replace(GOOD, undetermined=nothing.undetermined)
    assert kept.status == "partial"


def test_only_the_failed_signal_is_kept():
    new = signals(
        M365 | {("_dmarc.acme.com", "TXT"): LookupStatus.servfail, ("acme.com", "MX"): ("10 aspmx.l.google.com",)}
    )
    kept, names = keep_last_good(new, GOOD)
    assert (names, kept.dmarc_policy, kept.provider) == (("dmarc",), "reject", "Google")


def test_values_are_kept_through_several_failures():
    nothing = derive_signals("acme.com", [])
    once, _ = keep_last_good(nothing, GOOD)
    twice, names = keep_last_good(nothing, once)
    assert (twice, names) == (once, ("mx", "spf", "dkim", "dmarc", "ns"))


def test_an_unknown_value_is_not_worth_keeping():
    nothing = derive_signals("acme.com", [])
    assert keep_last_good(nothing, nothing) == (nothing, ())


def test_a_known_absence_is_kept_like_any_other_value():
    kept, names = keep_last_good(derive_signals("acme.com", []), signals({}))
    assert (kept.mx_state, names) == ("none", ("mx", "spf", "dkim", "dmarc"))


def test_the_provider_behind_an_unchanged_gateway_is_kept():
    known = signals(GATEWAY | {("autodiscover.acme.com", "CNAME"): ("autodiscover.outlook.com",)})
    failed = signals(GATEWAY | {("autodiscover.acme.com", "CNAME"): LookupStatus.timeout})
    kept, names = keep_last_good(failed, known)
    assert (kept.provider, kept.confidence, names) == ("M365", "high", ("provider",))
    elsewhere = replace(failed, mx_hosts=("mx1.acme.iphmx.com",), gateway="Cisco Secure Email")
    assert keep_last_good(elsewhere, known) == (elsewhere, ())
