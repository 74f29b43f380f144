"""Dagster's own storage: its PostgreSQL storage, on the server that Hunter uses.

Belongs here: finding the database and the two switches that keep a run over many day partitions fast. Does
not belong here: anything of Hunter's own tables. `dagster.yaml` names the class, so every Dagster process
(web server, daemon, code server, run worker) starts or joins the embedded server by itself.
"""

from __future__ import annotations

import os
from typing import Any

from dagster._config import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import urls_of


class HunterStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage at the address that Hunter's settings give."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """No configuration in `dagster.yaml`: the settings are the one place for addresses."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> HunterStorage:  # noqa: ARG003
        """Open the storage, starting the embedded server when no database is set.

        :raises SettingsError: a setting is wrong.
        :raises DatabaseUnavailable: the server in `HUNTER_DATABASE_URL` does not answer.
        """
        tune_event_log()
        return cls(postgres_url=urls_of(load_settings()).dagster, inst_data=inst_data)


def tune_event_log() -> None:
    """Let Dagster write the events of a range of partitions in batches.

    A range run otherwise writes two events for each day, one by one: 25 s for 328 days, and 1.1 s with these
    (measured, PostgreSQL on the same machine). Values that are already set stand.
    """
    os.environ.setdefault("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")
