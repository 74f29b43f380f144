"""The sandbox as a whole: its settings, its DNS, its ports, its life."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import requests

from hunter_pipeline.sandbox.identity import TENANT_ID
from hunter_pipeline.sandbox.sandbox import AUTHORITY, Ports, Sandbox
from hunter_pipeline.settings import load_settings


def ask(sandbox: Sandbox, name: str, rtype: str) -> dns.message.Message:
    host, _, port = sandbox.dns.address.rpartition(":")
    answer, _ = dns.query.udp_with_fallback(dns.message.make_query(name, rtype), host, port=int(port), timeout=2)
    return answer


def test_the_environment_is_all_that_the_settings_need(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # away from a developer's .env
    settings = load_settings()
    assert settings.partner_center_enabled
    assert settings.partner_center_base_url == sandbox.base_url
    assert settings.authority_url == f"{sandbox.base_url}/{TENANT_ID}"
    assert settings.instance_discovery is False
    assert settings.dns_servers == (sandbox.dns.address,)
    assert settings.partner_center_request_interval == 0
    assert settings.tenant_discovery_url == sandbox.base_url


def test_the_certificate_authority_in_the_environment_is_trusted_by_requests(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.base_url}/{TENANT_ID}/v2.0/.well-known/openid-configuration")
    assert answer.status_code == 200


def test_the_zone_answers_for_the_sample_companies(sandbox: Sandbox) -> None:
    mx = ask(sandbox, "contoso.com", "MX")
    assert mx.answer[0][0].to_text() == "0 contoso-com.mail.protection.outlook.com."
    dkim = ask(sandbox, "selector1._domainkey.contoso.com", "TXT")
    assert [dns.rdatatype.to_text(each.rdtype) for each in dkim.answer] == ["CNAME", "TXT"]
    assert ask(sandbox, "hayali-park-alani.com", "MX").answer[0][0].to_text() == "0 ."


def test_dns_can_fail_in_each_way(sandbox: Sandbox) -> None:
    assert ask(sandbox, "kurgu-bozuk-dns.com.tr", "MX").rcode() == dns.rcode.SERVFAIL
    assert ask(sandbox, "kapanmis-kurgu-magaza.com.tr", "MX").rcode() == dns.rcode.NXDOMAIN
    no_data = ask(sandbox, "kurgu-egitim-vakfi.com.tr", "MX")
    assert (no_data.rcode(), no_data.answer) == (dns.rcode.NOERROR, [])
    host, _, port = sandbox.dns.address.rpartition(":")
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query("hayali-sessiz-dns.com.tr", "MX"), host, port=int(port), timeout=0.2)


def test_other_referrals_and_another_zone_replace_the_samples() -> None:
    with Sandbox(referrals=[{"id": "only"}], zone={"only.example": {"A": ["192.0.2.1"]}}) as small:
        assert small.partner_center.referrals.ids() == ["only"]
        assert ask(small, "only.example", "A").answer[0][0].to_text() == "192.0.2.1"
        assert ask(small, "contoso.com", "MX").rcode() == dns.rcode.NXDOMAIN


def test_the_authority_is_written_where_it_is_wanted_and_a_temporary_one_is_removed(tmp_path: Path) -> None:
    with Sandbox(directory=tmp_path / "new" / "folder") as kept:
        assert kept.ca_file == tmp_path / "new" / "folder" / "ca.pem"
    assert kept.ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
    with Sandbox() as passing:
        assert passing.ca_file.is_file()
    assert not passing.ca_file.exists()


def test_a_second_sandbox_in_the_folder_leaves_the_first_one_trusted(tmp_path: Path) -> None:
    with Sandbox(directory=tmp_path) as first, Sandbox(directory=tmp_path) as second:
        for each in (first, second):
            url = f"{each.base_url}/{TENANT_ID}/v2.0/.well-known/openid-configuration"
            for client in (first, second):
                assert requests.get(url, verify=str(client.ca_file)).status_code == 200
    assert (tmp_path / AUTHORITY).stat().st_mode & 0o077 == 0


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / AUTHORITY).write_text("nonsense")
    with pytest.raises(OSError, match="remove the file to begin anew"), Sandbox(directory=tmp_path):
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_wanted_port_is_used_again_after_a_stop() -> None:
    port = free_port()
    for _ in range(2):
        with Sandbox(ports=Ports(https=port)) as fixed:
            assert urlsplit(fixed.base_url).port == port
            assert requests.get(fixed.base_url, verify=str(fixed.ca_file)).status_code == 404


def test_a_taken_port_is_an_error_and_leaves_nothing_running(sandbox: Sandbox) -> None:
    taken = urlsplit(sandbox.base_url).port or 0
    with pytest.raises(OSError, match="in use"), Sandbox(ports=Ports(https=taken)):
        pass
    https = free_port()
    with pytest.raises(OSError, match="in use"), Sandbox(ports=Ports(https=https, dns=sandbox.dns.port)):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", https)).close()
