"""A real Dagster instance from the project's own configuration, for tests of this folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from hunter_pipeline_tests.orchestration.dagster_ui import DagsterUi, running_product


@pytest.fixture
def instance(
    database_url: str, dagster_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance from the project's `dagster.yaml`, on databases of its own, with the feature flag on."""
    for name in [name for name in os.environ if name.startswith("HUNTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path))
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    monkeypatch.setenv("HUNTER_DAGSTER_DATABASE_URL", dagster_database_url)
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_ENABLED", "true")
    folder = tmp_path / "dagster"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", folder)
    with dg.DagsterInstance.from_config(str(folder)) as made:
        yield made


@pytest.fixture(scope="session")
def product() -> Iterator[DagsterUi]:
    """One running `hunter dev --sandbox` for all tests of the group `dagster-ui`."""
    with running_product() as server:
        yield server
