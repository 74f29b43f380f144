"""The look-ups against a real DNS server on loopback that can fail in every way."""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.scan.channel import _Port
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.reply import LookupStatus, Question, Reply

ZONE = {
    "acme.test": {
        "MX": ["20 Backup.ACME.test.", "10 mail.acme.test."],
        "TXT": [["v=spf1 include:_spf.", "acme.test -all"], b"raw \xff\x00\\", "Zürich"],
        "NS": ["NS1.acme.test."],
    },
    "null.test": {"MX": ["0 ."]},
    "alias.test": {"CNAME": ["Target.test."]},
    "target.test": {"TXT": ["at the target"]},
    "dangling.test": {"CNAME": ["gone.invalid."]},
    "loop.test": {"CNAME": ["loop.test."]},
    "empty.test": {"A": ["192.0.2.1"]},
    "servfail.test": {"behaviour": "servfail"},
    "refused.test": {"behaviour": "refused"},
    "silent.test": {"behaviour": "silent"},
    "cut.test": {"TXT": ["whole over TCP"], "behaviour": "truncate"},
    "large.test": {"TXT": ["x" * 3000]},
    "*.wild.test": {"TXT": ["wild"]},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ZoneServer]:
    with ZoneServer(ZONE) as running:
        yield running


def ask(questions: list[Question], *servers: str, timeout: float = 1, attempts: int = 1, **more: float) -> list[Reply]:
    async def run() -> list[Reply]:
        settings = DnsSettings(servers, timeout=timeout, attempts=attempts, **more)  # type: ignore[arg-type]
        async with DnsClient(settings) as client:
            return await client.lookup_many(questions)

    return asyncio.run(run())


def test_each_kind_of_failure_comes_out_as_its_own_status(server: ZoneServer):
    names = ["acme", "empty", "missing", "servfail", "refused", "silent"]
    replies = ask([(f"{name}.test", "MX") for name in names], server.address)
    assert [reply.status.value for reply in replies] == [
        "answer",
        "nodata",
        "nxdomain",
        "servfail",
        "refused",
        "timeout",
    ]
    assert [reply.status.known for reply in replies] == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("name", "rtype", "records"),
    [
        ("acme.test", "MX", ("10 mail.acme.test", "20 backup.acme.test")),
        ("ACME.test.", "NS", ("ns1.acme.test",)),
        (
            "acme.test",
            "TXT",
            ("Z\\195\\188rich", "raw \\255\\000\\\\", "v=spf1 include:_spf.acme.test -all"),
        ),
        ("null.test", "MX", ("0 .",)),
        ("alias.test", "CNAME", ("target.test",)),
        ("empty.test", "A", ("192.0.2.1",)),
        ("any.wild.test", "TXT", ("wild",)),
        ("cut.test", "TXT", ("whole over TCP",)),
        ("large.test", "TXT", ("x" * 3000,)),
    ],
)
def test_records_come_in_presentation_form(server: ZoneServer, name: str, rtype: str, records: tuple[str, ...]):
    (reply,) = ask([(name, rtype)], server.address, timeout=2)
    assert reply.records == records
    assert (reply.name, reply.ttl, reply.server, reply.attempts) == (name.rstrip(".").lower(), 300, server.address, 1)


def test_the_targets_of_a_followed_alias_are_kept(server: ZoneServer):
    (reply,) = ask([("alias.test", "TXT")], server.address)
    assert (reply.records, reply.cnames) == (("at the target",), ("target.test",))


def test_a_dangling_alias_is_an_absent_name(server: ZoneServer):
    assert ask([("dangling.test", "MX")], server.address)[0].status is LookupStatus.nxdomain


def test_replies_keep_the_order_of_the_questions(server: ZoneServer):
    questions = [(f"n{number}.wild.test", "TXT") for number in range(300)]
    questions[7] = ("silent.test", "TXT")
    replies = ask(questions, server.address, in_flight=20, qps_per_server=5000)
    assert [(reply.name, reply.rtype) for reply in replies] == questions


@pytest.mark.parametrize("status", ["servfail", "refused", "silent"])
def test_a_failing_question_is_asked_as_often_as_set(status: str):
    with ZoneServer(ZONE) as server:
        (reply,) = ask([(f"{status}.test", "TXT")], server.address, attempts=3, timeout=0.2)
        assert reply.attempts == 3
        assert server.questions[(f"{status}.test", "TXT")] == 3


def test_a_known_absence_is_asked_once():
    with ZoneServer(ZONE) as server:
        ask([("missing.test", "TXT"), ("empty.test", "TXT")], server.address, attempts=3)
        assert set(server.questions.values()) == {1}


def test_a_question_that_one_server_refuses_goes_to_another(server: ZoneServer):
    with ZoneServer({"*.test": {"behaviour": "refused"}}) as closed:
        replies = ask([("acme.test", "MX")] * 20, closed.address, server.address, attempts=2)
        assert {reply.status for reply in replies} == {LookupStatus.answer}
        assert {reply.server for reply in replies} == {server.address}


def test_a_server_that_keeps_refusing_is_left_alone():
    with ZoneServer(ZONE) as good, ZoneServer({"*.test": {"behaviour": "refused"}}) as closed:
        questions = [(f"n{number}.wild.test", "TXT") for number in range(400)]
        replies = ask(questions, closed.address, good.address, attempts=2, in_flight=5, qps_per_server=5000)
        assert {reply.status for reply in replies} == {LookupStatus.answer}
        assert sum(closed.questions.values()) < 100


def test_lost_packets_are_sent_again_within_one_attempt():
    with ZoneServer({"late.test": {"behaviour": "silent"}}) as server:

        async def run() -> Reply:
            async with DnsClient(DnsSettings((server.address,), timeout=3, attempts=1)) as client:
                asking = asyncio.create_task(client.lookup_many([("late.test", "TXT")]))
                while not server.questions:
                    await asyncio.sleep(0.01)
                server.replace({"late.test": {"TXT": ["here"]}})
                return (await asking)[0]

        reply = asyncio.run(run())
        assert (reply.status, reply.attempts, reply.records) == (LookupStatus.answer, 1, ("here",))


def test_a_server_that_becomes_slow_is_not_asked_everything_twice():
    names = [(f"n{number}.wild.test", "TXT") for number in range(100)]
    with ZoneServer(ZONE) as server:

        async def run() -> int:
            settings = DnsSettings((server.address,), timeout=5, attempts=1, in_flight=20, qps_per_server=5000)
            async with DnsClient(settings) as client:
                await client.lookup_many(names[:40])
                server._delay = 0.4
                before = server.questions.total()
                await client.lookup_many(names[40:])
                return server.questions.total() - before

        asked = asyncio.run(run())
    assert asked <= 60 + 20 + 10  # those under way when it became slow, and some of a busy machine


def test_what_is_sent_again_takes_its_turn_at_the_pace_like_all_others(monkeypatch: pytest.MonkeyPatch):
    pace, sent = 100.0, list[float]()
    usual = _Port.send

    def noted(port: _Port, question: Any, now: float) -> None:
        sent.append(time.monotonic())
        usual(port, question, now)

    monkeypatch.setattr(_Port, "send", noted)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        names = [(f"n{number}.test", "TXT") for number in range(150)]
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        replies = ask(
            names, address, attempts=1, timeout=2, in_flight=500, qps_per_server=pace, most_qps_per_server=pace
        )
    assert {reply.status for reply in replies} == {LookupStatus.timeout}
    assert len(sent) > len(names)
    burst = pace / 10
    # However late a busy machine is: by then so many questions had been given their turn, and no more.
    assert all(number <= burst + pace * (moment - sent[0]) + 2 for number, moment in enumerate(sent, 1))


@pytest.mark.parametrize(
    "name",
    ["", "a..test", "x" * 64 + ".test", "a." * 127 + "test", "nul\0.test", "spa ce.test", "ü.test", "\ud800", "\\"],
)
def test_a_name_that_cannot_be_asked_is_no_statement_about_the_zone(server: ZoneServer, name: str):
    (reply,) = ask([(name, "TXT")], server.address)
    assert reply.status is LookupStatus.other
    json.dumps(reply.to_json()).encode()


def test_an_unknown_record_type_is_refused(server: ZoneServer):
    with pytest.raises(ValueError, match="unknown DNS record type: SPF"):
        ask([("acme.test", "SPF")], server.address)


def test_no_server_listening_is_no_statement_about_the_zone():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        (reply,) = ask([("acme.test", "MX")], f"127.0.0.1:{held.getsockname()[1]}")
        assert not reply.status.known


def test_replies_survive_storage(server: ZoneServer):
    for reply in ask([("acme.test", "TXT"), ("alias.test", "TXT"), ("servfail.test", "TXT")], server.address):
        stored = json.dumps(reply.to_json())
        assert "\\u0000" not in stored
        assert Reply.from_json(json.loads(stored)) == reply


@pytest.mark.skipif(sys.platform != "linux", reason="threads of other languages are counted in /proc")
def test_asking_starts_no_thread(server: ZoneServer):
    ask([("acme.test", "MX")], server.address)  # pycares starts a thread that closes channels, once

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    async def run() -> int:
        before = threads()
        async with DnsClient(DnsSettings((server.address,))) as client:
            await client.lookup_many([("acme.test", "MX")])
            return threads() - before

    assert asyncio.run(run()) == 0


def test_questions_that_fail_wait_for_a_slot_again_like_all_others():
    names = [f"n{number}.test" for number in range(6)]
    with ZoneServer({"*.test": {"behaviour": "silent"}}) as silent:
        replies = ask([(name, "TXT") for name in names], silent.address, attempts=2, timeout=0.1, in_flight=2)
        assert {(reply.status, reply.attempts) for reply in replies} == {(LookupStatus.timeout, 2)}
        assert set(silent.questions.values()) == {2}


def test_a_server_is_reached_over_ipv6():
    with ZoneServer(ZONE, host="::1") as server:
        assert ask([("null.test", "MX")], server.address)[0].records == ("0 .",)


@pytest.mark.parametrize("address", ["localhost:53", "nonsense", "127.0.0.1:99999"])
def test_a_server_that_is_no_address_is_refused_with_the_fix(server: ZoneServer, address: str):
    with pytest.raises(ValueError, match=r"is no DNS server; write 10\.0\.0\.53:53"):
        ask([("acme.test", "MX")], server.address, address)


def test_without_servers_the_systems_are_asked():
    (reply,) = ask([("acme.test", "MX")], timeout=0.05)
    assert reply.server
