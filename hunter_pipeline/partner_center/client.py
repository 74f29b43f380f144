"""The referrals API over HTTPS: pages of referrals, one referral, and the change of one.

Belongs here: requests, pacing, retries, paging. Does not belong here: the reading of a body (pages.py) and of what
stands beside it (headers.py), sign-in (auth.py). The list is asked newest change first, so that a sync can stop at the
point it has read before. Every wait has an end: of a body, of a pause that the API asks for, of one sync.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import requests
import structlog
import urllib3

from hunter_pipeline.partner_center.errors import (
    ApiError,
    NetworkError,
    PartnerCenterError,
    ReadLimit,
    Throttled,
    UnreadablePage,
)
from hunter_pipeline.partner_center.headers import REFERRALS, http_date, next_url, retry_after, token_like
from hunter_pipeline.partner_center.network import network_error
from hunter_pipeline.partner_center.pages import ListAnswer, RawItem, read_item, read_list, text_of

LONGEST_WAIT = 120.0
"""Seconds of Retry-After that are waited for; beyond, the next sync is the better moment."""

LONGEST_PAUSE = 86_400.0
"""Seconds of Retry-After that are believed: a slip of the API's must not stop the syncs for years."""

MOST_PASSES = 3
"""How often the list is read at most in one sync while rows vanish from it, see `iter_pages`."""

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of one answer, unpacked. A page of the largest size seen is under 1 MiB."""

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


class TokenSource(Protocol):
    """Gives access tokens, as `SignIn.acquire` does."""

    def __call__(self, *, force_refresh: bool = False) -> str:
        """A token; with `force_refresh` another one than the last."""


@dataclass(frozen=True)
class Page:
    """One page of the referral list."""

    items: tuple[RawItem, ...]
    number: int
    """1 for the first page."""
    total: int | None
    """`@odata.count`, if the API gave it."""
    served_at: datetime | None = None
    """What the API's clock said (header `Date`), if that is readable."""


@dataclass(frozen=True)
class _Bearer:
    """As an `auth` object, since requests lets a ~/.netrc replace a plain Authorization header."""

    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def __repr__(self) -> str:
        return "_Bearer(…)"


class PartnerCenterClient:
    """Reads and changes referrals as the signed-in user. Not to be shared between threads.

    :param base_url: https address of the API, without a path of the API itself.
    :param token: where access tokens come from.
    :param tenant: tells the tenant that the tokens are for, as far as it is known.
    :param interval: seconds between two requests.
    :param attempts: how often a request is sent at most when the failure is transient.
    :param timeout: seconds to wait for a connection, and for more of the answer.
    :param body_timeout: seconds that one whole body may take.
    :param page_limit: pages of the list that one sync reads at most.
    :param budget: seconds, from the first page on, after which one sync asks no more.
    :param sleep: waits for seconds.
    :param now: the present time, with a time zone.
    """

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        tenant: Callable[[], str | None] = lambda: None,
        interval: float = 1.0,
        attempts: int = 2,
        timeout: float = 30.0,
        body_timeout: float = 120.0,
        page_limit: int = 5000,
        budget: float = 2400.0,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._list_url = base_url.rstrip("/") + REFERRALS
        self._token = token
        self._tenant = tenant
        self._interval = interval
        self._attempts = attempts
        self._timeout = timeout
        self._body_timeout = body_timeout
        self._page_limit = page_limit
        self._budget = budget
        self._sleep = sleep
        self._now = now
        self._last_request: datetime | None = None
        self._deadline: datetime | None = None
        self._pause: tuple[int, datetime] | None = None
        self._served_at: datetime | None = None
        self._etag: str | None = None
        self._session = requests.Session()
        self._correlation_id = str(uuid4())

    @property
    def tenant(self) -> str | None:
        """The partner's tenant whose referrals are read; None while it is not known."""
        return self._tenant()

    @property
    def host(self) -> str:
        """Host name of the API, without the port."""
        return urlsplit(self._list_url).hostname or ""

    def iter_pages(self, since: datetime | None = None) -> Iterator[Page]:
        """All pages of the list, newest change first.

        Rows move while pages are read, so that single items can be out of order: reading ends after a page
        on which everything that has a date is older than `since`. Items without a date never end it. A row that
        is deleted meanwhile lets its neighbour slip from a page to come onto one that was read: where the list's
        length shrank between two pages, all pages are read once more.

        :param since: read until here, with a time zone; None reads everything.
        :raises ReadLimit: the list goes on after the most pages or the longest time that one sync may take.
        :raises PartnerCenterError: a page cannot be had or read. The pages before it have been handed out.
        """
        self._deadline = self._now() + timedelta(seconds=self._budget)
        number = 0
        for _ in range(MOST_PASSES):
            shrank, total = False, None
            for answer in self._one_pass(since, number):
                number += 1
                # With pages to come, a count that this page alone makes up is no length of the list.
                length = None if answer.next_link and (answer.total or 0) <= len(answer.items) else answer.total
                shrank = shrank or (length is not None and total is not None and length < total)
                total = length if length is not None else total
                _log.info("partner_center_page", number=number, items=len(answer.items), total=answer.total)
                yield Page(answer.items, number, answer.total, self._served_at)
            if not shrank:
                return
            _log.warning("partner_center_list_shrank", pages=number)

    def _one_pass(self, since: datetime | None, before: int) -> Iterator[ListAnswer]:
        """The list from its beginning, with `before` pages read in passes before this one."""
        url: str | None = f"{self._list_url}?$orderby=updatedDateTime%20desc"
        seen: set[str] = set()
        while url:
            if before + len(seen) >= self._page_limit:
                raise ReadLimit(
                    f"The list goes on after {self._page_limit} pages, the most that one sync reads; if the account "
                    "has so many referrals, raise HUNTER_PARTNER_CENTER_PAGE_LIMIT"
                )
            seen.add(url)
            answer = self._get(url, read_list)
            yield answer
            dates = [date for item in answer.items if (date := _updated(item.value))]
            if since and dates and max(dates) < since:
                return
            url = next_url(answer.next_link, url, self._list_url) if answer.next_link else None
            if url in seen:
                raise UnreadablePage("The page's @odata.nextLink leads back to a page that was read; try again later")

    def get_referral(self, referral_id: str) -> RawItem:
        """One referral in full.

        :param referral_id: its `id`.
        :raises ApiError: with status 404 when there is none.
        :raises PartnerCenterError: it cannot be had or read.
        """
        with structlog.contextvars.bound_contextvars(referral_id=referral_id):
            return self._get(self._url_of(referral_id), read_item)

    def get_for_change(self, referral_id: str) -> tuple[RawItem, str | None]:
        """One referral in full as it is now, and the `ETag` header of the answer; raises as `get_referral` does."""
        return self.get_referral(referral_id), self._etag

    def patch_referral(self, referral_id: str, operations: Sequence[Mapping[str, Any]], etag: str) -> RawItem | None:
        """Send a JSON Patch (RFC 6902) once. After any failure but a refused token, whether it worked is not known.

        Source: learn.microsoft.com/partner-center/developer/patch-a-referral.

        :param etag: of the version that is to be changed, quotes included; any other is refused with 412.
        :returns: the referral as it is then; None when the answer does not show it.
        :raises ApiError: with status 412 or 409 when the referral has changed since.
        :raises PartnerCenterError: no answer came, or one that cannot be read.
        """
        headers = {"Content-Type": "application/json", "If-Match": etag, "Prefer": "return=representation"}
        content = json.dumps(operations).encode()
        token = self._token()
        self._pace()
        try:
            body = self._send(self._url_of(referral_id), token, "PATCH", headers, content)
        except ApiError as error:
            if error.status != 401:
                raise
            token = self._token(force_refresh=True)
            self._pace()
            body = self._send(self._url_of(referral_id), token, "PATCH", headers, content)
        return read_item(body) if body else None

    def _url_of(self, referral_id: str) -> str:
        return f"{self._list_url}/{quote(referral_id, safe='')}"

    def _get(self, url: str, read: Callable[[bytes], _T]) -> _T:
        """What `read` makes of a 200 answer's body; pacing, retries and one renewal of the token are done here."""
        token: str | None = None
        refused, attempt = False, 1
        while True:
            self._pace()
            try:
                if token is None:
                    token = self._token(force_refresh=refused)
                return read(self._send(url, token))
            except PartnerCenterError as problem:
                error = problem
            if isinstance(error, ApiError) and error.status == 401 and not refused:
                token, refused = None, True
                continue
            if isinstance(error, ApiError) and error.retry_after is not None:
                pause = timedelta(seconds=min(error.retry_after, LONGEST_PAUSE))
                self._pause = error.status, self._now() + pause
            if not error.transient or attempt >= self._attempts:
                raise error
            _log.warning("partner_center_retry", reason=str(error), attempt=attempt)
            if not (isinstance(error, ApiError) and error.retry_after is not None):
                self._sleep(min(2.0 ** (attempt - 1), 30.0) * random.uniform(0.5, 1.0))  # noqa: S311
            attempt += 1

    def _pace(self) -> None:
        """Wait until the interval since the last request, and the pause that the API asked for, are over."""
        now, wait = self._now(), 0.0
        if self._last_request is not None:
            # Bounded, as the clock may have been set back meanwhile.
            wait = min(self._interval - (now - self._last_request).total_seconds(), self._interval)
        left = (self._deadline - now).total_seconds() if self._deadline else self._budget
        if self._pause is not None:
            status, until = self._pause
            pause = (until - now).total_seconds()
            if pause > min(LONGEST_WAIT, left):
                raise Throttled(status, until, pause)
            wait = max(wait, pause)
        if wait > left:
            raise ReadLimit(
                f"This sync has asked Partner Center for {self._budget:.0f} seconds, the longest that one may; if that "
                "repeats, raise HUNTER_PARTNER_CENTER_SYNC_BUDGET"
            )
        if wait > 0:
            self._sleep(wait)
        self._pause = None
        self._last_request = self._now()

    def _send(
        self,
        url: str,
        token: str,
        method: str = "GET",
        more: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> bytes:
        request_id = str(uuid4())
        headers = {
            "Accept": "application/json",
            "MS-CorrelationId": self._correlation_id,
            "MS-RequestId": request_id,
            "client-request-id": request_id,
            **(more or {}),
        }
        host = urlsplit(url).netloc
        try:
            with self._session.request(
                method,
                url,
                headers=headers,
                data=content,
                auth=_Bearer(token),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = self._read(response, host)
                if response.status_code == 200 or (method != "GET" and response.status_code == 204):
                    self._etag = response.headers.get("ETag")
                    self._served_at = http_date(response.headers.get("Date", ""))
                    return body
                raise self._api_error(response, body)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise network_error(host, error, self._timeout) from None

    def _read(self, response: requests.Response, host: str) -> bytes:
        """The whole body, as long as it keeps to the bounds of size and time."""
        body = bytearray()
        end = time.monotonic() + self._body_timeout
        # What has come, however little: a body that drips would otherwise hold one read for hours.
        while chunk := response.raw.read1(65536, decode_content=True):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise UnreadablePage(f"An answer of {host} is larger than {LARGEST_ANSWER >> 20} MiB", transient=False)
            if time.monotonic() > end:
                raise NetworkError(
                    f"{host} did not send its whole answer within {self._body_timeout:g} seconds "
                    "(HUNTER_PARTNER_CENTER_BODY_TIMEOUT); check the network, or try again later"
                )
        return bytes(body)

    def _api_error(self, response: requests.Response, body: bytes) -> ApiError:
        """The error of an answer (learn.microsoft.com/partner-center/developer/referrals-api-response-codes)."""
        try:
            content = read_item(body).value
        except UnreadablePage:
            content = None
        code = text_of(content.get("error") if isinstance(content, dict) else None, "code")
        fix, pause = None, None
        if response.status_code in (429, 503):
            pause = retry_after(response.headers.get("Retry-After", ""), self._now())
        if "insufficient_claims" in response.headers.get("WWW-Authenticate", ""):
            fix = "a conditional access policy asks for a new sign-in; run `hunter login`"
        return ApiError(
            response.status_code,
            token_like(code),
            token_like(response.headers.get("request-id") or response.headers.get("MS-RequestId")),
            self._correlation_id,
            fix=fix,
            retry_after=pause,
        )


def _updated(value: object) -> datetime | None:
    """When an item says that it was last changed; None when it does not say so readably."""
    try:
        date = datetime.fromisoformat(text_of(value, "updatedDateTime") or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
