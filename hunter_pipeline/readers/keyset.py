"""Pages of a list that are found by the sort keys of a neighbour, never by an offset.

Belongs here: the keys of an order and the SQL that they make. Does not belong here: any list. Every list ends its keys
with one that no two rows share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

Rates = Mapping[str, Decimal]
"""What one of each currency is worth in one of them all, by ISO 4217 code, as the settings have checked them."""


@dataclass(frozen=True)
class Key:
    """What a list is sorted by.

    :param expression: SQL.
    :param sql_type: type of the expression, to which the value of a cursor is cast.
    :param parse: reads that value back from its text; raises ValueError where it is none.
    :param indexed: whether the index of the order holds the rows without a value, too: they are found there then.
    """

    expression: str
    descending: bool
    sql_type: str
    parse: Callable[[str], object]
    indexed: bool = False


def beyond(keys: Sequence[Key], backwards: bool = False) -> str:
    """The condition of rows that follow the cursor's values `k0`, `k1`, ... in the order of `keys`.

    It is written so that an index in this order is entered where the cursor points: as one comparison of rows where
    all keys go the same way, else with a bound on the first key beside the exact condition.
    """
    signs = ["<" if key.descending is not backwards else ">" for key in keys]
    values = [f"CAST(:k{number} AS {key.sql_type})" for number, key in enumerate(keys)]
    if len(set(signs)) == 1:
        return f"({', '.join(key.expression for key in keys)}) {signs[0]} ({', '.join(values)})"
    condition = ""
    for key, sign, value in reversed(list(zip(keys, signs, values, strict=True))):
        strict = f"{key.expression} {sign} {value}"
        condition = f"({strict} OR ({key.expression} = {value} AND {condition}))" if condition else strict
    return f"{keys[0].expression} {signs[0]}= {values[0]} AND {condition}"


def worth(value: str, currency: str, rates: Rates) -> str:
    """An amount in SQL, in the one currency that all rates are in; null where there is no rate."""
    cases = " ".join(f"WHEN '{code}' THEN {rate:f}" for code, rate in sorted(rates.items()))
    return f"{value} * CASE {currency} {cases} END"
