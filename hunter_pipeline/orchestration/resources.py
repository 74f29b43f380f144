"""Dagster resources: how a run gets at the settings, the database, Partner Center, DNS and the rules.

Belongs here: lazy wrappers that hand out plain objects. Does not belong here: configuration values. Settings
are read when a run or a tick needs them, so loading the definitions touches nothing, secrets never become
resource configuration, and switching the flag needs no reload.
"""

from typing import TYPE_CHECKING

import dagster as dg
import structlog
from pydantic import PrivateAttr
from sqlalchemy import Engine

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.domain_facts import RegistrationLookup, TenantLookup
from hunter_pipeline.pipeline.signals import Scan
from hunter_pipeline.runs.run_signs import renew_sign
from hunter_pipeline.runs.sync_request import FORCE_TAG
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.services import (
    check_enabled,
    make_client,
    make_keys,
    make_registration_lookup,
    make_rules,
    make_scan,
    make_sign_in,
    make_spread,
    make_tenant_lookup,
)
from hunter_pipeline.settings import Settings, load_settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline.upkeep.shards import Spread

if TYPE_CHECKING:
    from hunter_pipeline.partner_center.auth import SignIn
    from hunter_pipeline.partner_center.client import PartnerCenterClient


class SettingsResource(dg.ConfigurableResource[Settings]):
    """The `HUNTER_` settings, read when asked for."""

    def load(self) -> Settings:
        """The settings as they are now.

        :raises SettingsError: a value is wrong.
        """
        return load_settings()


class DatabaseResource(dg.ConfigurableResource[Engine]):
    """Hunter's database."""

    settings: SettingsResource
    _engine: Engine | None = PrivateAttr(default=None)

    def engine(self) -> Engine:
        """The process's engine; starts the embedded server when no database is set.

        Asked for anew by each run and tick, and only once by each: to look after the server costs 0.1 s.
        """
        if self._engine is None:
            self._engine = open_database(self.settings.load())
        return self._engine

    def stage(self, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> StageContext:
        """The surroundings of a stage in the run of `context`."""
        renew_sign(context.run.run_id)
        structlog.contextvars.bind_contextvars(run_id=context.run.run_id)  # for every log line from here on
        return StageContext(
            engine=self.engine(),
            run_id=context.run.run_id,
            progress=context.log.info,
            keys=lambda: make_keys(self.settings.load()),
            force=context.run.tags.get(FORCE_TAG, "").lower() == "true",
        )


class MsalResource(dg.ConfigurableResource["SignIn"]):
    """The Microsoft sign-in: MSAL with its encrypted token cache, renewed silently, never prompting."""

    settings: SettingsResource
    database: DatabaseResource

    def sign_in(self) -> "SignIn":
        """The sign-in, ready to hand out access tokens.

        :raises SettingsError: client or tenant id is missing.
        """
        return make_sign_in(self.settings.load(), self.database.engine())


class PartnerCenterResource(dg.ConfigurableResource["PartnerCenterClient"]):
    """The Partner Center referrals API."""

    settings: SettingsResource
    msal: MsalResource

    def client(self) -> "PartnerCenterClient":
        """The client.

        :raises SettingsError: the feature flag is off, or client or tenant id is missing.
        """
        settings = self.settings.load()
        check_enabled(settings)
        return make_client(settings, self.msal.sign_in())


class DnsResource(dg.ConfigurableResource[Scan]):
    """DNS look-ups of whole batches of domains."""

    settings: SettingsResource

    def scan(self) -> Scan:
        """The function that looks domains up, at the whole pace."""
        return make_scan(self.settings.load())

    def spread(self) -> tuple[Spread, Scan] | None:
        """How scans are spread, and the function that looks domains up at the pace of one share; None: they are not."""
        settings = self.settings.load()
        spread = make_spread(settings)
        return None if spread is None else (spread, make_scan(settings, spread.shares))


class ScoringResource(dg.ConfigurableResource[Rules]):
    """The scoring rules and the two settings that stand beside them."""

    settings: SettingsResource

    def rules(self) -> Rules:
        """The rules.

        :raises RulesError: the rules file is missing or wrong.
        """
        return make_rules(self.settings.load())


class RegistrationResource(dg.ConfigurableResource[RegistrationLookup]):
    """The domain registries, over RDAP."""

    settings: SettingsResource

    def lookup(self) -> RegistrationLookup:
        """The question about one domain.

        :raises SettingsError: registration look-ups are switched off.
        """
        return make_registration_lookup(self.settings.load())


class TenantResource(dg.ConfigurableResource[TenantLookup]):
    """Microsoft's public answer to which Entra tenant a domain belongs to."""

    settings: SettingsResource

    def lookup(self) -> TenantLookup:
        """The question about one domain.

        :raises SettingsError: tenant discovery is switched off.
        """
        return make_tenant_lookup(self.settings.load())


def make_resources() -> dict[str, object]:
    """Every resource under the name that assets and schedules ask for it by."""
    settings = SettingsResource()
    database = DatabaseResource(settings=settings)
    msal = MsalResource(settings=settings, database=database)
    return {
        "settings": settings,
        "database": database,
        "msal": msal,
        "partner_center": PartnerCenterResource(settings=settings, msal=msal),
        "dns": DnsResource(settings=settings),
        "scoring": ScoringResource(settings=settings),
        "registries": RegistrationResource(settings=settings),
        "tenants": TenantResource(settings=settings),
    }
