"""Whose mail service a domain uses, decided by evidence and by a catalogue: `providers.yaml`, `hosters.yaml`.

Here belongs the catalogue, its validation, and the order in which evidence counts. The decision is pure: hosts and
replies in, provider out. An MX that nobody knows stays Unknown with its suffix kept for review; nothing is guessed
from a name that merely looks alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, ValidationError

from hunter_pipeline.scan.hosting import RENTED, Hosters, whose_machine
from hunter_pipeline.scan.mx import Mx
from hunter_pipeline.scan.names import Suffixes, registrable
from hunter_pipeline.scan.reply import Question, Replies

Confidence = Literal["high", "medium", "low", "none"]
Kind = Literal["mailbox", "relay", "gateway", "hoster", "no_mailbox"]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

CATALOGUE_PATH: Final = Path(__file__).with_name("providers.yaml")
HOSTERS_PATH: Final = Path(__file__).with_name("hosters.yaml")

DECIDED_HERE: Final = ("Hosting", "Local", "Unknown")
"""What a decision may say besides the names of the catalogue's mailboxes and relays."""

_Suffix = Annotated[str, StringConstraints(pattern=r"^(?:[a-z0-9_*#-]+\.)+[a-z0-9-]+$")]
_Selector = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]+$")]
_Name = Annotated[str, StringConstraints(min_length=1)]


class CatalogueError(ValueError):
    """The catalogue file is wrong; the text names the file, the place and the fix."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _MxHost(_Strict):
    size: Literal["small", "medium", "large"] | None = None
    note: str | None = None


class _Service(_Strict):
    mx: dict[_Suffix, _MxHost] = Field(min_length=1)
    spf: list[_Suffix] = []
    dkim_targets: list[_Suffix] = []
    autodiscover: list[_Suffix] = []
    verification: list[_Name] = []
    selectors: list[_Selector] = []


class _NoMailbox(_Strict):
    mx: list[_Suffix] = Field(min_length=1)
    size: Literal["small", "medium", "large"] | None = None


class _File(_Strict):
    mailboxes: dict[_Name, _Service]
    relays: dict[_Name, _Service]
    gateways: dict[_Name, list[_Suffix]]
    no_mailbox: dict[_Name, _NoMailbox]
    generic_selectors: list[_Selector]


class _Hoster(_Strict):
    names: list[_Suffix] = []
    mx: list[_Suffix] = []
    ptr: list[_Suffix] = []
    ns: list[_Suffix] = []
    rented: list[_Suffix] = []


class _HosterFile(RootModel[dict[_Name, _Hoster]]):
    pass


@dataclass(frozen=True)
class MxEntry:
    """What the catalogue knows of an MX host: the kind of service, its name, the suffix that matched."""

    kind: Kind
    name: str
    suffix: str
    size: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """The evidence rules, ready to be matched. Suffix maps go from suffix to what it stands for.

    :param names: all the providers that a decision can name, in the order of the file.
    """

    mx: Suffixes[MxEntry]
    spf: Suffixes[str]
    dkim_targets: Suffixes[str]
    autodiscover: Suffixes[str]
    verification: Mapping[str, str]
    selectors: Mapping[str, tuple[str, ...]]
    mailbox_names: frozenset[str]
    names: tuple[str, ...]
    generic_selectors: tuple[str, ...]
    hosters: Hosters

    def match_mx(self, host: str) -> MxEntry | None:
        """The entry of the longest suffix that the host ends with, or None."""
        return self.mx.longest(host)

    def spf_services(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The services that SPF include and redirect targets belong to, each once, in order."""
        return tuple(dict.fromkeys(name for target in targets if (name := self.spf.longest(target))))


@dataclass(frozen=True)
class Decision:
    """Whose mail service it is.

    :param provider: one of `Catalogue.names`.
    :param gateway: the filter in front, if any.
    :param evidence: what was seen, in words, the deciding first.
    :param local_hoster: the hoster, when the provider is Hosting.
    :param open: a failed look-up could have changed the decision.
    :param asks: questions that could change the decision, which is open until they are answered.
    """

    provider: str
    confidence: Confidence = "none"
    gateway: str | None = None
    evidence: tuple[str, ...] = ()
    local_hoster: str | None = None
    tenant_size: str | None = None
    open: bool = False
    asks: tuple[Question, ...] = ()


def load_catalogue(path: Path = CATALOGUE_PATH, hosters_path: Path = HOSTERS_PATH) -> Catalogue:
    """Read and validate the catalogue.

    :raises CatalogueError: the file is not YAML, has an unknown key, a malformed suffix, or a suffix or a name that
        stands twice.
    """
    file = _read(path, _File)
    hosters = _read(hosters_path, _HosterFile).root
    services: dict[str, _Service] = dict([*file.mailboxes.items(), *file.relays.items()])
    names = (*file.mailboxes, *file.relays, *DECIDED_HERE)
    if twice := {name for name in names if names.count(name) > 1}:
        meaning = f"{' and '.join(DECIDED_HERE)} have a meaning of their own"
        raise CatalogueError(f"{path}: {', '.join(sorted(twice))} stands twice; rename one ({meaning})")
    mx = [
        (suffix, MxEntry("mailbox" if name in file.mailboxes else "relay", name, suffix, host.size, host.note))
        for name, service in services.items()
        for suffix, host in service.mx.items()
    ]
    mx += [
        (suffix, MxEntry("gateway", name, suffix)) for name, suffixes in file.gateways.items() for suffix in suffixes
    ]
    mx += [
        (suffix, MxEntry("hoster", name, suffix))
        for name, each in hosters.items()
        for suffix in (*each.names, *each.mx)
    ]
    mx += [
        (suffix, MxEntry("no_mailbox", name, suffix, entry.size))
        for name, entry in file.no_mailbox.items()
        for suffix in entry.mx
    ]
    return Catalogue(
        mx=_unique(f"{path} and {hosters_path}", "mx", mx),
        spf=_unique(path, "spf", ((item, name) for name, each in services.items() for item in each.spf)),
        dkim_targets=_unique(
            path, "dkim_targets", ((item, name) for name, each in services.items() for item in each.dkim_targets)
        ),
        autodiscover=_unique(
            path, "autodiscover", ((item, name) for name, each in services.items() for item in each.autodiscover)
        ),
        verification=_unique(
            path, "verification", ((item, name) for name, each in services.items() for item in each.verification)
        ),
        selectors={name: tuple(each.selectors) for name, each in services.items()},
        mailbox_names=frozenset(file.mailboxes),
        names=names,
        generic_selectors=tuple(file.generic_selectors),
        hosters=_read_hosters(hosters_path, hosters),
    )


def _read(path: Path, model: type[M]) -> M:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - derived from SafeLoader
        return model.model_validate(content)
    except yaml.YAMLError as error:
        raise CatalogueError(f"{path}: is no valid YAML: {error}") from error
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CatalogueError(f"{path}: {places}") from error


def _read_hosters(path: Path, hosters: Mapping[str, _Hoster]) -> Hosters:
    ptr: list[tuple[str, str]] = []
    for name, each in hosters.items():
        ptr += [(suffix, name) for suffix in (*each.names, *each.ptr)]
        ptr += [(suffix, RENTED) for suffix in each.rented]
    ns = ((suffix, name) for name, each in hosters.items() for suffix in (*each.names, *each.ns))
    return Hosters(ptr=_unique(path, "ptr", ptr), ns=_unique(path, "ns", ns))


@cache
def catalogue() -> Catalogue:
    """The shipped catalogue, read once."""
    return load_catalogue()


def decide_provider(
    domain: str, mx: Mx, spf_targets: Sequence[str], name_servers: Sequence[str], replies: Replies, rules: Catalogue
) -> Decision:
    """Decide whose mail service a domain uses.

    The order: an MX host of a mailbox provider, whichever its preference; behind a gateway or an unknown MX, the
    autodiscover and DKIM aliases, then the SPF includes if they name one mailbox provider (behind an MX that nobody
    knows with low confidence, whatever names it); a listed hoster; a relay; an MX inside the company's own domain, on
    whose machine (see `hosting`); an MX of the same company as the name servers.

    :param replies: those of the domain and of what it leads to.
    """
    if not mx.hosts:
        return Decision("Unknown", open=mx.state == "unknown")
    entries = [(host, rules.match_mx(host)) for host in mx.hosts]
    found = _by_kind(entries)
    evidence = [f"mx {host}: {_describe(entry)}" for host, entry in entries if entry]
    gateway = found["gateway"][0].name if found["gateway"] else None
    size = next((entry.size for kind in ("mailbox", "no_mailbox") for entry in found[kind] if entry.size), None)
    if found["mailbox"]:
        names = {entry.name for entry in found["mailbox"]}
        evidence.sort(key=lambda line: not line.endswith(_describe(found["mailbox"][0])))
        confidence: Confidence = "high" if len(names) == 1 else "medium"
        return Decision(found["mailbox"][0].name, confidence, gateway, tuple(evidence), tenant_size=size)

    own = [host for host in mx.hosts if registrable(host) == registrable(domain)]
    unlisted = [host for host, entry in entries if entry is None and host not in own]
    review = tuple(f"mx {host}: {registrable(host)} is not in the catalogue" for host in unlisted)
    hints = _Hints.gather(domain, spf_targets, replies, rules)
    if gateway or unlisted:
        strong = set(hints.strong.values())
        if len(strong) == 1:
            name = strong.pop()
            confidence = "high" if len(hints.strong) > 1 or name in hints.spf else "medium"
            # Behind a filter there must be mailboxes elsewhere; an MX that nobody knows may have its own.
            confidence = confidence if gateway else "low"
            return Decision(name, confidence, gateway, (*hints.strong, *hints.spf_lines(), *evidence, *review))
        told = found["hoster"] or found["relay"] or _same_brand(unlisted, name_servers)
        if not strong and not own and (gateway or not told) and len(hints.spf) == 1:
            lines = (*hints.spf_lines(), *evidence, *review)
            return Decision(hints.spf[0], "low", gateway, lines, open=hints.open)
    evidence += [*hints.strong, *hints.spf_lines(), *hints.verified]
    if found["hoster"]:
        name = found["hoster"][0].name
        return Decision("Hosting", "high", gateway, tuple(evidence), local_hoster=name)
    if found["relay"]:
        return Decision(found["relay"][0].name, "medium", gateway, tuple(evidence))
    if own:
        machine = whose_machine(domain, own[0], replies, rules.hosters)
        lines = (*machine.evidence, *evidence)
        if machine.hoster:
            return Decision("Hosting", "medium", gateway, lines, machine.hoster)
        lines = (f"mx {own[0]}: in the company's own domain", *lines)
        if machine.open:
            return Decision("Unknown", "none", gateway, lines, open=True, asks=machine.asks)
        return Decision("Local", "medium", gateway, lines, open=bool(gateway) and hints.open)
    if brand := _same_brand(unlisted, name_servers):
        lines = (f"mx {brand[0]}: same company as the name servers", *evidence)
        return Decision("Hosting", "medium", gateway, lines, local_hoster=brand[1])
    waiting = bool(gateway or unlisted) and hints.open
    return Decision("Unknown", "none", gateway, (*review, *evidence), tenant_size=size, open=waiting)


def evidence_is_open(mx: Mx, domain: str, rules: Catalogue) -> bool:
    """Whether the MX hosts leave the mailbox provider open, so that aliases are worth asking for."""
    kinds = [(host, rules.match_mx(host)) for host in mx.hosts]
    if any(entry and entry.kind == "mailbox" for _, entry in kinds):
        return False
    return any(entry.kind == "gateway" if entry else registrable(host) != registrable(domain) for host, entry in kinds)


@dataclass(frozen=True)
class _Hints:
    """Signs of a mailbox provider beside the MX. `strong` goes from the line of evidence to the provider."""

    strong: dict[str, str] = field(default_factory=dict)
    spf: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    open: bool = False

    @classmethod
    def gather(cls, domain: str, spf_targets: Sequence[str], replies: Replies, rules: Catalogue) -> _Hints:
        strong: dict[str, str] = {}
        is_open = False
        for (name, rtype), reply in sorted(replies.items()):
            if name == f"autodiscover.{domain}" and rtype == "CNAME":
                for target in reply.records:
                    if service := rules.autodiscover.longest(target):
                        strong[f"autodiscover points at {target}: {service}"] = service
            elif name.endswith(f"._domainkey.{domain}"):
                for target in reply.records if rtype == "CNAME" else reply.cnames:
                    if service := rules.dkim_targets.longest(target):
                        selector = name.partition("._domainkey.")[0]
                        strong[f"dkim {selector} points at {target}: {service}"] = service
            else:
                continue
            is_open = is_open or (rtype == "CNAME" and not reply.status.known)
        txt = replies.get((domain, "TXT"))
        verified = {
            f"txt {prefix} the domain was once added to {service}": None
            for record in (txt.records if txt else ())
            for prefix, service in rules.verification.items()
            if record.startswith(prefix)
        }
        return cls(
            strong,
            tuple(name for name in rules.spf_services(spf_targets) if name in rules.mailbox_names),
            tuple(verified),
            is_open or (txt is not None and not txt.status.known),
        )

    def spf_lines(self) -> list[str]:
        return [f"spf includes {name}" for name in self.spf]


def _by_kind(entries: Sequence[tuple[str, MxEntry | None]]) -> dict[str, list[MxEntry]]:
    found: dict[str, list[MxEntry]] = {kind: [] for kind in ("mailbox", "relay", "gateway", "hoster", "no_mailbox")}
    for _, entry in entries:
        if entry:
            found[entry.kind].append(entry)
    return found


def _describe(entry: MxEntry) -> str:
    kind = {"gateway": ", a gateway", "hoster": ", a hoster", "relay": ", a relay"}.get(entry.kind, "")
    return f"{entry.name}{kind}{f' ({entry.note})' if entry.note else ''}"


def _same_brand(hosts: Sequence[str], name_servers: Sequence[str]) -> tuple[str, str] | None:
    brands = {registrable(server) for server in name_servers}
    return next(((host, registrable(host)) for host in hosts if registrable(host) in brands), None)


def _unique(path: Path | str, heading: str, items: Iterable[tuple[str, T]]) -> Suffixes[T]:
    made: dict[str, T] = {}
    for suffix, value in items:
        if suffix in made:
            raise CatalogueError(f"{path}: {heading}: {suffix} stands twice; keep one of them")
        made[suffix] = value
    return Suffixes(made)


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # in C, where there is one
    """YAML lets a later key overwrite an earlier one in silence; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(sorted(map(str, twice)))} stands twice", node.start_mark
            )
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made
