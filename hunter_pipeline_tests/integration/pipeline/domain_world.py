"""Companies without a sync, and a DNS whose answers a test sets, for tests of the stages about domains."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.scan.reply import LookupStatus, Reply
from hunter_pipeline.scan.scan import DomainScan, derive_signals, open_questions

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

Zone = dict[tuple[str, str], tuple[str, ...] | LookupStatus]


def google(domain: str) -> Zone:
    """A domain with mail at Google and no DMARC record."""
    return {(domain, "MX"): ("1 smtp.google.com",), (domain, "TXT"): ("v=spf1 include:_spf.google.com ~all",)}


def m365(domain: str) -> Zone:
    """A domain with mail at Microsoft 365 and DMARC on reject."""
    return {
        (domain, "MX"): (f"0 {domain.replace('.', '-')}.mail.protection.outlook.com",),
        (domain, "TXT"): ("v=spf1 include:spf.protection.outlook.com -all",),
        (f"_dmarc.{domain}", "TXT"): ("v=DMARC1; p=reject",),
    }


@dataclass
class DomainWorld:
    """A database with companies, a clock that a test sets, and the answers that `scan` finds."""

    engine: Engine
    now: datetime = NOW
    runs: int = 0
    zone: Zone = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Domains that were looked up, in order."""
    down: bool = False
    """Whether no DNS server answers."""

    def companies(self, *domains: str) -> None:
        """Make a company and one lead, with the referral id `R-<domain>`, of each domain."""
        with self.engine.begin() as connection:
            for domain in domains:
                connection.execute(
                    text("INSERT INTO companies (domain, run_id) VALUES (:domain, 'made')"), {"domain": domain}
                )
                connection.execute(
                    text(
                        "INSERT INTO raw_leads (source, external_id, domain, payload, raw_id, run_id)"
                        " VALUES ('partnercenter', 'R-' || :domain, :domain, '{}', 1, 'made')"
                    ),
                    {"domain": domain},
                )

    def context(self, *, after: timedelta = timedelta(0)) -> StageContext:
        """The surroundings of the next run, some time after the last."""
        self.now += after
        self.runs += 1
        moment = self.now
        return StageContext(self.engine, f"run-{self.runs}", clock=lambda: moment)

    def scan(self, domains: Iterable[str]) -> Iterator[DomainScan]:
        """Look domains up in `zone`; what is not in it does not exist."""
        for domain in domains:
            self.asked.append(domain)
            yield self._scan(domain)

    def _scan(self, domain: str) -> DomainScan:
        replies: list[Reply] = []
        while questions := open_questions(domain, replies):
            for name, rtype in questions:
                found = LookupStatus.timeout if self.down else self.zone.get((name, rtype), LookupStatus.nxdomain)
                status, records = (found, ()) if isinstance(found, LookupStatus) else (LookupStatus.answer, found)
                replies.append(Reply(name, rtype, status, records))
        return DomainScan(domain, tuple(replies), derive_signals(domain, replies))

    def rows(self, query: str) -> list[Any]:
        """The rows of a query; plain values when it has one column."""
        with self.engine.connect() as connection:
            found = connection.execute(text(query)).all()
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    def execute(self, statement: str) -> None:
        """Run one statement in a transaction of its own."""
        with self.engine.begin() as connection:
            connection.execute(text(statement))
