"""Whole scans over real DNS: what is asked, how often, and how failures come out."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from hunter_pipeline import sandbox
from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.reply import LookupStatus
from hunter_pipeline.scan.scan import DomainScan, derive_signals, scan, scan_domains

KEY = f"v=DKIM1; p={base64.b64encode(bytes(300)).decode()}"
TENANT = "selector1-{d}._domainkey.{d}.onmicrosoft.com."

SHARED: dict[str, dict[str, Any]] = {
    "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    "_spf.google.com": {"TXT": ["v=spf1 include:_netblocks.google.com ~all"]},
    "_netblocks.google.com": {"TXT": ["v=spf1 ip4:198.51.100.0/24 ~all"]},
}


def m365(domain: str) -> dict[str, dict[str, Any]]:
    dashed = domain.replace(".", "-")
    target = TENANT.replace("{d}", dashed)
    return {
        domain: {
            "MX": [f"0 {dashed.upper()}.mail.protection.OUTLOOK.com."],
            "TXT": ["MS=ms1", ["v=spf1 include:spf.protec", "tion.outlook.com -all"]],
            "NS": ["ns1.registrar.net."],
        },
        f"_dmarc.{domain}": {"TXT": ["v=DMARC1; p=reject"]},
        f"selector1._domainkey.{domain}": {"CNAME": [target]},
        target: {"TXT": [[KEY[:200], KEY[200:]]]},
    }


def settings(server: ZoneServer, **more: Any) -> DnsSettings:
    """Patient, since a busy machine is no silent server; tests of silence set a short timeout."""
    return DnsSettings((server.address,), qps_per_server=5000, **({"timeout": 30, "attempts": 1} | more))


def test_a_domain_is_scanned_with_as_few_questions_as_it_takes():
    with ZoneServer(SHARED | m365("acme.com")) as server:
        (done,) = scan(["acme.com"], settings(server))
        assert set(server.questions) == {
            ("acme.com", "MX"),
            ("acme.com", "TXT"),
            ("_dmarc.acme.com", "TXT"),
            ("acme.com", "NS"),
            ("spf.protection.outlook.com", "TXT"),
            ("selector1._domainkey.acme.com", "TXT"),
        }
    signals = done.signals
    assert (signals.provider, signals.spf_state, signals.dkim_selectors) == ("M365", "ok", ("selector1",))
    assert (signals.dmarc_policy, signals.name_servers, signals.status) == (
        "reject",
        ("ns1.registrar.net",),
        "complete",
    )
    assert derive_signals("acme.com", done.replies) == signals


def test_names_that_domains_share_are_asked_once():
    zone = SHARED | {name: entry for number in range(30) for name, entry in m365(f"d{number}.com").items()}
    zone |= {
        f"g{number}.com": {"MX": ["1 smtp.google.com."], "TXT": ["v=spf1 include:_spf.google.com ~all"]}
        for number in range(30)
    }
    with ZoneServer(zone) as server:
        domains = [f"{kind}{number}.com" for number in range(30) for kind in "dg"]
        seen: list[DomainScan] = []

        async def run() -> tuple[list[DomainScan], int]:
            async with DnsClient(settings(server)) as client:
                return await scan_domains([*domains, "D0.com."], client, seen.append), client.asked

        scans, asked = asyncio.run(run())
        assert [done.domain for done in scans] == [*domains, "d0.com"]
        assert sorted(done.domain for done in seen) == sorted(domains)
        assert {done.signals.spf_state for done in scans} == {"ok"}
        # the server also counts what was sent again because it was slow
        assert asked == len(server.questions)
        assert ("_dmarc.com", "TXT") in server.questions


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        ("servfail", LookupStatus.servfail),
        ("refused", LookupStatus.refused),
        ("silent", LookupStatus.timeout),
    ],
)
def test_a_domain_that_cannot_be_looked_up_is_undetermined_throughout(behaviour: str, status: LookupStatus):
    with ZoneServer({"acme.com": {"behaviour": behaviour}, "*.acme.com": {"behaviour": behaviour}}) as server:
        (done,) = scan(["acme.com"], settings(server, timeout=1))
    assert {reply.status for reply in done.replies} == {status}
    assert done.signals.undetermined == ("mx", "spf", "dkim", "dmarc", "ns")
    assert (done.signals.mx_state, done.signals.status) == ("unknown", "partial")


@pytest.mark.parametrize(
    ("entry", "state", "status"),
    [
        ({"behaviour": "nxdomain"}, "none", LookupStatus.nxdomain),
        ({"behaviour": "nodata"}, "none", LookupStatus.nodata),
        ({"CNAME": ["gone.invalid."]}, "none", LookupStatus.nxdomain),
        ({"MX": ["0 ."]}, "null", LookupStatus.answer),
        ({"MX": ["10 mail.acme.com."], "behaviour": "truncate"}, "present", LookupStatus.answer),
        ({"MX": ["10 mail.acme.com."], "behaviour": {"MX": "servfail"}}, "unknown", LookupStatus.servfail),
    ],
)
def test_each_state_of_the_mx(entry: dict[str, Any], state: str, status: LookupStatus):
    with ZoneServer({"acme.com": entry}) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert done.replies[0].status is status
    assert done.signals.mx_state == state
    assert ("mx" in done.signals.undetermined) is (state == "unknown")


def test_a_wildcard_is_no_dkim_key_and_no_dmarc_record():
    zone = {"acme.com": {"MX": ["10 mail.acme.com."]}, "*.acme.com": {"TXT": ["v=spf1 -all"]}}
    with ZoneServer(zone) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert (done.signals.dkim_state, done.signals.dmarc_state, done.signals.spf_state) == ("none", "none", "none")


def test_the_mailboxes_behind_a_gateway_are_found():
    zone = SHARED | m365("acme.com")
    zone["acme.com"] = zone["acme.com"] | {"MX": ["10 mxa.gslb.pphosted.com."]}
    zone["autodiscover.acme.com"] = {"CNAME": ["autodiscover.outlook.com."]}
    with ZoneServer(zone) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert (done.signals.provider, done.signals.confidence, done.signals.gateway) == ("M365", "high", "Proofpoint")


@pytest.mark.parametrize(
    ("published", "missing", "existing"),
    [
        ("v=DMARC1; p=quarantine; sp=none; np=reject; psd=y", ("ok", "reject"), ("ok", "none")),
        ("v=DMARC1; p=reject; np=quarantine; psd=y", ("ok", "quarantine"), ("ok", "reject")),
        ("v=DMARC1; p=none; sp=quarantine; psd=y", ("ok", "quarantine"), ("ok", "quarantine")),
        ("v=DMARC1; p=reject; psd=y", ("ok", "reject"), ("ok", "reject")),
        ("v=DMARC1; p=none; np=reject; t=y; psd=y", ("ok", "quarantine"), ("ok", "none")),
        (None, ("none", None), ("none", None)),
        ("servfail", ("unknown", None), ("unknown", None)),
    ],
)
def test_a_domain_that_does_not_exist_has_its_parents_policy_for_such(
    published: str | None, missing: tuple[str, str | None], existing: tuple[str, str | None]
):
    """RFC 9989, sections 3.2.13 and 4.7: `np` is for names that NXDOMAIN denies (RFC 8020), else `sp`, else `p`."""
    entry: dict[str, Any] = {"behaviour": published} if published == "servfail" else {"TXT": [published]}
    zone: dict[str, dict[str, Any]] = {"there.bank": {"MX": ["10 smtp.google.com."], "NS": ["ns1.registrar.net."]}}
    zone |= {"alias.bank": {"CNAME": ["gone.invalid."]}} | ({"_dmarc.bank": entry} if published else {})
    with ZoneServer(zone) as server:
        names = ["missing.bank", "there.bank", "alias.bank"]
        gone, there, alias = (done.signals for done in scan(names, settings(server)))
    assert (alias.mx_state, alias.dmarc_state, alias.dmarc_policy) == ("none", *existing)
    assert (gone.mx_state, gone.dmarc_state, gone.dmarc_policy) == ("none", *missing)
    assert (there.mx_state, there.dmarc_state, there.dmarc_policy) == ("present", *existing)
    for signals, (state, _) in ((gone, missing), (there, existing)):
        assert (signals.status, "dmarc" in signals.undetermined) == (
            ("partial", True) if state == "unknown" else ("complete", False)
        )


def test_a_bug_in_the_callers_callback_is_not_swallowed():
    def fail(done: DomainScan) -> None:
        raise RuntimeError(done.domain)

    with ZoneServer(SHARED) as server, pytest.raises(ExceptionGroup) as caught:
        scan(["acme.com"], settings(server), fail)
    assert caught.group_contains(RuntimeError, match="acme.com")


def test_one_question_at_a_time_is_enough():
    with ZoneServer(SHARED | m365("acme.com")) as server:
        assert [done.signals.provider for done in scan(["acme.com", "acme.com"], settings(server, in_flight=1))] == [
            "M365",
            "M365",
        ]


def test_no_domains_are_no_scans():
    with ZoneServer({}) as server:
        assert scan([], settings(server)) == []


def test_what_a_scan_costs():
    content = yaml.safe_load(Path(sandbox.__file__).with_name("zone.yaml").read_text(encoding="utf-8"))
    domains = [name for name, entry in content["answers"].items() if "NS" in entry]
    assert len(domains) >= 25
    with ZoneServer(content["answers"]) as server:
        scan(domains, settings(server))
        # 8.07 different questions a domain before proofs of absence and the hosters' machines were looked at
        assert len(server.questions) / len(domains) <= 8.07 + 0.3


HOSTED: dict[str, dict[str, Any]] = {
    "acme.com": {"MX": ["10 mail.acme.com."], "NS": ["ns1.natrohost.com."], "A": ["192.0.2.7"]},
    "mail.acme.com": {"A": ["192.0.2.8"]},
    "8.2.0.192.in-addr.arpa": {"PTR": ["wl77.natrohost.com."]},
}


def test_a_hosters_machine_under_the_companys_name_is_hosting():
    with ZoneServer(HOSTED) as server:
        (done,) = scan(["acme.com"], settings(server))
        assert ("acme.com", "A") not in server.questions
    assert (done.signals.provider, done.signals.local_hoster, done.signals.status) == ("Hosting", "Natro", "complete")
    assert done.signals.evidence[0] == "mx mail.acme.com: 192.0.2.8 is called wl77.natrohost.com: Natro, a hoster"
    assert derive_signals("acme.com", done.replies) == done.signals


@pytest.mark.parametrize("behaviour", ["servfail", "refused", "silent", "empty", "upward_referral", "malformed"])
@pytest.mark.parametrize("name", ["mail.acme.com", "8.2.0.192.in-addr.arpa", "acme.com"])
def test_a_machine_that_cannot_be_asked_about_is_neither_local_nor_hosting(name: str, behaviour: str):
    zone = HOSTED | {"8.2.0.192.in-addr.arpa": {"PTR": ["mail.acme.com."]}}
    rtype = {"acme.com": "A", "mail.acme.com": "A"}.get(name, "PTR")
    zone[name] = zone[name] | {"behaviour": {rtype: behaviour}}
    with ZoneServer(zone) as server:
        (done,) = scan(["acme.com"], settings(server, timeout=1))
    assert (done.signals.provider, done.signals.confidence) == ("Unknown", "none")
    assert (done.signals.undetermined, done.signals.status) == (("provider",), "partial")


def test_a_machine_that_many_companies_share_is_asked_about_once():
    zone: dict[str, dict[str, Any]] = {"8.2.0.192.in-addr.arpa": {"PTR": ["wl77.natrohost.com."]}}
    for number in range(20):
        zone[f"d{number}.com"] = {"MX": [f"10 mail.d{number}.com."], "NS": ["ns1.natrohost.com."]}
        zone[f"mail.d{number}.com"] = {"A": ["192.0.2.8"]}
    with ZoneServer(zone) as server:

        async def run() -> tuple[list[DomainScan], int]:
            async with DnsClient(settings(server)) as client:
                return await scan_domains([f"d{number}.com" for number in range(20)], client), client.asked

        scans, asked = asyncio.run(run())
        assert asked == len(server.questions)
    assert {done.signals.provider for done in scans} == {"Hosting"}
