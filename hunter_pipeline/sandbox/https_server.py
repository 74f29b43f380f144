"""An HTTPS server on loopback that hands every request to one function.

Here belongs the transport: TLS, keep-alive, connections that break on purpose, and noticing a client that speaks
plain HTTP. What is answered is decided by the identity provider and by Partner Center in their own modules. Built on
the standard library's server, since a sandbox needs no more.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

_TLS_HANDSHAKE: Final = b"\x16"
_HANDSHAKE_SECONDS: Final = 10
_DRIP_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Request:
    """One request. `target` is path and query as sent; `path` is decoded; `secure` is False for plain HTTP."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    secure: bool = True

    @property
    def path(self) -> str:
        """The path without its query, percent signs decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; the last one of a name counts."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


Break = Literal["reset", "cut", "drip", "stall"]
"""How an answer goes wrong on its way: the connection is reset before a byte of it; it ends half way through the body;
the body comes a byte at a time; the body never comes."""


@dataclass(frozen=True)
class Response:
    """What is sent back.

    :param headers: come on top of the content type and length, and replace the usual `Date`.
    :param broken: how it goes wrong on its way; None: it does not.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: Break | None = None


def json_response(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is the value as ASCII JSON."""
    return Response(status, json.dumps(value).encode(), headers=headers or {})


Answer = Callable[[Request], Response | None]
"""Answers one request; None breaks the connection without a word."""


class HttpsServer:
    """Serves `answer` on `https://127.0.0.1:port` from threads of this process.

    A connection that does not start with a TLS handshake is read as plain HTTP: the request reaches `answer` with
    `secure=False` and is refused with 400 whatever that returns, as web servers do on a TLS port.
    """

    def __init__(self, answer: Answer, context: ssl.SSLContext, *, port: int = 0) -> None:
        self._server = _Server(answer, context, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="sandbox-https", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and break the connections that clients keep open."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()
        self._server.break_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answer, context: ssl.SSLContext, port: int) -> None:
        self.answer = answer
        self._context = context
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # in the connection's own thread, so that a slow handshake holds up nobody else
        request.settimeout(_HANDSHAKE_SECONDS)
        first = request.recv(1, socket.MSG_PEEK)
        if not first:
            return
        if first != _TLS_HANDSHAKE:
            _Handler(request, client_address, self)
            return
        with self._context.wrap_socket(request, server_side=True) as secured:
            secured.settimeout(None)
            with self._changed:
                self._open.add(secured)
            try:
                _Handler(secured, client_address, self)
            finally:
                with self._changed:
                    self._open.discard(secured)
                    self._changed.notify_all()

    def break_connections(self) -> None:
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # the plain shutdown: the TLS one would pull the session away under the reading thread
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # a client that went away or does not trust the certificate is the client's affair
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write for headers and body
    server: _Server

    def _answer(self) -> None:
        headers: Message = self.headers
        body = self.rfile.read(int(headers.get("Content-Length") or 0))
        secure = isinstance(self.connection, ssl.SSLSocket)
        response = self.server.answer(Request(self.command, self.path, headers, body, secure))  # type: ignore[arg-type]
        if not secure:
            response = Response(400, b"The plain HTTP request was sent to an HTTPS port", "text/plain")
        self.close_connection = self.close_connection or response is None or not secure
        if response is None:
            return
        if response.broken:
            self.close_connection = True
        if response.broken == "reset":
            # closing then sends RST in place of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        self.send_response_only(response.status)
        self.send_header("Server", self.version_string())
        if "Date" not in response.headers:
            self.send_header("Date", self.date_time_string())
        if response.status != 204:
            self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(response)

    def _send_body(self, response: Response) -> None:
        if response.broken == "cut":
            self.wfile.write(response.body[: len(response.body) // 2])
        elif response.broken in ("drip", "stall"):
            self.wfile.flush()
            for index in range(len(response.body)):
                # until the client has had enough, which the next byte or its closing tells
                readable, _, _ = select.select([self.connection], [], [], _DRIP_SECONDS)
                if readable:
                    return
                if response.broken == "drip":
                    self.wfile.write(response.body[index : index + 1])
                    self.wfile.flush()
        else:
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def version_string(self) -> str:
        """What the Server header says."""
        return "sandbox"

    def log_message(self, *_: object) -> None:
        """Nothing is printed: what was asked is kept by the one who answers."""
