"""`hunter scan`: names in, signals and the fate of every look-up out, without a database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hunter_pipeline.cli import scan as scan_module
from hunter_pipeline.sandbox.dns_zone import ZoneServer
from hunter_pipeline_tests.integration.cli.command_line import CommandLine

ZONE = {
    "acme.com": {
        "MX": ["0 acme-com.mail.protection.outlook.com."],
        "TXT": ["v=spf1 include:spf.protection.outlook.com -all"],
        "NS": ["ns1.dns-host.net."],
    },
    "_dmarc.acme.com": {"TXT": ["v=DMARC1; p=reject"]},
    "spf.protection.outlook.com": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
    "broken.com": {"behaviour": "servfail"},
    "*.broken.com": {"behaviour": "servfail"},
    "markup.com": {"MX": ["0 mail.markup.com."], "TXT": ["v=spf1 -all", "[bold]not markup[/bold] [/red]"]},
}


@pytest.fixture
def hunter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """The command, with a DNS server of its own and a database address at which nothing listens."""
    with ZoneServer(ZONE) as server:
        monkeypatch.setenv("HUNTER_ENV_FILE", os.devnull)
        monkeypatch.setenv("HUNTER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HUNTER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        monkeypatch.setenv("HUNTER_DNS_SERVERS", server.address)
        monkeypatch.setenv("HUNTER_DNS_ATTEMPTS", "2")
        monkeypatch.setenv("HUNTER_DNS_QUERIES_PER_SECOND", "5000")
        yield CommandLine(monkeypatch, capsys)
    assert not (tmp_path / "home").exists(), "a scan writes nothing"


def test_it_prints_signals_provider_evidence_and_every_look_up(hunter: CommandLine):
    ended = hunter("scan", "acme.com")
    assert ended.status == 0
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[0] == "acme.com M365 (high confidence) all look-ups succeeded"
    assert "SPF ok: v=spf1 include:spf.protection.outlook.com -all (1 include)" in lines
    assert "DMARC ok: policy reject, v=DMARC1; p=reject" in lines
    assert any(line.startswith("Evidence") and "protection.outlook.com" in line for line in lines)
    look_ups = [line for line in lines if "127.0.0.1" in line]
    assert [line.split()[:3] for line in look_ups[:4]] == [
        ["MX", "acme.com", "answer"],
        ["TXT", "acme.com", "answer"],
        ["TXT", "_dmarc.acme.com", "answer"],
        ["NS", "acme.com", "answer"],
    ]
    assert any(line.startswith("TXT selector1._domainkey.acme.com nxdomain") for line in look_ups)


def test_a_website_and_an_address_stand_for_one_domain_which_is_looked_up_once(hunter: CommandLine):
    ended = hunter("scan", "https://www.acme.com/contact", "info@ACME.com", "--json")
    domains = ended.json()["domains"]
    assert [(each["domain"], each["given"]) for each in domains] == [
        ("acme.com", ["https://www.acme.com/contact", "info@ACME.com"])
    ]


def test_a_failed_look_up_is_shown_as_failed_and_its_signal_as_unknown(hunter: CommandLine):
    ended = hunter("scan", "broken.com")
    assert ended.status == 0
    assert "could not be determined: mx, spf, dkim, dmarc, ns" in ended.out
    assert "servfail" in ended.out
    assert "(2 times)" in ended.out
    (found,) = hunter("scan", "broken.com", "--json").json()["domains"]
    assert (found["status"], found["signals"]["mx_state"]) == ("partial", "unknown")
    assert {reply["status"] for reply in found["replies"]} == {"servfail"}


def test_a_domain_that_does_not_exist_is_a_fact_and_no_failure(hunter: CommandLine):
    (found,) = hunter("scan", "nowhere-at-all.com", "--json").json()["domains"]
    assert (found["status"], found["signals"]["mx_state"]) == ("complete", "none")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("192.0.2.1", "IP address"),
        ("localhost", "one word"),
        ("someone@gmail.com", "consumer mail provider"),
        ("com.tr", "anybody can register"),
        ("https://www.facebook.com/acme", "social network"),
        ("a b", "one word"),
    ],
)
def test_a_name_that_is_no_company_is_refused_with_the_reason(hunter: CommandLine, name: str, why: str):
    ended = hunter("scan", name)
    assert ended.status == 1
    assert ended.out == ""
    assert "was not looked up" in ended.err
    assert why in ended.err


def test_a_refused_address_is_masked(hunter: CommandLine):
    ended = hunter("scan", "someone@gmail.com", "192.0.2.1")
    assert "'s…@gmail.com' was not looked up" in ended.err
    assert "'192.0.2.1' was not looked up" in ended.err


def test_a_refused_name_does_not_keep_the_others_from_being_looked_up(hunter: CommandLine):
    ended = hunter("scan", "localhost", "acme.com", "--json")
    assert ended.status == 1
    content = ended.json()
    assert content["refused"] == [{"given": "localhost", "reason": "single_label"}]
    assert [each["domain"] for each in content["domains"]] == ["acme.com"]


def test_names_come_from_a_file_with_comments_and_several_on_a_line(hunter: CommandLine, tmp_path: Path):
    names = tmp_path / "names.txt"
    names.write_bytes("\ufeffacme.com; markup.com # two\n\n# none\nwww.acme.com\r\n".encode())
    domains = hunter("scan", "--file", str(names), "--json").json()["domains"]
    assert [each["domain"] for each in domains] == ["acme.com", "markup.com"]


@pytest.mark.parametrize("arguments", [("-",), ("--file", "-")])
def test_names_come_from_standard_input(hunter: CommandLine, arguments: tuple[str, ...]):
    ended = hunter("scan", *arguments, "--json", stdin="acme.com\nmarkup.com\n")
    assert [each["domain"] for each in ended.json()["domains"]] == ["acme.com", "markup.com"]


def test_a_list_longer_than_a_batch_keeps_its_order(hunter: CommandLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scan_module, "BATCH", 3)
    names = [f"none-{number}.com" for number in range(8)]
    found = hunter("scan", "-", "--json", stdin="\n".join(names)).json()["domains"]
    assert [each["domain"] for each in found] == names


def test_text_from_dns_is_shown_as_text(hunter: CommandLine):
    ended = hunter("scan", "markup.com")
    assert ended.status == 0
    assert "[bold]not markup[/bold] [/red]" in ended.out


def test_no_name_at_all_is_wrong_usage(hunter: CommandLine):
    ended = hunter("scan")
    assert ended.status == 2
    assert "no domain given" in ended.err


def test_a_file_that_is_missing_is_named(hunter: CommandLine, tmp_path: Path):
    ended = hunter("scan", "--file", str(tmp_path / "missing.txt"))
    assert ended.status == 1
    assert "missing.txt" in ended.err


def test_as_a_process_it_ends_with_status_1_when_a_name_was_refused(hunter: CommandLine):
    ended = subprocess.run(
        [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", "scan", "-", "--json"],
        input="acme.com\nlocalhost\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert [each["domain"] for each in json.loads(ended.stdout)["domains"]] == ["acme.com"]
    assert "Warning" not in ended.stderr
