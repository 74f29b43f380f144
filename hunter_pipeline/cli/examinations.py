"""What `hunter doctor` looks at around and inside the product: names of settings, ports, and what the database tells.

Belongs here: checks that no sync needs and that explain a puzzling one. Does not belong here: what a sync stands on,
and the order of all checks (`doctor`).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

import requests
from sqlalchemy import Engine, text

from hunter_pipeline.masking import mask_email
from hunter_pipeline.pipeline.sync_runs import FIRST_DAY, check_source
from hunter_pipeline.quality.claims import CLAIMS
from hunter_pipeline.services import make_sign_in
from hunter_pipeline.settings import Settings, unknown_names

State = Literal["ok", "warning", "problem", "left out"]

NEWEST = 200
"""Referrals whose teams are looked at."""

FEW = 5
"""Fewer referrals say nothing about a role."""

TEAMS = """
SELECT ARRAY(SELECT coalesce(member->>'email', '') FROM jsonb_array_elements(raw_data->'team') member)
FROM (SELECT raw_data FROM partner_center_referrals ORDER BY synced_at DESC LIMIT :newest) newest
WHERE jsonb_typeof(raw_data->'team') = 'array'
"""

PORT_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :param detail: what is the case and, unless it is `ok`, what to do.
    :param next: the command that comes next, where there is one.
    """

    check: str
    state: State
    detail: str
    next: str | None = None


def look_at_names() -> Finding:
    """Whether every HUNTER_ name in the environment and in the settings' file is a setting."""
    unknown = unknown_names()
    if not unknown:
        return Finding("names", "ok", "every HUNTER_ name is a setting")
    said = [f"{name} is no setting" + (f", {near} is" if near else "") for name, near in unknown.items()]
    return Finding("names", "warning", f"{'; '.join(said)}: correct or remove what is not meant")


def look_at_ports(settings: Settings) -> Finding:
    """Whether lead list and Dagster UI can listen on this machine, or do already."""
    dagster = urlsplit(settings.dagster_url)
    wanted = [("lead list", settings.web_host, settings.web_port, "/healthz/live", "HUNTER_WEB_PORT")]
    if dagster.hostname in ("127.0.0.1", "localhost", "::1") and dagster.port:
        wanted.append(("Dagster UI", dagster.hostname, dagster.port, "/server_info", "--port and HUNTER_DAGSTER_URL"))
    said, taken = [], False
    for name, host, port, path, setting in wanted:
        use = _use_of(host, port, path)
        said.append(f"{name} {port} {use}" + (f" (choose another with {setting})" if use == TAKEN else ""))
        taken = taken or use == TAKEN
    return Finding("ports", "warning" if taken else "ok", "; ".join(said))


TAKEN = "is taken by another program"


def _use_of(host: str, port: int, path: str) -> str:
    address = "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host  # noqa: S104 - compared, not listened on
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(PORT_SECONDS)
        try:
            probe.connect((address, port))
        except OSError:
            return "is free"
    name = f"[{address}]" if family == socket.AF_INET6 else address
    try:
        answer = requests.get(f"http://{name}:{port}{path}", timeout=PORT_SECONDS)
        return "is served" if answer.ok and "json" in answer.headers.get("content-type", "") else TAKEN
    except requests.RequestException:
        return TAKEN


def look_at_source(settings: Settings, engine: Engine) -> Finding:
    """Whether the database's referrals came from the Partner Center that is set."""
    host = urlsplit(settings.partner_center_base_url).hostname or ""
    with engine.connect() as connection:
        check_source(connection, host)
        referrals = connection.execute(text("SELECT EXISTS (SELECT FROM sync_runs)")).scalar_one()
    return Finding("source", "ok", f"its referrals came from {host}" if referrals else "no sync has written here yet")


def look_at_role(settings: Settings, engine: Engine) -> Finding:
    """Whether the account sees more than the referrals that name it, which is all that a Referrals User sees."""
    account = make_sign_in(settings, engine).status().account
    with engine.connect() as connection:
        teams = list(connection.execute(text(TEAMS), {"newest": NEWEST}).scalars())
    if account is None or len(teams) < FEW:
        return Finding("role", "ok", "too few referrals with a team to tell")
    # Compared as they are masked: the address itself is not kept where a check could read it.
    own = sum(account.username in map(mask_email, team) for team in teams)
    if own < len(teams):
        return Finding("role", "ok", f"{len(teams) - own} of the newest {len(teams)} referrals name others only")
    return Finding(
        "role",
        "warning",
        f"each of the newest {len(teams)} referrals names the account that signed in: a Referrals User sees no others; "
        f"give it the role Referrals Admin in Partner Center, then run `hunter sync --since {FIRST_DAY}`",
    )


def look_at_lookups(engine: Engine, now: datetime) -> Finding:
    """Whether the look-ups of domains get answers."""
    [claim] = [claim for claim in CLAIMS if claim.name == "few_undetermined_lookups"]
    with engine.connect() as connection:
        verdict = claim.check(connection, now)
    return Finding("look-ups", "ok" if verdict.holds else "warning", verdict.summary)
