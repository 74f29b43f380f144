"""Assets of the group `domain_facts`: what registries and Microsoft tell the public about a company's domain.

Off the fast path: no job that scores waits for them, and each run asks about a bounded number of domains.
"""

from collections.abc import Callable
from datetime import timedelta

import dagster as dg
from pydantic import Field

from hunter_pipeline.orchestration.assets.referrals import companies
from hunter_pipeline.orchestration.failures import failing_clearly
from hunter_pipeline.orchestration.guards import off_reason
from hunter_pipeline.orchestration.metadata import OWNERS, AssetEvents, result_of, skipped, table_metadata
from hunter_pipeline.orchestration.resources import (
    DatabaseResource,
    RegistrationResource,
    SettingsResource,
    TenantResource,
)
from hunter_pipeline.pipeline.context import StageReport
from hunter_pipeline.pipeline.domain_facts import FACTS_VERSION, look_up_registrations, look_up_tenants
from hunter_pipeline.store import tables

GROUP = "domain_facts"


class LookUpConfig(dg.Config):
    """How much one run asks."""

    limit: int = Field(default=500, ge=1, le=100_000, description="Domains to ask about, at most")


def _looked_up(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: SettingsResource,
    switch: str,
    look_up: Callable[[timedelta], StageReport],
) -> AssetEvents:
    """Look facts up, unless they are switched off; `look_up` is told after which time one is asked for again."""
    with failing_clearly():
        off = off_reason(settings.load(), switch)
        nothing = skipped(context, database.engine, off) if off else None
    if nothing:
        yield nothing
        return
    yield from result_of(
        context,
        database.engine,
        lambda: look_up(timedelta(days=settings.load().domain_rescan_days)),
        writes=("looked_up",),
    )


@dg.asset(
    deps=[companies],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=FACTS_VERSION,
    metadata=table_metadata(tables.domain_registrations),
    pool="domain_registrations",
)
def domain_registrations(
    context: dg.AssetExecutionContext,
    config: LookUpConfig,
    database: DatabaseResource,
    registries: RegistrationResource,
) -> AssetEvents:
    """Registrar, expiry and name servers of each company's domain, or why the registry gave none.

    No domain is asked about twice within 24 hours; one with data is asked about again after
    HUNTER_DOMAIN_RESCAN_DAYS. No score rests on it.
    """
    yield from _looked_up(
        context,
        database,
        registries.settings,
        "registration_enabled",
        lambda refresh_after: look_up_registrations(
            database.stage(context), registries.lookup(), refresh_after=refresh_after, limit=config.limit
        ),
    )


@dg.asset(
    deps=[companies],
    group_name=GROUP,
    kinds={"python", "postgres"},
    owners=OWNERS,
    code_version=FACTS_VERSION,
    metadata=table_metadata(tables.domain_tenants),
    pool="domain_tenants",
)
def domain_tenants(
    context: dg.AssetExecutionContext,
    config: LookUpConfig,
    database: DatabaseResource,
    tenants: TenantResource,
) -> AssetEvents:
    """The Entra tenant of each company's domain, as Microsoft tells the public: information only.

    It is not the tenant that a referral declares and changes no score. Off by default
    (HUNTER_TENANT_DISCOVERY_ENABLED).
    """
    yield from _looked_up(
        context,
        database,
        tenants.settings,
        "tenant_discovery_enabled",
        lambda refresh_after: look_up_tenants(
            database.stage(context), tenants.lookup(), refresh_after=refresh_after, limit=config.limit
        ),
    )
