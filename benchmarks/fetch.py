"""How fast referrals are fetched through pages.

Limit, on the same server in the same run: a bare loop of `requests` and `json` that reads the same pages and checks
nothing. Hunter's client keeps each item's exact text, checks every link before the token goes there, and limits the
size of an answer. The pause between two requests, one second in production, is off. The figure is the best of three.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import requests

from benchmarks.report import Row, times
from benchmarks.servers import PAGE_SIZE, TOKEN, referral_server
from hunter_pipeline.partner_center.client import PartnerCenterClient
from hunter_pipeline.partner_center.headers import REFERRALS

TITLE = f"Fetching referrals ({PAGE_SIZE} on a page)"


def run(*, quick: bool) -> list[Row]:
    """Read all pages with both, the bare loop first."""
    count = 1_000 if quick else 10_000
    with referral_server(count) as (base_url, ca_file):
        os.environ["REQUESTS_CA_BUNDLE"] = str(ca_file)
        limit, ours = (max(_rate(read_all, base_url, count) for _ in range(3)) for read_all in (_bare, _client))
    return [
        Row("Hunter's client", f"{ours:,.0f} referrals/s", f"{times(ours / limit)} of the bare loop"),
        Row("Bare loop of requests and json", f"{limit:,.0f} referrals/s"),
    ]


def _rate(read_all: Callable[[str], int], base_url: str, count: int) -> float:
    started = time.perf_counter()
    read = read_all(base_url)
    seconds = time.perf_counter() - started
    if read != count:
        raise RuntimeError(f"read {read} of {count} referrals")
    return count / seconds


def _bare(base_url: str) -> int:
    read = 0
    url: str | None = f"{base_url}{REFERRALS}?$orderby=updatedDateTime%20desc"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        while url:
            body = session.get(url, timeout=30).json()
            read += len(body["value"])
            # The API writes its next link with plain http and without a part of the path.
            link = body.get("@odata.nextLink")
            url = link.replace("http://", "https://").replace("/v1.0/referrals", REFERRALS) if link else None
    return read


def _client(base_url: str) -> int:
    def token(*, force_refresh: bool = False) -> str:  # noqa: ARG001 - the client's way of asking
        return TOKEN

    return sum(len(page.items) for page in PartnerCenterClient(base_url, token, interval=0).iter_pages())
