"""What keeps the data fresh and the instance small beside the ten-minute sync: jobs and their schedules.

Belongs here: rescans, the weekly sweep, registration look-ups, retention. Does not belong here: the work
itself, which is in `pipeline`. Every schedule is off the fast path, bounded per run, and skipped with a reason
where it has nothing to do.
"""

import dagster as dg

from hunter_pipeline.orchestration.assets.domain_facts import domain_registrations, domain_tenants
from hunter_pipeline.orchestration.assets.scoring import SignalsConfig
from hunter_pipeline.orchestration.checks import without_standing_checks
from hunter_pipeline.orchestration.guards import EXCLUSIVE_TAG
from hunter_pipeline.orchestration.resources import SettingsResource

ASSETS = (domain_registrations, domain_tenants)


def exclusive(name: str, max_seconds: int) -> dict[str, str]:
    """Run tags of a job that runs once at a time and is ended after `max_seconds`."""
    return {EXCLUSIVE_TAG: name, "dagster/max_runtime": str(max_seconds)}


MOST_RESCANS = 5000
"""Domains looked up again in one run: 150,000 domains in thirty days, and under ten minutes at the default pace."""

domain_rescan_job = dg.define_asset_job(
    "domain_rescan_job",
    selection=without_standing_checks(dg.AssetSelection.assets("domain_signals", "lead_scores")),
    config=dg.RunConfig(ops={"domain_signals": SignalsConfig(rescan_limit=MOST_RESCANS)}),
    description="Look up again the domains whose signals have grown old, record what changed, and score again.",
    tags=exclusive("domain_rescan", 3600),
)

domain_registrations_job = dg.define_asset_job(
    "domain_registrations_job",
    selection=dg.AssetSelection.assets(domain_registrations),
    description="Ask the registries about domains that were never asked about or whose answer is old.",
    tags=exclusive("domain_registrations", 3600),
)

domain_tenants_job = dg.define_asset_job(
    "domain_tenants_job",
    selection=dg.AssetSelection.assets(domain_tenants),
    description="Ask Microsoft for the Entra tenants of domains.",
    tags=exclusive("domain_tenants", 3600),
)


@dg.schedule(
    job=domain_rescan_job,
    cron_schedule="20 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Look up stale domains (HUNTER_DOMAIN_RESCAN_DAYS) again, daily.",
)
def domain_rescan_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the daily rescan; nothing is asked of DNS while the feature flag is off."""
    if not settings.load().partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    return dg.RunRequest()


@dg.schedule(
    job=domain_registrations_job,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ask the registries about up to 500 domains, hourly.",
)
def domain_registrations_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the hourly look-ups, unless they or the feature are switched off."""
    current = settings.load()
    if not current.partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    if not current.registration_enabled:
        return dg.SkipReason("switched_off: HUNTER_REGISTRATION_ENABLED is false")
    return dg.RunRequest()


@dg.schedule(
    job=domain_tenants_job,
    cron_schedule="50 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ask Microsoft about up to 500 domains, hourly; off by default.",
)
def domain_tenants_schedule(settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for the hourly look-ups, unless they or the feature are switched off."""
    current = settings.load()
    if not current.partner_center_enabled:
        return dg.SkipReason("feature_disabled")
    if not current.tenant_discovery_enabled:
        return dg.SkipReason("switched_off: HUNTER_TENANT_DISCOVERY_ENABLED is false")
    return dg.RunRequest()


JOBS = (domain_rescan_job, domain_registrations_job, domain_tenants_job)
SCHEDULES = (domain_rescan_schedule, domain_registrations_schedule, domain_tenants_schedule)
