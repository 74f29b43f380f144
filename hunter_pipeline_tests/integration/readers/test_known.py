"""What a server keeps of a count: never another than is counted now, and counted once while nobody writes."""

import pytest
from sqlalchemy import Connection, Engine, event, text

from hunter_pipeline.readers.known import MOST_KEPT, Known
from hunter_pipeline.readers.summary import Summary, summary
from hunter_pipeline_tests.statement_costs import statements_of

FAILURE = (
    "INSERT INTO referral_failures (item_key, stage, error, code_version, run_id, first_seen_at, last_seen_at)"
    " SELECT 'r' || n, 'raw_leads', 'broken', '1', 'x', now(), now() FROM generate_series(1, {number}) n"
    " ON CONFLICT DO NOTHING"
)


def read(engine: Engine, known: Known[[], Summary]) -> int:
    """Open failures, as somebody sees them who reads the kept summary; it is what is counted now."""
    with engine.connect() as connection:
        found = known.read(connection)
        assert found == summary(connection)
        return found.open_failures


def write(connection: Connection, number: int) -> None:
    connection.execute(text(FAILURE.format(number=number)))


def test_it_is_counted_once_while_nobody_writes(engine: Engine):
    known = Known(summary)
    for _ in range(200):  # the server's own upkeep, and other tests, write now and then
        read(engine, known)
        with engine.connect() as connection, statements_of(engine) as statements:
            known.read(connection)
        if len(statements) == 1:
            return
    pytest.fail("it was counted each time")


def test_a_write_is_seen_at_once(engine: Engine):
    known = Known(summary)
    for number in range(1, 6):
        assert [read(engine, known) for _ in range(3)] == [number - 1] * 3
        with engine.begin() as connection:
            write(connection, number)
    assert read(engine, known) == 5


def test_what_was_under_way_while_it_was_counted_is_seen_once_it_is_committed(engine: Engine):
    known = Known(summary)
    with engine.begin() as early, engine.begin() as late:
        write(early, 1)
        late.execute(text("UPDATE stage_state SET totals = NULL"))
        with late.begin_nested():
            late.execute(text(FAILURE.format(number=1).replace("'r'", "'s'")))
        assert [read(engine, known) for _ in range(3)] == [0, 0, 0]
        early.commit()
        assert [read(engine, known) for _ in range(3)] == [1, 1, 1]
    assert read(engine, known) == 2


def test_what_was_rolled_back_changes_nothing(engine: Engine):
    known = Known(summary)
    with engine.connect() as connection:
        write(connection, 3)
        assert read(engine, known) == 0
        connection.rollback()
    assert read(engine, known) == 0


def test_a_change_between_two_of_its_statements_is_not_kept(engine: Engine):
    known = Known(summary)
    with engine.connect() as connection, engine.connect() as other:

        def interfere(_: object, __: object, statement: str, *___: object) -> None:
            if "normalized_domains" in statement:
                write(other, 1)
                other.commit()

        event.listen(engine, "before_cursor_execute", interfere)
        try:
            known.read(connection)
        finally:
            event.remove(engine, "before_cursor_execute", interfere)
    assert read(engine, known) == 1


def failures_of(connection: Connection, prefix: str) -> int:
    statement = "SELECT count(*) FROM referral_failures WHERE starts_with(item_key, :prefix)"
    found: int = connection.execute(text(statement), {"prefix": prefix}).scalar_one()
    return found


def test_each_of_several_questions_is_known_for_itself_until_somebody_writes(engine: Engine):
    known = Known(failures_of)
    for number in range(1, 4):
        with engine.begin() as connection:
            write(connection, number)
        for _ in range(2):
            with engine.connect() as connection:
                assert [known.read(connection, each) for each in ("r1", "s", "r", "r1")] == [1, 0, number, 1]


def test_it_keeps_only_so_many_answers(engine: Engine):
    known = Known(failures_of)
    with engine.connect() as connection:
        for number in range(3 * MOST_KEPT):
            assert known.read(connection, f"x{number}") == 0
        assert known._known is not None
        assert len(known._known[1]) <= MOST_KEPT
