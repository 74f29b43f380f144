"""From settings to the objects that stages and commands use.

Belongs here: which setting goes to which argument, and the refusal of settings that a step cannot do
without. Does not belong here: what the objects do. Dagster resources, commands and the web server all come
through here, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import requests
from sqlalchemy import Engine

from hunter_pipeline.partner_center.auth import SignIn
from hunter_pipeline.partner_center.client import PartnerCenterClient
from hunter_pipeline.partner_center.token_cache import FileBlobStore, TokenCache, load_keys
from hunter_pipeline.pipeline.domain_facts import RegistrationLookup, TenantLookup
from hunter_pipeline.pipeline.signals import Scan
from hunter_pipeline.scan.dns import DnsSettings
from hunter_pipeline.scan.scan import DomainScan
from hunter_pipeline.scan.scan import scan as scan_now
from hunter_pipeline.scan.tenant import TenantDiscovery, discover_tenant
from hunter_pipeline.scoring.rules import Rules, load_rules
from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.store.token_store import DatabaseBlobStore


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
        TokenCache(store, load_keys(settings.token_cache_keys, settings.home)),
        timeout=settings.partner_center_timeout,
    )


def make_client(settings: Settings, sign_in: SignIn) -> PartnerCenterClient:
    """The referrals API client, with the pace that is set."""
    return PartnerCenterClient(
        settings.partner_center_base_url,
        sign_in.acquire,
        interval=settings.partner_center_request_interval,
        attempts=settings.partner_center_attempts,
        timeout=settings.partner_center_timeout,
        body_timeout=settings.partner_center_body_timeout,
        page_limit=settings.partner_center_page_limit,
        budget=settings.partner_center_sync_budget,
    )


def make_dns_settings(settings: Settings) -> DnsSettings:
    """Servers, pace and patience of DNS look-ups."""
    return DnsSettings(
        servers=settings.dns_servers,
        in_flight=settings.dns_in_flight,
        qps_per_server=settings.dns_queries_per_second,
        timeout=settings.dns_timeout,
        attempts=settings.dns_attempts,
    )


def make_scan(settings: Settings) -> Scan:
    """The look-up of some domains, with the servers and limits that are set."""
    dns = make_dns_settings(settings)

    def scan(domains: Sequence[str]) -> list[DomainScan]:
        return scan_now(domains, dns)

    return scan


def make_rules(settings: Settings, path: Path | None = None) -> Rules:
    """The scoring rules of `path`, else of the file that is set, else the packaged ones.

    :raises RulesError: the file is missing or wrong; file, line and fix are named.
    """
    return load_rules(path or settings.scoring_rules)


def make_registration_lookup(settings: Settings, bootstrap: Path | None = None) -> RegistrationLookup:
    """The question to the registries about one domain.

    :param bootstrap: file that names the registries' servers; None: the packaged one.
    :raises SettingsError: it is switched off.
    """
    if not settings.registration_enabled:
        raise SettingsError(
            "registration look-ups are switched off; set HUNTER_REGISTRATION_ENABLED=true to switch them on"
        )
    # Imported here: it loads in half a second, which every command and every run would pay.
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
    session = requests.Session()

    def lookup(domain: str) -> TenantDiscovery:
        return discover_tenant(domain, session, settings.tenant_discovery_url)

    return lookup
