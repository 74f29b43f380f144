"""Agreement with checkdmarc, an independent reader of SPF and DMARC, on generated zones served over real DNS.

Every SPF variant meets every DMARC variant, one domain each. Where the two differ, the variant is listed with both
verdicts and the reason, so that a difference that goes away, or a new one, fails.
"""

from typing import Any

import dns.nameserver
import pytest

from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.scan.dns import DnsSettings
from hunter_pipeline.scan.scan import DomainScan, scan

pytestmark = pytest.mark.xdist_group("agreement")

SPF: dict[str, list[Any]] = {
    "no record": [],
    "include": ["v=spf1 include:inc.net -all"],
    "look-ups of its own": ["v=spf1 mx a ~all"],
    "two records": ["v=spf1 -all", "v=spf1 mx -all"],
    "bad address": ["v=spf1 ip4:192.0.2.400 -all"],
    "unknown mechanism": ["v=spf1 foo -all"],
    "redirect": ["v=spf1 redirect=inc.net"],
    "redirect twice": ["v=spf1 redirect=inc.net redirect=inc.net"],
    "include of nothing": ["v=spf1 include:nothing.net -all"],
    "include of a failing name": ["v=spf1 include:broken.net -all"],
    "include of itself": ["v=spf1 include:{domain} -all"],
    "ten includes": ["v=spf1 " + " ".join(f"include:i{number}.net" for number in range(10)) + " -all"],
    "eleven includes": ["v=spf1 " + " ".join(f"include:i{number}.net" for number in range(11)) + " -all"],
    "three void look-ups": ["v=spf1 a:void1.net a:void2.net a:void3.net -all"],
    "upper case": ["V=SPF1 MX -ALL"],
    "another version": ["v=spf10 -all"],
    "two strings": [["v=spf1 include:in", "c.net -all"]],
    "beside other text": ["MS=ms12345678", "v=spf1 -all"],
    "macro": ["v=spf1 exists:%{i}._spf.inc.net -all"],
    "bad macro": ["v=spf1 exists:%{z}.inc.net -all"],
    "no all": ["v=spf1 mx"],
    "after all": ["v=spf1 -all mx"],
    "bad prefix length": ["v=spf1 a/33 -all"],
    "spaces": ["v=spf1  mx  -all "],
}

DMARC: dict[str, list[Any]] = {
    "no record": [],
    "reject": ["v=DMARC1; p=reject; rua=mailto:reports@{domain}"],
    "quarantine before sp=none": ["v=DMARC1; p=quarantine; sp=none"],
    "reject before np=none": ["v=DMARC1; p=reject; np=none"],
    "none": ["v=DMARC1; p=none"],
    "no p": ["v=DMARC1"],
    "no p but rua": ["v=DMARC1; rua=mailto:reports@{domain}"],
    "bad p": ["v=DMARC1; p=bogus"],
    "bad p but rua": ["v=DMARC1; p=bogus; rua=mailto:reports@{domain}"],
    "bad sp": ["v=DMARC1; p=reject; sp=bogus"],
    "two records": ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
    "testing": ["v=DMARC1; p=reject; t=y"],
    "upper case policy": ["v=DMARC1; p=REJECT"],
    "lower case version": ["v=dmarc1; p=reject"],
    "spaces": ["v = DMARC1 ; p = reject"],
    "text before": ["x v=DMARC1; p=reject"],
    "beside other text": ["wild", "v=DMARC1; p=reject"],
    "percentage": ["v=DMARC1; p=reject; pct=20"],
    "p twice": ["v=DMARC1; p=reject; p=none"],
    "a part that is no tag": ["v=DMARC1; p=reject; junk"],
    "unknown tag": ["v=DMARC1; p=reject; foo=bar"],
    "no separator": ["v=DMARC1 p=reject"],
    "empty tags": ["v=DMARC1; p=reject;;"],
}

# variant: (ours, theirs, why)
SPF_DIFFERENCES = {
    "upper case": ("ok", "permerror", "RFC 7208 section 4.6.1: names are case-insensitive, and its suite agrees"),
    "include of a failing name": (
        "ok",
        "permerror",
        "a failed look-up is no error of the record",
    ),
    "three void look-ups": ("ok", "permerror", "void look-ups are of addresses, which a scan does not ask for"),
}
DMARC_DIFFERENCES = {
    "no p": (("invalid", None), ("ok", "none"), "RFC 9989 section 4.10.1: without rua it does nothing"),
    "bad p but rua": (("ok", "none"), ("invalid", None), "RFC 9989 section 4.10.1: with rua it means p=none"),
    "testing": (("ok", "quarantine"), ("ok", "reject"), "ours is the policy in effect: t=y is one step milder"),
    "p twice": (("ok", "reject"), ("invalid", None), "RFC 9989 section 4.8: errors behind the version are passed over"),
    "a part that is no tag": (("ok", "reject"), ("invalid", None), "the same"),
    "empty tags": (("ok", "reject"), ("invalid", None), "the same"),
}

FAILURES = ("servfail", "refused", "silent", "nxdomain", "nodata")
VARIANTS = {f"s{s}d{d}.com": (spf, dmarc) for s, spf in enumerate(SPF) for d, dmarc in enumerate(DMARC)}


def zone() -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {"broken.net": {"behaviour": "servfail"}}
    for included in ("inc", *(f"i{number}" for number in range(11))):
        made[f"{included}.net"] = {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}
    for domain, (spf, dmarc) in VARIANTS.items():
        made[domain] = {"MX": [f"10 {domain}."], "A": ["192.0.2.5"], "NS": ["ns.inc.net."]}
        for name, records in ((domain, SPF[spf]), (f"_dmarc.{domain}", DMARC[dmarc])):
            filled = [each.replace("{domain}", domain) if isinstance(each, str) else each for each in records]
            if filled:
                made.setdefault(name, {})["TXT"] = filled
    for failure in FAILURES:
        made[f"{failure}.com"] = made[f"_dmarc.{failure}.com"] = {"behaviour": failure}
    return made


@pytest.fixture(scope="module")
def verdicts() -> dict[str, tuple[DomainScan, str, tuple[str, str | None]]]:
    """Our scan and checkdmarc's SPF state, DMARC state and policy, by domain."""
    # Imported here: it takes a second of each worker that only collects the tests.
    import checkdmarc.dmarc
    import checkdmarc.spf

    failing = [f"{failure}.com" for failure in FAILURES]
    with ZoneServer(zone()) as server:
        scans = scan(list(VARIANTS), DnsSettings((server.address,), qps_per_server=5000))
        # one name is silent: waiting for it as long as for the others would only take time
        scans += scan(failing, DnsSettings((server.address,), timeout=1, attempts=1))
        theirs: dict[str, Any] = {"nameservers": [dns.nameserver.Do53Nameserver("127.0.0.1", server.port)]}
        theirs |= {"timeout": 0.5, "retries": 0}
        return {
            done.domain: (
                done,
                spf_verdict(checkdmarc.spf.check_spf(done.domain, **theirs)),
                dmarc_verdict(checkdmarc.dmarc.check_dmarc(done.domain, ignore_unrelated_records=True, **theirs)),
            )
            for done in scans
        }


def error_state(error: str, otherwise: str) -> str:
    """checkdmarc tells absence, failure and error apart by its texts only."""
    if error in ("An SPF record does not exist.", "A DMARC record does not exist.", "The domain does not exist."):
        return "none"
    if error.startswith(("All nameservers failed", "The resolution lifetime expired")):
        return "unknown"
    return otherwise


def spf_verdict(result: dict[str, Any]) -> str:
    return "ok" if result["valid"] else error_state(result["error"], "permerror")


def dmarc_verdict(result: Any) -> tuple[str, str | None]:
    if result["valid"]:
        return "ok", result["tags"]["p"]["value"]
    return error_state(result["error"], "invalid"), None


Verdicts = dict[str, tuple[DomainScan, str, tuple[str, str | None]]]


def test_there_are_at_least_500_zones(verdicts: Verdicts):
    assert len(verdicts) >= 500


def test_spf_agrees_but_for_the_differences_listed(verdicts: Verdicts):
    for domain, (variant, _) in VARIANTS.items():
        ours, theirs = verdicts[domain][0].signals.spf_state, verdicts[domain][1]
        expected = SPF_DIFFERENCES.get(variant)
        assert (ours, theirs) == (expected[:2] if expected else (ours, ours)), variant


def test_dmarc_agrees_but_for_the_differences_listed(verdicts: Verdicts):
    for domain, (_, variant) in VARIANTS.items():
        signals, theirs = verdicts[domain][0].signals, verdicts[domain][2]
        ours = (signals.dmarc_state, signals.dmarc_policy)
        expected = DMARC_DIFFERENCES.get(variant)
        assert (ours, theirs) == (expected[:2] if expected else (ours, ours)), variant


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_and_absences_agree(verdicts: Verdicts, failure: str):
    done, spf, dmarc = verdicts[f"{failure}.com"]
    state = "none" if failure in ("nxdomain", "nodata") else "unknown"
    assert (done.signals.spf_state, spf) == (state, state)
    assert (done.signals.dmarc_state, dmarc[0]) == (state, state)
