"""Texts from outside that read from right to left: each stands in a `<bdi>`, so that it turns nothing beside it."""

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from hunter_pipeline_tests.pipeline_runs import NOW

pytestmark = pytest.mark.xdist_group("web")

HEBREW = "שלום עולם"
AS_THEY_ARE = {"title", "pre", "option", "textarea"}
"""Elements whose text is of one piece anyway."""


class Bare(HTMLParser):
    """Collects the texts in Hebrew that no `<bdi>` holds."""

    def __init__(self) -> None:
        super().__init__()
        self.path: list[str] = []
        self.bare: list[tuple[str, str]] = []
        self.isolated = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag not in {"meta", "link", "input", "img", "br", "rect"}:
            self.path.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.path and self.path.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any("\u0590" <= letter <= "\u05ff" for letter in data):
            return
        if {"bdi"} & set(self.path):
            self.isolated += 1
        elif not AS_THEY_ARE & set(self.path):
            self.bare.append(("/".join(self.path[-4:]), data.strip()))


PAYLOAD = {
    "name": HEBREW,
    "externalReferenceId": HEBREW,
    "statusReason": HEBREW,
    "engagementId": HEBREW,
    "customerProfile": {
        "name": HEBREW,
        "size": HEBREW,
        "address": {"city": HEBREW, "country": HEBREW},
        "team": [{"firstName": HEBREW, "title": HEBREW, "email": f"{HEBREW}@example.com", "phoneNumber": HEBREW}],
    },
    "details": {
        "notes": HEBREW,
        "closingDateTime": HEBREW,
        "requirements": {"solutions": [{"name": HEBREW}]},
    },
    "team": [{"firstName": HEBREW, "email": f"{HEBREW}@microsoft.com"}, {"firstName": HEBREW}],
}


@pytest.fixture
def turned(synced: Engine) -> tuple[Engine, str, str]:
    """A database in which all that came from outside of one referral is Hebrew; its id and domain."""
    with synced.begin() as connection:
        referral_id, domain = connection.execute(
            text(
                "SELECT referral_id, domain FROM partner_center_referrals WHERE domain IS NOT NULL AND is_open LIMIT 1"
            )
        ).one()
        values = {"id": referral_id, "domain": domain, "letters": HEBREW, "payload": json.dumps(PAYLOAD)}
        for statement in (
            "UPDATE partner_center_referrals SET company_name = :letters, status = :letters, substatus = :letters,"
            " currency = :letters, deal_value = 7, qualification = :letters, deal_type = :letters,"
            " direction = :letters, warnings = ARRAY[:letters] WHERE referral_id = :id",
            "UPDATE partner_center_referrals_raw SET payload = payload || CAST(:payload AS jsonb)"
            " WHERE referral_id = :id AND is_current",
            "UPDATE companies SET canonical_name = :letters, azure_tenant_id = :letters WHERE domain = :domain",
            "UPDATE normalized_domains SET attempts = jsonb_build_array(jsonb_build_object('path', 'website',"
            " 'raw', CAST(:letters AS text), 'domain', CAST(:letters AS text), 'reason', NULL))"
            " WHERE referral_id = :id",
            "UPDATE domain_signals SET signals = signals || jsonb_build_object("
            " 'mx_hosts', ARRAY[CAST(:letters AS text)], 'spf_record',"
            "CAST(:letters AS text), 'gateway', CAST(:letters AS text)) WHERE domain = :domain",
            "UPDATE lead_scores SET reason = :letters WHERE domain = :domain",
            "INSERT INTO referral_failures (item_key, stage, error, code_version, run_id, first_seen_at, last_seen_at)"
            " VALUES (:id, 'raw_leads', :letters, '1', 'r', now(), now())",
        ):
            connection.execute(text(statement), values)
    return synced, referral_id, domain


def test_every_text_from_outside_stands_for_itself(
    turned: tuple[Engine, str, str], make_test_app: Callable[..., FastAPI]
):
    engine, referral_id, domain = turned
    with TestClient(make_test_app(engine=engine), base_url="http://127.0.0.1") as client:
        pages = {
            "list": client.get("/", params={"q": HEBREW}),
            "lead": client.get(f"/leads/{domain}"),
            "queue": client.get("/referrals", params={"tab": "all", "q": HEBREW}),
            "referral": client.get(f"/referrals/{referral_id}"),
        }
    found = {}
    for name, page in pages.items():
        assert page.status_code == 200
        parser = Bare()
        parser.feed(page.text)
        assert parser.isolated >= 2, name
        if parser.bare:
            found[name] = parser.bare
    assert found == {}


def test_the_queue_marks_what_came_in_since_the_last_visit_and_can_be_asked_for_it(
    make_test_app: Callable[..., FastAPI], synced: Engine
):
    with synced.begin() as connection:
        moved, came = connection.execute(
            text("SELECT array_agg(referral_id) FROM (SELECT referral_id FROM partner_center_referrals LIMIT 2) q")
        ).scalar_one()
        last = connection.execute(text("SELECT max(changed_at) FROM partner_center_referrals")).scalar_one()
        connection.execute(
            text(
                "UPDATE partner_center_referrals SET created_at = now() - interval '9 days',"
                " changed_at = now() - interval '9 days'"
            )
        )
        connection.execute(
            text("UPDATE partner_center_referrals SET changed_at = :last WHERE referral_id = ANY(:ids)"),
            {"last": last, "ids": [moved, came]},
        )
        connection.execute(
            text("UPDATE partner_center_referrals SET created_at = :last WHERE referral_id = :id"),
            {"last": last, "id": came},
        )
        connection.execute(text("UPDATE referral_failures SET resolved_at = now()"))
    clock = max(NOW, last)

    def at_that_time() -> FastAPI:
        app = make_test_app(engine=synced)
        app.state.services = replace(app.state.services, clock=lambda: clock)
        return app

    before = int(last.timestamp()) - 3600
    with TestClient(
        at_that_time(), base_url="http://127.0.0.1", cookies={"hunter_visit": f"{before}.{before}"}
    ) as client:
        client.cookies.set("hunter_visit", f"{before}.{before}")
        page = client.get("/referrals", params={"tab": "all", "changed": "1"})
    assert page.text.count('<span class="news">new</span>') == 1
    assert page.text.count('<span class="news">changed</span>') == 1
    assert "2 referrals, since" in page.text
    with TestClient(at_that_time(), base_url="http://127.0.0.1") as client:
        first = client.get("/referrals", params={"tab": "all"})
        since = client.get("/api/referrals/queue", params={"tab": "all", "since": f"{last:%Y-%m-%dT00:00:00}Z"})
    assert '<span class="news">' not in first.text
    assert {each["referral_id"] for each in since.json()["referrals"]} == {moved, came}
