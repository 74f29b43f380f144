"""The work queue and acting on a referral, in a real browser against the sandbox."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.web.app import create_app
from hunter_pipeline_tests.databases import fresh_database, url_of
from hunter_pipeline_tests.integration.actions.test_act import payload
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.web.serving import serving

pytestmark = [pytest.mark.xdist_group("pages"), pytest.mark.processes]

COMPANIES = {
    "r-1": "Erste GmbH",
    "r-2": "Zweite GmbH",
    "r-3": "Dritte GmbH",
    "r-4": "Vierte GmbH",
    "r-5": "Fünfte GmbH",
    "r-6": "Sechste GmbH",
    "r-7": "Siebte GmbH",
}


@pytest.fixture(scope="module")
def world(
    pg_server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Sandbox, Path]]:
    """Referrals that wait for an answer, one for each test that answers, and r-5 without a domain; writing is on.
    Synced before a browser starts, beside which the scan cannot run."""
    folder = tmp_path_factory.mktemp("acting")
    sandbox = Sandbox(directory=folder / "sandbox", referrals=[])
    with sandbox, pytest.MonkeyPatch.context() as environment, fresh_database(pg_server_url, migrated_template) as name:
        for number, (referral_id, company) in enumerate(COMPANIES.items()):
            mail = "someone@gmail.com" if referral_id == "r-5" else f"jane@{referral_id}-example.com"
            profile = {"name": company, "team": [{"firstName": "Jane", "lastName": "Roe", "email": mail}]}
            expires = (datetime.now(UTC) + timedelta(days=1 + 3 * number)).isoformat()
            sandbox.partner_center.referrals.add(
                payload(referral_id, eTag=f'"e-{referral_id}"', customerProfile=profile, expirationDateTime=expires)
            )
        for variable, value in sandbox.environment.items():
            environment.setenv(variable, value)
        environment.setenv("HUNTER_PARTNER_CENTER_WRITE_ENABLED", "true")
        environment.setenv("HUNTER_PARTNER_CENTER_REQUEST_INTERVAL", "0")
        environment.setenv("HUNTER_HOME", str(folder / "home"))
        engine = make_engine(url_of(pg_server_url, name))
        Pipeline(engine, folder / "home", now=datetime.now(UTC) - timedelta(minutes=5)).sync()
        yield engine, sandbox, folder / "home"
        engine.dispose()


@pytest.fixture(scope="module")
def site(world: tuple[Engine, Sandbox, Path]) -> Iterator[str]:
    engine, _, home = world
    with serving(create_app(load_settings(home=home), engine)) as address:
        yield address


@pytest.fixture
def page(world: tuple[Engine, Sandbox, Path], browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def status(sandbox: Sandbox, referral_id: str) -> tuple[Any, Any]:
    item = sandbox.partner_center.referrals.get(referral_id)
    assert item is not None
    return item.fields["status"], item.fields["substatus"]


def answer(page: Page, name: str) -> Any:
    """The form of one answer, opened."""
    section = page.locator("details.answer").filter(has=page.locator("summary", has_text=name))
    if section.get_attribute("open") is None:
        section.locator("summary").click()
    return section


def test_from_the_queue_to_a_referral_that_expires_tomorrow_and_accepted(site: str, page: Page, world: Any):
    _, sandbox, _ = world
    page.goto(f"{site}/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Referrals").click()
    expect(page.get_by_role("navigation", name="What is to be done").locator("[aria-current]")).to_contain_text(
        "To answer"
    )
    first = page.locator("tbody tr").first
    expect(first).to_contain_text("Erste GmbH")
    page.get_by_role("link", name="Expiring").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Erste GmbH").click()
    expect(page.get_by_text("jane@r-1-example.com").first).to_be_visible()
    answer(page, "Accept").locator("input[name=reference]").fill("CRM-1")
    answer(page, "Accept").get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Send this change to Partner Center?")
    expect(page.locator("table")).to_contain_text("Received")
    assert status(sandbox, "r-1") == ("New", "Received")
    page.get_by_role("button", name="Send it").click()
    expect(page.locator(".history li").first).to_contain_text("Done: it is now Active / Accepted")
    expect(page.locator(".marks")).to_contain_text("Active / Accepted")
    expect(page.locator(".timeline").first).to_contain_text("co-sell, open")
    assert status(sandbox, "r-1") == ("Active", "Accepted")
    page.goto(f"{site}/referrals?tab=answer&q=erste")
    expect(page.get_by_text("No referral passes this filter")).to_be_visible()


def test_refused_after_somebody_else_changed_it(site: str, page: Page, world: Any):
    _, sandbox, _ = world
    page.goto(f"{site}/referrals/r-2")
    answer(page, "Accept").get_by_role("button").click()
    sandbox.partner_center.referrals.update("r-2", status="Closed", substatus="Declined")
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_role("alert")).to_contain_text("It has changed since you looked: it is now Closed / Declined")
    expect(page.get_by_role("heading", name="What changed meanwhile")).to_be_visible()
    expect(page.locator("table")).to_contain_text("Declined")
    page.get_by_role("link", name="Back to the referral").click()
    expect(page.locator(".marks")).to_contain_text("Closed / Declined")
    expect(page.locator("details.answer")).to_have_count(0)


def test_declining_needs_a_reason(site: str, page: Page, world: Any):
    _, sandbox, _ = world
    page.goto(f"{site}/referrals/r-3")
    form = answer(page, "Decline")
    form.get_by_role("button").click()
    assert page.url == f"{site}/referrals/r-3"
    form.locator("input[name=reason]").fill("Outside our region")
    form.get_by_role("button").click()
    page.get_by_role("button", name="Send it").click()
    expect(page.locator(".marks")).to_contain_text("Closed / Declined")
    assert status(sandbox, "r-3") == ("Closed", "Declined")


def test_a_cut_answer_ends_in_the_truth(site: str, page: Page, world: Any):
    _, sandbox, _ = world
    page.goto(f"{site}/referrals/r-4")
    answer(page, "Accept").get_by_role("button").click()
    sandbox.partner_center.break_next(1, "cut", method="PATCH")
    page.get_by_role("button", name="Send it").click()
    expect(page.locator(".history li").first).to_contain_text("read again")
    expect(page.locator(".marks")).to_contain_text("Active / Accepted")
    assert status(sandbox, "r-4") == ("Active", "Accepted")


def test_one_without_a_domain_is_reached_with_its_reason_in_words(site: str, page: Page):
    page.goto(f"{site}/referrals?tab=no_domain")
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Fünfte GmbH")
    expect(row).to_contain_text("none: consumer mail")
    page.get_by_role("link", name="Fünfte GmbH").click()
    expect(page.locator("details.answer")).not_to_have_count(0)


def test_with_writing_off_there_is_no_button_and_no_address(world: Any, make_settings: Callable[..., Any]):
    engine, sandbox, _ = world
    sandbox.partner_center.requests.clear()
    with TestClient(
        create_app(make_settings(partner_center_write_enabled=False), engine), base_url="http://127.0.0.1"
    ) as client:
        shown = client.get("/referrals/r-5").text
        assert "Jane" in shown
        assert "<form" not in shown
        assert client.post("/referrals/r-5/change", data={"action": "accept"}).status_code in (404, 405)
        assert client.post("/api/referrals/r-5/actions", json={"action": "accept", "etag": "x"}).status_code in (
            404,
            405,
        )
        assert "actions" not in str(client.get("/openapi.json").json()["paths"].keys())
    assert sandbox.partner_center.requests == []


def test_without_an_account_the_missing_setting_is_named(world: Any, make_settings: Callable[..., Any]):
    engine, _, _ = world
    settings = make_settings(partner_center_write_enabled=True, partner_center_client_id=None)
    with TestClient(create_app(settings, engine), base_url="http://127.0.0.1") as client:
        for path, body in (("/preview", {"action": "accept"}), ("", {"action": "accept", "etag": "x"})):
            answer = client.post(f"/api/referrals/r-5/actions{path}", json=body)
            assert answer.status_code == 503
            assert "HUNTER_PARTNER_CENTER_CLIENT_ID" in answer.json()["detail"]
        page = client.post("/referrals/r-5/change", data={"action": "accept"}, headers={"accept": "text/html"})
        assert (page.status_code, "HUNTER_PARTNER_CENTER_CLIENT_ID" in page.text) == (503, True)


def test_the_api_does_the_same_in_two_steps(world: Any):
    engine, _, home = world
    with TestClient(create_app(load_settings(home=home), engine), base_url="http://127.0.0.1") as client:
        shown = client.post("/api/referrals/r-6/actions/preview", json={"action": "accept", "deal_value": 5})
        assert shown.status_code == 200
        assert [change["label"] for change in shown.json()["changes"]] == ["Status", "Substatus", "Deal value"]
        order = {"action": "accept", "deal_value": 5, "etag": shown.json()["etag"]}
        done = client.post("/api/referrals/r-6/actions", json=order)
        assert (done.status_code, done.json()["outcome"]) == (200, "done")
        again = client.post("/api/referrals/r-6/actions", json=order)
        assert (again.status_code, again.json()["outcome"]) == (409, "moved")
        assert client.post("/api/referrals/r-6/actions/preview", json={"action": "accept"}).status_code == 409
        assert client.post("/api/referrals/r-6/actions/preview", json={"action": "sell"}).status_code == 422
    with engine.connect() as connection:
        actors = connection.execute(text("SELECT actor, channel FROM referral_actions WHERE referral_id = 'r-6'")).all()
    assert actors == [("this machine", "api")]


def test_the_person_whom_a_trusted_proxy_names_stands_in_the_book_and_nobody_elses_word(world: Any):
    engine, _, home = world
    settings = load_settings(home=home, web_user_header="X-Forwarded-User", web_trusted_proxies=("10.0.0.0/8",))
    wish = {"action": "set", "reference": "A-1"}
    for host, expected in (("10.1.2.3", "Deniz Örnek"), ("192.0.2.7", "this machine")):
        app = create_app(settings, engine)
        with TestClient(app, base_url="http://127.0.0.1", client=(host, 5000)) as client:
            etag = client.post("/api/referrals/r-7/actions/preview", json=wish).json()["etag"]
            header = {"X-Forwarded-User": "Deniz Örnek".encode()}
            assert client.post("/api/referrals/r-7/actions", json={**wish, "etag": etag}, headers=header).json()[
                "outcome"
            ] == "done"  # fmt: skip
        with engine.connect() as connection:
            actor = connection.execute(text("SELECT actor FROM referral_actions ORDER BY id DESC LIMIT 1")).scalar_one()
        assert actor == expected
        wish = {"action": "set", "reference": "A-2"}
