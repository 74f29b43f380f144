"""Pictures of the Dagster UI and the terminal: `python -m hunter_pipeline_tests.orchestration.screenshots docs/images`.

Runs `hunter demo` and `hunter dev --sandbox` in a scratch folder and asks a browser for the asset graph, the checks, a
day and the story of one referral. Nothing of the developer's own data is touched.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from rich.console import Console
from sqlalchemy import text

from hunter_pipeline.cli import lead_table
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.database import open_database
from hunter_pipeline_tests.orchestration.dagster_ui import HUNTER, started, wait_for
from hunter_pipeline_tests.web.serving import chromium, free_port

BEST = "SELECT external_id FROM raw_leads JOIN lead_scores USING (domain) ORDER BY category, score DESC, 1 LIMIT 1"
WIDTHS = (80, 100, 140, 200)
"""Columns of the terminals."""

SETTLE = 5000
"""Milliseconds for the UI's own animations and requests."""


def main(folder: Path) -> None:
    """Write the pictures into `folder`."""
    with tempfile.TemporaryDirectory(prefix="hunter-pictures-", ignore_cleanup_errors=True) as scratch:
        os.environ["HUNTER_HOME"] = f"{scratch}/home"
        os.environ["HUNTER_ENV_FILE"] = os.devnull
        subprocess.run([*HUNTER, "demo"], check=True, stdout=subprocess.DEVNULL)
        engine = open_database(load_settings())
        with engine.connect() as connection:
            referral = connection.execute(text(BEST)).scalar_one()
        port, web_port = free_port(), free_port()
        command = [*HUNTER, "dev", "--sandbox", "--port", str(port), "--web-port", str(web_port)]
        environment = {"HUNTER_HOME": os.environ["HUNTER_HOME"], "HUNTER_ENV_FILE": os.devnull}
        with started(command, port, Path(scratch), environment) as server, chromium() as browser:
            wait_for(lambda: server.materializations("referral_lineage", [referral]), 180)
            days = server.partitions("partner_center_referrals_raw")
            told = server.materializations("partner_center_referrals_raw", days, limit=1000)
            page = browser.new_page(viewport={"width": 1300, "height": 720})
            for width in WIDTHS:
                _terminal(page, width, folder / f"terminal-{width}.png")
            _graph(page, server.url, folder / "graph.png")
            _checks(page, server.url, folder / "checks.png")
            _day(page, server.url, max(told, key=_kept)["partition"], folder / "day.png")
            page.set_viewport_size({"width": 1150, "height": 640})
            _story(page, server.url, referral, folder / "lineage-partition.png")
        engine.dispose()


def _terminal(page: Page, width: int, target: Path) -> None:
    with Path(os.devnull).open("w") as nowhere:
        recorder = Console(record=True, width=width, file=nowhere, force_terminal=True)
        lead_table.out = lambda: recorder
        lead_table.print_leads(open_database(load_settings()), limit=16)
    page.set_content(recorder.export_svg(title=f"hunter leads, {width} columns"))
    # As wide as a page of documentation, whatever the number of columns.
    page.add_style_tag(content=f"svg {{ width: {min(7 * width, 1250)}px }}")
    page.locator("svg").screenshot(path=target)


def _graph(page: Page, url: str, target: Path) -> None:
    page.goto(url)
    page.get_by_text("domain_signals").first.wait_for(timeout=300_000)  # the groups are open
    page.get_by_text("Hide navigation").click(timeout=300_000)
    page.wait_for_timeout(SETTLE)
    page.screenshot(path=target)


def _checks(page: Page, url: str, target: Path) -> None:
    page.goto(f"{url}/assets/partner_center?view=checks")
    page.get_by_text("Latest execution").wait_for(timeout=30_000)
    page.wait_for_timeout(SETTLE)
    page.screenshot(path=target)


def _kept(materialization: dict[str, Any]) -> int:
    entries = {entry["label"]: entry.get("intValue") or 0 for entry in materialization["metadataEntries"]}
    return int(entries.get("dagster/partition_row_count", 0))


def _day(page: Page, url: str, day: str, target: Path) -> None:
    page.goto(f"{url}/assets/partner_center_referrals_raw?view=partitions&partition={day}")
    page.get_by_text("new_versions").first.wait_for(timeout=30_000)
    page.wait_for_timeout(SETTLE)
    page.screenshot(path=target)


def _story(page: Page, url: str, referral: str, target: Path) -> None:
    page.goto(f"{url}/assets/referral_lineage?view=partitions&partition={referral}")
    page.get_by_text("[Show Markdown]").first.click(timeout=30_000)
    page.wait_for_timeout(SETTLE)
    page.screenshot(path=target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
