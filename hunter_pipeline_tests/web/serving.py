"""Helpers of the web tests: a database that is filled by the pipeline, a server on a free port, a browser."""

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Engine

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.pipeline_runs import Pipeline

HOSTILE = {
    "id": "hostile-1",
    "type": "Shared",
    "status": "New",
    "substatus": "Pending",
    "qualification": "SalesQualified",
    "createdDateTime": "2026-11-20T08:00:00Z",
    "updatedDateTime": "2026-11-20T08:00:00Z",
    "customerProfile": {
        "name": "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>",
        "website": "https://hostile-example.com/",
        "team": [{"firstName": "=cmd|' /C calc'!A0", "email": "a@hostile-example.com"}],
    },
}
"""A referral whose company name is markup."""

FORMULA = {
    **HOSTILE,
    "id": "hostile-2",
    "customerProfile": {"name": '=HYPERLINK("http://evil.example","x")', "website": "https://formula-example.com/"},
}
"""A referral whose company name is a spreadsheet formula."""


def fill(engine: Engine, sandbox: Sandbox, home: Path) -> Pipeline:
    """Run every stage on the sandbox's samples and on two hostile referrals; the environment points at the sandbox."""
    sandbox.partner_center.referrals.add(HOSTILE)
    sandbox.partner_center.referrals.add(FORMULA)
    pipeline = Pipeline(engine, home)
    pipeline.sync()
    return pipeline


class StubDagster:
    """Answers over HTTP as Dagster's web server does, runs nothing, and remembers the tags of what was launched.

    `status` is that of every run; a run is under way while it is unfinished.
    """

    def __init__(self, status: str = "SUCCESS") -> None:
        self.status = status
        self.launched: list[dict[str, str]] = []
        self.app = FastAPI()
        self.app.post("/graphql")(self._answer)

    async def _answer(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        if "launchRun" in body["query"]:
            tags = body["variables"]["params"]["executionMetadata"]["tags"]
            self.launched.append({tag["key"]: tag["value"] for tag in tags})
            answer = {"__typename": "LaunchRunSuccess", "run": {"runId": f"stub-{len(self.launched)}"}}
            return {"data": {"launchRun": answer}}
        if "runsOrError" in body["query"]:
            active = self.launched and self.status in body["variables"]["filter"]["statuses"]
            runs = [{"runId": f"stub-{len(self.launched)}"}] if active else []
            return {"data": {"runsOrError": {"__typename": "Runs", "results": runs}}}
        run = {"__typename": "Run", "status": self.status, "jobName": "referral_sync_job"}
        return {"data": {"runOrError": run}}


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(app: Any, port: int | None = None) -> Iterator[str]:
    """Serve an application on loopback; gives its address."""
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the web server did not start")
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium: the machine's, else the one that playwright installed.

    :raises RuntimeError: there is none; the text says how to get one.
    """
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            raise RuntimeError("there is no Chromium for the page tests; `make browser` installs one")
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()
