"""How a stranger's text is shown to a person: names without hidden turns of direction, domains in their own letters.

Belongs here: pure functions from a text to the text that is shown. Does not belong here: markup, and what is stored,
compared or exported, which stays as it came. What may be taken for another name keeps its ASCII form in front.
"""

from __future__ import annotations

import unicodedata

import idna

_TURNS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Unicode's marks that turn the direction of what follows (UAX #9): in a name they only make it read as another."""

_ESCAPED = {code: f"\\u{code:04x}" for code in _TURNS}

_TOGETHER = ({"HAN", "HIRAGANA", "KATAKANA"}, {"HAN", "HANGUL"}, {"HAN", "BOPOMOFO"})
"""Scripts that one language writes with (UTS #39, 5.2)."""

_LIKE_LATIN = frozenset("абԁегһіјӏкӏопԛрѕсԛуѵԝхзьъЬвмнтαβγεηικνορτυχω")
"""Cyrillic and Greek letters that are taken for Latin ones; a label of these alone reads as another name."""


def without_turns(text: str) -> str:
    """A text without the marks that turn its direction."""
    return text if text.isascii() else text.translate(_TURNS)


def turns_shown(text: str) -> str:
    """A JSON text in which the marks that turn its direction stand as escapes, so that they are seen."""
    return text.translate(_ESCAPED)


def domain_in_letters(domain: str) -> str | None:
    """An internationalised domain in its own letters.

    :param domain: as it is kept: ASCII, lower case.
    :returns: None where there is nothing to add: it is ASCII anyway, it cannot be read, or it could be taken for
        another, because a label mixes scripts or is made of letters that look like Latin ones.
    """
    if "xn--" not in domain:
        return None
    try:
        shown = idna.decode(domain)
    except idna.IDNAError:
        return None
    return shown if all(_honest(label) for label in shown.split(".")) else None


def _honest(label: str) -> bool:
    scripts = {_script(letter) for letter in label if letter.isalpha()}
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        return False
    return scripts == {"LATIN"} or not scripts or not all(letter in _LIKE_LATIN for letter in label if letter.isalpha())


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "").split(" ")[0]
    return "HAN" if name == "CJK" else name.split("-")[0]
