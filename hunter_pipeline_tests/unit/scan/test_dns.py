"""Replies as text: nothing lost, and nothing that a database refuses."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.scan.reply import LookupStatus, Reply, escape_octets, txt_octets, txt_text


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_any_octets_survive_as_printable_ascii(octets: bytes):
    text = escape_octets(octets)
    assert text.isascii()
    assert text.isprintable() or not text
    assert txt_octets(text) == octets
    assert txt_text(text) == octets.decode("latin-1")


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=100))
def test_reading_any_text_as_octets_never_raises(text: str):
    txt_octets(text)
    txt_text(text)


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"v=spf1 -all", "v=spf1 -all"), (b"a\\b", "a\\\\b"), (b"\x00\xff\t", "\\000\\255\\009"), (b'say "x"', 'say "x"')],
)
def test_the_form_is_that_of_zone_files_without_quotes(octets: bytes, text: str):
    assert escape_octets(octets) == text


@pytest.mark.parametrize("status", list(LookupStatus))
def test_a_reply_survives_json(status: LookupStatus):
    reply = Reply("a.test", "TXT", status, ("x",), 300, "[::1]:53", 2, ("b.test",))
    assert Reply.from_json(json.loads(json.dumps(reply.to_json()))) == reply


def test_a_reply_stored_without_aliases_can_be_read():
    stored = Reply("a.test", "TXT", LookupStatus.nodata).to_json()
    del stored["cnames"]
    assert Reply.from_json(stored) == Reply("a.test", "TXT", LookupStatus.nodata)
