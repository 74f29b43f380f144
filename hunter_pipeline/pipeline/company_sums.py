"""What a company's referrals add up to, kept with the company so that the lead list can be sorted by it.

Belongs here: each sum, declared once, and writing them for some companies. Does not belong here: when that is to be
done: the stage `companies` does it for what is marked, and an erasure for what it left. A sum depends on rows alone and
never on the present: whether an expiry is over is for those to say who show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

_DEALS = "FILTER (WHERE t.is_open AND t.deal_value IS NOT NULL)"

SUMS = {
    "referrals": "count(t.referral_id)",
    "open_referrals": "count(t.referral_id) FILTER (WHERE t.is_open)",
    "deal_value": f"CASE WHEN min(coalesce(t.currency, '')) {_DEALS} = max(coalesce(t.currency, '')) {_DEALS}"
    f" THEN sum(t.deal_value) {_DEALS} END",
    "currency": f"CASE WHEN min(coalesce(t.currency, '')) {_DEALS} = max(coalesce(t.currency, '')) {_DEALS}"
    f" THEN min(t.currency) {_DEALS} END",
    "deals": "(SELECT jsonb_agg(jsonb_build_array(g.currency, CAST(g.value AS text))"
    " ORDER BY g.value DESC, g.currency NULLS FIRST)"
    " FROM (SELECT t.currency, sum(t.deal_value) AS value FROM partner_center_referrals t"
    # In these words, since PostgreSQL would read the index of all that is open for each company beside its own.
    " WHERE t.domain = d.domain AND CASE WHEN t.is_open THEN t.deal_value END IS NOT NULL GROUP BY t.currency) g)",
    "expires_at": "min(t.expires_at) FILTER (WHERE t.is_open)",
    "last_received_at": "max(t.changed_at)",
}
"""Column of `companies` -> expression over the rows `t` of `partner_center_referrals` with the company's domain `d`."""

SUMS_OF_ONE = f"""
SELECT {", ".join(f"{sql} AS {name}" for name, sql in SUMS.items())}
FROM partner_center_referrals t WHERE t.domain = d.domain
"""  # noqa: S608 - constants of this module
"""One row for the domain of a row `d` beside it."""

NAMES = ", ".join(SUMS)

WRITE_SUMS = f"""
UPDATE companies c SET ({NAMES}) = ROW({", ".join(f"q.{name}" for name in SUMS)})
FROM unnest(CAST(:items AS text[])) d(domain) CROSS JOIN LATERAL ({SUMS_OF_ONE}) q
WHERE c.domain = d.domain
    AND ({", ".join(f"c.{name}" for name in SUMS)}) IS DISTINCT FROM ({", ".join(f"q.{name}" for name in SUMS)})
"""  # noqa: S608 - constants of this module


def write_sums(connection: Connection, domains: Sequence[str]) -> None:
    """Add up anew what the referrals of some domains come to; the caller commits. What is true already is not written.

    A company without a referral any more keeps its row, with nothing in it.
    """
    if domains:
        connection.execute(text(WRITE_SUMS), {"items": list(domains)})
