"""The digest: what it says of a synced database, to whom, and how often."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request
from sqlalchemy import Connection, Engine, text

from hunter_pipeline.quality import alerts
from hunter_pipeline.quality.digest import DigestNotDelivered, send_digest
from hunter_pipeline.readers.digest import digest_text, read_digest
from hunter_pipeline_tests.web.serving import serving


def present(connection: Connection) -> datetime:
    """Shortly after the sync that filled the database."""
    found: datetime = connection.execute(text("SELECT max(finished_at) FROM sync_runs")).scalar_one()
    return found + timedelta(minutes=1)


def test_it_tells_what_is_new_and_names_companies_and_no_people(synced_rows: Connection):
    now = present(synced_rows)
    digest = read_digest(synced_rows, now - timedelta(days=1), now)
    best = synced_rows.execute(
        text(
            "SELECT c.canonical_name, s.category, s.score FROM lead_scores s JOIN companies c USING (domain)"
            " WHERE s.category IN ('P1', 'P2') ORDER BY s.category, s.score DESC, domain"
        )
    ).all()
    assert list(digest.new) == [f"{row.canonical_name} ({row.category}, {row.score})" for row in best]
    assert digest.received == synced_rows.execute(text("SELECT count(*) FROM partner_center_referrals")).scalar_one()
    told = digest_text(digest, "https://leads.example.com/referrals")
    assert told.splitlines()[-1] == "https://leads.example.com/referrals"
    people = synced_rows.execute(
        text(
            "SELECT DISTINCT part FROM partner_center_referrals_raw r,"
            " jsonb_path_query(r.payload, 'lax $.customerProfile.team[*]') person,"
            " unnest(ARRAY[person->>'email', person->>'phoneNumber',"
            " (person->>'firstName') || ' ' || (person->>'lastName')]) part WHERE length(part) > 5"
        )
    ).scalars()
    named = [person for person in people if person in told]
    assert named == []


def test_a_category_that_changed_is_told_from_first_to_last(synced_rows: Connection):
    now = present(synced_rows)
    domain = synced_rows.execute(text("SELECT domain FROM lead_scores WHERE category = 'P2' LIMIT 1")).scalar_one()
    since = now
    for minute, (old, new) in enumerate([("P5", "P3"), ("P3", "P2")], start=1):
        synced_rows.execute(
            text(
                "INSERT INTO lead_score_history (domain, cause, old_score, new_score, old_segment, new_segment,"
                " old_category, new_category, rules_hash, run_id, changed_at)"
                " VALUES (:domain, 'signals', 1, 2, 'Cold', 'Cold', :old, :new, '', 'r', :at)"
            ),
            {"domain": domain, "old": old, "new": new, "at": since + timedelta(minutes=minute)},
        )
    digest = read_digest(synced_rows, since, since + timedelta(hours=1))
    assert [each for each in digest.moved if "P5 to P2" in each] == list(digest.moved)
    assert len(digest.moved) == 1
    assert digest.new == []


def test_a_quiet_day_is_said_in_one_line(engine: Engine):
    now = datetime.fromisoformat("2031-05-06T07:00:00+00:00")
    with engine.connect() as connection:
        told = digest_text(read_digest(connection, now - timedelta(days=1), now), None)
    assert told.splitlines() == ["Hunter: leads since 2031-05-05 07:00 UTC", "0 referrals received, 0 to answer"]


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[Any], list[int]]]:
    """A chat channel: its address, what it was sent, and the statuses of its next answers."""
    app, sent, statuses = FastAPI(), [], []

    @app.post("/hook")
    async def hook(request: Request) -> Any:
        from fastapi import Response

        body = await request.json()
        status = statuses.pop(0) if statuses else 200
        if status == 200:
            sent.append(body)
        return Response(status_code=status)

    with serving(app) as address:
        yield f"{address}/hook", sent, statuses


def test_a_day_has_one_digest_whoever_asks(synced: Engine, channel: tuple[str, list[Any], list[int]]):
    url, sent, _ = channel
    with synced.connect() as connection:
        now = present(connection)
    results: list[str | None] = []
    threads = [threading.Thread(target=lambda: results.append(send_digest(synced, url, now, None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 1
    assert sorted(result is None for result in results) == [False, True]
    assert send_digest(synced, url, now.replace(hour=23, minute=59), None) is None  # later on the same day
    assert send_digest(synced, url, now + timedelta(days=1), None) is not None
    assert len(sent) == 2


def test_one_that_the_channel_refused_is_sent_by_the_next_run(
    synced: Engine, channel: tuple[str, list[Any], list[int]]
):
    url, sent, statuses = channel
    with synced.connect() as connection:
        now = present(connection)
    statuses.append(500)
    with pytest.raises(DigestNotDelivered, match="tries again"):
        send_digest(synced, url, now, None)
    assert sent == []
    assert send_digest(synced, url, now + timedelta(minutes=5), None) is not None
    assert len(sent) == 1
    assert alerts.body_for(url, "x") == {"text": "x"}
