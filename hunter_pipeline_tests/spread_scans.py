"""Thousands of companies that were never looked up, the DNS that knows them, and what a scan makes of them.

Belongs here: what the tests of spread scans share. A `CountedZone` notes when each question came, so that the pace of
all askers together can be told.
"""

import bisect
import time
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from sqlalchemy import Engine, text

from hunter_pipeline.sandbox.dns_zone import ZoneServer

GOOGLE = {"MX": ["1 smtp.google.com."], "TXT": ["v=spf1 include:_spf.google.com ~all"]}
KINDS: tuple[dict[str, Any], ...] = (
    {"MX": ["0 {name}.mail.protection.outlook.com."], "TXT": ["v=spf1 include:spf.protection.outlook.com -all"]},
    GOOGLE,
    {"MX": ["10 mx.yandex.net."], "TXT": ["v=spf1 redirect=_spf.yandex.net"]},
    {"behaviour": "servfail"},
    {},
)
"""What the made-up companies publish, in turn; the last has no zone at all."""


def domains(number: int) -> list[str]:
    """The domains of so many companies."""
    return [f"spread{each:05}.com" for each in range(number)]


def zone(number: int) -> dict[str, dict[str, Any]]:
    """The DNS answers of so many companies."""
    answers: dict[str, dict[str, Any]] = {
        name: {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}
        for name in ("spf.protection.outlook.com", "_spf.google.com", "_spf.yandex.net")
    }
    for each, domain in enumerate(domains(number)):
        kind = KINDS[each % len(KINDS)]
        if "MX" in kind:
            hosts = [host.format(name=domain.replace(".", "-")) for host in kind["MX"]]
            answers[domain] = {**kind, "MX": hosts, "NS": ["ns1.dns-host.net."]}
            answers[f"_dmarc.{domain}"] = {"TXT": ["v=DMARC1; p=reject"]}
        elif kind:
            answers[domain] = kind
    return answers


def make_companies(engine: Engine, number: int) -> None:
    """A company and one lead of each domain."""
    names = {"domains": domains(number)}
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO companies (domain, run_id) SELECT unnest(CAST(:domains AS text[])), 'made'"), names
        )
        connection.execute(
            text(
                "INSERT INTO raw_leads (source, external_id, domain, payload, raw_id, run_id)"
                " SELECT 'partnercenter', 'R-' || d, d, '{}', 1, 'made' FROM unnest(CAST(:domains AS text[])) d"
            ),
            names,
        )


CONTENT = {
    "domain_signals": "SELECT domain, to_jsonb(s) - '{run_id,scanned_at,derived_at,retry_at,replies}'::text[],"
    " (SELECT jsonb_agg(r - '{milliseconds,server}'::text[] ORDER BY r->>'name', r->>'rtype')"
    "  FROM jsonb_array_elements(replies) r)"
    " FROM domain_signals s ORDER BY domain",
    "companies": "SELECT domain, provider FROM companies ORDER BY domain",
    "referral_lineage": "SELECT referral_id, stage, input, decision, row_key, code_version FROM referral_lineage"
    " ORDER BY referral_id, id",
    "domain_signal_history": "SELECT domain, field, old, new FROM domain_signal_history ORDER BY domain, field",
    "stage_queue": "SELECT stage, item FROM stage_queue ORDER BY stage, item",
    "scan_claims": "SELECT domain FROM scan_claims",
}
"""Everything that a scan writes, but for its run, its times and the address of the server."""


def content(engine: Engine) -> dict[str, list[Any]]:
    """What stands in the tables that a scan writes."""
    with engine.connect() as connection:
        return {table: [tuple(row) for row in connection.execute(text(query))] for table, query in CONTENT.items()}


def differences(found: Mapping[str, list[Any]], expected: Mapping[str, list[Any]]) -> list[str]:
    """Where the contents of two databases differ, with the first row of each table that does."""
    return [
        f"{table}: {ours!r} instead of {theirs!r}"
        for table in CONTENT
        for ours, theirs in [*_unlike(found[table], expected[table])][:1]
    ]


def _unlike(found: list[Any], expected: list[Any]) -> Iterator[tuple[Any, Any]]:
    return ((ours, theirs) for ours, theirs in zip_longest(found, expected) if ours != theirs)


class CountedZone(ZoneServer):
    """A DNS server that knows the companies and notes when each question came."""

    def __init__(self, number: int) -> None:
        super().__init__(zone(number))
        self.times: list[float] = []
        self._seen: set[bytes] = set()

    def _reply(self, packet: bytes, *, over_tcp: bool) -> bytes | None:
        if packet not in self._seen:  # the same once more was sent again, as a reply came late on a busy machine
            self._seen.add(packet)
            self.times.append(time.monotonic())
        return super()._reply(packet, over_tcp=over_tcp)

    def most_within(self, seconds: float) -> int:
        """The largest number of questions within any span of so many seconds."""
        times = list(self.times)
        return max(bisect.bisect_left(times, moment + seconds) - place for place, moment in enumerate(times))
