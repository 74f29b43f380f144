"""Servers for the benchmarks, each in a process of its own: a DNS zone, and a list of referrals over HTTPS.

Belongs here: made-up data of any size, and starting and stopping the process. The servers are the sandbox's.
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trustme

from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline.sandbox.https_server import HttpsServer
from hunter_pipeline.sandbox.partner_center import PartnerCenter

TOKEN = "benchmark"
PAGE_SIZE = 100
"""Referrals on a page: the largest that the documents of the API name."""

_KEY = "v=DKIM1; k=rsa; p=" + "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" * 5
_M365 = "{name}.mail.protection.outlook.com."
_PROFILES: tuple[dict[str, Any], ...] = (
    {"mx": [f"0 {_M365}"], "spf": "include:spf.protection.outlook.com -all", "dkim": "selector1", "dmarc": "reject"},
    {"mx": [f"0 {_M365}"], "spf": "include:spf.protection.outlook.com ~all", "dkim": "selector1", "dmarc": "none"},
    {"mx": [f"0 {_M365}"], "spf": "include:spf.protection.outlook.com -all"},
    {"mx": ["1 aspmx.l.google.com."], "spf": "include:_spf.google.com ~all", "dkim": "google", "dmarc": "quarantine"},
    {"mx": ["1 aspmx.l.google.com."], "spf": "include:_spf.google.com ~all"},
    {"mx": ["10 mx.yandex.net."], "spf": "redirect=_spf.yandex.net", "dkim": "mail", "dmarc": "none"},
    {"mx": ["10 mx.zoho.eu."], "spf": "include:zoho.eu ~all", "dkim": "zmail"},
    {"mx": ["10 mail.{domain}."], "spf": "a mx ip4:192.0.2.1 ~all", "dkim": "default"},
    {"mx": ["10 mail.{domain}."], "hosted": True},
    {"mx": ["10 mxa-0001.gslb.pphosted.com."], "spf": "include:spf.protection.outlook.com -all", "dkim": "selector1"},
    {"mx": ["0 ."], "spf": "-all", "dmarc": "reject"},
    {},
)
"""What the made-up companies publish, in turn; the last has no zone at all."""

_MACHINES = ip_network("198.18.0.0/15")
"""Where their own mail servers stand: the addresses for benchmarks (RFC 2544), more than a hundred thousand."""

_SHARED = {
    "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    "_spf.google.com": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    "_spf.yandex.net": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    "zoho.eu": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
}


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def company_domains(count: int) -> list[str]:
    """So many made-up domains."""
    return [f"company-{number:05}.com" for number in range(count)]


def company_zone(count: int) -> dict[str, dict[str, Any]]:
    """DNS answers of `company_domains(count)`."""
    answers: dict[str, dict[str, Any]] = dict(_SHARED)
    for number, domain in enumerate(company_domains(count)):
        profile = _PROFILES[number % len(_PROFILES)]
        if not profile:
            continue
        answers[domain] = {
            "MX": [host.format(domain=domain, name=domain.replace(".", "-")) for host in profile["mx"]],
            "NS": ["ns1.dns-host.net.", "ns2.dns-host.net."],
        }
        if "spf" in profile:
            answers[domain]["TXT"] = [f"v=spf1 {profile['spf']}", "some-verification=0123456789"]
        if f"10 mail.{domain}." in answers[domain]["MX"]:
            # hosted: a machine that forty companies share, under the hoster's name
            machine = number // 480 if profile.get("hosted") else 1000 + number
            address = _MACHINES[machine]
            answers[f"mail.{domain}"] = {"A": [str(address)]}
            name = f"srv{machine}.natrohost.com." if profile.get("hosted") else f"mail.{domain}."
            answers[address.reverse_pointer] = {"PTR": [name]}
        if "dkim" in profile:
            answers[f"{profile['dkim']}._domainkey.{domain}"] = {"TXT": [_KEY]}
        if "dmarc" in profile:
            answers[f"_dmarc.{domain}"] = {"TXT": [f"v=DMARC1; p={profile['dmarc']}; rua=mailto:d@{domain}"]}
    return answers


@contextmanager
def dns_server(domains: int, delay: float, loss: float = 0.0) -> Iterator[tuple[str, Callable[[], int]]]:
    """A DNS server for so many companies; gives its address and a function that counts the questions since last time.

    :param delay: seconds that each reply is held back.
    :param loss: the share of questions that is lost.
    """
    with _process(_serve_zone, domains, delay, loss) as pipe:
        address: str = pipe.recv()

        def questions() -> int:
            pipe.send("count")
            counted: int = pipe.recv()
            return counted

        yield address, questions


def _serve_zone(pipe: Connection, domains: int, delay: float, loss: float) -> None:
    with ZoneServer(company_zone(domains), delay=delay, loss=loss) as server:
        pipe.send(server.address)
        counted = 0
        while pipe.recv() == "count":
            total = server.questions.total()
            pipe.send(total - counted)
            counted = total


@contextmanager
def referral_server(count: int) -> Iterator[tuple[str, Path]]:
    """A Partner Center with so many referrals that takes the token `TOKEN`; gives its address and its CA file."""
    with tempfile.TemporaryDirectory(prefix="hunter-bench-") as folder:
        ca_file = Path(folder) / "ca.pem"
        with _process(_serve_referrals, count, ca_file) as pipe:
            yield pipe.recv(), ca_file


def _serve_referrals(pipe: Connection, count: int, ca_file: Path) -> None:
    center = PartnerCenter(lambda token: token == TOKEN, page_size=PAGE_SIZE)
    for number in range(count):
        center.referrals.add(_referral(number))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HttpsServer(center.answer, context, port=0)
    center.base_url = f"https://127.0.0.1:{server.port}"
    server.start()
    pipe.send(center.base_url)
    pipe.recv()
    server.stop()


def _referral(number: int) -> dict[str, Any]:
    moment = f"2026-{number % 11 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:00Z"
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "engagementId": f"00000000-0000-4000-9000-{number:012}",
        "name": f"Deal {number}",
        "createdDateTime": moment,
        "updatedDateTime": moment,
        "status": ("New", "Active", "Closed")[number % 3],
        "substatus": ("Pending", "Accepted", "Won")[number % 3],
        "type": ("Independent", "Shared")[number % 2],
        "qualification": ("Direct", "SalesQualified")[number % 2],
        "direction": "Incoming",
        "eTag": f'"{number}"',
        "customerProfile": {
            "name": f"Company {number}",
            "address": {"city": "Izmir", "country": "TR"},
            "team": [
                {
                    "firstName": "A",
                    "lastName": "B",
                    "email": f"info@company-{number:05}.com",
                    "phoneNumber": "+900000000000",
                }
            ],
            "ids": [{"profileType": "External", "id": f"00000000-0000-4000-a000-{number:012}"}],
        },
        "consent": {"consentToContact": True},
        "details": {"notes": "n" * 400, "dealValue": 1000 + number, "currency": "EUR", "requirements": {"offers": []}},
        "team": [{"firstName": "C", "lastName": "D", "email": "seller@partner.example"}],
        "inviteContext": {"notes": "", "assistanceRequestCode": "Unknown"},
    }


@contextmanager
def _process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run `target` with a pipe and arguments in a fresh process; any message after the block ends it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield ours
        ours.send("stop")
        process.join(10)
    finally:
        process.terminate()
        process.join()
