"""What may be known of a domain when it is scored: each fact is declared once, as a field of `ScoreInputs`.

Here: the facts with their values, their titles, and the fields of a scan that they are read from. The words of a rules
file, the scorer's checks, the query for the facts, column lineage and `hunter score` are made of these declarations.
Not here: what a fact is worth (`rules.yaml`), and reading anything from a database.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast, get_args, get_type_hints

MxState = Literal["present", "none", "null", "unknown"]
SpfState = Literal["ok", "none", "permerror", "unknown"]
DkimState = Literal["found", "none", "revoked", "unknown_selector", "unknown"]
DmarcState = Literal["reject", "quarantine", "none", "missing", "invalid", "unknown"]


def dmarc_of(state: str, policy: str | None) -> DmarcState:
    """The DMARC fact from a scan's record state (ok, none, invalid, unknown) and effective policy.

    A record that is "ok" but asks for no policy counts as invalid: receivers do no DMARC processing for it
    (RFC 9989, section 4.10.1).

    :raises ValueError: the state or the policy is not known.
    """
    if state == "ok":
        if policy in {"reject", "quarantine", "none"}:
            return cast(DmarcState, policy)
        if policy is None:
            return "invalid"
        raise ValueError(f"unknown DMARC policy {policy!r}; use reject, quarantine, none or None")
    states: dict[str, DmarcState] = {"none": "missing", "invalid": "invalid", "unknown": "unknown"}
    if state not in states:
        raise ValueError(f"unknown DMARC state {state!r}; use ok, none, invalid or unknown")
    return states[state]


@dataclass(frozen=True)
class Fact:
    """A fact as declared.

    Its type says what a rule may ask for: a `Literal` is asked for by its words, a number by `<name>_over`. The word
    "unknown" is a look-up that failed, never an absent record, and no rule can name it.

    :param title: what explanations call it.
    :param field: the field of a scan's signals that it is read from.
    :param beside: further fields that `read` takes.
    :param read: makes the fact of the fields' values; None: the field's value as it stands.
    :param fails: words that make a hard fail. Such a fact stands in rows of `hard_fail`, all others in `signals`.
    :param every_word: whether a rules file must have a row for each word, so that none is forgotten. False for a fact
        that is added later: a user's own rules stay valid.
    """

    title: str
    field: str
    beside: tuple[str, ...] = ()
    read: Callable[..., Any] | None = None
    fails: tuple[str, ...] = ()
    every_word: bool = False


@dataclass(frozen=True)
class ScoreInputs:
    """What is known about one domain. Equal facts make equal inputs, whatever the domain.

    :param provider: one of the rules' providers, from the scan; with a declared tenant it counts as M365 whatever
        stands here.
    :param dmarc: the effective policy, see `dmarc_of`.
    :param spf_includes: number of `include:` terms in the SPF record; None: there is no record, or it is not known.
    :param has_signals: False when the domain was never scanned; then nothing that a scan finds counts.
    :param azure_tenant: a referral declares the customer's Azure tenant id.
    :param open_referral_types: types of the domain's open referrals: co-sell, marketplace, solution-provider.
    """

    provider: str = "Unknown"
    mx: Annotated[MxState, Fact("MX", "mx_state", fails=("none", "null"))] = "unknown"
    spf: Annotated[SpfState, Fact("SPF", "spf_state", every_word=True)] = "unknown"
    dkim: Annotated[DkimState, Fact("DKIM", "dkim_state", every_word=True)] = "unknown"
    dmarc: Annotated[
        DmarcState, Fact("DMARC", "dmarc_state", beside=("dmarc_policy",), read=dmarc_of, every_word=True)
    ] = "unknown"
    spf_includes: Annotated[int | None, Fact("SPF includes", "spf_includes")] = None
    has_signals: bool = True
    azure_tenant: bool = False
    open_referral_types: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Declared:
    """A fact with what its class adds.

    :param words: the words that it can be, "unknown" apart; none for a number.
    """

    name: str
    fact: Fact
    words: tuple[str, ...]

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields of a scan's signals that it takes, each under the name that stored facts give it."""
        return {self.name: self.fact.field} | {name: name for name in self.fact.beside}

    def value(self, stored: Mapping[str, Any]) -> Any:
        """The fact from stored facts."""
        values = [stored.get(name) for name in self.fields]
        return self.fact.read(*values) if self.fact.read else values[0]


def _declared() -> tuple[Declared, ...]:
    found = []
    for name, hint in get_type_hints(ScoreInputs, include_extras=True).items():
        fact = next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Fact)), None)
        if fact is not None:
            kind = get_args(hint)[0]
            words = tuple(word for word in get_args(kind) if isinstance(word, str) and word != "unknown")
            found.append(Declared(name, fact, words))
    return tuple(found)


FACTS = _declared()
"""What a scan finds, in the order of the fields."""

WORD_FACTS = tuple(each for each in FACTS if each.words)
NUMBER_FACTS = tuple(each for each in FACTS if not each.words)
