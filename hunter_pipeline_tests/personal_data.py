"""Looks for the persons of the sandbox's samples in everything that a session leaves.

Belongs here: who they are (read out of the samples, so a new one is looked for too), where they may stand, and the
search through files, both databases and the arguments of processes. Does not belong here: the session itself.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from hunter_pipeline.sandbox.samples import load_samples

MAY_HOLD_PERSONS = {
    "partner_center_referrals_raw": {"payload", "payload_original"},
    "normalized_domains": {"raw_text", "attempts"},
    "partner_center_referrals": {"raw_data"},
    "raw_leads": {"email", "payload"},
    "referral_failures": {"payload"},
}
"""The columns that are meant to hold them (docs/security.md)."""

_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+\.\w+")


def persons() -> set[str]:
    """Full names, addresses and telephone numbers of everybody whom a sample names."""
    found: set[str] = set()
    for sample in load_samples(datetime(2026, 11, 24, tzinfo=UTC)):
        found.update(_ADDRESS.findall(sample.text))
        try:
            payload = json.loads(sample.text)
        except ValueError:
            continue
        found.update(_of(payload))
    return {each for each in found if len(each) > 5}


def _of(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _of(each)
    if not isinstance(value, Mapping):
        return
    first, last = value.get("firstName"), value.get("lastName")
    if isinstance(first, str) and isinstance(last, str) and first and last:
        yield f"{first} {last}"
    for key in ("phoneNumber", "phone", "email", "emailAddress"):
        if isinstance(value.get(key), str) and value[key].strip():
            yield value[key].strip()
    for each in value.values():
        yield from _of(each)


def forms(persons_: set[str]) -> dict[bytes, str]:
    """The bytes to look for: as it is, and as JSON writes it; each with the person."""
    return {
        form.lower().encode("utf-8", "surrogatepass"): each
        for each in persons_
        for form in (each, json.dumps(each)[1:-1])
    }


def in_bytes(content: bytes, looked_for: Mapping[bytes, str]) -> set[str]:
    """The persons in some bytes, whatever the case of ASCII letters."""
    small = content.lower()
    return {person for form, person in looked_for.items() if form in small}


def in_files(folder: Path, looked_for: Mapping[bytes, str]) -> dict[str, set[str]]:
    """The persons in the files of a HUNTER_HOME, but for the database's own pages, which are read as tables."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if not path.is_file() or {"base", "pg_wal", "global"} & set(inside):
            continue
        if named := in_bytes(path.read_bytes(), looked_for):
            found[str(path)] = named
    return found


def in_tables(url: str, looked_for: Mapping[bytes, str], allowed: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The persons in the columns of every table of a database that are not meant to hold them."""
    found = {}
    engine = create_engine(url)
    with engine.connect() as connection:
        columns = connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = 'public') ORDER BY 1, 2"
            )
        ).all()
        for table, column in columns:
            if column in allowed.get(table, ()):
                continue
            values = connection.execute(text(f'SELECT "{column}"::text FROM "{table}"')).scalars()
            content = "\n".join(value for value in values if value).encode("utf-8", "surrogatepass")
            if named := in_bytes(content, looked_for):
                found[f"{table}.{column}"] = named
    engine.dispose()
    return found


def in_process_arguments(looked_for: Mapping[bytes, str]) -> dict[str, set[str]]:
    """The persons in the arguments of the processes that run now."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # it has ended
        if named := in_bytes(content, looked_for):
            found[str(path)] = named
    return found
