"""The loopback DNS server, asked with dnspython so that the product's own client is not its judge."""

import socket

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from hunter_pipeline.sandbox.dns_zone import ZoneServer

ZONE = {
    "Acme.test": {
        "MX": ["10 mail.acme.test.", "20 backup.acme.test."],
        "TXT": ["v=spf1 -all", ["two ", "strings"], b"raw \xff"],
        "NS": ["ns1.acme.test."],
    },
    "mail.acme.test": {"A": ["192.0.2.1"]},
    "*.wild.test": {"TXT": ["wild"]},
    "deep.below.wild.test": {"TXT": ["deep"]},
    "null.test": {"MX": ["0 ."]},
    "alias.test": {"CNAME": ["mail.acme.test."]},
    "dangling.test": {"CNAME": ["gone.invalid."]},
    "broken.test": {"behaviour": "servfail"},
    "closed.test": {"behaviour": "refused"},
    "mute.test": {"MX": ["10 mail.acme.test."], "behaviour": {"TXT": "silent"}},
    "hidden.test": {"behaviour": "nxdomain"},
    "a.hidden.test": {"TXT": ["here"]},
    "empty.test": {"TXT": ["unseen"], "behaviour": "nodata"},
    "cut.test": {"TXT": ["whole over TCP"], "behaviour": "truncate"},
    "large.test": {"TXT": ["x" * 2000]},
}


@pytest.fixture(scope="module")
def server():
    with ZoneServer(ZONE) as running:
        yield running


def ask(server: ZoneServer, name: str, rtype: str, *, tcp: bool = False, edns: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, rtype, use_edns=0 if edns else -1, payload=4096)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, "127.0.0.1", port=server.port, timeout=0.3)


def texts(reply: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for each in reply.answer for record in each)


@pytest.mark.parametrize("tcp", [False, True])
def test_records_come_back_as_they_were_given(server: ZoneServer, tcp: bool):
    assert texts(ask(server, "acme.test", "MX", tcp=tcp)) == ["10 mail.acme.test.", "20 backup.acme.test."]
    assert texts(ask(server, "ACME.test", "TXT", tcp=tcp)) == ['"raw \\255"', '"two " "strings"', '"v=spf1 -all"']
    assert texts(ask(server, "null.test", "MX", tcp=tcp)) == ["0 ."]


@pytest.mark.parametrize(
    ("name", "rtype", "rcode", "records"),
    [
        ("acme.test", "AAAA", "NOERROR", []),
        ("below.wild.test", "TXT", "NOERROR", []),
        ("nothing.acme.test", "MX", "NXDOMAIN", []),
        ("any.thing.wild.test", "TXT", "NOERROR", ['"wild"']),
        ("other.below.wild.test", "TXT", "NXDOMAIN", []),
        ("deep.below.wild.test", "TXT", "NOERROR", ['"deep"']),
        ("alias.test", "A", "NOERROR", ["192.0.2.1", "mail.acme.test."]),
        ("dangling.test", "MX", "NXDOMAIN", ["gone.invalid."]),
        ("broken.test", "MX", "SERVFAIL", []),
        ("closed.test", "MX", "REFUSED", []),
        ("hidden.test", "TXT", "NXDOMAIN", []),
        ("a.hidden.test", "TXT", "NOERROR", ['"here"']),
        ("empty.test", "TXT", "NOERROR", []),
        ("mute.test", "MX", "NOERROR", ["10 mail.acme.test."]),
    ],
)
def test_each_name_answers_as_the_mapping_says(
    server: ZoneServer, name: str, rtype: str, rcode: str, records: list[str]
):
    reply = ask(server, name, rtype)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert texts(reply) == records


def test_a_silent_name_gets_no_reply(server: ZoneServer):
    with pytest.raises(dns.exception.Timeout):
        ask(server, "mute.test", "TXT")


def test_a_truncating_name_has_its_records_over_tcp_only(server: ZoneServer):
    cut = ask(server, "cut.test", "TXT")
    assert cut.flags & dns.flags.TC
    assert not cut.answer
    assert texts(ask(server, "cut.test", "TXT", tcp=True)) == ['"whole over TCP"']


def test_a_reply_larger_than_the_asker_takes_is_truncated(server: ZoneServer):
    assert ask(server, "large.test", "TXT").flags & dns.flags.TC
    assert not ask(server, "large.test", "TXT", edns=True).flags & dns.flags.TC


def test_questions_are_counted_in_lower_case():
    with ZoneServer(ZONE) as server:
        ask(server, "Acme.TEST", "MX")
        ask(server, "acme.test", "MX", tcp=True)
        ask(server, "acme.test", "NS")
        assert server.questions == {("acme.test", "MX"): 2, ("acme.test", "NS"): 1}


def test_a_replaced_mapping_is_served_at_once():
    with ZoneServer({"a.test": {"behaviour": "servfail"}}) as server:
        assert ask(server, "a.test", "TXT").rcode() == dns.rcode.SERVFAIL
        server.replace({"a.test": {"TXT": ["back"]}})
        assert texts(ask(server, "a.test", "TXT")) == ['"back"']


def test_garbage_is_ignored_and_the_server_goes_on(server: ZoneServer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for packet in (b"", b"\x00", b"\xff" * 40, bytes(12) + b"\x3f" * 30):
            sock.sendto(packet, ("127.0.0.1", server.port))
    assert texts(ask(server, "null.test", "MX")) == ["0 ."]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"behaviour": "slow"}, "a.test: unknown behaviour slow"),
        ({"behaviour": {"MX": "slow"}}, "a.test: unknown behaviour slow"),
        ({"MX": ["mail.a.test."]}, "a.test MX"),
        ({"XYZ": ["1"]}, "a.test XYZ"),
    ],
)
def test_a_mapping_that_cannot_be_served_is_refused_when_it_is_given(entry: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        ZoneServer({"a.test": entry})
