"""`hunter scan`: names in, signals and the fate of every look-up out, without a database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hunter_pipeline.cli import scanning as scan_module
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
    "contacts.com": {"MX": ["10 mx.yandex.net."], "NS": ["ns1.dns-host.net."]},
    "_dmarc.contacts.com": {"TXT": ["v=DMARC1; p=none; rua=mailto:jane.doe@contacts.com"]},
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


@pytest.mark.processes
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


def test_explain_tells_of_each_question_who_answered_and_what_it_decided(hunter: CommandLine):
    ended = hunter("scan", "--explain", "info@acme.com")
    assert ended.status == 0
    assert "info@acme.com" not in ended.out
    server = os.environ["HUNTER_DNS_SERVERS"]
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    asked = [line for line in lines if f"from {server} after" in line]
    assert [line.split()[:3] for line in asked[:4]] == [
        ["1", "MX", "acme.com:"],
        ["2", "TXT", "acme.com:"],
        ["3", "TXT", "_dmarc.acme.com:"],
        ["4", "NS", "acme.com:"],
    ]
    assert all(" after 1 attempt, " in line and line.endswith(" ms") for line in asked)
    mx = lines[lines.index(asked[0]) : lines.index(asked[1])]
    assert "= provider: Unknown -> M365 (high confidence)" in mx
    assert "= MX: unknown -> present (acme-com.mail.protection.outlook.com)" in mx


def test_explain_gives_a_program_the_same(hunter: CommandLine):
    (found,) = hunter("scan", "--explain", "broken.com", "--format", "json").json()["domains"]
    assert {(step["status"], step["attempts"]) for step in found["steps"]} == {("servfail", 2)}
    assert [step["decided"] for step in found["steps"]] == [[] for _ in found["steps"]]
    assert "given" not in found
    (found,) = hunter("scan", "--explain", "acme.com", "--json").json()["domains"]
    by_question = {(step["name"], step["rtype"]): step["decided"] for step in found["steps"]}
    assert by_question["_dmarc.acme.com", "TXT"][0] == "DMARC: unknown -> ok (policy reject)"
    assert found["signals"]["provider"] == "M365"


def test_an_explanation_holds_no_address_of_a_person(hunter: CommandLine):
    for form in ("table", "json"):
        ended = hunter("scan", "--explain", "contacts.com", "--format", form)
        assert "jane.doe@contacts.com" not in ended.out
        assert "j…@contacts.com" in ended.out


def test_a_list_that_is_met_ends_well(hunter: CommandLine, tmp_path: Path):
    path = tmp_path / "expected.csv"
    path.write_text("domain,provider\nhttps://www.acme.com,m365\ninfo@acme.com,M365\n")
    ended = hunter("scan", "--against", str(path))
    assert (ended.status, ended.out.splitlines()[-1].strip()) == (0, "1 of 1 as expected")


def test_a_list_that_differs_prints_what_was_taken_for_what_and_fails(hunter: CommandLine, tmp_path: Path):
    path = tmp_path / "expected.csv"
    path.write_text(
        "\ufeffName;Provider;Domain\nJane Doe;Google;acme.com\nJohn Doe;M365;broken.com\n", encoding="utf-8"
    )
    ended = hunter("scan", "--against", str(path))
    assert ended.status == 1
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["Expected", "M365", "Google", "undetermined"] in rows
    assert ["M365", ".", ".", "1"] in rows
    assert ["Google", "1", ".", "."] in rows
    assert "acme.com: expected Google, found M365 (high confidence)" in ended.out
    assert "  mx acme-com.mail.protection.outlook.com: M365" in ended.out
    assert "broken.com: expected M365, found undetermined" in ended.out
    assert "Doe" not in ended.out + ended.err
    ended = hunter("scan", "--against", str(path), "--format", "json", "--explain")
    found = ended.json()
    assert (ended.status, found["compared"], found["as_expected"]) == (1, 2, 0)
    assert found["confusion"] == {"Google": {"M365": 1}, "M365": {"undetermined": 1}}
    assert [(each["domain"], each["steps"][0]["rtype"]) for each in found["differences"]] == [
        ("acme.com", "MX"),
        ("broken.com", "MX"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"PK\x03\x04\xff\xfe", "cannot be read: it is no UTF-8 text; save it as CSV in UTF-8"),
        (b"", "no column domain and no column provider; write domain,provider on line 1"),
        (b"domain\nacme.com\n", "no column provider; write"),
        (b"domain,provider\n\n", "holds no domain; write one on each line"),
        (b"domain,provider\nacme.com,Gogle\n", "line 2: 'Gogle' is no provider; there are M365, Google,"),
        (b"domain,provider\nacme.com\n", "line 2: '' is no provider"),
        (
            b"domain,provider\n\njane.doe@gmail.com,Google\n",
            "line 3: 'j…@gmail.com' names no company's domain",
        ),
        (b"domain,provider\nacme.com,M365\nwww.acme.com,Zoho\n", "line 3: acme.com stands twice with different"),
        (b'domain,provider\n"acme.com,M365\n', "is no CSV: unexpected end of data"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_in_one_line(
    hunter: CommandLine, tmp_path: Path, content: bytes | None, message: str
):
    path = tmp_path / "expected.csv"
    if content is not None:
        path.write_bytes(content)
    ended = hunter("scan", "--against", str(path))
    assert ended.status == 2
    text = " ".join(ended.err.replace("│", " ").split()).replace(f"{path}", "FILE")
    assert message in text
    assert "Traceback" not in ended.err


def test_a_list_brings_its_own_domains(hunter: CommandLine, tmp_path: Path):
    ended = hunter("scan", "acme.com", "--against", str(tmp_path / "expected.csv"))
    assert (ended.status, "takes its domains from the file" in ended.err) == (2, True)
