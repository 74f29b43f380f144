"""What a person can get wrong, each with its one line: it names the variable or option, and the fix."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.integration.cli.command_line import CommandLine, Ended

CLIENT, TENANT = "HUNTER_PARTNER_CENTER_CLIENT_ID", "HUNTER_PARTNER_CENTER_TENANT_ID"
STRANGER = "00000000-0000-4000-8000-00000000dead"
TAKEN = "{taken}"
"""Stands for a port that another program has."""

SETTINGS = [
    # command, what is set differently (None: not at all), status, words of the line
    ("sync", {"HUNTER_PARTNER_CENTER_ENABLED": None}, 1, "set HUNTER_PARTNER_CENTER_ENABLED=true"),
    ("sync", {"HUNTER_PARTNER_CENTER_ENABLED": "maybe"}, 1, "HUNTER_PARTNER_CENTER_ENABLED: "),
    ("sync", {CLIENT: None}, 1, "copy 'Application (client) ID'"),
    ("login", {CLIENT: None}, 1, f"{CLIENT} is not set"),
    ("login", {CLIENT: "my-app"}, 1, "is no GUID"),
    ("login", {CLIENT: STRANGER}, 1, CLIENT),
    ("login", {TENANT: None}, 1, "copy 'Directory (tenant) ID'"),
    ("login", {TENANT: "contoso com"}, 1, "neither a GUID nor a domain"),
    ("login", {TENANT: STRANGER}, 1, TENANT),
    ("login", {"HUNTER_PARTNER_CENTER_AUTHORITY": "login.microsoftonline.com"}, 1, "must be an https:// address"),
    ("login", {"HUNTER_PARTNER_CENTER_AUTHORITY": "https://127.0.0.1:9/x"}, 1, "127.0.0.1:9"),
    ("login", {"REQUESTS_CA_BUNDLE": None}, 1, "REQUESTS_CA_BUNDLE"),
    ("login", {"HUNTER_TOKEN_CACHE_KEY": "s3cret"}, 1, "Fernet.generate_key"),
    ("sync", {"HUNTER_PARTNER_CENTER_BASE_URL": "http://api.example.com"}, 1, "must be an https:// address"),
    ("sync", {"HUNTER_PARTNER_CENTER_SYNC_INTERVAL": "7 minutes"}, 1, "HUNTER_PARTNER_CENTER_SYNC_INTERVAL: "),
    ("sync", {"HUNTER_PARTNER_CENTER_SYNC_INTERVAL": "420"}, 1, "use 300, 600"),
    ("sync", {"HUNTER_PARTNER_CENTER_COSELL_BONUS": "150"}, 1, "HUNTER_PARTNER_CENTER_COSELL_BONUS: "),
    ("sync", {}, 1, "hunter login"),
    ("leads", {"HUNTER_ENVIRONMENT": "prod"}, 1, "'production' or 'development'"),
    ("leads", {"HUNTER_DNS_SERVERS": "dns.google"}, 1, "10.0.0.53:53"),
    ("leads", {"HUNTER_LOG_LEVEL": "LOUD"}, 1, "HUNTER_LOG_LEVEL: "),
    ("leads", {"HUNTER_ENV_FILE": "nowhere.env"}, 1, "HUNTER_ENV_FILE: there is no file nowhere.env"),
    ("leads", {"HUNTER_ENV_FILE": "latin.env"}, 1, "save it as UTF-8"),
    ("leads", {"HUNTER_DATABASE_URL": "mysql://u:s3cret@127.0.0.1/x"}, 1, "must name a PostgreSQL server"),
    ("leads", {"HUNTER_DATABASE_URL": "127.0.0.1"}, 1, "HUNTER_DATABASE_URL is not a database address"),
    ("leads", {"HUNTER_DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}, 1, "correct HUNTER_DATABASE_URL"),
    ("leads", {"HUNTER_DATABASE_URL": "{empty}"}, 1, "run `hunter db upgrade`"),
    ("leads", {"HUNTER_DATABASE_URL": "{newer}"}, 1, "install the newer version again"),
    ("rules check", {"HUNTER_SCORING_RULES": "nowhere.yaml"}, 1, "nowhere.yaml"),
    ("web --wait 0", {"HUNTER_WEB_HOST": "0.0.0.0"}, 1, "HUNTER_WEB_TOKEN is not set"),
    ("web --wait 0", {"HUNTER_WEB_TOKEN": "s3cret"}, 1, "at least 16 characters"),
    ("web --wait 0", {"HUNTER_WEB_PORT": TAKEN}, 1, "choose another with --port"),
    ("web --wait 0", {"HUNTER_WEB_PORT": "70000"}, 1, "HUNTER_WEB_PORT: "),
    (
        "web --wait 0",
        {"HUNTER_WEBHOOK_ENABLED": "true", "HUNTER_WEBHOOK_CA_FILE": "no.pem"},
        1,
        "HUNTER_WEBHOOK_CA_FILE",
    ),
    ("referral accept X", {}, 1, "set HUNTER_PARTNER_CENTER_WRITE_ENABLED=true"),
]

USAGE = [
    ("sink", 2, "see hunter --help"),
    ("sync --fast", 2, "No such option: --fast"),
    ("sync --since yesterday", 2, "write it like 2026-11-24"),
    ("sync --until 2999-01-01", 2, "is in the future"),
    ("sync --since 2026-11-02 --until 2026-11-01", 2, "give an earlier day"),
    ("leads --category p7", 2, "P6, unscored"),
    ("leads --min-score 101", 2, "--min-score"),
    ("leads --format xml", 2, "'table', 'csv', 'json', 'xlsx'"),
    ("leads --format xlsx", 2, "--output leads.xlsx"),
    ("leads --format csv --output nowhere/leads.csv", 1, "nowhere/leads.csv"),
    ("lineage no-such-referral", 2, "no-such-referral"),
    ("lineage", 2, "see hunter lineage --help"),
    ("score nothing-known-kurgu.com.tr", 1, "hunter: "),
    ("rules export taken.yaml", 2, "add --force"),
    ("db upgrade 9999", 1, "hunter db status"),
    ("dev --port 99999", 2, "--port"),
    (f"dev --port {TAKEN}", 1, "choose another with --port"),
    ("dev --port 3999 --web-port 3999", 2, "cannot both have port 3999"),
    ("ui --host 0.0.0.0", 1, "HUNTER_WEB_TOKEN is not set"),
    ("sandbox --port -1", 2, "--port"),
    ("daemon --wait soon", 2, "--wait"),
    ("init", 2, "give it as an option"),
    (f"init --yes --client-id x --tenant-id {STRANGER}", 2, "is no GUID"),
]


@pytest.fixture
def mistaken(
    sandbox: Sandbox,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """`hunter` on a machine where everything else is right, in a folder with files to stumble over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUNTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HUNTER_DATABASE_URL", database_url)
    monkeypatch.setenv("HUNTER_ENV_FILE", os.devnull)
    Path("latin.env").write_bytes("HUNTER_LOG_LEVEL=DEBUG # für alle".encode("latin-1"))
    Path("taken.yaml").touch()
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def places(database_url: str, empty_database_url: str) -> Mapping[str, str]:
    """What stands for words in braces."""
    return {"{empty}": empty_database_url, "{newer}": database_url}


def check(ended: Ended, status: int, words: str) -> None:
    assert ended.status == status, ended.err
    assert "Traceback" not in ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("hunter")]
    assert len(lines) == 1, ended.err
    assert words in lines[0]
    assert "s3cret" not in ended.out + ended.err


def test_there_are_forty_of_them():
    assert len(SETTINGS) + len(USAGE) >= 40


@pytest.mark.parametrize(("command", "changes", "status", "words"), SETTINGS)
def test_a_wrong_setting_is_told_in_one_line(
    mistaken: CommandLine,
    places: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    changes: dict[str, str | None],
    status: int,
    words: str,
):
    if "{newer}" in changes.values():
        engine = create_engine(places["{newer}"])
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        engine.dispose()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for name, value in changes.items():
            if value is None:
                monkeypatch.delenv(name)
            else:
                port = str(taken.getsockname()[1])
                monkeypatch.setenv(name, port if value == TAKEN else places.get(value, value))
        check(mistaken(*command.split()), status, words)


@pytest.mark.parametrize(("command", "status", "words"), USAGE)
def test_wrong_usage_is_told_in_one_line(mistaken: CommandLine, command: str, status: int, words: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        check(mistaken(*command.replace(TAKEN, str(taken.getsockname()[1])).split()), status, words)
