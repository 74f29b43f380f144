"""Tenant discovery against a real HTTPS server that stands in for the identity provider."""

from typing import Any

import pytest
import requests

from hunter_pipeline.scan.tenant import TenantDiscovery, discover_tenant

TENANT = "8b87af7d-8647-4dc7-8df4-5f69a2011bb5"
PATH = "/acme.com/v2.0/.well-known/openid-configuration"


def discover(server: Any, status: int, body: Any) -> TenantDiscovery:
    server.answers[PATH] = (status, body)
    return discover_tenant("acme.com", server.session, server.url)


def configuration(**more: Any) -> dict[str, Any]:
    return {"issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0", "tenant_region_scope": "EU"} | more


def test_a_domain_in_a_tenant(https_server: Any):
    assert discover(https_server, 200, configuration()) == TenantDiscovery("found", TENANT, "EU")
    assert https_server.asked == [PATH]


def test_a_tenant_without_a_region(https_server: Any):
    assert discover(https_server, 200, configuration(tenant_region_scope=None)) == TenantDiscovery("found", TENANT)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant 'acme.com' not found."},
        {"error": "invalid_request", "error_description": "AADSTS90002: Tenant 'acme.com' not found."},
    ],
)
def test_a_domain_in_no_tenant(https_server: Any, body: dict[str, Any]):
    assert discover(https_server, 400, body) == TenantDiscovery("none")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": "invalid_request", "error_description": "AADSTS900023: neither a DNS name"}, "HTTP status 400"),
        (400, {}, "HTTP status 400"),
        (404, {"error": "invalid_tenant"}, "HTTP status 404"),
        (429, {}, "HTTP status 429: asked to wait"),
        (302, {}, "HTTP status 302"),
        (500, {}, "HTTP status 500"),
        (200, {}, "the OpenID configuration names no tenant"),
        (
            200,
            {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"},
            "the OpenID configuration names no tenant",
        ),
        (200, {"issuer": 1}, "the OpenID configuration names no tenant"),
        (200, [], "HTTP status 200: the reply is no JSON object"),
        (200, b"\xff", "HTTP status 200: the reply is no JSON object"),
        (200, b"x" * 70_000, "HTTP status 200: the reply is no JSON object"),
    ],
)
def test_anything_else_failed_and_is_not_taken_for_no_tenant(https_server: Any, status: int, body: Any, reason: str):
    assert discover(https_server, status, body) == TenantDiscovery("failed", reason=reason)
    assert https_server.asked == [PATH]


def test_a_server_that_is_not_trusted_failed(https_server: Any):
    with requests.Session() as session:
        session.trust_env = False
        found = discover_tenant("acme.com", session, https_server.url)
    assert found == TenantDiscovery("failed", reason="no reply: SSLError")


def test_a_name_with_a_slash_stays_one_path_segment(https_server: Any):
    discover_tenant("../x", https_server.session, https_server.url)
    assert https_server.asked == ["/..%2Fx/v2.0/.well-known/openid-configuration"]
