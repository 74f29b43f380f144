"""A real HTTPS server on loopback, with a certificate of a test authority that the session trusts."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme


class HttpsServer(ThreadingHTTPServer):
    """Answers GET from ``answers``: path to (status, body); a body that is no text or bytes is sent as JSON."""

    daemon_threads = True
    answers: dict[str, tuple[int, Any]]
    asked: list[str]
    session: requests.Session

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: HttpsServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body = self.server.answers.get(self.path, (404, {}))
        octets = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/rdap+json")
        self.send_header("Content-Length", str(len(octets)))
        if status // 100 == 3:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def https_server(tmp_path: Path) -> Iterator[HttpsServer]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server = HttpsServer(("localhost", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answers, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    with requests.Session() as session:
        session.verify = str(bundle)
        session.trust_env = False
        server.session = session
        yield server
    server.shutdown()
    thread.join()
    server.server_close()
