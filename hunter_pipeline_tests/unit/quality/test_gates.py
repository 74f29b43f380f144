"""The judgement over the books of a stage."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunter_pipeline.quality.gates import GATES, Books, Gate, gates_of, judge_books
from hunter_pipeline.vocabulary import STAGES

GATE = Gate("stage", "name", "Everything fetched is tracked or failed.", "fetched", ("tracked", "failed"), "lost", "")
BEFORE = datetime(2026, 11, 24, tzinfo=UTC)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_the_books_hold_exactly_when_the_terms_add_up(tracked: int, failed: int, lost: int):
    whole = Books(tracked + failed, {"tracked": tracked, "failed": failed}, ())
    assert judge_books(GATE, whole).holds
    verdict = judge_books(GATE, Books(tracked + failed + lost, whole.parts, ("a",)))
    assert not verdict.holds
    assert verdict.counts["missing"] == lost
    assert verdict.examples is not None
    assert verdict.examples.total == lost


def test_a_broken_equation_shows_its_numbers_and_names_the_fix():
    summary = judge_books(GATE, Books(10, {"tracked": 7, "failed": 1}, ("a", "b"))).summary
    assert summary.startswith("10 fetched, but 7 tracked + 1 failed: 2 lost. ")
    assert "`hunter sync --force --since 2026-01-01`" in summary


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_every_gate_stands_behind_a_stage_and_says_what_to_do(gate: Gate):
    assert gate.stage in STAGES
    assert gate in gates_of(gate.stage)
    assert "`hunter sync --force" in gate.description
