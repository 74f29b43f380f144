"""Runs the `hunter` command in this process as the console script does, and returns what a shell would see."""

import io
import json
import signal
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from hunter_pipeline.cli.main import run


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """`hunter` with this test's environment."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        """Run `hunter` with arguments, and wait for its end."""
        self.monkeypatch.setattr(sys, "argv", ["hunter", *arguments])
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        on_terminate = signal.getsignal(signal.SIGTERM)
        self.capsys.readouterr()
        try:
            run()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
        out, err = self.capsys.readouterr()
        return Ended(status, out, err)
