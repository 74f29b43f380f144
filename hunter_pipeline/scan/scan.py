"""The scan of a domain: which questions to ask, and the signals that follow from the replies.

Here belong the plan of a scan, its signals, and what to keep when a look-up fails. The replies are the facts and are
stored; signals are derived from them by a pure function, so that better rules need no new questions. How a record is
read is in `mx`, `spf`, `dkim` and `dmarc`, whose service it is in `providers`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from hunter_pipeline.scan import dkim, dmarc, mx, providers, spf
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.reply import STRIPPED, LookupStatus, Question, Replies, Reply

# A change of the catalogue changes signals as a change of the code does
_CATALOGUE: Final = providers.CATALOGUE_PATH.read_bytes() + providers.HOSTERS_PATH.read_bytes()
SIGNALS_VERSION: Final = f"3-{hashlib.sha256(_CATALOGUE).hexdigest()[:12]}"

_MOST_ROUNDS: Final = 16
_FIRST_QUESTIONS: Final = 4  # so many of a domain's questions are under way at once
_SHARED_SECONDS: Final = 300.0
_MOST_SHARED: Final = 10_000
_COMMON_SELECTORS: Final = 4  # of the generic ones are asked for first
_NOTHING_BELOW: Final = frozenset(LookupStatus) - {LookupStatus.answer, LookupStatus.nodata}


@dataclass(frozen=True)
class Signals:
    """What a scan says of a domain. A state `unknown` means that a look-up failed: neither present nor absent.

    :param provider: runs the mailboxes.
    :param gateway: filters in front of them.
    :param evidence: the reasons for the provider, in words.
    :param spf_all: the qualifier of `all`: `-`, `~`, `?` or `+`.
    :param dmarc_policy: the effective one.
    :param dmarc_pct: the published percentage, information only.
    :param undetermined: the signals that failed look-ups left open: `mx`, `spf` (also where the record was read and one
        that it includes was not), `dkim`, `dmarc`, `ns`, and `provider` where the MX is known but what stands behind it
        could not be asked.
    :param warnings: sentences that begin with the signal's name.
    """

    provider: str
    gateway: str | None
    confidence: providers.Confidence
    evidence: tuple[str, ...]
    local_hoster: str | None
    tenant_size: str | None
    mx_state: mx.MxState
    mx_hosts: tuple[str, ...]
    spf_state: spf.SpfState
    spf_record: str | None
    spf_includes: int | None
    spf_all: str | None
    dkim_state: dkim.DkimState
    dkim_selectors: tuple[str, ...]
    dmarc_state: dmarc.DmarcState
    dmarc_policy: dmarc.Policy | None
    dmarc_record: str | None
    dmarc_pct: int | None
    name_servers: tuple[str, ...]
    undetermined: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def status(self) -> Literal["complete", "partial"]:
        """`partial` when a failed look-up left a signal open, so that the scan is worth repeating."""
        return "partial" if self.undetermined else "complete"


@dataclass(frozen=True)
class DomainScan:
    """A scanned domain: every reply, in the order of the questions, and the signals derived from them."""

    domain: str
    replies: tuple[Reply, ...]
    signals: Signals


# Fields that stand or fall together when a look-up fails
_FIELDS: Final = {
    "mx": ("mx_state", "mx_hosts"),
    "provider": ("provider", "gateway", "confidence", "evidence", "local_hoster", "tenant_size"),
    "spf": ("spf_state", "spf_record", "spf_includes", "spf_all"),
    "dkim": ("dkim_state", "dkim_selectors"),
    "dmarc": ("dmarc_state", "dmarc_policy", "dmarc_record", "dmarc_pct"),
    "ns": ("name_servers",),
}


def derive_signals(domain: str, replies: Sequence[Reply]) -> Signals:
    """The signals of a domain from the replies of its scan, fresh or stored."""
    return _derive(domain, _by_question(replies))


def _vouched(domain: str, known: Replies) -> Replies:
    """The replies, where an empty one without proof counts as absence only if the domain's name servers are known.

    A delegated name has NS records. Where a server that never sends proofs shows none, it may be a lame server's word
    that it passed on.
    """
    servers = known.get((domain, "NS"))
    if (servers and servers.status is LookupStatus.answer) or all(each.detail != STRIPPED for each in known.values()):
        return known
    return {
        question: replace(reply, status=LookupStatus.unvouched) if reply.detail == STRIPPED else reply
        for question, reply in known.items()
    }


def _derive(domain: str, known: Replies) -> Signals:
    known = _vouched(domain, known)
    hosts = mx.read_mx(known.get((domain, "MX")))
    sender = spf.read_spf(domain, known)
    keys = dkim.read_dkim(domain, known)
    policy = dmarc.read_dmarc(domain, known)
    servers = known.get((domain, "NS"))
    names = servers.records if servers else ()
    decision = providers.decide_provider(domain, hosts, sender.targets, names, known, providers.catalogue())
    is_open = {
        "mx": hosts.state == "unknown",
        "spf": sender.open,
        "dkim": keys.state == "unknown",
        "dmarc": policy.state == "unknown",
        "ns": servers is None or not servers.status.known,
        "provider": decision.open and hosts.state != "unknown",
    }
    return Signals(
        provider=decision.provider,
        gateway=decision.gateway,
        confidence=decision.confidence,
        evidence=decision.evidence,
        local_hoster=decision.local_hoster,
        tenant_size=decision.tenant_size,
        mx_state=hosts.state,
        mx_hosts=hosts.hosts,
        spf_state=sender.state,
        spf_record=sender.record,
        spf_includes=sender.includes,
        spf_all=sender.all_qualifier,
        dkim_state=keys.state,
        dkim_selectors=keys.selectors,
        dmarc_state=policy.state,
        dmarc_policy=policy.policy,
        dmarc_record=policy.record,
        dmarc_pct=policy.pct,
        name_servers=names,
        undetermined=tuple(name for name, value in is_open.items() if value),
        warnings=(*hosts.warnings, *sender.warnings, *keys.warnings, *policy.warnings),
    )


def open_questions(domain: str, replies: Sequence[Reply]) -> list[Question]:
    """What is worth asking next about a domain; empty when the scan is done.

    First MX, TXT, DMARC and NS, and then only what those leave open: the names that SPF includes, the parents' DMARC
    records, the aliases that give away the mailboxes behind a gateway, whose machine stands behind the company's own
    name, and DKIM selectors from the likeliest on. A question that was asked is not asked again, whatever came of it.
    """
    return _open(domain, _by_question(replies))


def _open(domain: str, known: Replies) -> list[Question]:
    first = [(domain, "MX"), (domain, "TXT"), (f"_dmarc.{domain}", "TXT"), (domain, "NS")]
    if missing := [question for question in first if question not in known]:
        return missing
    known = _vouched(domain, known)
    if known[(domain, "MX")].status is LookupStatus.nxdomain:
        # nothing exists below a name that does not exist (RFC 8020), but its parent's policy covers it
        return dmarc.open_dmarc_questions(domain, known)
    rules = providers.catalogue()
    hosts = mx.read_mx(known[(domain, "MX")])
    questions = spf.open_spf_questions(domain, known) + dmarc.open_dmarc_questions(domain, known)
    if providers.evidence_is_open(hosts, domain, rules):
        questions.append((f"autodiscover.{domain}", "CNAME"))
        aliased = {service: rules.selectors[service] for service in rules.dkim_targets.values()}
        questions += [(f"{selectors[0]}._domainkey.{domain}", "CNAME") for selectors in aliased.values() if selectors]
    targets = spf.spf_targets(known.get((domain, "TXT")))
    decision = providers.decide_provider(domain, hosts, targets, known[(domain, "NS")].records, known, rules)
    questions += decision.asks
    questions += _open_dkim_questions(domain, decision.provider, targets, known, rules)
    return [question for question in dict.fromkeys(questions) if question not in known]


def _open_dkim_questions(
    domain: str, provider: str, targets: Sequence[str], known: Replies, rules: providers.Catalogue
) -> list[Question]:
    services = rules.spf_services(targets)
    likely: list[str] = [provider] if provider in rules.selectors else []
    likely = likely or [name for name in services if name in rules.mailbox_names]
    own = [selector for name in likely for selector in rules.selectors[name]]
    rest = [selector for name in services for selector in rules.selectors[name]]

    def questions(selectors: Sequence[str]) -> list[Question]:
        return [(f"{selector}._domainkey.{domain}", "TXT") for selector in selectors]

    probe = (f"_domainkey.{domain}", "TXT")
    common = [*rest, *rules.generic_selectors[:_COMMON_SELECTORS]]
    rounds: tuple[tuple[Sequence[str], list[Question]], ...] = (
        (own[:1], []),
        (own, [probe]),
        (common, []),
        (rules.generic_selectors, []),
    )
    state = None
    for selectors, probes in rounds:
        if missing := [question for question in [*questions(selectors), *probes] if question not in known]:
            return missing
        state = state or dkim.read_dkim(domain, known).state
        if state == "found":
            return []
        if probe in known and known[probe].status in _NOTHING_BELOW:
            return []
    if state == "unknown_selector":
        # an alias that points nowhere makes _domainkey exist without any key
        return [(name, "CNAME") for name, _ in questions(own)]
    return []


def workers(in_flight: int) -> int:
    """How many domains are scanned at once, so that so many questions are under way."""
    return math.ceil(in_flight / _FIRST_QUESTIONS)


class SharedLookups:
    """Names that several domains lead to (an SPF include, a parent's DMARC record, a hoster's machine), asked once.

    Answers are kept for some minutes, and no more than so many. A failure goes to the domains that wait for it and is
    not kept: it must not spoil the hour of a long scan.
    """

    def __init__(self, client: DnsClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._known: dict[Question, tuple[float, asyncio.Task[list[Reply]]]] = {}

    def ask(self, question: Question) -> asyncio.Task[list[Reply]]:
        """The look-up of a name, new or known."""
        now = self._loop.time()
        asked, task = self._known.get(question, (0.0, None))
        if task is None or (task.done() and (now - asked > _SHARED_SECONDS or not _is_known(task))):
            self._known.pop(question, None)
            if len(self._known) >= _MOST_SHARED:
                del self._known[next(iter(self._known))]
            task = self._loop.create_task(self._client.lookup_many([question]))
            self._known[question] = now, task
        return task


def _is_known(task: asyncio.Task[list[Reply]]) -> bool:
    return not task.cancelled() and task.exception() is None and all(reply.status.known for reply in task.result())


async def scan_domains(
    domains: Iterable[str], client: DnsClient, on_done: Callable[[DomainScan], None] | None = None
) -> list[DomainScan]:
    """Scan domains, and return their scans in the order given.

    A domain that stands twice is scanned once, and a name that several domains lead to (an SPF include, a parent's
    DMARC record) is asked once.

    :param on_done: called in this thread with each scan as it is finished, once for each different domain; what it
        raises ends the scan, inside an `ExceptionGroup`.
    """
    plain = [domain.strip().rstrip(".").lower() for domain in domains]
    waiting = iter(dict.fromkeys(plain))
    shared = SharedLookups(client)
    done: dict[str, DomainScan] = {}

    async def work() -> None:
        for domain in waiting:
            done[domain] = await scan_domain(domain, client, shared)
            if on_done:
                on_done(done[domain])

    # the workers share one iterator, so that a long list of domains never becomes as many tasks
    async with asyncio.TaskGroup() as group:
        for _ in range(min(len(plain), workers(client.in_flight))):
            group.create_task(work())
    return [done[domain] for domain in plain]


def scan(
    domains: Iterable[str],
    dns_settings: DnsSettings,
    on_done: Callable[[DomainScan], None] | None = None,
    on_trouble: Callable[[str], None] | None = None,
) -> list[DomainScan]:
    """`scan_domains` for code that is not asynchronous, with a client of its own.

    :param on_trouble: told what is wrong with a server itself, such as one that does not resolve for others.
    """

    async def run() -> list[DomainScan]:
        async with DnsClient(dns_settings) as client:
            done = await scan_domains(domains, client, on_done)
            if on_trouble:
                for trouble in client.troubles:
                    on_trouble(trouble)
            return done

    # the default loop of Windows cannot wait for sockets
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(run())


async def scan_domain(domain: str, client: DnsClient, shared: SharedLookups) -> DomainScan:
    """Scan one domain, in lower case without the last dot."""
    known: dict[Question, Reply] = {}
    replies: list[Reply] = []
    asked: set[Question] = set()
    for _ in range(_MOST_ROUNDS):
        # a name that cannot be asked comes back spelled in another way, and would be asked for again
        questions = [question for question in _open(domain, known) if question not in asked]
        if not questions:
            break
        asked.update(questions)
        own = [question for question in questions if f".{question[0]}".endswith(f".{domain}")]
        others = [question for question in questions if question not in own]
        elsewhere = [shared.ask(question) for question in others]
        came = await client.lookup_many(own)
        for task in elsewhere:
            came += await task
        known |= _by_question(came)
        replies += came
    return DomainScan(domain, tuple(replies), _derive(domain, known))


def keep_last_good(new: Signals, old: Signals | None) -> tuple[Signals, tuple[str, ...]]:
    """Fill what failed look-ups left open with the values of an earlier scan.

    The provider goes with the MX: it is kept when the MX is, and when the MX hosts are the same as before but what
    stands behind them could not be asked. So is SPF when the record is the same as before but what it includes could
    not be read.

    :returns: the signals to store and the names of those that were kept from `old` (as in `undetermined`, which stays
        as it is: the scan is still partial).
    """
    if old is None:
        return new, ()
    unknown = {
        "mx": old.mx_state == "unknown",
        "provider": old.confidence == "none" or (new.mx_state != "unknown" and new.mx_hosts != old.mx_hosts),
        "spf": old.spf_state == "unknown" or (new.spf_state != "unknown" and new.spf_record != old.spf_record),
        "dkim": old.dkim_state == "unknown",
        "dmarc": old.dmarc_state == "unknown",
        "ns": not old.name_servers,
    }
    kept = tuple(name for name in new.undetermined if not unknown[name])
    names = (*kept, "provider") if "mx" in kept else kept
    return replace(new, **{field: getattr(old, field) for name in names for field in _FIELDS[name]}), kept


def _by_question(replies: Sequence[Reply]) -> dict[Question, Reply]:
    return {(reply.name, reply.rtype): reply for reply in replies}
