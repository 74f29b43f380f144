"""The pages in a real browser: list, filters, order, paging, lead, referral, sign-in, accessibility."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, create_engine, text

from hunter_pipeline.pipeline.company_sums import write_sums
from hunter_pipeline.readers.lead_columns import LISTED
from hunter_pipeline.readers.lead_list import list_leads
from hunter_pipeline.readers.shown import domain_in_letters
from hunter_pipeline.scoring.rules import CATEGORIES
from hunter_pipeline.settings import Settings
from hunter_pipeline.web.app import create_app
from hunter_pipeline_tests.pipeline_runs import NOW
from hunter_pipeline_tests.web.conftest import TOKEN
from hunter_pipeline_tests.web.serving import HOSTILE, StubDagster, free_port, serving

PAGES = ("/referrals/hostile-1", "/docs", "/no")
LATER = NOW + timedelta(minutes=5)
DOWN = "http://127.0.0.1:1"

pytestmark = [pytest.mark.xdist_group("pages"), pytest.mark.processes]


@pytest.fixture(scope="module")
def site(filled_engine: Engine) -> Iterator[str]:
    """The pages on the filled database; Dagster is down."""
    settings = Settings(_env_file=None, partner_center_enabled=True, dagster_url=DOWN)
    with serving(create_app(settings, filled_engine, clock=lambda: LATER)) as address:
        yield address


@pytest.fixture
def page(filled_engine: Engine, browser: Browser) -> Iterator[Page]:
    """A fresh page that fails the test on any script error, blocked resource or request to another host.

    The database is filled first: the scan cannot run beside a browser in one thread.
    """
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(15_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("console", lambda message: problems.append(message.text) if _is_csp(message.text) else None)
    page.on("request", lambda request: problems.append(request.url) if "127.0.0.1" not in request.url else None)
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def odd_lead(filled_engine: Engine) -> Iterator[str]:
    """A lead with a domain of 128 letters that mixes scripts, and a name that would read backwards."""
    domain = ("xn--" + "a" * 28 + ".") * 3 + "xn--80ak6aa92eb" + "b" * 12 + ".com"
    row = {"domain": domain, "name": "Contoso \u202emoc.lufmrah\u202c Ltd"}
    with filled_engine.begin() as connection:
        connection.execute(
            text("INSERT INTO companies (domain, canonical_name, run_id) VALUES (:domain, :name, 'odd')"), row
        )
        connection.execute(
            text(
                "INSERT INTO raw_leads (source, external_id, domain, payload, raw_id, run_id)"
                " VALUES ('partnercenter', 'odd', :domain, '{}', 0, 'odd')"
            ),
            row,
        )
    yield domain
    with filled_engine.begin() as connection:
        connection.execute(text("DELETE FROM raw_leads WHERE run_id = 'odd'"))
        connection.execute(text("DELETE FROM companies WHERE run_id = 'odd'"))


def _is_csp(message: str) -> bool:
    return "Content Security Policy" in message


def _column(page: Page, label: str) -> list[str]:
    return page.locator(f"table.leads tbody [data-label='{label}']").all_inner_texts()


def test_the_list_shows_every_lead_in_the_order_of_the_ranking(site: str, page: Page, filled_engine: Engine):
    page.goto(site)
    with filled_engine.connect() as connection:
        leads = list_leads(connection).leads
    assert _column(page, "Domain") == [domain_in_letters(lead.domain) or lead.domain for lead in leads]
    headers = [re.sub(r"\W+$", "", each) for each in page.locator("table.leads thead th").all_inner_texts()]
    assert headers == [column.label for column in LISTED]
    badges = {"co-sell": "Co-sell", "marketplace": "Marketplace", "solution-provider": "SP", None: "-"}
    assert _column(page, "Referral") == [badges[lead.referral_type] for lead in leads]
    assert [int(each) for each in _column(page, "Score")] == [lead.score for lead in leads]
    assert set(_column(page, "Received")) == {"4 minutes ago"}
    assert page.locator("table.leads .why").all_inner_texts() == [lead.reason for lead in leads]
    expect(page.locator("#count")).to_contain_text(f"{len(leads)} leads")


def test_the_summary_leads_from_fetched_to_scored(site: str, page: Page, filled_engine: Engine):
    page.goto(site)
    with filled_engine.connect() as connection:
        raw, leads = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM partner_center_referrals_raw WHERE is_current),"
                " (SELECT count(DISTINCT domain) FROM raw_leads)"
            )
        ).one()
    funnel = page.get_by_role("list", name="How far referrals got")
    expect(funnel).to_contain_text(f"{raw} referrals fetched")
    expect(funnel).to_contain_text(f"{leads} leads")
    page.locator(".categories a").first.click()
    expect(page).to_have_url(re.compile("category=P1"))
    assert set(_column(page, "Category")) == {"P1"}


def test_filters_stand_in_the_address_and_in_the_form(site: str, page: Page):
    page.goto(site)
    page.get_by_role("combobox", name="Referral").select_option("co-sell")
    page.get_by_label("Score from").fill("50")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile(r"referral_type=co-sell&.*min_score=50"))
    assert set(_column(page, "Referral")) == {"Co-sell"}
    assert all(int(each) >= 50 for each in _column(page, "Score"))
    expect(page.get_by_role("combobox", name="Referral")).to_have_value("co-sell")
    page.reload()
    assert set(_column(page, "Referral")) == {"Co-sell"}
    page.get_by_role("link", name="Clear").click()
    assert len(set(_column(page, "Referral"))) > 1


def test_a_search_finds_by_name_and_keeps_what_was_typed(site: str, page: Page):
    page.goto(site)
    page.get_by_label("Search").fill("hostile")
    page.get_by_label("Search").press("Enter")
    expect(page.locator("table.leads tbody.lead")).to_have_count(1)
    expect(page.get_by_label("Search")).to_have_value("hostile")
    page.get_by_label("Search").fill('"><script>nobody</script>')
    page.get_by_label("Search").press("Enter")
    expect(page.get_by_role("heading", name="No lead passes this filter")).to_be_visible()
    expect(page.get_by_label("Search")).to_have_value('"><script>nobody</script>')


def test_a_filter_that_cannot_be_read_is_named(site: str, page: Page):
    page.goto(f"{site}/?min_score=many&referral_type=x")
    expect(page.get_by_role("alert")).to_contain_text("there is no referral type 'x'; use co-sell, marketplace")
    expect(page.get_by_role("alert")).to_contain_text("min score")
    expect(page.locator("table.leads tbody tr").first).to_be_visible()


def test_a_click_on_a_column_sorts_and_a_second_turns_it_round(site: str, page: Page):
    page.goto(site)
    page.get_by_role("columnheader", name="Score").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Score")).to_have_attribute("aria-sort", "descending")
    scores = [int(each) for each in _column(page, "Score")]
    assert scores == sorted(scores, reverse=True)
    page.get_by_role("columnheader", name="Score").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Score")).to_have_attribute("aria-sort", "ascending")
    scores = [int(each) for each in _column(page, "Score")]
    assert scores == sorted(scores)
    page.get_by_role("columnheader", name="Category").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Category")).to_have_attribute("aria-sort", "ascending")


def test_pages_go_forth_and_back(site: str, page: Page):
    page.goto(f"{site}/?sort=domain&limit=10")
    first = _column(page, "Domain")
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile("after="))
    second = _column(page, "Domain")
    assert len(first) == len(second) == 10
    assert first[-1] < second[0]
    page.get_by_role("link", name="Previous").click()
    expect(page).to_have_url(re.compile("before="))
    assert _column(page, "Domain") == first
    expect(page.get_by_role("link", name="Previous")).to_have_count(0)


def test_an_old_cursor_leads_to_the_first_page(site: str, page: Page):
    page.goto(f"{site}/?category=P2&sort=domain&after=AAAA")
    expect(page).to_have_url(f"{site}/?category=P2")
    assert set(_column(page, "Category")) == {"P2"}


def test_the_export_links_carry_filter_and_order(site: str, page: Page):
    page.goto(f"{site}/?category=P2&sort=-score")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert download.value.suggested_filename == "leads.csv"
    shown = [domain_in_letters(domain) or domain for domain in (line.split(",")[0] for line in lines[1:])]
    assert shown == _column(page, "Domain")


def test_markup_in_a_company_name_is_shown_as_text(site: str, page: Page):
    for path in ("/?q=hostile", "/leads/hostile-example.com", "/referrals/hostile-1"):
        page.goto(site + path)
        expect(page.get_by_text(HOSTILE["customerProfile"]["name"]).first).to_be_visible()
        assert "owned" not in page.title() or "<script>" in page.title()
        assert page.locator("main img, main script").count() == 0
    page.goto(f"{site}/referrals/hostile-1")
    page.get_by_text("The referral as Partner Center sent it").click()
    expect(page.locator("pre")).to_contain_text(HOSTILE["customerProfile"]["name"].split('"')[0])


def test_a_lead_explains_its_score_and_leads_to_its_referral(site: str, page: Page):
    page.goto(f"{site}/?referral_type=co-sell&category=P1")
    page.locator("table.leads tbody th a").first.click()
    points = page.locator("table.points tbody td.right").all_inner_texts()
    total = int(page.locator("table.points tfoot td").inner_text())
    assert sum(int(each) for each in points) == total
    expect(page.locator(".facts .score .number")).to_have_text(str(total))
    expect(page.locator("table.points")).to_contain_text("co-sell")
    expect(page.get_by_role("rowheader", name="DMARC")).to_be_visible()
    why = page.get_by_role("region", name="Why P1")
    expect(why).to_contain_text(re.compile(rf"score {total} make it Greenfield \(the rule: segment .*mail at"))
    expect(why).to_contain_text("category P1, High Potential Greenfield")
    expect(page.locator(".history")).to_contain_text("first score")
    page.locator("table.cards tbody a").first.click()
    expect(page.get_by_role("heading", name="From payload to score")).to_be_visible()
    titles = page.locator(".timeline h3").all_inner_texts()
    assert titles[0] == "Fetched from Partner Center"
    assert titles[-1] == "Score given"
    run = page.locator(".timeline a", has_text="run ").first
    expect(run).to_have_attribute("href", f"{DOWN}/runs/run-1")


def test_a_referral_without_a_domain_says_why(site: str, page: Page, filled_engine: Engine):
    with filled_engine.connect() as connection:
        row = connection.execute(
            text("SELECT referral_id, skip_reason FROM normalized_domains WHERE domain IS NULL LIMIT 1")
        ).one()
    page.goto(f"{site}/referrals/{row.referral_id}")
    expect(page.locator("main")).to_contain_text(row.skip_reason.replace("_", " "))


def test_a_sync_without_dagster_ends_in_a_toast_that_names_the_fix(site: str, page: Page):
    page.goto(site)
    page.get_by_role("button", name="Sync now").click()
    toast = page.get_by_role("alert")
    expect(toast).to_contain_text("Sync failed: Dagster does not answer")
    expect(toast).to_contain_text("HUNTER_DAGSTER_URL")
    expect(page.get_by_role("button", name="Sync now")).to_have_attribute("aria-disabled", "false")
    page.get_by_role("button", name="Dismiss").click()
    expect(toast).to_have_count(0)


def test_the_button_is_not_there_while_the_flag_is_off(filled_engine: Engine, page: Page):
    settings = Settings(_env_file=None, partner_center_enabled=False)
    with serving(create_app(settings, filled_engine)) as address:
        page.goto(address)
        expect(page.locator("table.leads")).to_be_visible()
        expect(page.get_by_role("button", name="Sync")).to_have_count(0)


def test_a_page_without_its_database_says_so(page: Page, make_settings: Callable[..., Settings]):
    engine = create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    with serving(create_app(make_settings(), engine)) as address:
        page.goto(address)
        expect(page.get_by_role("alert")).to_contain_text("The database does not answer")


def test_a_page_that_is_not_there_leads_back(site: str, page: Page):
    for path in ("/leads/nobody.example", "/referrals/nobody", "/nowhere"):
        page.goto(site + path)
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        expect(page.get_by_role("link", name="Back to the leads")).to_be_visible()


def test_sign_in_and_out_with_the_keyboard_alone(filled_engine: Engine, page: Page):
    settings = Settings(_env_file=None, web_token=TOKEN, partner_center_enabled=True, dagster_url=DOWN)
    with serving(create_app(settings, filled_engine)) as address:
        page.goto(f"{address}/?category=P1")
        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not the token")
        page.get_by_label("Token").focus()
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{address}/?category=P1")
        # The session's CSRF token goes with the sync: the answer comes from behind the guard.
        page.get_by_role("button", name="Sync now").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".toast")).to_contain_text("Dagster does not answer")
        page.get_by_role("button", name="Sign out").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_label("Token")).to_be_visible()
        page.goto(address)
        expect(page.get_by_label("Token")).to_be_visible()


def test_the_first_tab_stop_jumps_to_the_content(site: str, page: Page):
    page.goto(site)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_the_second_tab_stop_jumps_to_the_table(site: str, page: Page):
    for path in ("/", "/referrals?tab=all"):
        page.goto(site + path)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the table")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("table")).to_be_focused()


def test_the_pages_work_without_javascript(site: str, browser: Browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site)
    page.get_by_label("Search").fill("hostile")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("table.leads tbody.lead")).to_have_count(1)
    context.close()


@pytest.mark.parametrize("width", [360, 961, 1100, 1280])
def test_nothing_is_wider_than_the_screen(site: str, page: Page, odd_lead: str, width: int):
    page.set_viewport_size({"width": width, "height": 740})
    own = f"/leads/{odd_lead}"
    for path in ("/", "/?q=lufmrah", own, "/leads/hostile-example.com", "/referrals", "/referrals/hostile-1", "/docs"):
        page.goto(site + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_twelve_leads_with_their_reasons_fit_into_a_window(site: str, page: Page):
    page.set_viewport_size({"width": 1360, "height": 900})
    page.goto(site)
    inside = "rows => rows.filter(row => row.getBoundingClientRect().bottom <= innerHeight).length"
    assert page.locator("tbody.lead").evaluate_all(inside) >= 12


def test_the_header_stays_while_the_list_goes_by(site: str, page: Page):
    page.set_viewport_size({"width": 1360, "height": 500})
    page.goto(site)
    page.locator("tbody.lead").last.scroll_into_view_if_needed()
    header = page.get_by_role("columnheader", name="Company")
    expect(header).to_be_in_viewport()
    box = header.bounding_box()
    assert box is not None
    assert box["y"] == 0


def test_no_date_takes_two_lines(site: str, page: Page):
    lines = "times => Math.max(...times.map(time => time.getClientRects().length))"
    for width in (390, 961, 1100, 1360):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/", "/referrals?tab=all"):
            page.goto(site + path)
            assert page.locator("table.leads time").evaluate_all(lines) == 1, (width, path)


LONG_AGO, LONG_STATUS = "2018-11-20T08:00:00+00:00", "Active / Accepted"
LONG_MONEY = "12,345,678.90 EUR"
OUTSIDE = """cells => cells.flatMap(cell => {
    const box = cell.getBoundingClientRect(), texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const node = texts.currentNode, range = document.createRange();
        if (!node.data.trim() || node.parentElement.closest(".clip")) continue;
        range.selectNodeContents(node);
        for (const each of range.getClientRects())
            if (each.left < box.left - 1 || each.right > box.right + 1) found.push(node.data.trim());
    }
    return found;
})"""
"""Texts that stand out of their cell; what is cut with dots on purpose has its whole text as a tooltip."""

LINES = (
    "cells => Math.max(...cells.map(cell => { const range = document.createRange(); range.selectNodeContents(cell);"
    " return new Set([...range.getClientRects()].map(each => Math.round(each.bottom))).size; }))"
)


@pytest.fixture
def long_row(filled_engine: Engine) -> Iterator[str]:
    """A referral with the longest of what is usual: over for years, accepted, worth millions."""
    keep = "SELECT deal_value, currency, expires_at, status, substatus, is_open FROM partner_center_referrals"
    with filled_engine.begin() as connection:
        referral_id = "hostile-2"
        before = connection.execute(text(f"{keep} WHERE referral_id = :id"), {"id": referral_id}).mappings().one()
        change = (
            "UPDATE partner_center_referrals SET deal_value = :deal_value, currency = :currency, is_open = :is_open,"
            " expires_at = :expires_at, status = :status, substatus = :substatus WHERE referral_id = :id"
        )
        status, substatus = LONG_STATUS.split(" / ")
        money, currency = LONG_MONEY.replace(",", "").split()
        values = {"status": status, "substatus": substatus, "deal_value": money, "currency": currency}
        connection.execute(text(change), {**values, "is_open": True, "expires_at": LONG_AGO, "id": referral_id})
        domain = connection.execute(
            text("SELECT domain FROM partner_center_referrals WHERE referral_id = :id"), {"id": referral_id}
        ).scalar_one()
        write_sums(connection, [domain])
    yield referral_id
    with filled_engine.begin() as connection:
        connection.execute(text(change), {**before, "id": referral_id})
        write_sums(connection, [domain])


@pytest.mark.parametrize("width", [390, 1024, 1180, 1440])
def test_no_text_stands_out_of_its_cell_and_the_usual_takes_one_line(
    site: str, page: Page, long_row: str, odd_lead: str, width: int
):
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/", "/?sort=-deal_value", "/referrals?tab=all", "/referrals?tab=all&q=" + long_row):
        page.goto(site + path)
        cells = page.locator("table.leads :is(th, td)")
        assert cells.evaluate_all(OUTSIDE) == [], path
        if width > 1100:
            for kind in ("expiry", "moment"):
                assert page.locator(f"table.leads td.k-{kind}").evaluate_all(LINES) == 1, (path, kind)
    row = page.locator("table.leads tbody tr")
    expect(row).to_have_count(1)
    for shown in ("expired 8 years ago", LONG_STATUS, LONG_MONEY):
        expect(row).to_contain_text(shown)
    if width > 1100:
        for label in ("Status", "Deal value"):
            assert row.locator(f"td[data-label='{label}']").evaluate_all(LINES) == 1, label


def test_a_phone_shows_the_first_lead_at_once_and_its_filters_on_a_tap(site: str, page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site)
    expect(page.locator("tbody.lead").first).to_be_in_viewport(ratio=1)
    expect(page.get_by_label("Segment")).to_be_hidden()
    page.get_by_label("More filters").focus()
    page.keyboard.press("Space")
    page.get_by_label("Segment").select_option("Cold")
    page.get_by_role("button", name="Filter").click()
    assert set(_column(page, "Segment")) == {"Cold"}
    expect(page.get_by_label("Segment")).to_be_visible()


def test_the_legend_says_what_leads_to_each_category(site: str, page: Page):
    page.goto(site)
    page.get_by_text("What P1 to P6 mean").click()
    legend = page.locator(".legend")
    assert [each.split(" ")[0] for each in legend.locator("dt").all_inner_texts()] == list(CATEGORIES)
    expect(legend).to_contain_text("Renewal: segment Existing, score 70 or more")


def test_the_counts_lead_to_the_queue(site: str, page: Page):
    page.goto(site)
    funnel = page.get_by_role("list", name="How far referrals got")
    without = funnel.get_by_role("link", name="without").inner_text().split()[0]
    funnel.get_by_role("link", name="without").click()
    expect(page.get_by_role("navigation", name="What is to be done").locator("[aria-current]")).to_have_text(
        f"Without a domain {without}"
    )


def test_what_came_since_the_last_visit_is_marked_and_can_be_asked_for(site: str, browser: Browser):
    def visit(last: timedelta) -> Page:
        stamp = int((NOW + last).timestamp())
        context = browser.new_context()
        context.add_cookies([{"name": "hunter_visit", "value": f"{stamp}.{stamp}", "url": site}])
        page = context.new_page()
        page.goto(site)
        return page

    first = browser.new_context().new_page()
    first.goto(site)
    expect(first.locator(".news")).to_have_count(0)
    before = visit(-timedelta(hours=1))
    number = before.locator("tbody.lead").count()
    expect(before.locator(".news", has_text="new")).to_have_count(number)
    before.reload()
    expect(before.locator(".news", has_text="new")).to_have_count(number)
    before.get_by_label("New or changed since my last visit").check()
    before.get_by_role("button", name="Filter").click()
    expect(before.locator("tbody.lead")).to_have_count(number)
    with before.expect_download() as download:
        before.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text("utf-8-sig").splitlines()) == number + 1
    after = visit(timedelta(minutes=3))
    expect(after.locator(".news")).to_have_count(0)
    after.goto(f"{site}/?changed=1")
    expect(after.get_by_role("heading", name="No lead passes this filter")).to_be_visible()
    for page in (first, before, after):
        page.context.close()


def test_a_name_cannot_turn_what_is_beside_it_and_a_mixed_domain_stays_ascii(site: str, page: Page, odd_lead: str):
    page.goto(f"{site}/?q=lufmrah")
    expect(page.locator("table.leads tbody th a")).to_have_text("Contoso moc.lufmrah Ltd")
    expect(page.locator("table.leads tbody th a bdi")).to_have_count(1)
    assert _column(page, "Domain") == [odd_lead]
    page.goto(f"{site}/?q=çiçekçilik")
    assert _column(page, "Domain") == ["hayali-çiçekçilik.com.tr"]
    page.locator("table.leads tbody th a").click()
    expect(page.locator("p.domain")).to_contain_text("hayali-çiçekçilik.com.tr (xn--")


def test_a_tooltip_tells_the_time_in_the_clock_of_who_looks(site: str, browser: Browser):
    context = browser.new_context(timezone_id="Europe/Istanbul", locale="en-GB")
    page = context.new_page()
    page.goto(site)
    expect(page.locator("table.leads time").first).to_have_attribute("title", re.compile(r"\d\d:\d\d GMT\+3$"))
    context.close()


def test_a_sync_that_brings_nothing_says_so(filled_engine: Engine, page: Page):
    with serving(StubDagster().app) as dagster:
        settings = Settings(_env_file=None, partner_center_enabled=True, dagster_url=dagster)
        with serving(create_app(settings, filled_engine, clock=lambda: LATER)) as address:
            page.goto(address)
            page.get_by_role("button", name="Sync now").click()
            expect(page.locator(".toast")).to_contain_text("Sync done: nothing new since the last one.")


def test_a_row_is_still_a_row_of_cells_on_a_phone(site: str, page: Page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site)
    assert page.locator("table.leads tbody tr").first.get_by_role("cell").count() == 9


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing(site: str, browser: Browser, scheme: str, width: int):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    for path in ("/", "/?q=nothing-here", "/leads/hayali-kimya-sanayi.com.tr", "/referrals?tab=all", *PAGES):
        page.goto(site + path)
        if path == "/":
            page.get_by_text("What P1 to P6 mean").click()
        if path.startswith("/referrals/"):
            page.locator("summary").last.click()
        result = Axe().run(page)
        assert result.violations_count == 0, f"{path}: {result.generate_report()}"
    context.close()


def test_axe_finds_nothing_in_form_and_toast(filled_engine: Engine, site: str, browser: Browser):
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    settings = Settings(_env_file=None, web_token=TOKEN)
    with serving(create_app(settings, filled_engine), free_port()) as address:
        page.goto(address)
        assert Axe().run(page).violations_count == 0
    page.goto(site)
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator(".toast")).to_be_visible()
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    context.close()
