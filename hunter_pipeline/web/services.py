"""What every route is given: database, Dagster, settings, clock.

Belongs here: the bundle and the FastAPI dependency that hands it out. Does not belong here: anything that one
route needs alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.partner_center.token_cache import KEY_FILE
from hunter_pipeline.pipeline.versions import RUN_PREFIX
from hunter_pipeline.readers.known import Known
from hunter_pipeline.readers.lead_list import LeadFilter, count_leads
from hunter_pipeline.readers.stories import providers
from hunter_pipeline.readers.summary import Summary, summary
from hunter_pipeline.scoring.document import RulesError
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.services import make_sign_in, read_rules
from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.web.dagster_client import DagsterClient
from hunter_pipeline.web.webhook import Verifier


@dataclass(frozen=True)
class Services:
    """The surroundings of a request.

    :param engine: what changes something goes over it: acts, starts of syncs.
    :param reading: what only reads goes over it; it may lead through a pooler in transaction mode.
    :param clock: gives the present, aware UTC.
    :param verifier: checks webhooks; None while they are switched off.
    :param surroundings: the list in a few numbers, and the mailbox providers that some company has, on `reading`.
    :param totals: how many leads pass a filter, on `reading`.
    """

    settings: Settings
    engine: Engine
    reading: Engine
    dagster: DagsterClient
    clock: Callable[[], datetime]
    verifier: Verifier | None
    surroundings: Known[[], tuple[Summary, list[str]]] = field(default_factory=lambda: Known(_surroundings))
    totals: Known[[LeadFilter], int] = field(default_factory=lambda: Known(count_leads))

    @property
    def dagster_ui(self) -> str:
        """Address of the Dagster UI in a browser, without a slash at the end."""
        return self.settings.dagster_public_url or self.settings.dagster_url

    @property
    def is_https(self) -> bool:
        """Whether browsers come over HTTPS, so that cookies may be kept to it."""
        return (self.settings.web_public_url or "").startswith("https://")

    @property
    def rules(self) -> Rules | None:
        """The scoring rules in use; None while their file cannot be read, which scoring itself reports."""
        path = self.settings.scoring_rules
        try:
            return _rules(path, path.stat().st_mtime_ns if path else 0)
        except (OSError, RulesError):
            return None

    def portal_url(self, referral_id: str, engagement_id: str | None) -> str:
        """A referral in Partner Center, or the page there that lists them."""
        names = {"{referral_id}": referral_id, "{engagement_id}": engagement_id or ""}
        address = self.settings.partner_center_portal_url
        for name, value in names.items():
            address = address.replace(name, quote(value, safe=""))
        return address

    def run_url(self, run_id: str) -> str:
        """A run in the Dagster UI."""
        return f"{self.dagster_ui}/runs/{quote(run_id, safe='')}"

    def step_url(self, run_id: str) -> str | None:
        """The run that wrote a step of a referral's story; None for a person's change, which is no run."""
        return None if run_id.startswith(RUN_PREFIX) else self.run_url(run_id)

    def asset_url(self, name: str) -> str:
        """An asset in the Dagster UI."""
        return f"{self.dagster_ui}/assets/{quote(name, safe='')}"


def _surroundings(connection: Connection) -> tuple[Summary, list[str]]:
    return summary(connection), providers(connection)


@lru_cache(maxsize=4)
def _rules(path: Path | None, changed: int) -> Rules:  # noqa: ARG001 - an edited file is read again
    return read_rules(path)


def sign_in_end(settings: Settings, engine: Engine) -> datetime | None:
    """When the sign-in ends if nothing uses it; None: nobody is signed in, or it cannot be read here.

    Nothing is asked of Microsoft, and no key is made where there is none.
    """
    if not settings.token_cache_keys and not (settings.home / KEY_FILE).exists():
        return None
    try:
        account = make_sign_in(settings, engine).status().account
    except (SettingsError, PartnerCenterError, SQLAlchemyError):
        return None
    return account.signed_in_until if account else None


def services_of(request: Request) -> Services:
    """The services of the application that takes the request."""
    return cast(Services, request.app.state.services)


async def _given(request: Request) -> Services:
    # A coroutine, since FastAPI has plain functions of dependencies run by another thread, and waits for it.
    return services_of(request)


Use = Annotated[Services, Depends(_given)]
"""Annotation of a route's parameter that is given the services."""
