"""The addresses of a list's page: filter, order and place stand in it.

Belongs here: what links of lists share. Does not belong here: what a list's filter means.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from hunter_pipeline.readers.columns import Sort

PAGE_SIZE = 50
"""Rows of a page unless the address says otherwise."""


def kept(parameters: Mapping[str, str], *without: str) -> dict[str, str]:
    """The parameters of an address that say something, some left out."""
    return {name: value for name, value in parameters.items() if value and name not in without}


def link(path: str, parameters: Mapping[str, str], **changed: str) -> str:
    """An address with parameters, some of them changed."""
    return f"{path}?{urlencode({**parameters, **changed})}"


def sort_link(path: str, key: Sort | None, sort: str, parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Where a column's header leads, and its `aria-sort`. The first click turns the order as the column says.

    :param key: None: no list is sorted by this column, and nothing is returned.
    :param sort: the order that the list has now.
    """
    if key is None:
        return None
    first, second = (f"-{key.name}", key.name) if key.largest_first else (key.name, f"-{key.name}")
    target = second if sort == first else first
    state = {key.name: "ascending", f"-{key.name}": "descending"}.get(sort, "none")
    return link(path, parameters, sort=target), state
