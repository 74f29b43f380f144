"""Whose machine answers for an MX in the company's own domain."""

import pytest

from hunter_pipeline.scan.hosting import Machine, whose_machine
from hunter_pipeline.scan.mx import Mx
from hunter_pipeline.scan.providers import Decision, catalogue, decide_provider
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply

NO, EMPTY = LookupStatus.nxdomain, LookupStatus.nodata
FAILED = [each for each in LookupStatus if not each.known]

Zone = dict[Question, tuple[str, ...] | LookupStatus]

DOMAIN, MAIL, REVERSE = "acme.com.tr", "mail.acme.com.tr", "9.2.0.192.in-addr.arpa"
OWN: Zone = {
    (MAIL, "A"): ("192.0.2.9",),
    (REVERSE, "PTR"): ("mail.acme.com.tr",),
    (DOMAIN, "NS"): ("ns1.natrohost.com",),
    (DOMAIN, "A"): ("192.0.2.1",),
}


def replies(zone: Zone, **cnames: tuple[str, ...]) -> dict[Question, Reply]:
    known = {}
    for (name, rtype), found in zone.items():
        status, records = (found, ()) if isinstance(found, LookupStatus) else (LookupStatus.answer, found)
        known[(name, rtype)] = Reply(name, rtype, status, records, cnames=cnames.get(rtype, ()))
    return known


def machine(zone: Zone, host: str = MAIL, **cnames: tuple[str, ...]) -> Machine:
    return whose_machine(DOMAIN, host, replies(zone, **cnames), catalogue().hosters)


def decided(zone: Zone, *hosts: str) -> Decision:
    known = replies(zone)
    names = known[(DOMAIN, "NS")].records if (DOMAIN, "NS") in known else ()
    return decide_provider(DOMAIN, Mx("present", hosts or (MAIL,)), (), names, known, catalogue())


def test_an_own_machine_is_local_whoever_serves_the_names():
    local = decided(OWN)
    assert (local.provider, local.confidence, local.open, local.asks) == ("Local", "medium", False, ())
    assert local.evidence == (
        "mx mail.acme.com.tr: in the company's own domain",
        "the address of mail.acme.com.tr, 192.0.2.9, is called mail.acme.com.tr",
    )


@pytest.mark.parametrize(
    ("reverse", "hoster"),
    [
        ("wl12.natrohost.com", "Natro"),
        ("srvm04.turhost.com", "Turhost"),
        ("ns1.ihsdnsx51.com", "IHS"),
        ("host110.netinternet.com.tr", "Netinternet"),
        ("limos.alastyr.com", "Alastyr"),
        ("p3plcpnl0123.prod.phx3.secureserver.net", "GoDaddy"),
        ("www123.your-server.de", "Hetzner"),
        # servers and lines that their customers run themselves, and a name that only looks alike
        ("static.9.2.0.192.clients.your-server.de", None),
        ("vps-1234abcd.vps.ovh.net", None),
        ("ip-192-0-2-9.ip.secureserver.net", None),
        ("192.0.2.9.static.ttnet.com.tr", None),
        ("host-192-0-2-9.reverse.superonline.net", None),
        ("mail.notnatrohost.com", None),
    ],
)
def test_the_reverse_name_of_the_address_tells_a_hosters_machine(reverse: str, hoster: str | None):
    found = decided(OWN | {(REVERSE, "PTR"): (reverse,)})
    assert (found.provider, found.local_hoster) == (("Hosting", hoster) if hoster else ("Local", None))
    assert reverse in " ".join(found.evidence)


def test_any_of_several_reverse_names_counts():
    assert machine(OWN | {(REVERSE, "PTR"): ("mail.acme.com.tr", "wl12.natrohost.com")}).hoster == "Natro"


def test_an_alias_of_a_hosters_machine_needs_no_reverse_name():
    found = machine({(MAIL, "A"): ("192.0.2.9",)}, A=("wl12.natrohost.com",))
    assert (found.hoster, found.asks) == ("Natro", ())


@pytest.mark.parametrize("reverse", [("mail.acme.com.tr",), NO, EMPTY])
def test_the_websites_address_is_a_hosters_if_the_name_servers_are(reverse: tuple[str, ...] | LookupStatus):
    shared = OWN | {(REVERSE, "PTR"): reverse, (DOMAIN, "A"): ("192.0.2.1", "192.0.2.9")}
    found = decided(shared)
    assert (found.provider, found.local_hoster) == ("Hosting", "Natro")
    assert "at the website's address 192.0.2.9" in found.evidence[0]
    assert decided(shared | {(DOMAIN, "NS"): ("ns1.acme.com.tr",)}).provider == "Local"


def test_an_mx_that_is_the_domain_itself_stands_at_the_websites_address():
    zone: Zone = {(DOMAIN, "A"): ("192.0.2.9",), (REVERSE, "PTR"): NO, (DOMAIN, "NS"): ("ns1.turdns.com",)}
    assert machine(zone, DOMAIN).hoster == "Turhost"


def test_one_question_after_the_other_and_only_those_that_can_decide():
    zone: Zone = {(DOMAIN, "NS"): ("ns1.natrohost.com",)}
    for question, answer in [((MAIL, "A"), "192.0.2.9"), ((REVERSE, "PTR"), "x.com"), ((DOMAIN, "A"), "192.0.2.1")]:
        assert (machine(zone).asks, machine(zone).open) == ((question,), True)
        zone[question] = (answer,)
    assert machine(zone).asks == ()
    elsewhere = OWN | {(DOMAIN, "NS"): ("ns1.acme.com.tr",)}
    del elsewhere[(DOMAIN, "A")]
    assert machine(elsewhere) == machine(OWN)


def test_a_host_without_a_v4_address_is_asked_for_its_v6_address():
    zone = OWN | {(MAIL, "A"): EMPTY}
    assert machine(zone).asks == ((MAIL, "AAAA"),)
    zone[(MAIL, "AAAA")] = ("2001:db8::9",)
    ((name, rtype),) = machine(zone).asks
    assert (name.endswith(".8.b.d.0.1.0.0.2.ip6.arpa"), rtype) == (True, "PTR")
    zone[(name, "PTR")] = ("wl12.natrohost.com",)
    assert machine(zone).hoster == "Natro"


@pytest.mark.parametrize("missing", [{(MAIL, "A"): NO}, {(MAIL, "A"): EMPTY, (MAIL, "AAAA"): EMPTY}])
def test_a_host_without_an_address_is_nobodys_but_the_companys(missing: Zone):
    assert machine(OWN | missing) == Machine(None, ("mail.acme.com.tr has no address",))


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.2", "127.0.0.1", "169.254.1.1", "100.64.1.1"])
def test_nobody_is_asked_about_an_address_of_an_inner_network(address: str):
    found = machine(OWN | {(MAIL, "A"): (address,)})
    assert (found.hoster, found.open, found.asks) == (None, False, ())


@pytest.mark.parametrize("status", FAILED)
@pytest.mark.parametrize("question", [(MAIL, "A"), (REVERSE, "PTR"), (DOMAIN, "A")])
def test_what_cannot_be_asked_leaves_it_open(question: Question, status: LookupStatus):
    found = decided(OWN | {question: status})
    assert (found.provider, found.confidence, found.open, found.asks) == ("Unknown", "none", True, ())


@pytest.mark.parametrize("status", FAILED)
def test_name_servers_that_cannot_be_asked_for_leave_open_just_what_they_decide(status: LookupStatus):
    unknown = OWN | {(DOMAIN, "NS"): status}
    assert decided(unknown).provider == "Local"
    assert decided(unknown | {(DOMAIN, "A"): ("192.0.2.9",)}).open


@pytest.mark.parametrize("status", FAILED)
def test_what_is_certain_all_the_same_is_not_left_open(status: LookupStatus):
    shared = decided(OWN | {(REVERSE, "PTR"): status, (DOMAIN, "A"): ("192.0.2.9",)})
    assert (shared.provider, shared.open) == ("Hosting", False)
    named = decided(OWN | {(REVERSE, "PTR"): ("wl12.natrohost.com",), (DOMAIN, "A"): status})
    assert (named.provider, named.open) == ("Hosting", False)


def test_a_hosters_own_mail_server_is_its_own():
    zone: Zone = {("mx.hosteurope.de", "A"): ("192.0.2.9",), (REVERSE, "PTR"): ("mx1.hosteurope.de",)}
    assert whose_machine("hosteurope.de", "mx.hosteurope.de", replies(zone), catalogue().hosters).hoster is None


def test_nothing_is_asked_where_the_mx_tells_already():
    assert decided({}, "mx.yandex.net").asks == ()
    assert decided({}, "smtp.secureserver.net", MAIL).asks == ()
    assert decided({}, "mx.filter.example").asks == ()


def test_an_own_name_behind_a_gateway_is_asked_about_too():
    assert decided({}, "mxa-001.gslb.pphosted.com", MAIL).asks == ((MAIL, "A"),)
    assert decided(OWN, "mxa-001.gslb.pphosted.com", MAIL).provider == "Local"
