"""How fast domains are scanned, as a function and as a stage, and with how many questions each.

Peers, on the same servers in alternating passes of the same run: aiodns and dnspython's asynchronous resolver, both
asking the ten questions that a scan could need (MX, TXT, DMARC, NS and six DKIM selectors) and doing nothing with the
replies, and massdns, where it is on the path, with the same questions in a run for each record type. Hunter's figure
includes the reading of the replies into signals, the stage's also their writing into PostgreSQL. dnspython, which takes
as long as all the others together, gets a quarter of the domains in the last pass alone. Against real resolvers the
pace decides, and then fewer questions are more domains.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import dns.asyncresolver
import dns.exception
from sqlalchemy import Engine, text

from benchmarks.filled import add_companies, database
from benchmarks.report import Aim, Row, times
from benchmarks.servers import company_domains, dns_server
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.signals import scan_domains as scan_stage
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.scan import scan_domains
from hunter_pipeline.scan.stream import stream

TITLE = "Scanning domains (questions under way at once: 500)"
IN_FLIGHT = 500
SELECTORS = ("selector1", "selector2", "google", "default", "mail", "k1")
CONDITIONS = ((0.0, 0.0), (0.0, 0.01), (0.020, 0.0), (0.020, 0.01))
"""Seconds of round trip, and the share of packets that is lost."""

PASSES = 3
FUNCTION, STAGE, AIODNS, DNSPYTHON, MASSDNS = "Hunter", "Hunter's stage", "aiodns", "dnspython", "massdns"
WANTED = {AIODNS: ("scan, of aiodns", 1.2), DNSPYTHON: ("scan, of dnspython", 8.0), STAGE: ("stage, of the scan", 1.0)}
ABSENT = {
    AIODNS: "not measured: pip install aiodns",
    MASSDNS: "not measured: build github.com/blechschmidt/massdns and put it on the PATH",
}

Question = tuple[str, str]
Work = Callable[[Sequence[str]], None]


def everything(domain: str) -> list[Question]:
    """Every question that a scan could ask about a domain."""
    keys = [(f"{selector}._domainkey.{domain}", "TXT") for selector in SELECTORS]
    return [(domain, "MX"), (domain, "TXT"), (f"_dmarc.{domain}", "TXT"), (domain, "NS"), *keys]


@dataclass(frozen=True)
class Figure:
    """The medians of one contender under one condition.

    :param rate: domains a second.
    :param cpu: milliseconds of processor in this process for each domain.
    :param questions: packets that came to the server for each domain, the ones sent again and lost ones included.
    """

    who: str
    delay: float
    loss: float
    rate: float
    cpu: float
    questions: float


def measure(*, quick: bool) -> list[Figure]:
    """Measure every contender that is there, under every condition, in alternating passes."""
    domains = company_domains(200 if quick else 2000)
    figures = []
    with database() as engine:
        add_companies(engine, domains)
        for delay, loss in CONDITIONS:
            with dns_server(len(domains), delay, loss) as (address, questions):
                contenders = _contenders(address, engine)
                contenders[FUNCTION](domains[:10])  # loads the catalogue of providers
                questions()
                passes: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
                for left in reversed(range(1 if quick else PASSES)):
                    for who, work in contenders.items():
                        if who == DNSPYTHON and left:
                            continue
                        mine = domains[: len(domains) // 4] if who == DNSPYTHON else domains
                        passes[who].append(_measure(work, mine, questions))
            for who, found in passes.items():
                rate, cpu, asked = (statistics.median(each) for each in zip(*found, strict=True))
                figures.append(Figure(who, delay, loss, rate, cpu, asked))
    return figures


def run(*, quick: bool) -> list[Row]:
    """Measure, set each peer beside Hunter, and work out what the default pace allows."""
    figures = {(each.who, each.delay, each.loss): each for each in measure(quick=quick)}
    rows = []
    for delay, loss in CONDITIONS:
        ours = figures[FUNCTION, delay, loss]
        for who in (FUNCTION, STAGE, AIODNS, DNSPYTHON, MASSDNS):
            where = f", {delay * 1000:.0f} ms round trip, {loss:.0%} lost" if who == FUNCTION else ""
            found = figures.get((who, delay, loss))
            if found is None:
                rows.append(Row(f"  {who}", ABSENT[who]))
                continue
            aim = None
            if who in WANTED:
                share = found.rate / ours.rate if who == STAGE else ours.rate / found.rate
                aim = Aim(5, f"{WANTED[who][0]}, {delay * 1000:.0f} ms, {loss:.0%} lost", share, WANTED[who][1])
            figure = f"{found.rate:,.0f} domains/s, {found.cpu:.1f} ms CPU, {found.questions:.1f} questions each"
            ratio = times(ours.rate / found.rate)
            told = "" if who == FUNCTION else f"{times(found.rate / ours.rate)} of the function"
            rows.append(
                Row(f"{'' if who == FUNCTION else '  '}{who}{where}", figure, told if who == STAGE else ratio, aim)
            )
            if who == FUNCTION:
                rows[-1] = Row(rows[-1].what, figure)
    pace, asked = DnsSettings().qps_per_server, figures[FUNCTION, 0.0, 0.0].questions
    return [
        *rows,
        Row(
            f"Hunter, at the first pace of {pace:.0f} questions/s for a server",
            f"{pace / asked:.0f} domains/s",
            f"{times(len(everything('')) / asked)} of asking everything",
        ),
    ]


def _contenders(address: str, engine: Engine) -> dict[str, Work]:
    host, _, port = address.rpartition(":")
    settings = DnsSettings(servers=(address,), in_flight=IN_FLIGHT, qps_per_server=1e6)
    made: dict[str, Work] = {
        FUNCTION: lambda domains: asyncio.run(_hunter(settings, domains)),
        STAGE: lambda _: _stage(engine, settings),
    }
    if (aiodns := _aiodns(host, int(port))) is not None:
        made[AIODNS] = aiodns
    made[DNSPYTHON] = lambda domains: asyncio.run(_dnspython(host, int(port), domains))
    if program := shutil.which("massdns"):
        made[MASSDNS] = lambda domains: _massdns(program, address, domains)
    return made


def _measure(work: Work, domains: Sequence[str], questions: Callable[[], int]) -> tuple[float, float, float]:
    started, cpu = time.perf_counter(), time.process_time()
    work(domains)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return len(domains) / seconds, cpu * 1000 / len(domains), questions() / len(domains)


async def _hunter(settings: DnsSettings, domains: Sequence[str]) -> None:
    async with DnsClient(settings) as client:
        await scan_domains(domains, client)


_runs = count(1)


def _stage(engine: Engine, settings: DnsSettings) -> None:
    report = scan_stage(StageContext(engine, f"run-{next(_runs)}"), lambda domains: stream(domains, settings))
    assert report.counts["scanned"] == report.counts["total"]
    with engine.begin() as connection:  # for the next pass; a few milliseconds
        connection.execute(text("TRUNCATE domain_signals"))
        connection.execute(text("INSERT INTO stage_queue SELECT 'domain_signals', domain FROM companies"))


def _aiodns(host: str, port: int) -> Work | None:
    try:
        import aiodns
        import aiodns.error
    except ImportError:
        return None

    async def work(domains: Sequence[str]) -> None:
        resolver = aiodns.DNSResolver([host], udp_port=port, tcp_port=port, timeout=2.0, tries=3)

        async def ask(question: Question) -> None:
            try:
                await resolver.query_dns(*question)
            except aiodns.error.DNSError:
                return  # absence, which is an answer

        await _all(ask, domains)
        await resolver.close()

    return lambda domains: asyncio.run(work(domains))


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


def _massdns(program: str, address: str, domains: Sequence[str]) -> None:
    by_type: dict[str, list[str]] = defaultdict(list)
    for name, rtype in (question for domain in domains for question in everything(domain)):
        by_type[rtype].append(name)
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        resolvers, names = Path(folder) / "resolvers", Path(folder) / "names"
        resolvers.write_text(address)
        for rtype, asked in by_type.items():
            names.write_text("\n".join(asked))
            command = [program, "-q", "-s", str(IN_FLIGHT), "-r", str(resolvers), "-t", rtype, "-o", "S"]
            as_root = ["--root"] if os.name == "posix" and os.geteuid() == 0 else []
            subprocess.run([*command, *as_root, "-w", os.devnull, str(names)], check=True)
