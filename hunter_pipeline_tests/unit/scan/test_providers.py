"""The provider catalogue and the order in which evidence counts."""

from pathlib import Path

import pytest

from hunter_pipeline.scan.mx import Mx
from hunter_pipeline.scan.providers import (
    CATALOGUE_PATH,
    HOSTERS_PATH,
    CatalogueError,
    Decision,
    catalogue,
    decide_provider,
    evidence_is_open,
    load_catalogue,
)
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply

OUTLOOK_SPF = "spf.protection.outlook.com"


def decide(
    *hosts: str,
    spf: tuple[str, ...] = (),
    ns: tuple[str, ...] = (),
    domain: str = "acme.com.tr",
    **aliases: str | LookupStatus,
) -> Decision:
    """``aliases``: a CNAME reply for ``autodiscover`` or for a selector (any other key)."""
    known: dict[Question, Reply] = {(domain, "TXT"): Reply(domain, "TXT", LookupStatus.answer, ("MS=ms12345678",))}
    for key, value in aliases.items():
        name = f"{key}.{domain}" if key == "autodiscover" else f"{key}._domainkey.{domain}"
        found = not isinstance(value, LookupStatus)
        status = LookupStatus.answer if found else LookupStatus(value)
        known[(name, "CNAME")] = Reply(name, "CNAME", status, (value,) if found else ())
    return decide_provider(domain, Mx("present" if hosts else "none", hosts), spf, ns, known, catalogue())


@pytest.mark.parametrize(
    ("host", "provider", "confidence"),
    [
        ("acme-com-tr.mail.protection.outlook.com", "M365", "high"),
        ("acme-com-tr.e-v1.mx.microsoft", "M365", "high"),
        ("acme.mail.protection.office365.us", "M365", "high"),
        ("acme.mail.protection.partner.outlook.cn", "M365", "high"),
        ("smtp.google.com", "Google", "high"),
        ("aspmx.l.google.com", "Google", "high"),
        ("alt1.aspmx.l.google.com", "Google", "high"),
        ("aspmx3.googlemail.com", "Google", "high"),
        ("mx.yandex.net", "Yandex", "high"),
        ("mx.yandex.ru", "Yandex", "high"),
        ("mx2.zoho.eu", "Zoho", "high"),
        ("mx.zohomail.com", "Zoho", "high"),
        ("inbound-smtp.eu-west-1.amazonaws.com", "Amazon", "high"),
        ("mx.sendgrid.net", "SendGrid", "medium"),
        ("mxa.eu.mailgun.org", "Mailgun", "medium"),
        ("smtp.secureserver.net", "Hosting", "high"),
        ("mx3.natrohost.com", "Hosting", "high"),
        # other people's names that only look alike, and hosts that are no company's mailboxes
        ("acme-com.olc.protection.outlook.com", "Unknown", "none"),
        ("mx1.hotmail.com", "Unknown", "none"),
        ("gmail-smtp-in.l.google.com", "Unknown", "none"),
        ("acme.mail.protection.outlook.de", "Unknown", "none"),
        ("feedback-smtp.us-east-1.amazonses.com", "Unknown", "none"),
        ("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", "Unknown", "none"),
        ("mail.outlook.com.tr", "Unknown", "none"),
        ("mail.notmail.protection.outlook.com.example.com", "Unknown", "none"),
        ("mx.myyandex.net", "Unknown", "none"),
        ("mx.microsoft.com", "Unknown", "none"),
        ("mail.notacme.com.tr", "Unknown", "none"),
        ("mx.com.tr", "Unknown", "none"),
    ],
)
def test_one_mx_host(host: str, provider: str, confidence: str):
    decision = decide(host)
    assert (decision.provider, decision.confidence, decision.gateway) == (provider, confidence, None)
    assert host in decision.evidence[0]


def test_any_mx_counts_and_not_only_the_first():
    decision = decide("mx1.acme.iphmx.com", "acme-com-tr.mail.protection.outlook.com")
    assert (decision.provider, decision.confidence, decision.gateway) == ("M365", "high", "Cisco Secure Email")
    assert decision.evidence[0] == "mx acme-com-tr.mail.protection.outlook.com: M365"


def test_two_mailbox_providers_follow_the_preference_with_less_confidence():
    decision = decide("mx.yandex.net", "aspmx.l.google.com")
    assert (decision.provider, decision.confidence) == ("Yandex", "medium")


GATEWAY = "mxa-001.gslb.pphosted.com"
TENANT = "selector1-acme._domainkey.acme.onmicrosoft.com"


@pytest.mark.parametrize(
    ("decision", "provider", "confidence"),
    [
        (decide(GATEWAY, selector1=TENANT), "M365", "medium"),
        (decide(GATEWAY, selector1="selector1-acme._domainkey.acme.r-v1.dkim.mail.microsoft"), "M365", "medium"),
        (decide(GATEWAY, autodiscover="autodiscover.outlook.com"), "M365", "medium"),
        (decide(GATEWAY, autodiscover="autodiscover.mail.eu-west-1.awsapps.com"), "Amazon", "medium"),
        (decide(GATEWAY, autodiscover="autodiscover.outlook.com", selector1=TENANT), "M365", "high"),
        (decide(GATEWAY, selector1=TENANT, spf=(OUTLOOK_SPF, "pphosted.com")), "M365", "high"),
        (decide(GATEWAY, spf=(OUTLOOK_SPF, "sendgrid.net")), "M365", "low"),
        (decide(GATEWAY, spf=("_spf.google.com",)), "Google", "low"),
        (decide(GATEWAY, spf=("_spf.google.com", OUTLOOK_SPF)), "Unknown", "none"),
        (decide(GATEWAY, spf=("sendgrid.net",)), "Unknown", "none"),
        (decide(GATEWAY, autodiscover="autodiscover.acme.com.tr"), "Unknown", "none"),
        (decide(GATEWAY), "Unknown", "none"),
        (decide(GATEWAY, "mail.acme.com.tr"), "Unknown", "none"),
        (decide(GATEWAY, "smtp.secureserver.net"), "Hosting", "high"),
    ],
)
def test_behind_a_gateway_other_evidence_counts(decision: Decision, provider: str, confidence: str):
    assert (decision.provider, decision.confidence, decision.gateway) == (provider, confidence, "Proofpoint")


def test_behind_an_unknown_mx_the_one_mailbox_provider_that_the_domain_names_counts():
    review = "mx mx.filter.example: filter.example is not in the catalogue"
    named = decide("mx.filter.example", spf=(OUTLOOK_SPF,))
    assert (named.provider, named.confidence, named.evidence) == ("M365", "low", ("spf includes M365", review))
    aliased = decide("mx.filter.example", autodiscover="autodiscover.outlook.com", selector1=TENANT, spf=(OUTLOOK_SPF,))
    assert (aliased.provider, aliased.confidence, aliased.gateway) == ("M365", "low", None)
    assert aliased.evidence == (
        "autodiscover points at autodiscover.outlook.com: M365",
        f"dkim selector1 points at {TENANT}: M365",
        "spf includes M365",
        review,
    )
    # an alias is the company's own word; an include may be that of a program which sends as well
    assert (
        decide("mx.filter.example", autodiscover="autodiscover.outlook.com", spf=("_spf.google.com",)).provider
        == "M365"
    )
    torn = decide("mx.filter.example", autodiscover="autodiscover.mail.eu-west-1.awsapps.com", selector1=TENANT)
    assert (torn.provider, torn.confidence) == ("Unknown", "none")
    several = decide("mx.filter.example", spf=("_spf.google.com", OUTLOOK_SPF))
    assert (several.provider, several.confidence) == ("Unknown", "none")
    assert several.evidence[0] == "mx mx.filter.example: filter.example is not in the catalogue"


@pytest.mark.parametrize(
    ("host", "gateway"),
    [
        ("mx01.a.expurgate.net", "Cyren"),
        ("mx10.eu.ctmail.com", "Cyren"),
        ("d123.a.arsmtp.com", "AppRiver"),
        ("primary.us.email.fireeyecloud.com", "Trellix"),
        ("alt1.us.etp.fireeyegov.com", "Trellix"),
        ("acme.com.pri-mx.na0107.smtproutes.com", "N-able Mail Protection"),
        ("acme.esvacloud.com", "Libraesva"),
        ("mx1.in.safentrix.com", "Safentrix"),
        ("acme-com.relay1g.spamh.com", "SpamStopsHere"),
        ("cluster5.inboundmx.com", "Symantec"),
        ("fallbackmx.spamexperts.eu", "SpamExperts"),
        ("lastmx.spamexperts.net", "SpamExperts"),
        ("mailstream-east.mxrecord.io", "Cloudflare Email Security"),
        ("mailstream-central.mxrecord.mx", "Cloudflare Email Security"),
        ("mx1.spamtitan.com", "SpamTitan"),
        ("mail.mailroute.net", "MailRoute"),
        ("mx1.securence.com", "Securence"),
        ("mx1.mailhop.org", "DuoCircle"),
        ("acme.mx.duocircle.com", "DuoCircle"),
        ("acme.l.mailanyone.net", "VIPRE"),
        ("acme-com.cloud.nospamproxy.com", "NoSpamProxy"),
        ("mx.perception-point.io", "Perception Point"),
    ],
)
def test_a_listed_gateway_hides_no_mailbox(host: str, gateway: str):
    behind = decide(host, spf=("_spf.google.com",))
    assert (behind.provider, behind.confidence, behind.gateway) == ("Google", "low", gateway)
    assert behind.evidence == ("spf includes Google", f"mx {host}: {gateway}, a gateway")


@pytest.mark.parametrize(
    ("host", "provider"),
    [("acme-com.new.protection.outlook.com", "M365"), ("acme.olc.protection.outlook.com", "Unknown")],
)
def test_any_label_below_microsofts_name_but_olc_is_a_companys(host: str, provider: str):
    assert decide(host).provider == provider


def test_a_verification_record_alone_is_no_evidence_of_mailboxes():
    assert decide(GATEWAY).provider == "Unknown"
    assert decide().provider == "Unknown"


def test_an_mx_of_the_name_servers_company_is_hosting():
    decision = decide("mx.smallhost.com", ns=("ns1.smallhost.com", "ns2.smallhost.com"))
    assert (decision.provider, decision.confidence, decision.local_hoster) == ("Hosting", "medium", "smallhost.com")
    assert decide("mx.other.com", ns=("ns1.smallhost.com",)).provider == "Unknown"


def test_the_hoster_is_named():
    assert decide("mx3.natrohost.com").local_hoster == "Natro"
    assert decide("mail.acme.com.tr").local_hoster is None


@pytest.mark.parametrize(
    ("host", "size"),
    [
        ("acme.mail.protection.outlook.com", "medium"),
        ("acme.a-v1.mx.microsoft", "medium"),
        ("acme.mail.eo.outlook.com", "small"),
        ("acme.olc.protection.outlook.com", "small"),
        ("aspmx.l.google.com", "medium"),
        ("smtp.google.com", None),
        ("mail.acme.com.tr", None),
    ],
)
def test_the_tenant_size_hint(host: str, size: str | None):
    assert decide(host).tenant_size == size


def test_a_failed_look_up_that_could_change_the_decision_leaves_it_open():
    assert decide(GATEWAY, autodiscover=LookupStatus.timeout).open
    assert decide(GATEWAY, autodiscover=LookupStatus.timeout, spf=(OUTLOOK_SPF,)).open
    assert not decide(GATEWAY, autodiscover=LookupStatus.nxdomain).open
    assert not decide(GATEWAY, autodiscover=LookupStatus.timeout, selector1=TENANT).open
    assert not decide("mx.yandex.net", autodiscover=LookupStatus.timeout).open
    assert decide_provider("acme.com", Mx("unknown"), (), (), {}, catalogue()).open
    assert not decide_provider("acme.com", Mx("null"), (), (), {}, catalogue()).open


def test_aliases_are_asked_for_only_where_the_mx_leaves_the_mailboxes_open():
    def is_open(*hosts: str) -> bool:
        return evidence_is_open(Mx("present", hosts), "acme.com", catalogue())

    assert is_open(GATEWAY)
    assert is_open("mx.filter.example")
    assert not is_open("mail.acme.com")
    assert not is_open("smtp.secureserver.net")
    assert not is_open(GATEWAY, "acme-com.mail.protection.outlook.com")
    assert not is_open()


CATALOGUE = CATALOGUE_PATH.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("selectors: [zmail, zoho, zoho1]", "selektors: [zmail]", "mailboxes.Zoho.selektors: Extra inputs"),
        ("  SendGrid:\n", "  Zoho:\n", "Zoho stands twice; rename one"),
        ("  Zoho:\n", "  Local:\n", "Local stands twice; rename one .Hosting and Local and Unknown have a meaning"),
        ("Fortinet: [fortimailcloud.com]", "Fortinet: [iphmx.com]", "mx: iphmx.com stands twice; keep one"),
        ("  Sophos: [", "  Sophos: [x.com]\n  Sophos: [", "Sophos stands twice"),
        ("{size: medium}", "{size: huge}", "size"),
        ("generic_selectors: [", "generic_selectors: [1, ", "generic_selectors.0"),
        ("mailboxes:", "mailboxes: [", "is no valid YAML"),
        ("gateways:", "gateway:", "gateways: Field required"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_the_place(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "providers.yaml"
    assert old in CATALOGUE
    path.write_text(CATALOGUE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogueError, match=message) as caught:
        load_catalogue(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Bluehost: {names: [bluehost.com]}", "Bluehost: {nams: [bluehost.com]}", "Bluehost.nams: Extra inputs"),
        ("Bluehost: {names: [bluehost.com]}", "Bluehost: {names: [BLUEHOST.com]}", "Bluehost.names.0"),
        ("Bluehost: {names: [bluehost.com]}", "Bluehost: {names: [loopia.se]}", "mx: loopia.se stands twice"),
        ("Bluehost: {names: [bluehost.com]}", "Bluehost: {ns: [loopia.se]}", "ns: loopia.se stands twice"),
        ("Bluehost: {names: [bluehost.com]}", "Bluehost: {names: [mx.yandex.net]}", "mx: mx.yandex.net stands twice"),
        ("Bluehost: {", "Bluehost: {}\nBluehost: {", "Bluehost stands twice"),
        ("Bluehost: {", "Bluehost: [", "is no valid YAML"),
    ],
)
def test_a_wrong_list_of_hosters_is_refused_with_the_place(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "hosters.yaml"
    content = HOSTERS_PATH.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogueError, match=message) as caught:
        load_catalogue(hosters_path=path)
    assert str(path) in str(caught.value)
