"""From settings to the objects that stages and commands use.

Belongs here: which setting goes to which argument, and the refusal of settings that a step cannot do
without. Does not belong here: what the objects do. Dagster resources, commands and the web server all come
through here, so that they cannot differ. Each imports what it makes: Dagster loads this module with its definitions,
and MSAL or requests only a run that signs in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from sqlalchemy import Engine

from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.domain_facts import RegistrationLookup, TenantLookup
from hunter_pipeline.pipeline.leads import make_leads, upsert_companies
from hunter_pipeline.pipeline.normalize import normalize_domains
from hunter_pipeline.pipeline.scores import score_leads
from hunter_pipeline.pipeline.signals import Scan
from hunter_pipeline.pipeline.track import track_referrals
from hunter_pipeline.pipeline.versions import RUN_PREFIX
from hunter_pipeline.scan.dns import DnsSettings
from hunter_pipeline.scan.providers import catalogue
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.scoring.rules import Rules
from hunter_pipeline.scoring.rules_file import load_rules
from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.upkeep.shards import Spread

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

    from hunter_pipeline.actions.act import Acting
    from hunter_pipeline.actions.take_in import Stage
    from hunter_pipeline.partner_center.auth import SignIn
    from hunter_pipeline.partner_center.client import PartnerCenterClient
    from hunter_pipeline.partner_center.pages import RawItem
    from hunter_pipeline.scan.tenant import TenantDiscovery

ACTION_LOCK_WAIT = 10
"""Seconds for which a person waits for a sync that is writing."""

log = structlog.get_logger(__name__)


def check_connection_settings(settings: Settings) -> None:
    """Make sure that the settings which name the Partner Center application are there.

    :raises SettingsError: one is missing; the text names the variable and where to find its value.
    """
    if settings.partner_center_client_id is None:
        raise SettingsError(
            "HUNTER_PARTNER_CENTER_CLIENT_ID is not set; copy 'Application (client) ID' from the app registration "
            "(README, 'Connect a real account')"
        )
    if settings.partner_center_tenant_id is None and "{tenant_id}" in settings.partner_center_authority:
        raise SettingsError(
            "HUNTER_PARTNER_CENTER_TENANT_ID is not set; copy 'Directory (tenant) ID' from the app registration "
            "(README, 'Connect a real account')"
        )


def check_enabled(settings: Settings) -> None:
    """Make sure that the feature flag is on.

    :raises SettingsError: it is off.
    """
    if not settings.partner_center_enabled:
        raise SettingsError(
            "Partner Center integration is disabled; set HUNTER_PARTNER_CENTER_ENABLED=true to switch it on"
        )


def make_sign_in(settings: Settings, engine: Engine) -> SignIn:
    """The sign-in with its encrypted token cache, in the database or in the file that is set.

    :raises SettingsError: client or tenant id is missing.
    :raises TokenCacheUnreadable: the key file cannot be used.
    """
    from hunter_pipeline.partner_center.auth import SignIn
    from hunter_pipeline.partner_center.token_cache import FileBlobStore, TokenCache
    from hunter_pipeline.store.token_store import DatabaseBlobStore

    check_connection_settings(settings)
    path = settings.partner_center_token_cache_path
    store = FileBlobStore(path) if path is not None else DatabaseBlobStore(engine)
    secret = settings.partner_center_client_secret
    return SignIn(
        settings.partner_center_client_id or "",
        secret.get_secret_value() if secret else None,
        settings.authority_url,
        settings.partner_center_scope.split(),
        settings.instance_discovery,
        TokenCache(store, make_keys(settings)),
        timeout=settings.partner_center_timeout,
    )


def make_keys(settings: Settings) -> MultiFernet:
    """The keys under which the sign-in, and the key of the erasures, are encrypted.

    :raises TokenCacheUnreadable: the key file cannot be used.
    """
    from hunter_pipeline.partner_center.token_cache import load_keys

    return load_keys(settings.token_cache_keys, settings.home)


def make_client(settings: Settings, sign_in: SignIn) -> PartnerCenterClient:
    """The referrals API client, with the pace that is set."""
    from hunter_pipeline.partner_center.client import PartnerCenterClient

    return PartnerCenterClient(
        settings.partner_center_base_url,
        sign_in.acquire,
        tenant=sign_in.tenant,
        interval=settings.partner_center_request_interval,
        attempts=settings.partner_center_attempts,
        timeout=settings.partner_center_timeout,
        body_timeout=settings.partner_center_body_timeout,
        page_limit=settings.partner_center_page_limit,
        budget=settings.partner_center_sync_budget,
    )


def make_acting(settings: Settings, engine: Engine, clock: Callable[[], datetime]) -> Acting:
    """What a person's change of a referral needs: the client, and the way of the answer through the stages.

    :param clock: gives the present, aware UTC.
    :raises SettingsError: writing is switched off, or client or tenant id is missing.
    """
    if not settings.partner_center_write_enabled:
        raise SettingsError(
            "writing to Partner Center is off; set HUNTER_PARTNER_CENTER_WRITE_ENABLED=true to act on referrals"
        )
    from hunter_pipeline.actions.act import Acting
    from hunter_pipeline.actions.take_in import kept_version, take_in

    stages = make_stages(settings)

    def keep(item: RawItem) -> bool:
        context = StageContext(
            engine,
            f"{RUN_PREFIX}{uuid4()}",
            clock,
            lock_wait=ACTION_LOCK_WAIT,
            keys=lambda: make_keys(settings),
        )
        return take_in(context, item, stages)

    return Acting(
        engine,
        make_client(settings, make_sign_in(settings, engine)),
        keep,
        lambda referral_id, etag: kept_version(engine, referral_id, etag),
        clock,
    )


def make_stages(settings: Settings) -> tuple[Stage, ...]:
    """The stages that bring leads and scores up to date after something else than a sync changed what they rest on.

    Not the scan: it is no news of a domain, and nobody waits for DNS meanwhile.
    """
    rules = make_rules(settings)

    def score(context: StageContext) -> object:
        return score_leads(
            context,
            rules,
            tenant_score=settings.partner_center_azure_tenant_score,
            cosell_bonus=settings.partner_center_cosell_bonus,
        )

    return (normalize_domains, track_referrals, make_leads, upsert_companies, score)


def make_dns_settings(settings: Settings) -> DnsSettings:
    """Servers, pace and patience of DNS look-ups."""
    first, most = settings.dns_queries_per_second, settings.dns_most_queries_per_second
    # A ceiling that somebody set holds from the start; the usual one gives way to a start above it.
    first = min(first, most) if "dns_most_queries_per_second" in settings.model_fields_set else first
    return DnsSettings(
        servers=settings.dns_servers,
        in_flight=settings.dns_in_flight,
        qps_per_server=first,
        most_qps_per_server=max(first, most),
        timeout=settings.dns_timeout,
        attempts=settings.dns_attempts,
    )


def make_spread(settings: Settings) -> Spread | None:
    """How scans are spread over shards; None: each run looks its domains up itself."""
    if settings.executor == "in_process":
        return None
    age = timedelta(days=settings.domain_rescan_days)
    return Spread(settings.scan_shard, settings.scan_shares, settings.scan_claim_seconds, age)


def make_scan(settings: Settings, shares: int = 1) -> Scan:
    """The look-up of some domains, with the servers and limits that are set.

    :param shares: how many look-ups may go on at once; each gets that part of the pace of a server.
    """
    from hunter_pipeline.scan.stream import stream

    dns = make_dns_settings(settings)
    first, most = dns.qps_per_server / shares, dns.most_qps_per_server / shares
    dns = replace(dns, qps_per_server=first, most_qps_per_server=most)

    def scan(domains: Iterable[str]) -> Iterator[DomainScan]:
        return stream(domains, dns, on_trouble=lambda trouble: log.warning("dns_server_in_trouble", trouble=trouble))

    return scan


def make_rules(settings: Settings, path: Path | None = None) -> Rules:
    """The scoring rules of `path`, else of the file that is set, else the packaged ones.

    :raises RulesError: the file is missing or wrong, or knows other providers than the catalogue of the scan; file,
        line and fix are named.
    """
    return read_rules(path or settings.scoring_rules)


def read_rules(path: Path | None) -> Rules:
    """The scoring rules of a file, else the packaged ones, checked as scoring checks them.

    :raises RulesError: as `make_rules`.
    """
    return load_rules(path, catalogue().names)


def make_registration_lookup(settings: Settings, bootstrap: Path | None = None) -> RegistrationLookup:
    """The question to the registries about one domain.

    :param bootstrap: file that names the registries' servers; None: the packaged one.
    :raises SettingsError: it is switched off.
    """
    if not settings.registration_enabled:
        raise SettingsError(
            "registration look-ups are switched off; set HUNTER_REGISTRATION_ENABLED=true to switch them on"
        )
    import requests

    from hunter_pipeline.scan.registration import BOOTSTRAP_PATH, RegistrationClient

    return RegistrationClient(requests.Session(), bootstrap or BOOTSTRAP_PATH).lookup


def make_tenant_lookup(settings: Settings) -> TenantLookup:
    """The question to Microsoft about one domain's Entra tenant.

    :raises SettingsError: it is switched off.
    """
    if not settings.tenant_discovery_enabled:
        raise SettingsError(
            "tenant discovery is switched off; set HUNTER_TENANT_DISCOVERY_ENABLED=true to switch it on"
        )
    import requests

    from hunter_pipeline.scan.tenant import discover_tenant

    session = requests.Session()

    def lookup(domain: str) -> TenantDiscovery:
        return discover_tenant(domain, session, settings.tenant_discovery_url)

    return lookup
