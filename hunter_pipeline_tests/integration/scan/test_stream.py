"""A scan that runs beside whoever uses its results."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.scan import stream as stream_module
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.scan import SharedLookups, scan
from hunter_pipeline.scan.stream import stream

ZONE: dict[str, dict[str, Any]] = {
    f"d{number}.com": {"MX": ["10 mx.yandex.net."], "TXT": ["v=spf1 -all"], "NS": ["ns1.dns-host.net."]}
    for number in range(40)
}


def settings(server: ZoneServer, **more: Any) -> DnsSettings:
    return DnsSettings((server.address,), qps_per_server=5000, **({"timeout": 30, "attempts": 1} | more))


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "scan"]


def test_every_domain_comes_out_once_and_as_a_plain_scan_finds_it():
    with ZoneServer(ZONE) as server:
        found = {done.domain: done.signals for done in stream(ZONE, settings(server))}
        assert found == {done.domain: done.signals for done in scan(list(ZONE), settings(server))}
    assert threads() == []


def test_a_domain_that_does_not_answer_holds_up_no_other():
    zone = ZONE | {"silent.com": {"behaviour": "silent"}, "*.silent.com": {"behaviour": "silent"}}
    with ZoneServer(zone) as server:
        came = [done.domain for done in stream(["silent.com", *ZONE], settings(server, timeout=5, in_flight=8))]
    assert (came[-1], len(came)) == ("silent.com", 41)


def test_domains_are_taken_as_they_are_needed_and_one_client_asks_for_all(monkeypatch: pytest.MonkeyPatch):
    clients: list[DnsClient] = []

    class Counted(DnsClient):
        def __init__(self, settings: DnsSettings) -> None:
            super().__init__(settings)
            clients.append(self)

    monkeypatch.setattr(stream_module, "DnsClient", Counted)
    monkeypatch.setattr(stream_module, "AHEAD", 6)
    taken: list[str] = []

    def names() -> Iterator[str]:
        for name in ZONE:
            taken.append(name)
            yield name

    with ZoneServer(ZONE) as server:
        for count, _ in enumerate(stream(names(), settings(server, in_flight=8)), 1):
            assert len(taken) - count <= 6
    assert (len(taken), len(clients)) == (40, 1)


def test_whoever_has_enough_ends_the_asking():
    with ZoneServer(ZONE) as server:
        results = stream(ZONE, settings(server))
        next(results)
        assert len(threads()) == 1
        results.close()
        assert threads() == []


def test_what_ends_the_asking_is_raised_where_the_results_are_used():
    with pytest.raises(ValueError, match="is no DNS server"):
        list(stream(["a.com"], DnsSettings(("not an address",))))
    assert threads() == []


def test_what_is_wrong_with_a_server_is_told_at_the_end():
    told: list[str] = []
    zone = ZONE | {"lame.com": {"behaviour": "upward_referral"}}
    with ZoneServer(zone, recursive=False) as server:
        list(stream(["lame.com"], settings(server), told.append))
    assert [trouble.partition(" is ")[2][:13] for trouble in told] == ["a name server"]


def test_no_domains_are_no_results():
    with ZoneServer({}) as server:
        assert list(stream([], settings(server))) == []


def test_a_failure_of_a_name_that_domains_share_is_not_kept_for_those_that_come_later():
    question = ("spf.shared.net", "TXT")
    with ZoneServer({"spf.shared.net": {"behaviour": "servfail"}}) as server:

        async def run() -> list[str]:
            async with DnsClient(settings(server)) as client:
                shared = SharedLookups(client)
                first = shared.ask(question)
                assert shared.ask(question) is first, "those that come meanwhile wait for the same answer"
                ((failed,),) = [await first]
                server.replace({"spf.shared.net": {"TXT": ["v=spf1 -all"]}})
                second = shared.ask(question)
                ((known,),) = [await second]
                assert shared.ask(question) is second
                return [failed.status.value, known.status.value]

        assert asyncio.run(run()) == ["servfail", "answer"]
