"""Docstrings speak one dialect, `:param` / `:returns:` / `:raises:`, and describe what is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import hunter_pipeline

PACKAGE = Path(hunter_pipeline.__file__).parent

OTHER_DIALECTS = re.compile(
    r"^\s*(Args|Arguments|Attributes|Parameters|Returns|Return|Raises|Yields):\s*$"  # Google, NumPy
    r"|\bRaises `?`?[A-Z]\w*"  # prose
    r"|:(return|type|rtype|raise|arg|argument)\b[^:]*:"  # Sphinx in other words
    r"|(?<!`)``(?!`)",  # names stand in single marks
    re.MULTILINE,
)
PARAM = re.compile(r":param (\w+):")

Described = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module


def documented() -> Iterator[tuple[str, Described, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, Described) and (text := ast.get_docstring(node)):
                yield f"{file.relative_to(PACKAGE)}: {getattr(node, 'name', 'module')}", node, text


def names_of(node: ast.AST) -> set[str]:
    """Arguments of a function; of a class its fields and the arguments of `__init__`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        return {each.arg for each in every if each is not None}
    names: set[str] = set()
    for each in node.body if isinstance(node, ast.ClassDef) else []:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            names.add(each.target.id)
        elif isinstance(each, ast.FunctionDef) and each.name == "__init__":
            names |= names_of(each)
    return names


def test_docstrings_speak_one_dialect():
    others = [
        f"{place}: {found[0].strip()}" for place, _, text in documented() for found in OTHER_DIALECTS.finditer(text)
    ]
    assert not others


def test_what_a_docstring_describes_is_there():
    stale = [
        f"{place}: {name}"
        for place, node, text in documented()
        for name in PARAM.findall(text)
        if name not in names_of(node)
    ]
    assert not stale
