"""Settings: defaults, checks with their fix, and the list in `.env.example`."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from hunter_pipeline.settings import Settings, SettingsError, load_settings, variable_name

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("HUNTER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_example_file_lists_every_setting_once_at_its_default():
    text = (ROOT / ".env.example").read_text("utf-8")
    listed = dict(re.findall(r"^# (HUNTER_\w+)=(.*)$", text, re.MULTILINE))
    names = re.findall(r"^# (HUNTER_\w+)=", text, re.MULTILINE)
    assert sorted(names) == sorted(variable_name(name) for name in Settings.model_fields)
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default in (None, ()) else str(default).lower() if isinstance(default, bool) else str(default)
        assert listed[variable_name(name)] == shown, name


def test_the_example_file_at_its_defaults_is_valid(tmp_path: Path):
    text = re.sub(r"^# (HUNTER_\w+=)", r"\1", (ROOT / ".env.example").read_text("utf-8"), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(text, "utf-8")
    assert load_settings() == Settings(_env_file=None)


def test_nothing_is_synced_unless_switched_on():
    assert load_settings().partner_center_enabled is False


def test_the_environment_stands_above_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("HUNTER_DOMAIN_RESCAN_DAYS=7\nHUNTER_LOG_LEVEL=DEBUG\n", "utf-8")
    monkeypatch.setenv("HUNTER_LOG_LEVEL", "ERROR")
    settings = load_settings()
    assert (settings.domain_rescan_days, settings.log_level) == (7, "ERROR")


def test_the_api_url_alias_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_API_URL", "https://api.example.com/")
    assert load_settings().partner_center_base_url == "https://api.example.com"


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("HUNTER_PARTNER_CENTER_CLIENT_ID", "my-app", "Application (client) ID"),
        ("HUNTER_PARTNER_CENTER_TENANT_ID", "a/b", "Directory (tenant) ID"),
        ("HUNTER_PARTNER_CENTER_BASE_URL", "http://api.partner.microsoft.com", "https://"),
        ("HUNTER_PARTNER_CENTER_BASE_URL", "https://user@api.partner.microsoft.com", "https://"),
        ("HUNTER_PARTNER_CENTER_AUTHORITY", "login.microsoftonline.com", "https://"),
        ("HUNTER_PARTNER_CENTER_SYNC_INTERVAL", "7000", "600"),
        ("HUNTER_PARTNER_CENTER_SYNC_INTERVAL", "ten", "integer"),
        ("HUNTER_DNS_SERVERS", "dns.example.com", "10.0.0.53:53"),
        ("HUNTER_DNS_SERVERS", "127.0.0.1:99999", "port"),
        ("HUNTER_TOKEN_CACHE_KEY", "secret", "Fernet.generate_key"),
        ("HUNTER_PARTNER_CENTER_ENABLED", "perhaps", "boolean"),
        ("HUNTER_ENVIRONMENT", "staging", "'production' or 'development'"),
    ],
)
def test_a_wrong_value_names_its_variable_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, fix: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"{variable}: ")
    assert fix in message
    assert "\n" not in message


def test_a_secret_that_is_wrong_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_TOKEN_CACHE_KEY", "hunter2hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "refused"),
    [
        (
            "HUNTER_PARTNER_CENTER_SYNC_BUDGET",
            "3600",
            "HUNTER_PARTNER_CENTER_SYNC_MAX_RUNTIME: 3600 seconds end a sync",
        ),
        ("HUNTER_SCAN_CLAIM_SECONDS", "3600", "HUNTER_SCAN_MAX_RUNTIME: 7200 seconds end a scan"),
    ],
)
def test_values_that_contradict_another_one_are_refused_and_name_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, refused: str
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{refused}"):
        load_settings()
    monkeypatch.setenv(variable, str(int(value) - 1))
    load_settings()


def test_several_wrong_values_are_named_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_LOG_LEVEL", "LOUD")
    monkeypatch.setenv("HUNTER_DNS_ATTEMPTS", "0")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sorted(line.split(":")[0] for line in str(caught.value).splitlines()) == [
        "HUNTER_DNS_ATTEMPTS",
        "HUNTER_LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("value", "servers"),
    [
        ("10.0.0.53", ("10.0.0.53",)),
        ("10.0.0.53:5353, [fd00::53]:53", ("10.0.0.53:5353", "[fd00::53]:53")),
        ("", ()),
    ],
)
def test_dns_servers_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch, value: str, servers: tuple[str, ...]):
    monkeypatch.setenv("HUNTER_DNS_SERVERS", value)
    assert load_settings().dns_servers == servers


@pytest.mark.parametrize(
    ("seconds", "cron"),
    [(60, "*/1 * * * *"), (600, "*/10 * * * *"), (3600, "0 */1 * * *"), (7200, "0 */2 * * *"), (86400, "0 0 * * *")],
)
def test_the_sync_interval_becomes_a_cron_expression(seconds: int, cron: str):
    assert load_settings(partner_center_sync_interval=seconds).sync_cron == cron


def test_instance_discovery_is_off_for_authorities_that_are_not_microsofts():
    assert load_settings().instance_discovery is True
    assert load_settings(partner_center_authority="https://127.0.0.1:8443/{tenant_id}").instance_discovery is False
    chosen = load_settings(
        partner_center_authority="https://login.example.com/x", partner_center_instance_discovery=True
    )
    assert chosen.instance_discovery is True


def test_exchange_rates_are_codes_with_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_EXCHANGE_RATES", "eur=1, USD=0.92")
    assert load_settings().exchange_rates == {"EUR": Decimal(1), "USD": Decimal("0.92")}
    for wrong in ("EUR", "EURO=1", "EUR=0", "EUR=-1", "EUR=1e9", "EUR=1;USD=2", "';--=1"):
        monkeypatch.setenv("HUNTER_EXCHANGE_RATES", wrong)
        with pytest.raises(SettingsError, match=r"HUNTER_EXCHANGE_RATES.*USD=0\.92"):
            load_settings()
