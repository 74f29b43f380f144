"""What `hunter scan` does: names are read, looked up, and shown with what could not be found out.

Belongs here: reading names from arguments, files and standard input, and how a scan is shown. Does not belong
here: the options (`cli.scan`), and which questions are asked and what replies mean (`scan`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hunter_pipeline.cli.console import err, out, print_json
from hunter_pipeline.cli.names import company_domain, shown
from hunter_pipeline.cli.scan_against import AgainstError, Comparison, read_expected
from hunter_pipeline.domains.normalize import SkipReason
from hunter_pipeline.masking import mask_emails
from hunter_pipeline.scan.dns import DnsSettings
from hunter_pipeline.scan.explain import Step, explain
from hunter_pipeline.scan.reply import Reply
from hunter_pipeline.scan.scan import DomainScan, Signals
from hunter_pipeline.scan.scan import scan as scan_now
from hunter_pipeline.vocabulary import provider_label

BATCH = 500
"""Domains that are looked up before their results are printed: memory stays flat however long the list is."""

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
class Names:
    """What was asked for: domains, each with the texts that led to it, and refused texts with the reason."""

    domains: dict[str, list[str]] = field(default_factory=dict)
    refused: list[tuple[str, SkipReason]] = field(default_factory=list)


def compare(path: Path, dns: DnsSettings, *, as_json: bool, explained: bool) -> None:
    """Scan the domains of a list of expected providers, and print what differs.

    :raises typer.Exit: with status 1 when anything does.
    """
    try:
        expected = read_expected(path)
    except AgainstError as error:
        raise typer.BadParameter(str(error), param_hint="--against") from None
    comparison = Comparison(expected)
    steps: dict[str, list[Step]] = {}
    for done in scan_all(list(expected), dns):
        if not comparison.add(done) and explained:
            steps[done.domain] = explain(done.domain, done.replies)
    if as_json:
        content = comparison.to_json()
        for each in content["differences"] if explained else ():
            each["steps"] = [_step_json(step) for step in steps[each["domain"]]]
        print_json(masked(content))
    else:
        comparison.print(out())
        for domain, told in steps.items():
            out().print(Text(f"\n{domain}", "bold"))
            _print_steps(told)
    if comparison.differences:
        raise typer.Exit(1)


def print_scan(result: DomainScan, given: list[str], *, explained: bool = False) -> None:
    """Print a scan: signals, evidence, warnings and look-ups. Text from DNS is shown as text, never as markup."""
    signals = result.signals
    console = out()
    others = [name for name in given if name.lower() != result.domain] if not explained else []
    console.print(
        Text.assemble(
            (result.domain, "bold"),
            f"  {provider_label(signals.provider)} ({signals.confidence} confidence)  ",
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
        table.add_row(f"  {label}", Text(mask_emails(value) if explained else value))
    console.print(table)
    if explained:
        _print_steps(explain(result.domain, result.replies))
    else:
        console.print(_look_up_table(result.replies))
    console.print()


def _print_steps(steps: list[Step]) -> None:
    """Print each question in order: its answer, and below it the records and what they decided."""
    console = out()
    for number, step in enumerate(steps, 1):
        reply = step.reply
        tried = "1 attempt" if reply.attempts == 1 else f"{reply.attempts} attempts"
        spent = "" if reply.milliseconds is None else f", {reply.milliseconds} ms"
        console.print(
            Text.assemble(
                (f"{number:4}  {reply.rtype} {reply.name}: ", "bold"),
                (reply.status.value, "green" if reply.status.known else "bold yellow"),
                f" from {reply.server or 'nobody'} after {tried}{spent}",
                f" ({reply.detail})" if reply.detail else "",
            )
        )
        for line in (*(f"-> {target}" for target in reply.cnames), *reply.records):
            console.print(Text(f"        {mask_emails(line)}", "dim"))
        nothing = "decided nothing more" if reply.status.known else "decided nothing: it is no answer"
        for line in step.decided or (nothing,):
            console.print(Text(f"      = {mask_emails(line)}"))


def _step_json(step: Step) -> dict[str, Any]:
    return {**step.reply.to_json(), "decided": list(step.decided)}


def masked(value: Any) -> Any:
    """A JSON value with the e-mail addresses in its texts masked."""
    if isinstance(value, str):
        return mask_emails(value)
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value


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


def scan_all(domains: list[str], dns: DnsSettings) -> Iterator[DomainScan]:
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


def print_all(names: Names, results: Iterator[DomainScan], *, explained: bool) -> None:
    """Write one JSON object; the domains are written as they come, so that a long list is never held."""
    refused = [
        {"given": shown(given) if explained else given, "reason": reason.value} for given, reason in names.refused
    ]
    sys.stdout.write(f'{{"refused": {json.dumps(refused, ensure_ascii=False)},\n"domains": [')
    for number, result in enumerate(results):
        content: dict[str, Any] = {
            "domain": result.domain,
            "status": result.signals.status,
            "signals": asdict(result.signals),
        }
        if explained:
            steps = explain(result.domain, result.replies)
            content = masked(content | {"steps": [_step_json(step) for step in steps]})
        else:
            content["given"] = names.domains[result.domain]
            content["replies"] = [reply.to_json() for reply in result.replies]
        sys.stdout.write((",\n" if number else "\n") + json.dumps(content, ensure_ascii=False))
    sys.stdout.write("\n]}\n")


def read_names(arguments: list[str], file: Path | None) -> Names:
    """The domains that arguments and a file name; `-` reads more from standard input."""
    names = Names()
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
