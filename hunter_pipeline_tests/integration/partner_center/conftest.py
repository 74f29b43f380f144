"""The scripted server as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hunter_pipeline_tests.integration.partner_center.scripted_server import Script


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A running scripted server, trusted by this process."""
    script = Script(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(script.ca_file))
    script.server.start()
    yield script
    script.server.stop()
