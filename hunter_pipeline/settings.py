"""Every `HUNTER_` setting: one typed class, validated when it is made.

Belongs here: names, types, defaults and the check of each value. Does not belong here: what a value is
used for. Settings are read from the environment and from a `.env` file in the working directory, only when
`load_settings` is called and never at import. `.env.example` lists every setting; a test compares the two.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from cryptography.fernet import Fernet
from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_SYNC_SECONDS = 30
"""How often the development sensor asks for a sync."""

MICROSOFT_LOGIN_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoft.com",
        "login.windows.net",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    }
)
"""Hosts whose authority metadata MSAL can discover (learn.microsoft.com, "National clouds")."""


class SettingsError(ValueError):
    """A setting is missing or wrong. The text names each variable and the fix, never a secret's value."""


class Settings(BaseSettings):
    """All settings of Hunter. Field names are the environment variables without `HUNTER_`, in lower case."""

    model_config = SettingsConfigDict(
        env_prefix="HUNTER_", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore",
        frozen=True, populate_by_name=True, hide_input_in_errors=True,
    )  # fmt: skip

    environment: Literal["production", "development"] = Field(
        "production", description="`development` switches the 30-second sync sensor on"
    )
    home: Path = Field(Path(".hunter"), description="Folder of the embedded database, keys and Dagster's local files")
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL server to use instead of the embedded one: `postgresql://user:password@host/db`"
    )
    dagster_database_url: SecretStr | None = Field(
        None, description="Database of Dagster's own storage; unset: `<database>_dagster` on the same server"
    )
    dns_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="`host:port`, comma separated; unset: the system's resolvers"
    )
    dns_in_flight: int = Field(200, ge=1, le=5000, description="DNS questions under way at once")
    dns_queries_per_second: float = Field(
        200.0, gt=0, description="DNS questions a second, for each server, at the start of a scan"
    )
    dns_most_queries_per_second: float = Field(
        1000.0, gt=0, description="DNS questions a second that a server gets at most while it answers cleanly"
    )
    dns_timeout: float = Field(2.0, gt=0, le=60, description="Seconds to wait for one DNS answer")
    dns_attempts: int = Field(
        3, ge=1, le=10, description="How often one DNS question is asked before it counts as unanswered"
    )
    executor: Literal["in_process", "multiprocess", "celery", "k8s"] = Field(
        "in_process",
        description="What looks up more domains than HUNTER_SCAN_SHARD: the run itself, or shards as processes of this"
        " machine, on Celery workers or as Kubernetes jobs",
    )
    scan_shard: int = Field(
        1000, ge=1, le=100_000, description="Domains of one shard; up to so many are looked up by the run itself"
    )
    scan_shares: int = Field(
        2, ge=1, le=100, description="Shards that ask at once on all machines; each gets that part of the DNS pace"
    )
    scan_claim_seconds: float = Field(
        300.0,
        ge=5,
        le=86_400,
        description="Seconds after which the domains of a shard that gives no sign are free again",
    )
    scan_max_runtime: int = Field(
        7200,
        ge=60,
        le=604_800,
        description="Seconds after which the daemon ends a spread scan that still runs; more than two claims hold",
    )
    celery_url: SecretStr | None = Field(
        None, description="Redis that hands shards to Celery workers (HUNTER_EXECUTOR=celery): `redis://host:6379/0`"
    )
    closed_partition_days: int = Field(
        180, ge=1, description="Days after which a closed referral leaves the partitions of the Dagster UI"
    )
    domain_rescan_days: int = Field(30, ge=1, description="Age in days at which a domain's signals are looked up again")
    domain_rescan_limit: int = Field(
        5000, ge=1, le=1_000_000, description="Domains that the daily rescan looks up again, at most"
    )
    registration_enabled: bool = Field(True, description="Look up registrar and expiry of each domain over RDAP")
    registration_limit: int = Field(
        500, ge=1, le=100_000, description="Domains that registries are asked about in an hour, at most"
    )
    tenant_discovery_enabled: bool = Field(False, description="Ask Microsoft whether a domain has an Entra tenant")
    tenant_discovery_limit: int = Field(
        500, ge=1, le=100_000, description="Domains that Microsoft is asked about in an hour, at most"
    )
    tenant_discovery_url: str = Field(
        "https://login.microsoftonline.com",
        description="Where tenant discovery asks for a domain's OpenID configuration",
    )
    scoring_rules: Path | None = Field(None, description="Scoring rules file; unset: the packaged `scoring/rules.yaml`")
    token_cache_key: SecretStr | None = Field(
        None,
        description="Fernet keys of the token cache, newest first, comma separated; unset: one is made in HUNTER_HOME",
    )
    alert_webhook_url: SecretStr | None = Field(
        None, description="Incoming webhook of a Slack or Teams channel that is told about failed runs and checks"
    )
    digest_hour: int | None = Field(
        None, ge=0, le=23, description="Hour (UTC) at which the channel is sent a digest of the leads; unset: never"
    )
    exchange_rates: Annotated[dict[str, Decimal] | None, NoDecode] = Field(
        None,
        description="What one of each currency is worth in a currency of your choice, to sort deal values by:"
        " `EUR=1,USD=0.92`; unset: sorted within each currency",
    )
    log_format: Literal["text", "json"] = Field("text", description="How log lines are written")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe level that is logged"
    )

    partner_center_enabled: bool = Field(False, description="The feature flag: off by default, nothing is synced")
    partner_center_client_id: str | None = Field(None, description="Application (client) id of the app registration")
    partner_center_client_secret: SecretStr | None = Field(
        None, description="Client secret, for a confidential client only"
    )
    partner_center_tenant_id: str | None = Field(
        None, description="Directory (tenant) id or domain of the partner's tenant"
    )
    partner_center_base_url: str = Field(
        "https://api.partner.microsoft.com",
        validation_alias=AliasChoices("HUNTER_PARTNER_CENTER_BASE_URL", "HUNTER_PARTNER_CENTER_API_URL"),
        description="Host of the referrals API (`HUNTER_PARTNER_CENTER_API_URL` is read too)",
    )
    partner_center_authority: str = Field(
        "https://login.microsoftonline.com/{tenant_id}", description="Sign-in authority; `{tenant_id}` is filled in"
    )
    partner_center_scope: str = Field(
        "https://api.partner.microsoft.com/.default", description="Delegated scope that is asked for"
    )
    partner_center_token_cache_path: Path | None = Field(
        None, description="Keep the encrypted token cache in this file instead of in the database"
    )
    partner_center_sync_interval: int = Field(
        600, ge=60, le=86_400, description="Seconds between two syncs; a whole number of minutes"
    )
    partner_center_cosell_bonus: int = Field(15, ge=0, le=100, description="Points for an open co-sell referral")
    partner_center_azure_tenant_score: int = Field(55, ge=0, le=100, description="Score of a declared Azure tenant")
    partner_center_instance_discovery: bool | None = Field(
        None, description="Whether MSAL checks the authority with Microsoft; unset: only for Microsoft's own hosts"
    )
    partner_center_request_interval: float = Field(1.0, ge=0, le=60, description="Seconds between two API requests")
    partner_center_attempts: int = Field(
        2, ge=1, le=10, description="How often a request is tried on a transient failure"
    )
    partner_center_timeout: float = Field(30.0, gt=0, le=600, description="Seconds to wait for the API to answer")
    partner_center_body_timeout: float = Field(
        120.0, gt=0, le=3600, description="Seconds that one whole answer of the API may take"
    )
    partner_center_page_limit: int = Field(5000, ge=1, description="Pages of the referral list that one sync reads")
    partner_center_sync_budget: float = Field(
        2400.0, gt=0, le=86_400, description="Seconds that one sync may spend on asking the API"
    )
    partner_center_sync_max_runtime: int = Field(
        3600,
        ge=60,
        le=604_800,
        description="Seconds after which the daemon ends a sync that still runs; longer than the budget above",
    )

    partner_center_write_enabled: bool = Field(
        False, description="Let people accept, decline and update referrals from here; off: the product only reads"
    )
    partner_center_portal_url: str = Field(
        "https://partner.microsoft.com/dashboard/referrals/v2/leads",
        description="Where people see referrals in Partner Center; `{referral_id}` and `{engagement_id}` are filled in",
    )

    web_host: str = Field(
        "127.0.0.1", description="Address that the lead list listens on; one beyond loopback needs HUNTER_WEB_TOKEN"
    )
    web_port: int = Field(8000, ge=1, le=65_535, description="Port that the lead list listens on")
    web_database_url: SecretStr | None = Field(
        None, description="Address over which the lead list reads, such as a pooler; unset: HUNTER_DATABASE_URL"
    )
    web_token: SecretStr | None = Field(
        None, description="Token of at least 16 characters that opens the lead list and its API; unset: loopback only"
    )
    web_public_url: str | None = Field(
        None, description="Address under which a reverse proxy serves the lead list, such as https://leads.example.com"
    )
    web_user_header: str | None = Field(
        None, description="Header in which a proxy that signs people in names the person, such as X-Forwarded-User"
    )
    web_trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses or networks, comma separated, from which HUNTER_WEB_USER_HEADER is believed"
    )
    dagster_url: str = Field(
        "http://127.0.0.1:3000", description="Dagster's web server, through which the lead list starts syncs"
    )
    dagster_public_url: str | None = Field(
        None, description="Address of the Dagster UI in people's browsers; unset: the same as HUNTER_DAGSTER_URL"
    )
    webhook_enabled: bool = Field(False, description="Take Partner Center's events at /ingest/partnercenter")
    webhook_certificate_url: str = Field(
        "https://3psostorageacct.blob.core.windows.net/cert/",
        description="Where the certificate that signs an event may be fetched from: an https:// address it begins with",
    )
    webhook_ca_file: Path | None = Field(
        None, description="Root certificates (PEM) that signing certificates must lead to; unset: the usual public ones"
    )

    @field_validator("home")
    @classmethod
    def _make_absolute(cls, value: Path) -> Path:
        # Child processes run in other directories and must find the same database.
        return value.expanduser().absolute()

    @field_validator("dns_servers", "web_trusted_proxies", mode="before")
    @classmethod
    def _split_servers(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("scan_max_runtime")
    @classmethod
    def _check_scan_runtime(cls, value: int, info: ValidationInfo) -> int:
        if value <= 2 * (claim := info.data.get("scan_claim_seconds", 0)):
            raise ValueError(
                f"{value} seconds end a scan before the shard of a dead worker could be done by another one; set it to"
                f" more than twice HUNTER_SCAN_CLAIM_SECONDS ({claim:g})"
            )
        return value

    @field_validator("partner_center_sync_max_runtime")
    @classmethod
    def _check_sync_runtime(cls, value: int, info: ValidationInfo) -> int:
        if value <= (budget := info.data.get("partner_center_sync_budget", 0)):
            raise ValueError(
                f"{value} seconds end a sync that may still ask the API; set it to more than"
                f" HUNTER_PARTNER_CENTER_SYNC_BUDGET ({budget:g}), by as much as all that follows takes"
            )
        return value

    @field_validator("exchange_rates", mode="before")
    @classmethod
    def _read_rates(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        rates: dict[str, Decimal] = {}
        for part in value.split(","):
            match = re.fullmatch(r"\s*([A-Za-z]{3})\s*=\s*(\d{1,9}(?:\.\d{1,12})?)\s*", part)
            if match is None or not Decimal(match[2]):
                raise ValueError(f"{part.strip()!r} is no rate; write a code of three letters and a number: USD=0.92")
            rates[match[1].upper()] = Decimal(match[2])
        return rates

    @field_validator("dns_servers")
    @classmethod
    def _check_servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            host, port = _host_and_port(server)
            try:
                ipaddress.ip_address(host)
            except ValueError:
                raise ValueError(
                    f"{server!r} is no IP address with an optional port; write 10.0.0.53:53 or [fd00::53]:53"
                ) from None
            if not 1 <= port <= 65535:
                raise ValueError(f"{server!r} has no port between 1 and 65535")
        return servers

    @field_validator("web_trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ValueError(f"{proxy!r} is no address or network; write 10.0.0.5 or 10.0.0.0/24") from None
        return proxies

    @field_validator("web_user_header")
    @classmethod
    def _check_header(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", value):
            raise ValueError("is no header's name; write one such as X-Forwarded-User")
        return value

    @field_validator("alert_webhook_url")
    @classmethod
    def _check_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts is not None and (parts.scheme != "https" or not parts.hostname or parts.username):
            raise ValueError("must be an https:// address: copy it from the channel's incoming webhook")
        return value

    @field_validator("partner_center_base_url", "tenant_discovery_url")
    @classmethod
    def _check_https(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError(
                "must be an https:// address without user, query or fragment: the access token is sent there"
            )
        return value.rstrip("/")

    @field_validator("celery_url")
    @classmethod
    def _check_broker(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts is not None and (parts.scheme not in {"redis", "rediss"} or not parts.hostname):
            raise ValueError("must be the address of a Redis server: redis://host:6379/0, or rediss:// with TLS")
        return value

    @field_validator("web_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        token = value.get_secret_value() if value else None
        if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
            raise ValueError(
                "must be at least 16 characters of ASCII without spaces; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        return value

    @field_validator("partner_center_portal_url")
    @classmethod
    def _check_portal(cls, value: str) -> str:
        names = set(re.findall(r"\{([^}]*)\}", value))
        if not value.startswith("https://") or names - {"referral_id", "engagement_id"}:
            raise ValueError("must be an https:// address; only {referral_id} and {engagement_id} are filled in")
        return value

    @field_validator("web_public_url", "dagster_url", "dagster_public_url")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://unset")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError("must be an http:// or https:// address without user and query")
        return value.rstrip("/") if value else None

    @field_validator("webhook_certificate_url")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.username or not parts.path.endswith("/"):
            raise ValueError("must be an https:// address that ends with a slash")
        return value

    @field_validator("partner_center_authority")
    @classmethod
    def _check_authority(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("must be an https:// address such as https://login.microsoftonline.com/{tenant_id}")
        return value.rstrip("/")

    @field_validator("partner_center_client_id")
    @classmethod
    def _check_client_id(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return str(UUID(value.strip()))
        except ValueError:
            raise ValueError("is no GUID; copy 'Application (client) ID' from the app registration") from None

    @field_validator("partner_center_tenant_id")
    @classmethod
    def _check_tenant(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", value.strip()):
            raise ValueError("is neither a GUID nor a domain; copy 'Directory (tenant) ID' from the app registration")
        return None if value is None else value.strip()

    @field_validator("partner_center_sync_interval")
    @classmethod
    def _check_interval(cls, value: int) -> int:
        minutes, rest = divmod(value, 60)
        if rest or (minutes < 60 and 60 % minutes) or (minutes >= 60 and (minutes % 60 or 24 % (minutes // 60))):
            raise ValueError("must divide an hour or a day into whole minutes; use 300, 600, 900, 1800 or 3600 seconds")
        return value

    @field_validator("token_cache_key")
    @classmethod
    def _check_keys(cls, value: SecretStr | None) -> SecretStr | None:
        for key in value.get_secret_value().split(",") if value else ():
            try:
                Fernet(key.strip())
            except ValueError:
                raise ValueError(
                    "holds a key that is no Fernet key (32 bytes, url-safe base64); make one with: "
                    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
                ) from None
        return value

    @property
    def authority_url(self) -> str:
        """The sign-in authority with the tenant id filled in (`organizations` when none is set)."""
        return self.partner_center_authority.replace("{tenant_id}", self.partner_center_tenant_id or "organizations")

    @property
    def instance_discovery(self) -> bool:
        """Whether MSAL may check the authority with Microsoft: as set, else only for Microsoft's own hosts."""
        if self.partner_center_instance_discovery is not None:
            return self.partner_center_instance_discovery
        return (urlsplit(self.partner_center_authority).hostname or "") in MICROSOFT_LOGIN_HOSTS

    @property
    def token_cache_keys(self) -> tuple[str, ...]:
        """The configured Fernet keys, newest first; empty when none is set."""
        value = self.token_cache_key.get_secret_value() if self.token_cache_key else ""
        return tuple(key.strip() for key in value.split(",") if key.strip())

    @property
    def sync_cron(self) -> str:
        """The sync interval as a cron expression in UTC."""
        minutes = self.partner_center_sync_interval // 60
        if minutes < 60:
            return f"*/{minutes} * * * *"
        return f"0 */{minutes // 60} * * *" if minutes < 1440 else "0 0 * * *"


def _host_and_port(server: str) -> tuple[str, int]:
    """Split `host`, `host:port`, `[v6]:port` or a bare IPv6 address; the port is 53 by default, 0 when no number."""
    match = re.fullmatch(r"\[(?P<v6>[^\]]+)\](?::(?P<p6>.*))?|(?P<host>[^:]+)(?::(?P<port>.*))?", server)
    if match is None:
        return server, 53
    port = match["p6"] if match["v6"] else match["port"]
    return match["v6"] or match["host"], 53 if port is None else int(port) if port.isdecimal() else 0


def variable_name(field: str) -> str:
    """The environment variable of a field, such as `HUNTER_DNS_SERVERS` for `dns_servers`."""
    return f"HUNTER_{field.upper()}"


def example_file() -> Path:
    """The list of all settings with comments: as it travels in the wheel, else as it stands in a checkout."""
    installed = Path(__file__).parent / "settings.env"
    return installed if installed.exists() else Path(__file__).parents[1] / ".env.example"


def env_file() -> Path:
    """The file that settings are read from, besides the environment."""
    return Path(os.environ.get("HUNTER_ENV_FILE") or ".env")


def unknown_names() -> dict[str, str | None]:
    """HUNTER_ names in the environment and in the settings' file that are no setting, each with the nearest that is.

    What Kubernetes sets for a service whose name begins with `hunter` is left out.
    """
    known = {variable_name(field) for field in Settings.model_fields}
    known |= {"HUNTER_ENV_FILE", "HUNTER_PARTNER_CENTER_API_URL"}
    given = {*os.environ, *(dotenv_values(env_file()) if env_file().is_file() else ())}
    unknown = sorted(name for name in given if name.upper().startswith("HUNTER_") and name.upper() not in known)
    return {
        name: next(iter(difflib.get_close_matches(name.upper(), known, 1)), None)
        for name in unknown
        if not re.search(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP))?(_\w+)?$", name)
    }


def load_settings(**overrides: object) -> Settings:
    """Read and check the settings from the environment and from `.env` (or the file in `HUNTER_ENV_FILE`).

    :param overrides: field values that stand above the environment.
    :raises SettingsError: a value is wrong; one line for each variable, with the fix.
    """
    file = env_file()
    if os.environ.get("HUNTER_ENV_FILE") and (not file.exists() or file.is_dir()):
        raise SettingsError(f"HUNTER_ENV_FILE: there is no file {file}; correct the path or unset the variable")
    # All that settings follow from: a run asks for them a dozen times, and to check them takes as many milliseconds.
    text = file.read_bytes() if file.is_file() else b""
    folder = Path().stat()  # by which paths that are relative become absolute; it may have been deleted
    return _checked_once(file, text, folder.st_dev, folder.st_ino, frozenset(os.environ.items()), **overrides)


@lru_cache(maxsize=1)
def _checked_once(file: Path, *_: object, **overrides: object) -> Settings:
    try:
        return Settings(_env_file=file, **overrides)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is no UTF-8 text; save it as UTF-8") from None
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            variable = name if name.startswith("HUNTER_") else variable_name(name)
            lines.append(f"{variable}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None
