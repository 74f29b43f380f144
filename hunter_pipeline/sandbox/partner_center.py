"""A local Partner Center: the referrals API as its documents and captured answers show it.

Here belong the two GET calls, their options, paging and error bodies, a log of what was asked, and faults on demand;
a PATCH is taken by `referral_changes`. Left out: creating referrals, which the product never does. The next link has
the documents' odd form on purpose (plain http, `/engagements` missing). Source: the pages `get-a-list-of-referrals`,
`get-a-referral-by-id` and `referrals-api-response-codes` of learn.microsoft.com/partner-center/developer.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from hunter_pipeline.sandbox.https_server import Break, Request, Response, json_response
from hunter_pipeline.sandbox.referral_changes import RefusedChangeError, change_referral
from hunter_pipeline.sandbox.referral_store import Item, ReferralStore

LIST_PATH: Final = "/v1.0/engagements/referrals"
KEPT_REQUESTS: Final = 10_000
_NEXT_PATH: Final = "/v1.0/referrals"
_OPTIONS: Final = frozenset({"$orderby", "$top", "$filter", "$skiptoken", "$count"})
_FILTERS: Final = frozenset({"engagementId", "status", "substatus", "qualification", "direction", "type"})
_CODES: Final = {
    400: ("invalidRequest", "The request is malformed or incorrect."),
    401: ("unauthenticated", "The caller is not authenticated."),
    403: ("accessDenied", "The caller doesn't have permission to perform the action."),
    404: ("itemNotFound", "The resource could not be found."),
    409: ("resourceModified", "The resource being updated has changed since the caller last read it."),
    412: ("preconditionFailed", "A precondition of the request does not hold."),
    503: ("serviceNotAvailable", "The service is not available. Try the request again after a delay."),
}


@dataclass(frozen=True)
class LoggedRequest:
    """One request as it came in: `target` is path and query, `authorized` whether its token was accepted.

    The token itself is never kept.

    :param token_sent: an Authorization header came at all.
    :param secure: it came over TLS.
    :param status: what was answered; 0 for a connection that was broken.
    """

    method: str
    target: str
    authorized: bool
    token_sent: bool
    secure: bool
    status: int


@dataclass
class _Fault:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    path: str = ""
    method: str = ""
    broken: Break | None = None

    def counts_for(self, request: Request) -> bool:
        return self.path in request.path and self.method in ("", request.method)


class PartnerCenter:
    """The referrals API over a `ReferralStore`.

    `referrals` can be changed while the server runs; `requests` is what came in, oldest first, at most the last
    `KEPT_REQUESTS`. `clock` gives the time of the `Date` header, None leaves it to the server; `headers` stand in every
    answer; `before_answer` is called before each, so that the world can change between two pages.

    :param accepts: tells whether an access token is good now.
    :param page_size: referrals on a page.
    """

    def __init__(self, accepts: Callable[[str], bool], *, page_size: int = 10) -> None:
        self.referrals = ReferralStore()
        self.requests: list[LoggedRequest] = []
        self.base_url = ""
        self.page_size = page_size
        self.clock: Callable[[], datetime] | None = None
        self.headers: dict[str, str] = {}
        self.before_answer: Callable[[Request], None] | None = None
        self._accepts = accepts
        self._faults: deque[_Fault] = deque()
        self._lock = threading.Lock()

    def fail_next(
        self,
        count: int = 1,
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        *,
        path: str = "",
        method: str = "",
    ) -> None:
        """Answer the next `count` requests with this status, before anything else is looked at.

        :param body: text or bytes are sent as they are, other values as JSON, None as the documented error body.
        :param path: only requests whose path contains this text count.
        :param method: only requests of this method.
        """
        with self._lock:
            self._faults.extend(_Fault(status, headers or {}, body, path, method) for _ in range(count))

    def close_connection_next(self, count: int = 1) -> None:
        """Break the connection of the next `count` requests without an answer."""
        with self._lock:
            self._faults.extend(_Fault(0) for _ in range(count))

    def break_next(self, count: int, how: Break, *, path: str = "", method: str = "") -> None:
        """Let the right answer to the next `count` requests go wrong on its way, see `Break`.

        :param path: only requests whose path contains this text count.
        :param method: only requests of this method.
        """
        with self._lock:
            self._faults.extend(_Fault(200, path=path, method=method, broken=how) for _ in range(count))

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._faults.clear()

    def add_raw_item(self, text: str, *, updated: str | None = None, referral_id: str | None = None) -> None:
        """Serve this text as one item of the list, for what `json.dumps` cannot make.

        `updated` and `referral_id` stand in for what the text says when it cannot be parsed here.
        """
        self.referrals.add_text(text, updated=updated, referral_id=referral_id)

    def answer(self, request: Request) -> Response | None:
        """Answer one request of the API, and log it."""
        header = request.headers.get("Authorization") or ""
        scheme, _, token = header.partition(" ")
        authorized = request.secure and scheme.lower() == "bearer" and self._accepts(token.strip())
        with self._lock:
            fault = next((each for each in self._faults if each.counts_for(request)), None)
            if fault:
                self._faults.remove(fault)
        if self.before_answer is not None:
            self.before_answer(request)
        response = _from_fault(fault) if fault and not fault.broken else self._serve(request, authorized)
        if response is not None:
            ids = {"request-id": str(uuid.uuid4()), **self.headers}
            if self.clock is not None:
                ids.setdefault("Date", format_datetime(self.clock(), usegmt=True))
            for name in ("client-request-id", "MS-CorrelationId", "MS-RequestId"):
                if sent := request.headers.get(name):
                    ids[name] = sent
            response = replace(response, headers={**ids, **response.headers}, broken=fault.broken if fault else None)
        status = response.status if response else 0
        with self._lock:
            self.requests.append(
                LoggedRequest(
                    request.method, request.target, authorized, bool(header), request.secure,
                    status if request.secure else 400,
                )
            )  # fmt: skip
            del self.requests[:-KEPT_REQUESTS]
        return response

    def _serve(self, request: Request, authorized: bool) -> Response:
        path = request.path
        if path != LIST_PATH and not path.startswith(f"{LIST_PATH}/"):
            return _error(404)
        if not authorized:
            return _error(401, headers={"WWW-Authenticate": "Bearer"})
        if request.method not in ("GET", "PATCH") or (request.method == "PATCH" and path == LIST_PATH):
            return _error(405, "The HTTP method in the request is not allowed on the resource.")
        if path == LIST_PATH:
            try:
                return self._list(request.query)
            except _BadOptionError as problem:
                return _error(400, str(problem))
        item = self.referrals.get(path.removeprefix(f"{LIST_PATH}/"))
        if item is None:
            return _error(404)
        if request.method == "PATCH":
            try:
                item = change_referral(self.referrals, item, request)
            except RefusedChangeError as refusal:
                return _error(refusal.status, str(refusal))
            if "return=representation" not in (request.headers.get("Prefer") or ""):
                return Response(204, headers={"ETag": item.etag})
        return Response(200, item.text.encode("utf-8", "surrogatepass"), headers={"ETag": item.etag})

    def _list(self, query: Mapping[str, str]) -> Response:
        if unknown := sorted(set(query) - _OPTIONS):
            raise _BadOptionError(f"The query option '{unknown[0]}' is not supported.")
        if "$skiptoken" in query:
            plan = _read_token(query["$skiptoken"])
        else:
            plan = {
                "orderby": query.get("$orderby", "createdDateTime desc"),
                "filter": query.get("$filter", ""),
                "left": _top(query.get("$top")),
                "from": 0,
            }
        items = _ordered(_filtered(self.referrals.items(), plan["filter"]), plan["orderby"])
        size = self.page_size if plan["left"] is None else min(self.page_size, plan["left"])
        start, end = plan["from"], plan["from"] + size
        page = items[start:end]
        left = None if plan["left"] is None else plan["left"] - len(page)
        next_link = ""
        if end < len(items) and left != 0:
            token = base64.urlsafe_b64encode(json.dumps({**plan, "left": left, "from": end}).encode()).decode()
            plain = self.base_url.replace("https://", "http://", 1)
            next_link = f',"@odata.nextLink":"{plain}{_NEXT_PATH}?$skiptoken={token.rstrip("=")}"'
        context = json.dumps(f"{self.base_url.replace('https://', 'http://', 1)}/v1.0/$metadata#Referrals")
        text = (
            f'{{"@odata.context":{context},"@odata.count":{len(items)},'
            f'"value":[{",".join(item.listed for item in page)}]{next_link}}}'
        )
        return Response(200, text.encode("utf-8", "surrogatepass"))


class _BadOptionError(ValueError):
    """A query option that the API refuses."""


def _top(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise _BadOptionError("The value of '$top' must be a non-negative integer.")
    return int(text)


def _filtered(items: list[Item], text: str) -> list[Item]:
    """Keep the items that meet `field eq 'value'` terms joined by `and`; the quotes may be missing, as documented."""
    for term in filter(None, re.split(r"\s+and\s+", text.strip())):
        match = re.fullmatch(r"(\w+)\s+eq\s+(?:'([^']*)'|(\S+))", term)
        if match is None or match[1] not in _FILTERS:
            raise _BadOptionError(f"The filter '{term}' is not supported.")
        wanted = match[2] if match[2] is not None else match[3]
        items = [item for item in items if str(item.fields.get(match[1], "")).lower() == wanted.lower()]
    return items


def _ordered(items: list[Item], text: str) -> list[Item]:
    match = re.fullmatch(r"(createdDateTime|updatedDateTime)(?:\s+(asc|desc))?", text.strip())
    if match is None:
        raise _BadOptionError(f"The ordering '{text}' is not supported.")
    by_update = match[1] == "updatedDateTime"
    return sorted(items, key=lambda item: item.updated if by_update else item.created, reverse=match[2] == "desc")


def _read_token(token: str) -> dict[str, Any]:
    try:
        plan = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return {"orderby": plan["orderby"], "filter": plan["filter"], "left": plan["left"], "from": int(plan["from"])}
    except (ValueError, KeyError, TypeError):
        raise _BadOptionError("The value of '$skiptoken' is not valid.") from None


def _from_fault(fault: _Fault) -> Response | None:
    if fault.status == 0:
        return None
    if fault.body is None and fault.status >= 400:
        return _error(fault.status, headers=fault.headers)
    if isinstance(fault.body, (str, bytes)):
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        return Response(fault.status, body, headers=fault.headers)
    return json_response(fault.status, fault.body, fault.headers)


def _error(status: int, message: str | None = None, headers: Mapping[str, str] | None = None) -> Response:
    code, usual = _CODES.get(status, ("generalException", "An unspecified error has occurred."))
    inner = {"code": code, "message": message or usual}
    body = {"error": {"code": code, "message": message or usual, "target": "referrals", "innerError": inner}}
    return json_response(status, body, headers)
