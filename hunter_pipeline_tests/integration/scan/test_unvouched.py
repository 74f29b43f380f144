"""Replies that look like "no such record" and vouch for nothing: whatever they are about ends as unknown."""

import asyncio
from typing import Any

import pytest

from hunter_pipeline.sandbox.dns_answers import UNVOUCHED
from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply
from hunter_pipeline.scan.scan import scan

ZONE: dict[str, dict[str, Any]] = {
    "acme.com": {
        "MX": ["0 acme-com.mail.protection.outlook.com."],
        "TXT": ["v=spf1 include:spf.partner.net -all"],
        "NS": ["ns1.registrar.net."],
    },
    "_dmarc.acme.com": {"TXT": ["v=DMARC1; p=reject"]},
    "selector1._domainkey.acme.com": {"TXT": ["v=DKIM1; p=" + "A" * 400]},
    "spf.partner.net": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
}


def settings(server: ZoneServer, **more: Any) -> DnsSettings:
    return DnsSettings((server.address,), qps_per_server=5000, **({"timeout": 1, "attempts": 2} | more))


def broken(name: str, rtype: str, word: str) -> dict[str, dict[str, Any]]:
    return ZONE | {name: ZONE[name] | {"behaviour": {rtype: word}}}


def ask(server: ZoneServer, *questions: Question, **more: Any) -> list[Reply]:
    async def run() -> list[Reply]:
        async with DnsClient(settings(server, **more)) as client:
            return await client.lookup_many(questions)

    return asyncio.run(run())


@pytest.mark.parametrize("word", UNVOUCHED)
@pytest.mark.parametrize(
    ("name", "rtype", "signal"),
    [
        ("acme.com", "MX", "mx"),
        ("acme.com", "TXT", "spf"),
        ("_dmarc.acme.com", "TXT", "dmarc"),
        ("selector1._domainkey.acme.com", "TXT", "dkim"),
        ("acme.com", "NS", "ns"),
    ],
)
def test_a_reply_that_vouches_for_nothing_leaves_its_signal_open(word: str, name: str, rtype: str, signal: str):
    with ZoneServer(broken(name, rtype, word)) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert (done.signals.undetermined, done.signals.status) == ((signal,), "partial")
    states = {"mx": done.signals.mx_state, "spf": done.signals.spf_state, "dkim": done.signals.dkim_state}
    states["dmarc"] = done.signals.dmarc_state
    assert [key for key, state in states.items() if state == "unknown"] == ([signal] if signal != "ns" else [])


@pytest.mark.parametrize("word", UNVOUCHED)
def test_an_include_that_vouches_for_nothing_is_no_error_of_the_record(word: str):
    with ZoneServer(broken("spf.partner.net", "TXT", word)) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert done.signals.spf_state == "ok"
    assert (done.signals.undetermined, done.signals.status) == (("spf",), "partial")


@pytest.mark.parametrize("word", [*UNVOUCHED, "malformed"])
def test_healthy_neighbours_stay_healthy(word: str):
    healthy = {f"n{number}.com": {"TXT": ["fine"]} for number in range(40)}
    sick = {f"s{number}.com": {"behaviour": word} for number in range(10)}
    questions = [(name, "TXT") for pair in zip(list(healthy)[:10], sick, strict=True) for name in pair]
    questions += [(name, "TXT") for name in list(healthy)[10:]]
    with ZoneServer(healthy | sick) as server:
        replies = ask(server, *questions, attempts=1)
    assert {reply.status for reply in replies if reply.name.startswith("n")} == {LookupStatus.answer}
    assert not any(reply.status.known for reply in replies if reply.name.startswith("s"))


def test_a_record_that_came_malformed_once_is_read_the_next_time():
    with ZoneServer({"acme.com": {"behaviour": "malformed"}}) as server:

        async def run() -> Reply:
            async with DnsClient(settings(server, attempts=3)) as client:
                asking = asyncio.create_task(client.lookup_many([("acme.com", "TXT")]))
                while not server.questions:
                    await asyncio.sleep(0.005)
                server.replace({"acme.com": {"TXT": ["whole"]}})
                return (await asking)[0]

        reply = asyncio.run(run())
    assert (reply.status, reply.records, reply.attempts) == (LookupStatus.answer, ("whole",), 2)


EMPTY_ZONE: dict[str, dict[str, Any]] = {"acme.com": {"A": ["192.0.2.1"], "NS": ["ns1.registrar.net."]}}


def test_absence_that_its_zone_vouches_for_is_a_fact():
    with ZoneServer(EMPTY_ZONE) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert (done.signals.mx_state, done.signals.spf_state, done.signals.status) == ("none", "none", "complete")


def test_behind_a_forwarder_that_strips_proofs_the_name_servers_vouch():
    with ZoneServer(EMPTY_ZONE, soa=False) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert (done.signals.mx_state, done.signals.spf_state, done.signals.status) == ("none", "none", "complete")


def test_behind_a_forwarder_that_strips_proofs_a_name_without_name_servers_stays_open():
    with ZoneServer({"acme.com": {"A": ["192.0.2.1"]}}, soa=False) as server:
        (done,) = scan(["acme.com"], settings(server))
    assert (done.signals.mx_state, done.signals.status) == ("unknown", "partial")
    assert {"mx", "spf", "ns"} <= set(done.signals.undetermined)


def test_a_name_server_that_does_not_resolve_for_others_is_found_out_with_the_fix():
    told: list[str] = []
    with ZoneServer(ZONE, recursive=False) as server:
        scan(["other.com", "acme.com"], settings(server), on_trouble=told.append)
        (trouble,) = told
        assert trouble.startswith(f"{server.address} is a name server and does not resolve for others")
    assert "put a resolver into HUNTER_DNS_SERVERS" in trouble


def test_the_others_are_asked_where_one_server_is_a_name_server():
    names = [f"n{number}.com" for number in range(40)]
    healthy = {name: {"TXT": ["fine"]} for name in names}
    with ZoneServer(ZONE, recursive=False) as closed, ZoneServer(healthy) as open_server:
        both = DnsSettings((closed.address, open_server.address), in_flight=4, qps_per_server=5000, timeout=1)

        async def run() -> list[Reply]:
            async with DnsClient(both) as client:
                return await client.lookup_many([(name, "TXT") for name in names])

        replies = asyncio.run(run())
    assert {reply.status for reply in replies} == {LookupStatus.answer}
