"""Pictures of the pages for the documentation: `python -m hunter_pipeline_tests.web.screenshots docs/images`.

Fills a fresh database from the sandbox, serves it and takes list, queue, lead and referral pages, light and dark, and
the two lists on a phone. Nothing of the developer's own data is touched.
"""

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.settings import Settings
from hunter_pipeline.store.embedded.users import release_embedded, start_embedded
from hunter_pipeline.store.engine import make_engine
from hunter_pipeline.store.migrate import upgrade
from hunter_pipeline.web.app import create_app
from hunter_pipeline_tests.pipeline_runs import NOW, Pipeline
from hunter_pipeline_tests.web.serving import chromium, serving

BEST = "SELECT domain FROM lead_scores WHERE referral_type = 'co-sell' ORDER BY category, score DESC, domain LIMIT 1"
SIZES = {"wide": {"width": 1180, "height": 690}, "phone": {"width": 390, "height": 844}}


def main(folder: Path) -> None:
    """Write the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        server = start_embedded(home)
        try:
            _take(folder, home, server)
        finally:
            release_embedded(home)


def _take(folder: Path, home: Path, server: str) -> None:
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE pictures"))
    admin.dispose()
    url = make_url(server).set(database="pictures").render_as_string(hide_password=False)
    upgrade(url)
    engine = make_engine(url)
    with Sandbox(directory=home / "sandbox", first_start=NOW) as sandbox:
        os.environ.update(sandbox.environment)
        pipeline = Pipeline(engine, home / "home")
        pipeline.sync()
    with engine.connect() as connection:
        domain = connection.execute(text(BEST)).scalar_one()
        referral = connection.execute(
            text("SELECT referral_id FROM partner_center_referrals WHERE domain = :domain ORDER BY id LIMIT 1"),
            {"domain": domain},
        ).scalar_one()
    settings = Settings(_env_file=None, partner_center_enabled=True)
    moment = pipeline.now + timedelta(minutes=4)
    lists = {"leads": "/", "queue": "/referrals"}
    pages = {**lists, "lead": f"/leads/{domain}", "referral": f"/referrals/{referral}"}
    with serving(create_app(settings, engine, clock=lambda: moment)) as address, chromium() as browser:
        for scheme in ("light", "dark"):
            for size, viewport in SIZES.items():
                page = browser.new_page(viewport=viewport, color_scheme=scheme)
                for name, path in pages.items():
                    if size == "phone" and (name not in lists or scheme == "dark"):
                        continue
                    page.goto(address + path)
                    suffix = scheme if size == "wide" else size
                    page.screenshot(path=folder / f"{name}-{suffix}.png")
                page.close()
    engine.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
