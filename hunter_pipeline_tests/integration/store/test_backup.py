"""Backup and restore, and a change of the key, as `docs/operations.md` has them, with PostgreSQL's own programs."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, make_url

from hunter_pipeline.partner_center.auth import SignIn
from hunter_pipeline.partner_center.token_cache import TokenCacheUnreadable
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import load_settings
from hunter_pipeline.store.embedded.server import installation
from hunter_pipeline_tests.databases import administer, url_of
from hunter_pipeline_tests.orchestration.many_processes import stated_bounds, watched_sessions
from hunter_pipeline_tests.pipeline_runs import Pipeline
from hunter_pipeline_tests.sandbox_fixtures import flat
from hunter_pipeline_tests.synced_database import SYNCED_AGO

COUNTED = ("partner_center_referrals_raw", "partner_center_referrals", "companies", "lead_scores", "referral_lineage")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of the sign-in, given by setting as on several machines."""
    made = Fernet.generate_key().decode()
    monkeypatch.setenv("HUNTER_TOKEN_CACHE_KEY", made)
    return made


def postgresql_program(name: str, *arguments: str) -> None:
    """Run a program of the embedded server, which fits its version, or the machine's where it brings none."""
    own = installation() / "bin" / name
    path = str(own) if own.exists() else shutil.which(name)
    if path is None:
        pytest.skip(f"neither the embedded server nor this machine has {name}")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def counts(pipeline: Pipeline) -> dict[str, int]:
    return {table: pipeline.rows(f"SELECT count(*) FROM {table}")[0] for table in COUNTED}


def hunter_sync(home: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from hunter_pipeline.cli import main; main()", "sync"],
        env={**os.environ, "HUNTER_ENV_FILE": os.devnull, "HUNTER_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.processes
def test_after_dump_drop_and_restore_a_sync_goes_on_from_the_watermark(
    key: str, pipeline: Pipeline, database_url: str, pg_server_url: str, sandbox: Sandbox, tmp_path: Path
):
    pipeline.now = datetime.now(UTC) - SYNCED_AGO
    pipeline.sync()
    before = counts(pipeline)
    pipeline.engine.dispose()
    file, address = str(tmp_path / "hunter.dump"), database_url.replace("+psycopg2", "")
    postgresql_program("pg_dump", "--format=custom", "--no-owner", f"--file={file}", f"--dbname={address}")

    name = make_url(database_url).database
    administer(pg_server_url, f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE template0")
    postgresql_program("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={address}", file)
    assert counts(pipeline) == before

    sandbox.partner_center.clock = lambda: datetime.now(UTC)
    sandbox.partner_center.referrals.add(flat("AFTER-1", updatedDateTime=datetime.now(UTC).isoformat()))
    # Another machine: it has an empty HUNTER_HOME, nobody signs in again, and Dagster's database is lost.
    dagster = f"{name}_dagster"
    try:
        with watched_sessions(pg_server_url, str(name), dagster) as sessions:
            hunter_sync(
                tmp_path / "another",
                HUNTER_DATABASE_URL=database_url,
                HUNTER_DAGSTER_DATABASE_URL=url_of(pg_server_url, dagster),
            )
    finally:
        administer(pg_server_url, f"DROP DATABASE IF EXISTS {dagster} WITH (FORCE)")
    own, dagsters = (sessions.get(("hunter sync", str(database)), 0) for database in (name, dagster))
    assert (own > 0, dagsters > 0) == (True, True), sessions
    most = stated_bounds()["hunter sync"]
    assert (own <= most[0], dagsters <= most[1]) == (True, True), f"{sessions}: more than {most}"

    status, asked_for_everything = pipeline.rows(
        "SELECT status, window_start IS NULL FROM sync_runs ORDER BY started_at DESC LIMIT 1"
    )[0]
    assert (status, asked_for_everything) == ("success", False)
    assert pipeline.rows("SELECT domain FROM partner_center_referrals WHERE referral_id = 'AFTER-1'") == [
        "after-1-kurgu.com.tr"
    ]
    after = counts(pipeline)
    for table in ("partner_center_referrals_raw", "partner_center_referrals", "companies", "lead_scores"):
        assert after[table] == before[table] + 1, table


def test_the_key_is_changed_as_documented(
    key: str, engine: Engine, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def under(*keys: str) -> SignIn:
        monkeypatch.setenv("HUNTER_TOKEN_CACHE_KEY", ",".join(keys))
        return make_sign_in(load_settings(home=tmp_path), engine)

    new = Fernet.generate_key().decode()
    under(key).device_login(lambda _: None)
    assert under(new, key).acquire(), "the old sign-in is read until there is a new one"
    with pytest.raises(TokenCacheUnreadable, match="put the old key back"):
        under(new).acquire()
    under(new, key).device_login(lambda _: None)
    assert under(new).acquire()
