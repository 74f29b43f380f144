"""How fast domains are scanned, and with how many questions each.

Peers, on the same servers in the same run: plain aiodns and dnspython's asynchronous resolver, both asking the ten
questions that a scan could need (MX, TXT, DMARC, NS and six DKIM selectors) and doing nothing with the replies.
Hunter's figure includes the reading of the replies into signals. dnspython gets a quarter of the domains.
Against real resolvers the pace decides, and then fewer questions are more domains.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiodns
import aiodns.error
import dns.asyncresolver
import dns.exception

from benchmarks.report import Row, times
from benchmarks.servers import company_domains, dns_server
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.scan import scan_domains

TITLE = "Scanning domains (questions under way at once: 500)"
IN_FLIGHT = 500
SELECTORS = ("selector1", "selector2", "google", "default", "mail", "k1")
DELAYS = (0.0, 0.020)

Question = tuple[str, str]


def everything(domain: str) -> list[Question]:
    """Every question that a scan could ask about a domain."""
    keys = [(f"{selector}._domainkey.{domain}", "TXT") for selector in SELECTORS]
    return [(domain, "MX"), (domain, "TXT"), (f"_dmarc.{domain}", "TXT"), (domain, "NS"), *keys]


@dataclass(frozen=True)
class _Pass:
    rate: float
    """Domains a second."""
    cpu: float
    """Milliseconds of processor a domain."""
    questions: float
    """Questions a domain."""

    def figure(self) -> str:
        return f"{self.rate:,.0f} domains/s, {self.cpu:.1f} ms CPU, {self.questions:.1f} questions each"


def run(*, quick: bool) -> list[Row]:
    """Measure at each delay, and work out what the default pace allows."""
    domains = company_domains(200 if quick else 2000)
    few = domains[: len(domains) // 4]
    rows = []
    for delay in DELAYS:
        with dns_server(len(domains), delay) as (address, questions):
            host, _, port = address.rpartition(":")
            asyncio.run(_hunter(address, domains[:10]))  # loads the catalogue of providers
            questions()
            ours = _measure(partial(_hunter, address), domains, questions)
            plain = _measure(partial(_aiodns, host, int(port)), domains, questions)
            python = _measure(partial(_dnspython, host, int(port)), few, questions)
        rows += [
            Row(f"Hunter, {delay * 1000:.0f} ms round trip", ours.figure()),
            Row("  aiodns asking everything", plain.figure(), f"Hunter {times(ours.rate / plain.rate)}"),
            Row("  dnspython asking everything", python.figure(), f"Hunter {times(ours.rate / python.rate)}"),
        ]
    pace = DnsSettings().qps_per_server
    return [
        *rows,
        Row(
            f"Hunter, at the default pace of {pace:.0f} questions/s for a server",
            f"at most {pace / ours.questions:.0f} domains/s",
            f"{times(plain.questions / ours.questions)} of asking everything",
        ),
    ]


def _measure(
    work: Callable[[Sequence[str]], Coroutine[Any, Any, None]], domains: Sequence[str], questions: Callable[[], int]
) -> _Pass:
    started, cpu = time.perf_counter(), time.process_time()
    asyncio.run(work(domains))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return _Pass(len(domains) / seconds, cpu * 1000 / len(domains), questions() / len(domains))


async def _hunter(address: str, domains: Sequence[str]) -> None:
    async with DnsClient(DnsSettings(servers=(address,), in_flight=IN_FLIGHT, qps_per_server=1e6)) as client:
        await scan_domains(domains, client)


async def _aiodns(host: str, port: int, domains: Sequence[str]) -> None:
    resolver = aiodns.DNSResolver([host], udp_port=port, tcp_port=port, timeout=2.0, tries=3)

    async def ask(question: Question) -> None:
        try:
            await resolver.query_dns(*question)
        except aiodns.error.DNSError:
            return  # absence, which is an answer

    await _all(ask, domains)
    await resolver.close()


async def _dnspython(host: str, port: int, domains: Sequence[str]) -> None:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [host]
    resolver.port = port

    async def ask(question: Question) -> None:
        try:
            await resolver.resolve(*question, raise_on_no_answer=False)
        except dns.exception.DNSException:
            return  # absence, which is an answer

    await _all(ask, domains)


async def _all(ask: Callable[[Question], Awaitable[None]], domains: Sequence[str]) -> None:
    questions = iter([question for domain in domains for question in everything(domain)])

    async def work() -> None:
        for question in questions:
            await ask(question)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
