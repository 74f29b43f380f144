"""An HTTPS server whose answers a test writes down beforehand, for what the sandbox does not do."""

import ssl
from pathlib import Path
from typing import Any

import trustme

from hunter_pipeline.sandbox.https_server import HttpsServer, Request, Response, json_response


class Script:
    """Gives the queued answers, one a request, and keeps the requests. None breaks the connection."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self.requests: list[Request] = []
        self.answers: list[Response | None] = []
        self.server = HttpsServer(self._answer, context)
        self.base_url = f"https://127.0.0.1:{self.server.port}"

    def _answer(self, request: Request) -> Response | None:
        self.requests.append(request)
        return self.answers.pop(0)

    def page(self, *items: dict[str, Any], link: object = None) -> None:
        self.answers.append(json_response(200, {"value": items, **({"@odata.nextLink": link} if link else {})}))

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]
