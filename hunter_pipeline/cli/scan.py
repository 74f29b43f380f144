"""`hunter scan`: ask DNS about any domains now, and show what was found and what could not be found out.

Belongs here: reading names from arguments, files and standard input, and how a scan is shown. Does not belong
here: which questions are asked and what replies mean (`scan`). Needs no database and writes nothing, so that it
is safe to try on domains that are no leads.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import err, out, ready
from hunter_pipeline.domains.normalize import SkipReason, Verdict, domain_from_email, domain_from_website
from hunter_pipeline.masking import mask_email
from hunter_pipeline.scan.dns import DnsSettings
from hunter_pipeline.scan.reply import Reply
from hunter_pipeline.scan.scan import DomainScan, Signals
from hunter_pipeline.scan.scan import scan as scan_now
from hunter_pipeline.services import make_dns_settings

BATCH = 500
"""Domains that are looked up before their results are printed: memory stays flat however long the list is."""

REFUSALS = {
    SkipReason.no_candidate: "nothing is written there",
    SkipReason.not_a_host: "it is no domain, website or e-mail address",
    SkipReason.ip_address: "it is an IP address; give a domain",
    SkipReason.single_label: "it is one word; give a full domain such as example.com",
    SkipReason.public_suffix: "it is an ending that anybody can register under",
    SkipReason.consumer_mail: "it is a consumer mail provider, no company's own domain",
    SkipReason.shared_host: "it is a host that many companies share",
    SkipReason.social_or_site_builder: "it is a social network, marketplace or site builder",
    SkipReason.reserved_or_invalid: "its ending does not exist in public DNS, or is reserved",
}
"""Why a text gives no company domain, in words."""

STATES = {
    ("mx", "none"): "no record",
    ("mx", "null"): "null MX: it takes no mail",
    ("spf", "none"): "no record",
    ("dkim", "none"): "no key found",
    ("dkim", "unknown_selector"): "keys exist, under a name that is not known",
    ("dmarc", "none"): "no record",
}
"""States that would not speak for themselves; `none` could be mistaken for DMARC's policy of that name."""


@dataclass
class _Names:
    """What was asked for: domains, each with the texts that led to it, and refused texts with the reason."""

    domains: dict[str, list[str]] = field(default_factory=dict)
    refused: list[tuple[str, SkipReason]] = field(default_factory=list)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(scan)


def scan(
    domains: Annotated[
        list[str] | None, typer.Argument(help="Domains, websites or e-mail addresses; - reads them from standard input")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Read names from this file, one or more a line, # starts a comment; - as above"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every reply in full")] = False,
) -> None:
    """Look domains up and print signals, mailbox provider with its evidence, and the status of every look-up.

    A website or an e-mail address stands for its company's domain, by the rules that referrals go through. Nothing
    is stored, and no database is needed.

    Exit status 1 when a name was refused; the others are looked up all the same. A look-up that failed is shown as
    such, and its signal as unknown.
    """
    settings = ready()
    names = _read_names(domains or [], file)
    if not names.domains and not names.refused:
        raise typer.BadParameter("no domain given; try hunter scan example.com, or --file names.txt")
    for given, reason in names.refused:
        err().print(f"hunter: {shown(given)!r} was not looked up: {REFUSALS[reason]}", style="bold red", markup=False)
    results = _scan_all(list(names.domains), make_dns_settings(settings))
    if as_json:
        _print_json(names, results)
    else:
        for result in results:
            print_scan(result, names.domains[result.domain])
    if names.refused:
        raise typer.Exit(1)


def company_domain(text: str) -> Verdict:
    """The company domain of a name as a person types it: a domain, website or e-mail address."""
    return domain_from_email(text) if "@" in text else domain_from_website(text)


def shown(name: str) -> str:
    """A name as an error may show it: of an e-mail address the first letter and the domain."""
    return mask_email(name) if "@" in name else name


def print_scan(result: DomainScan, given: list[str]) -> None:
    """Print a scan: signals, evidence, warnings and look-ups. Text from DNS is shown as text, never as markup."""
    signals = result.signals
    console = out()
    others = [name for name in given if name.lower() != result.domain]
    console.print(
        Text.assemble(
            (result.domain, "bold"),
            f"  {signals.provider} ({signals.confidence} confidence)  ",
            ("all look-ups succeeded", "green")
            if signals.status == "complete"
            else (f"could not be determined: {', '.join(signals.undetermined)}", "bold yellow"),
            f"  (from {', '.join(others)})" if others else "",
        )
    )
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _signal_rows(signals):
        table.add_row(f"  {label}", Text(value))
    console.print(table)
    console.print(_look_up_table(result.replies))
    console.print()


def _signal_rows(signals: Signals) -> Iterator[tuple[str, str]]:
    yield "MX", _described("mx", signals.mx_state, ", ".join(signals.mx_hosts))
    spf = [signals.spf_record] if signals.spf_record else []
    if signals.spf_includes is not None:
        spf.append(f"({signals.spf_includes} include{'s' if signals.spf_includes != 1 else ''})")
    yield "SPF", _described("spf", signals.spf_state, " ".join(spf))
    yield "DKIM", _described("dkim", signals.dkim_state, ", ".join(signals.dkim_selectors))
    policy = f"policy {signals.dmarc_policy}" if signals.dmarc_policy else ""
    yield "DMARC", _described("dmarc", signals.dmarc_state, ", ".join(filter(None, [policy, signals.dmarc_record])))
    yield "Name servers", ", ".join(signals.name_servers) or ("unknown" if "ns" in signals.undetermined else "none")
    for label, value in (
        ("Gateway", signals.gateway),
        ("Hosted by", signals.local_hoster),
        ("Tenant size", signals.tenant_size),
    ):
        if value:
            yield label, value
    for number, line in enumerate(signals.evidence):
        yield "" if number else "Evidence", line
    for number, line in enumerate(signals.warnings):
        yield "" if number else "Warnings", line


def _described(signal: str, state: str, detail: str) -> str:
    words = STATES.get((signal, state), state)
    return f"{words}: {detail}" if detail else words


def _look_up_table(replies: tuple[Reply, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("  Look-up", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Asked", no_wrap=True)
    table.add_column("Records", no_wrap=True, overflow="ellipsis", ratio=1)
    for reply in replies:
        times = "" if reply.attempts == 1 else f" ({reply.attempts} times)"
        table.add_row(
            Text(f"  {reply.rtype} {reply.name}"),
            Text(reply.status.value, "" if reply.status.known else "bold yellow"),
            Text(f"{reply.server or 'nobody'}{times}"),
            Text(" | ".join((*(f"-> {target}" for target in reply.cnames), *reply.records))),
        )
    return table


def _scan_all(domains: list[str], dns: DnsSettings) -> Iterator[DomainScan]:
    """Scan in batches, with a progress bar that makes room for each batch's results."""
    console = err()
    progress = Progress(
        TextColumn("looking up"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or len(domains) < 2,
    )
    task = progress.add_task("", total=len(domains))
    told: set[str] = set()

    def tell(trouble: str) -> None:
        if trouble not in told:
            told.add(trouble)
            console.print(f"hunter: {trouble}", style="bold yellow", markup=False, highlight=False, soft_wrap=True)

    waiting = iter(domains)
    while batch := list(islice(waiting, BATCH)):
        with progress:
            results = scan_now(batch, dns, lambda _: progress.advance(task), tell)
        yield from results


def _print_json(names: _Names, results: Iterator[DomainScan]) -> None:
    """Write one JSON object; the domains are written as they come, so that a long list is never held."""
    refused = [{"given": given, "reason": reason.value} for given, reason in names.refused]
    sys.stdout.write(f'{{"refused": {json.dumps(refused, ensure_ascii=False)},\n"domains": [')
    for number, result in enumerate(results):
        content = {
            "domain": result.domain,
            "given": names.domains[result.domain],
            "status": result.signals.status,
            "signals": asdict(result.signals),
            "replies": [reply.to_json() for reply in result.replies],
        }
        sys.stdout.write((",\n" if number else "\n") + json.dumps(content, ensure_ascii=False))
    sys.stdout.write("\n]}\n")


def _read_names(arguments: list[str], file: Path | None) -> _Names:
    names = _Names()
    for given in _given(arguments, file):
        domain, reason = company_domain(given)
        if domain is not None:
            names.domains.setdefault(domain, []).append(given)
        elif reason is not None:
            names.refused.append((given, reason))
    return names


def _given(arguments: list[str], file: Path | None) -> Iterator[str]:
    for argument in arguments:
        if argument == "-":
            yield from _lines(sys.stdin.read())
        else:
            yield argument
    if file == Path("-"):
        yield from _lines(sys.stdin.read())
    elif file is not None:
        yield from _lines(file.read_text(encoding="utf-8-sig", errors="replace"))


def _lines(content: str) -> Iterator[str]:
    for line in content.splitlines():
        yield from filter(None, re.split(r"[\s,;]+", line.partition("#")[0]))
