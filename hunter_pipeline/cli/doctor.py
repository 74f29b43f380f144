"""`hunter doctor`: looks at everything that a sync needs, and says what to do.

Each check stands alone and gives one finding; one that needs what an earlier check found broken is left out and
says so. Nothing is changed, except that a sign-in may renew itself as in any sync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text

from hunter_pipeline.cli.console import ready
from hunter_pipeline.cli.examinations import (
    Finding,
    State,
    look_at_lookups,
    look_at_names,
    look_at_ports,
    look_at_role,
    look_at_source,
)
from hunter_pipeline.errors import one_line
from hunter_pipeline.pipeline.sync_runs import last_success
from hunter_pipeline.quality.claims import judge_recency, judge_sign_in, read_sign_in
from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.reply import LookupStatus
from hunter_pipeline.services import (
    check_connection_settings,
    make_client,
    make_dns_settings,
    make_rules,
    make_sign_in,
)
from hunter_pipeline.settings import Settings, SettingsError
from hunter_pipeline.store import migrate
from hunter_pipeline.store.database import urls_of
from hunter_pipeline.store.engine import connect_or_explain, describe, make_engine

if TYPE_CHECKING:
    from hunter_pipeline.orchestration.instance_state import InstanceState

SCHEDULE = "referral_sync_schedule"

LATER = (
    "tables", "sign-in", "API", "role", "Dagster's tables", "daemon", "schedule", "source", "look-ups", "last sync",
)  # fmt: skip
"""The checks that need the database."""

SYSTEM_RESOLVERS = "the system's resolvers"

PROBE = ("example.com", "NS")
"""What every DNS server is asked; any answer will do, also that there is no such name."""


def examine(now: datetime) -> Iterator[Finding]:
    """Every check in turn. The later ones rest on the settings and on the database."""
    try:
        settings = ready()
    except SettingsError as error:
        yield Finding("settings", "problem", str(error))
        return
    yield _settings(settings)
    yield look_at_names()
    yield _guarded("scoring rules", lambda: _rules(settings))
    yield _guarded("DNS", lambda: _dns(settings))
    yield _guarded("ports", lambda: look_at_ports(settings))
    database = _guarded("database", lambda: _database(settings))
    yield database
    if database.state == "problem":
        yield from _left_out("needs the database", *LATER)
        return
    tables = _guarded("tables", lambda: _tables(settings))
    yield tables
    engine = make_engine(urls_of(settings).hunter)
    try:
        yield from _partner_center(settings, engine, now, tables.state == "ok")
        yield from _dagster(settings)
        if tables.state == "ok":
            yield _guarded("source", lambda: look_at_source(settings, engine))
            yield _guarded("look-ups", lambda: look_at_lookups(engine, now))
            yield _guarded("last sync", lambda: _recency(settings, engine, now))
    finally:
        engine.dispose()


def _guarded(check: str, look: Callable[[], Finding]) -> Finding:
    """The finding of `look`; an error that a person can mend is a problem."""
    try:
        return look()
    except Exception as error:
        told = str(error) if isinstance(error, OSError) else one_line(error)
        if told is None:
            raise
        return Finding(check, "problem", told)


def _settings(settings: Settings) -> Finding:
    try:
        check_connection_settings(settings)
    except SettingsError as error:
        return Finding("settings", "problem", str(error), next="hunter init")
    if not settings.partner_center_enabled:
        return Finding(
            "settings", "warning", "nothing is synced: set HUNTER_PARTNER_CENTER_ENABLED=true to switch it on"
        )
    return Finding("settings", "ok", f"for {settings.partner_center_base_url}, {settings.environment}")


def _rules(settings: Settings) -> Finding:
    rules = make_rules(settings)
    return Finding("scoring rules", "ok", f"{settings.scoring_rules or 'the packaged ones'}, version {rules.hash[:12]}")


def _dns(settings: Settings) -> Finding:
    plan = make_dns_settings(settings)
    servers: tuple[str | None, ...] = plan.servers or (None,)
    silent: list[str] = []
    troubles: list[str] = []
    for server in servers:
        own = DnsSettings((server,) if server else (), 1, plan.qps_per_server, plan.timeout, plan.attempts)
        reply, told = asyncio.run(_ask(own))
        troubles += told
        if not told and not reply.known:
            silent.append(f"{server or 'the system resolver'}: {reply.value}")
    if not silent and not troubles:
        return Finding("DNS", "ok", f"answers come from {', '.join(plan.servers) or SYSTEM_RESOLVERS}")
    details = list(troubles)
    if silent:
        fix = "check HUNTER_DNS_SERVERS and that UDP and TCP port 53 may go out"
        details.append(f"no answer from {'; '.join(silent)}; {fix}")
    state: State = "problem" if len(silent) + len(troubles) >= len(servers) else "warning"
    return Finding("DNS", state, "; ".join(details))


async def _ask(settings: DnsSettings) -> tuple[LookupStatus, tuple[str, ...]]:
    async with DnsClient(settings) as client:
        [reply] = await client.lookup_many([PROBE])
        await client.examine()
        return reply.status, client.troubles


def _database(settings: Settings) -> Finding:
    url = urls_of(settings).hunter
    engine = make_engine(url)
    try:
        with connect_or_explain(engine) as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    finally:
        engine.dispose()
    if encoding != "UTF8":  # what a server that was set up without a locale makes
        fix = "make it anew: createdb --encoding=UTF8 --template=template0"
        return Finding(
            "database", "problem", f"{describe(url)} has the encoding {encoding}, which holds no names; {fix}"
        )
    kind = "embedded" if settings.database_url is None else "configured"
    return Finding("database", "ok", f"{kind}, PostgreSQL {version}, {describe(url)}")


def _tables(settings: Settings) -> Finding:
    state = migrate.status(urls_of(settings).hunter)
    if state.up_to_date:
        return Finding("tables", "ok", f"at revision {state.current}")
    if not state.known:
        return Finding("tables", "problem", str(migrate.SchemaNewer(state)))
    if settings.database_url is None:
        return Finding(
            "tables", "warning", "not made yet or older: the next command makes them, such as `hunter login`"
        )
    return Finding(
        "tables",
        "problem",
        f"at revision {state.current or 'none'}, {state.head} is needed: run `hunter db upgrade`",
        next="hunter db upgrade",
    )


def _partner_center(settings: Settings, engine: Engine, now: datetime, tables: bool) -> Iterator[Finding]:
    try:
        check_connection_settings(settings)
    except SettingsError:
        yield from _left_out("needs the settings", "sign-in", "API", "role")
        return
    if not tables and settings.partner_center_token_cache_path is None:
        if settings.database_url is None:
            nobody = "nobody has signed in yet: run `hunter login`"
            yield Finding("sign-in", "problem", nobody, next="hunter login")
            yield from _left_out("needs the sign-in", "API", "role")
        else:
            yield from _left_out("needs the tables", "sign-in", "API", "role")
        return

    def sign_in() -> Finding:
        facts = read_sign_in(make_sign_in(settings, engine), renew=True)
        verdict = judge_sign_in(facts, now)
        if verdict.holds:
            return Finding("sign-in", "ok", verdict.summary)
        # One that is good and ends soon is a matter of days.
        state: State = "warning" if "days_left" in verdict.counts else "problem"
        login = facts.problem is None or facts.login_helps
        return Finding("sign-in", state, verdict.summary, next="hunter login" if login else None)

    def api() -> Finding:
        pages = make_client(settings, make_sign_in(settings, engine)).iter_pages(None)
        page = next(pages)
        total = (
            f"{page.total} referrals" if page.total is not None else f"{len(page.items)} referrals on the first page"
        )
        return Finding("API", "ok", f"{settings.partner_center_base_url} answers: {total}")

    found = _guarded("sign-in", sign_in)
    yield found
    if found.state == "problem":
        yield from _left_out("needs the sign-in", "API", "role")
        return
    yield _guarded("API", api)
    if tables:
        yield _guarded("role", lambda: look_at_role(settings, engine))
    else:
        yield from _left_out("needs the tables", "role")


def _left_out(why: str, *checks: str) -> Iterator[Finding]:
    for check in checks:
        yield Finding(check, "left out", why)


def _dagster(settings: Settings) -> Iterator[Finding]:
    # Imported here: Dagster takes seconds.
    from hunter_pipeline.orchestration.instance_state import read_instance
    from hunter_pipeline.orchestration.storage_tables import describe_tables, tables_state

    url = urls_of(settings).dagster
    state = tables_state(url)
    yield Finding("Dagster's tables", "ok" if state == "complete" else "warning", describe_tables(url, state))
    if state != "complete":
        yield from _left_out("needs Dagster's tables", "daemon", "schedule")
        return
    instance = read_instance(settings, SCHEDULE)
    yield _daemon(instance)
    yield _schedule(instance)


def _daemon(instance: InstanceState) -> Finding:
    if not instance.silent_parts:
        return Finding("daemon", "ok", "all of its parts show a heartbeat")
    everything = len(instance.silent_parts) == instance.daemon_parts
    which = "no heartbeat" if everything else f"no heartbeat of {', '.join(instance.silent_parts)}"
    fix = "schedules and sensors do not run; start `hunter dev`, or `hunter daemon` as a service"
    return Finding("daemon", "warning", f"{which}: {fix}", next="hunter dev")


def _schedule(instance: InstanceState) -> Finding:
    if not instance.schedule_known:
        return Finding(
            "schedule", "warning", f"{SCHEDULE} has never ticked: it does when the daemon has run for a while"
        )
    if not instance.schedule_on:
        return Finding(
            "schedule", "problem", f"{SCHEDULE} is switched off: switch it on in the Dagster UI under Automation"
        )
    tick = instance.last_tick
    if tick is None:
        return Finding("schedule", "warning", f"{SCHEDULE} is on and has not ticked yet")
    if tick.outcome == "failure":
        return Finding("schedule", "problem", f"its tick of {tick.at:%Y-%m-%d %H:%M} UTC failed: see the Dagster UI")
    said = f", {tick.skip_reason}" if tick.outcome == "skipped" else ""
    return Finding("schedule", "ok", f"{SCHEDULE} ticked {tick.at:%Y-%m-%d %H:%M} UTC{said}")


def _recency(settings: Settings, engine: Engine, now: datetime) -> Finding:
    with engine.connect() as connection:
        reached = last_success(connection)
    interval = timedelta(seconds=settings.partner_center_sync_interval)
    verdict = judge_recency(reached, now, interval, enabled=settings.partner_center_enabled)
    never = reached is None and settings.partner_center_enabled
    return Finding("last sync", "ok" if verdict.holds else "warning", verdict.summary, "hunter sync" if never else None)
