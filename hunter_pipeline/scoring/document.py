"""A YAML file read so that every problem can name its line.

Here: reading the text safely, and taking mappings, lists, numbers and words out of YAML nodes while collecting
problems. Not here: what a rules file must contain (`rules.py`). PyYAML's nodes are used instead of its plain values
because values have no line, a repeated key would silently win, and `yes`, `010` and `1:30` would change their meaning.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_DEPTH = 8
MAX_TEXT = 200
_TAG = "tag:yaml.org,2002:"
_PLAIN_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Problem:
    """One fault in a rules file: its line (from 1), what is wrong, and what to write instead."""

    line: int
    problem: str
    fix: str


class RulesError(ValueError):
    """A rules file cannot be used. The text has one line for each problem: `file:line: problem; fix`."""

    def __init__(self, file: str, problems: Collection[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(f"{file}:{p.line}: {p.problem}; {p.fix}" for p in self.problems))


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


class Problems:
    """Collects faults, so that one run reports them all."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Problem] = []

    def add(self, node: yaml.Node | int, problem: str, fix: str) -> None:
        """Note a fault at a node's line, or at a line number (from 1)."""
        line = node if isinstance(node, int) else node.start_mark.line + 1
        # What is quoted from the file may hold line ends; a problem is one line.
        self.found.append(Problem(line, _one_line(problem), _one_line(fix)))

    def raise_if_any(self) -> None:
        """Raise RulesError when something was noted."""
        if self.found:
            raise RulesError(self.file, self.found)


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a rules file may not use. `note` is the fix."""


class _Loader(yaml.SafeLoader):
    """Refuses hazards before their nodes are built: nesting makes the composer recurse, and aliases multiply."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor:
            raise _Refused(None, None, "anchors and aliases are not allowed", event.start_mark, "write the value out")
        if self.depth == MAX_DEPTH:
            raise _Refused(None, None, "nested too deeply", event.start_mark, "follow the packaged rules.yaml")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_text(path: Path, problems: Problems) -> str:
    """Return the text of a file.

    :raises RulesError: the file cannot be read, is larger than 256 KiB, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.add(1, f"the file cannot be read ({error.strerror})", "check the path and its permissions")
        raise RulesError(problems.file, problems.found) from error
    if len(raw) > MAX_BYTES:
        problems.add(1, f"the file is larger than {MAX_BYTES // 1024} KiB", "use a rules file, which is far smaller")
        problems.raise_if_any()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.add(raw[: error.start].count(b"\n") + 1, "the text is not UTF-8", "save the file as UTF-8")
        raise RulesError(problems.file, problems.found) from error


def read_document(text: str, problems: Problems) -> yaml.Node:
    """Return the root node of a YAML text.

    :raises RulesError: it is not one YAML document, is nested deeper than 8 levels, or uses anchors and aliases (a few
        of them can stand for gigabytes).
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        problems.add(line, "the text holds a control character", "remove it")
        raise RulesError(problems.file, problems.found) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "it cannot be parsed"
        if isinstance(error, _Refused):
            problem, fix = reason, error.note or ""
        else:
            problem, fix = f"not valid YAML: {reason}", "check indentation, quotes and brackets"
        problems.add(mark.line + 1 if mark else 1, problem, fix)
        raise RulesError(problems.file, problems.found) from error
    if root is None:
        problems.add(1, "the file is empty", "start from a copy of the packaged rules.yaml")
        problems.raise_if_any()
    assert root is not None
    return root


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    names = {"int": "a number", "float": "a decimal number", "bool": "true/false", "null": "nothing", "str": "text"}
    kind = names.get(node.tag.removeprefix(_TAG), f"of type {node.tag}")
    return f"{kind} ({str(node.value)[:40]})" if node.value else kind


def mapping(
    node: yaml.Node,
    what: str,
    problems: Problems,
    *,
    required: Collection[str] = (),
    optional: Collection[str] = (),
    noun: str = "key",
) -> dict[str, yaml.Node]:
    """Return a mapping's entries; note wrong kinds, unknown, repeated and missing keys.

    :param what: names the place in messages.
    :param noun: what its keys are: "key", "provider".
    """
    if not isinstance(node, yaml.MappingNode) or node.tag != _TAG + "map":
        problems.add(node, f"{what} must be a mapping, not {_kind(node)}", f"write {_names(required or optional)} here")
        return {}
    entries: dict[str, yaml.Node] = {}
    lines: dict[str, int] = {}
    for key_node, value in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "(not a word)"
        if key not in required and key not in optional:
            fix = f"use {_names([*required, *optional])}"
            problems.add(key_node, f"unknown {noun} {key!r} in {what}", fix)
        elif key in entries:
            problems.add(key_node, f"{noun} {key!r} stands twice in {what} (first on line {lines[key]})", "remove one")
        else:
            entries[key], lines[key] = value, key_node.start_mark.line + 1
    for key in required:
        if key not in entries:
            problems.add(node, f"{what} lacks the {noun} {key!r}", "add it")
    return entries


def sequence(node: yaml.Node, what: str, problems: Problems) -> list[yaml.Node]:
    """Return a list's items; note when it is no list or has none."""
    if not isinstance(node, yaml.SequenceNode) or node.tag != _TAG + "seq":
        problems.add(node, f"{what} must be a list, not {_kind(node)}", "start each row with '- '")
        return []
    if not node.value:
        problems.add(node, f"{what} is an empty list", "add at least one row")
    return list(node.value)


def whole_number(node: yaml.Node, what: str, problems: Problems, low: int, high: int) -> int:
    """Return a whole number between low and high, both included; note anything else (and return low)."""
    if node.tag != _TAG + "int" or not _PLAIN_INT.fullmatch(str(node.value)):
        problems.add(node, f"{what} must be a whole number, not {_kind(node)}", f"write a number from {low} to {high}")
        return low
    number = int(str(node.value))
    if not low <= number <= high:
        problems.add(node, f"{what} is {number}", f"write a number from {low} to {high}")
        return low
    return number


def true_or_false(node: yaml.Node, what: str, problems: Problems) -> bool:
    """Return a truth value; note anything but the words true and false."""
    if node.tag != _TAG + "bool" or str(node.value).lower() not in {"true", "false"}:
        problems.add(node, f"{what} must be true or false, not {_kind(node)}", "write true or false")
        return False
    return str(node.value).lower() == "true"


def line_of_text(node: yaml.Node, what: str, problems: Problems) -> str:
    """Return one line of text, 1 to 200 characters; note anything else."""
    if node.tag != _TAG + "str":
        problems.add(node, f"{what} must be text, not {_kind(node)}", "write words, in quotes if need be")
        return ""
    text = str(node.value)
    if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
        problems.add(node, f"{what} must be one line of 1 to {MAX_TEXT} characters", "shorten or fill in the text")
    return text


def word(node: yaml.Node, what: str, problems: Problems, vocabulary: Collection[str]) -> str:
    """Return one word of a vocabulary; note anything else (and return its first word)."""
    value = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    if node.tag == _TAG + "null" and "null" in vocabulary:
        problems.add(node, f"{what} is nothing", 'write "null" in quotes')
    elif node.tag != _TAG + "str":
        problems.add(node, f"{what} must be a word, not {_kind(node)}", f"use {_names(vocabulary)}")
    elif value not in vocabulary:
        problems.add(node, f"unknown {what} {value!r}", f"use {_names(vocabulary)}")
    else:
        return value
    return next(iter(vocabulary))


def words(node: yaml.Node, what: str, problems: Problems, vocabulary: Collection[str]) -> frozenset[str]:
    """Return one word or a list of different words of a vocabulary."""
    if not isinstance(node, yaml.SequenceNode):
        return frozenset({word(node, what, problems, vocabulary)})
    before = len(problems.found)
    chosen = [word(item, what, problems, vocabulary) for item in sequence(node, what, problems)]
    if len(problems.found) == before and len(set(chosen)) < len(chosen):
        problems.add(node, f"{what} names a value twice", "remove the repetition")
    return frozenset(chosen)


def score_range(node: yaml.Node, what: str, problems: Problems) -> range:
    """Return a range of scores written as [from, to], both ends included."""
    items = sequence(node, what, problems)
    if len(items) != 2:
        problems.add(node, f"{what} must have two ends", "write [from, to], for example [60, 100]")
        return range(101)
    before = len(problems.found)
    low, high = (whole_number(item, what, problems, 0, 100) for item in items)
    if len(problems.found) == before and low > high:
        problems.add(node, f"{what} is upside down: [{low}, {high}]", f"write [{high}, {low}]")
    return range(low, high + 1)


def _names(names: Collection[str]) -> str:
    ordered = list(names)
    return " or ".join(filter(None, [", ".join(ordered[:-1]), ordered[-1]])) if ordered else "nothing"
