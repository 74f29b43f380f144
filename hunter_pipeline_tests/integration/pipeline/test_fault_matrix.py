"""Every fault of the API that is known, one a row, with its outcome: in the tables, in the books and in the log.

A list of seven referrals on pages of three; the last must be asked for by itself. The fault comes after the first page,
so that there is something to lose. After each row the API is well again, and the next sync must find everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import structlog

from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.sandbox.https_server import Break, Request
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat

ALL, PAGE, NONE = 7, 3, 0
DETAIL = "/referrals/short"
TROUBLE = "Partner Center is in trouble; the next sync tries again"
TOO_MANY = "too many requests; the next sync tries again"
NO_ANSWER = "127.0.0.1"
HOUR = {"Retry_After": "3600"}
RAW, DETAILS = "partner_center_referrals_raw", "referral_details"
LIST = "{own}/v1.0/engagements/referrals?$orderby=updatedDateTime%20desc"
NO_TOKEN, PAUSED = "does not get the token", "no request within"

Plant = Callable[[Sandbox, Pipeline], None]


def answer(status: int, times: int = 1, body: object = None, path: str = "", **headers: str) -> Plant:
    """The API answers with a status, some times in a row."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda sandbox, _: sandbox.partner_center.fail_next(times, status, named, body, path=path)


def broken(how: Break, times: int = 1, path: str = "", seconds: float | None = None) -> Plant:
    """The right answer goes wrong on its way; with `seconds`, that is how long it is waited for."""

    def plant(sandbox: Sandbox, pipeline: Pipeline) -> None:
        if seconds is not None and pipeline.client is not None:
            pipeline.client._timeout = pipeline.client._body_timeout = seconds
        sandbox.partner_center.break_next(times, how, path=path)

    return plant


def hung_up(times: int) -> Plant:
    """The connection ends without a word."""
    return lambda sandbox, _: sandbox.partner_center.close_connection_next(times)


def next_link(link: str) -> Plant:
    """The second page is good, and names `link` as the third; `{own}` is the API's own address."""

    def plant(sandbox: Sandbox, _: Pipeline) -> None:
        value = [flat(f"A{number}") for number in (3, 4, 5)]
        body = {"value": value, "@odata.nextLink": link.format(own=sandbox.base_url)}
        sandbox.partner_center.fail_next(1, 200, body=body)

    return plant


def token_ends(idp_status: int | None, times: int = 1) -> Plant:
    """The API takes the access token no more; the identity provider is in trouble at the renewal."""

    def plant(sandbox: Sandbox, _: Pipeline) -> None:
        sandbox.identity.expire_access_tokens()
        if idp_status is not None:
            sandbox.identity.fail_next(times, idp_status)

    return plant


def also(item: str) -> Plant:
    """One more item on the last page."""
    return lambda sandbox, _: sandbox.partner_center.add_raw_item(
        item, updated="2026-09-01T00:00:00Z", referral_id="odd"
    )


def gone_from_the_air(sandbox: Sandbox, pipeline: Pipeline) -> None:
    """Nothing listens at the address."""
    assert pipeline.client is not None
    pipeline.client._list_url = "https://127.0.0.1:1/v1.0/engagements/referrals"


@dataclass(frozen=True)
class Row:
    """A fault and what becomes of the sync that meets it.

    :param kept: referrals that are kept after it.
    :param books: status of the sync.
    :param says: what the error says that ends it, a pattern; empty: it goes through.
    :param retries: second attempts that stand in the log.
    :param paused: the next sync may not begin before a moment that the API named.
    :param waits: the attempt after it waited at least so many seconds.
    :param failures: stage and pattern of the error of each referral that is refused.
    :param early: the fault is there from the first request on.
    """

    plant: Plant
    kept: int = ALL
    books: str = "success"
    says: str = ""
    retries: int = 0
    paused: bool = False
    waits: float = 0.0
    failures: tuple[tuple[str, str], ...] = ()
    early: bool = False


def passes(plant: Plant, **more: Any) -> Row:
    """One second attempt, and nobody notices."""
    return Row(plant, retries=1, **more)


def ends(plant: Plant, says: str, retries: int = 1, **more: Any) -> Row:
    """The sync ends with an error, and keeps its first page."""
    return Row(plant, **{"kept": PAGE, "books": "failed", "says": says, "retries": retries, **more})


def refused(plant: Plant, says: str) -> Row:
    """The sync ends at once: asking again would bring the same."""
    return ends(plant, says, retries=0)


def bad_link(link: str, says: str) -> Row:
    """Two pages are kept, and the third is not asked for."""
    return ends(next_link(link), says, retries=0, kept=6)


def one_fails(plant: Plant, stage: str, says: str, **more: Any) -> Row:
    """The sync goes through, and one referral is in the list of failures."""
    return Row(plant, books="partial", failures=((stage, says),), **more)


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


DEEP = '{"id": "odd", "website": "https://odd-kurgu.com.tr", "status": "New", "x": ' + "[" * 1000 + "]" * 1000 + "}"
LARGE = json.dumps(flat("odd", updatedDateTime="2026-09-01T00:00:00Z", notes="x" * 10_000_000))
BROKEN_200S: dict[str, object] = {
    "empty": b"",
    "HTML": "<html>Sign in to the network</html>",
    "a cut body": '{"value": [{"id": "A3"',
    "no list": {"value": None},
    "another list": ["A3"],
    "no UTF-8": b'{"value": [\xff]}',
}

# fmt: off
MATRIX: dict[str, Row] = {
    # --- too many requests, in every form
    "429 once":                          passes(answer(429)),
    "429 twice":                         ends(answer(429, 2), TOO_MANY),
    "429 once, in 0 s":                  passes(answer(429, Retry_After="0")),
    "429 once, in 7 s":                  passes(answer(429, Retry_After="7"), waits=7),
    "429 twice, in 7 s":                 ends(answer(429, 2, Retry_After="7"), TOO_MANY, waits=7),
    "429 in an hour":                    ends(answer(429, **HOUR), PAUSED, paused=True),
    "429 at a time in an hour":          ends(answer(429, Retry_After=in_an_hour()), PAUSED, paused=True),
    "429 for thirty years":              ends(answer(429, Retry_After="999999999"), f"{PAUSED} 86400", paused=True),
    "429 at a time that is over":        passes(answer(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")),
    "429 with words":                    passes(answer(429, Retry_After="soon")),
    "429 with a negative time":          passes(answer(429, Retry_After="-5")),
    "429 with an HTML body":             passes(answer(429, body="<html>slow down</html>")),
    "429 for one detail, in an hour":    Row(answer(429, path=DETAIL, **HOUR), retries=1, paused=True),
    # --- trouble of the server
    "500 once":                          passes(answer(500)),
    "500 twice":                         ends(answer(500, 2), TROUBLE),
    "501 twice":                         ends(answer(501, 2), TROUBLE),
    "502 once":                          passes(answer(502, body="<html>Bad gateway</html>")),
    "502 twice":                         ends(answer(502, 2), TROUBLE),
    "503 once":                          passes(answer(503)),
    "503 once, in 7 s":                  passes(answer(503, Retry_After="7"), waits=7),
    "503 twice":                         ends(answer(503, 2), TROUBLE),
    "503 in an hour":                    ends(answer(503, **HOUR), PAUSED, paused=True),
    "504 once":                          passes(answer(504)),
    "504 twice":                         ends(answer(504, 2), TROUBLE),
    "408 once":                          passes(answer(408)),
    # --- refusals
    "400":                               refused(answer(400), "the request was refused"),
    "401 once":                          Row(answer(401)),
    "401 twice":                         refused(answer(401, 2), "run `hunter login`"),
    "403":                               refused(answer(403), "Referrals Admin"),
    "404":                               refused(answer(404), "HUNTER_PARTNER_CENTER_BASE_URL"),
    "302 to elsewhere":                  refused(answer(302, Location="https://evil.example/"), "not followed"),
    # --- the connection
    "refused":                           ends(gone_from_the_air, NO_ANSWER, kept=NONE, early=True),
    "hung up once":                      passes(hung_up(1)),
    "hung up twice":                     ends(hung_up(2), NO_ANSWER),
    "reset once":                        passes(broken("reset")),
    "reset twice":                       ends(broken("reset", 2), NO_ANSWER),
    "cut once":                          passes(broken("cut")),
    "cut twice":                         ends(broken("cut", 2), NO_ANSWER),
    "never comes":                       ends(broken("stall", 2, seconds=1), NO_ANSWER),
    "drips":                             ends(broken("drip", 2, seconds=1), "BODY_TIMEOUT"),
    # --- answers of 200 that are none
    **{f"200, {name}, once":             passes(answer(200, body=body)) for name, body in BROKEN_200S.items()},
    **{f"200, {name}, twice":            ends(answer(200, 2, body=body), ".") for name, body in BROKEN_200S.items()},
    # --- next links
    "a link to the page itself":         bad_link(LIST, "leads back"),
    "a link to another host":            bad_link("https://evil.example/v1.0/referrals?x=1", NO_TOKEN),
    "a link to another port":            bad_link("https://127.0.0.1:1/v1.0/referrals?x=1", NO_TOKEN),
    "a link with a user":                bad_link("https://me@127.0.0.1/x", NO_TOKEN),
    "a link that is a script":           bad_link("javascript:alert(1)", NO_TOKEN),
    "a link that is no address":         bad_link("https://[::1", "is no address"),
    # --- the identity provider, in mid run
    "the token ends":                    Row(token_ends(None)),
    "and the sign-in answers 500 once":  passes(token_ends(500)),
    "and the sign-in answers 503 once":  passes(token_ends(503)),
    "and the sign-in answers 503 twice": ends(token_ends(503, 2), "identity service"),
    # --- one referral asked for by itself
    "a detail answers 403":              one_fails(answer(403, path=DETAIL), DETAILS, "Referrals Admin"),
    "a detail answers 404":              Row(answer(404, path=DETAIL)),
    "a detail answers 500 once":         passes(answer(500, path=DETAIL)),
    "a detail answers 500 twice":        Row(answer(500, 2, path=DETAIL), retries=1),
    "a detail is reset twice":           Row(broken("reset", 2, path=DETAIL), retries=1),
    "a detail is another referral":      one_fails(answer(200, body=flat("A1"), path=DETAIL), DETAILS, "gives another"),
    # --- items
    "an item of 10 MB":                  Row(also(LARGE), kept=ALL + 1, early=True),
    "an item of 1,000 levels":           one_fails(also(DEEP), RAW, "deep|level|nest", early=True),
    "an item with NaN":                  Row(also('{"id": "odd", "x": NaN}'), kept=ALL + 1, early=True),
}
# fmt: on


@pytest.fixture
def seven(empty: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Six referrals and one whose contacts the list leaves out, on pages of three."""
    empty.partner_center.page_size = 3
    for number in range(6):
        empty.partner_center.referrals.add(flat(f"A{number}", updatedDateTime=f"2026-10-01T08:00:{50 - number}Z"))
    short = {
        "id": "short",
        "status": "New",
        "updatedDateTime": "2026-10-01T08:00:00Z",
        "customerProfile": {"name": "Short", "team": [{"email": "a@kisa-kurgu.com.tr"}]},
    }
    empty.partner_center.referrals.add(short, short_in_list=True)
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ATTEMPTS", "2")
    return empty


def after_the_first_page(sandbox: Sandbox, plant: Callable[[], None]) -> None:
    def once(_: Request) -> None:
        sandbox.partner_center.before_answer = None
        plant()

    sandbox.partner_center.before_answer = once


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX.keys())
def test_a_fault_ends_as_its_row_says_and_the_next_sync_finds_everything(pipeline: Pipeline, seven: Sandbox, row: Row):
    waits: list[float] = []
    client = pipeline.signed_in_client()
    client._sleep = waits.append
    if row.early:
        row.plant(seven, pipeline)
    else:
        after_the_first_page(seven, lambda: row.plant(seven, pipeline))
    with structlog.testing.capture_logs() as log:
        if row.books == "failed":
            with pytest.raises(PartnerCenterError, match=row.says) as caught:
                pipeline.sync()
            assert "\n" not in str(caught.value)
        else:
            pipeline.sync()
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals_raw WHERE is_current") == [row.kept]
    ((status, errors, retry_at),) = pipeline.rows("SELECT status, errors, retry_at FROM sync_runs")
    assert status == row.books
    assert (retry_at is not None) is row.paused
    if row.books == "failed":
        assert errors == [str(caught.value)]
    refused = pipeline.rows("SELECT stage, error FROM referral_failures WHERE resolved_at IS NULL")
    assert [stage for stage, _ in refused] == [stage for stage, _ in row.failures]
    assert all(re.search(says, error) for (_, error), (_, says) in zip(refused, row.failures, strict=True))
    assert sum(line["event"] == "partner_center_retry" for line in log) == row.retries
    assert max(waits, default=0.0) >= row.waits - 1  # less what has passed since the answer
    assert all(request.secure and request.token_sent for request in seven.partner_center.requests)

    seven.partner_center.clear_faults()
    pipeline.client = None
    pipeline.now = max(pipeline.now, retry_at or pipeline.now) + timedelta(days=2)
    pipeline.sync()
    found = set(pipeline.rows("SELECT referral_id FROM partner_center_referrals WHERE is_open"))
    assert found - {"odd"} == {*(f"A{number}" for number in range(6)), "short"}
    assert pipeline.rows("SELECT status FROM sync_runs ORDER BY started_at DESC LIMIT 1") == ["success"]
