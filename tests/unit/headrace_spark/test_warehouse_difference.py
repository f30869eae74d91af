"""Decisions of rule B3: whether a generation is applied, and which of its rows go in."""

from datetime import date, timedelta

import pytest

from headrace_core.copies import Copy, Settlement
from headrace_spark.warehouse_difference import DayApplied, DayState, RowChanges, settle_day, standing

DAY = date(2026, 11, 20)


def _copy(offset: int, day: int = 0) -> Copy:
    return Copy("x", DAY + timedelta(days=day), (0, offset), 1)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (DayState(), None),
        (DayState(expired=True), None),
        (DayState(4), None),
        (DayState(5), "present"),
        (DayState(6), "superseded"),
    ],
)
def test_only_a_sequence_above_the_stored_one_is_applied(state: DayState, outcome: str | None) -> None:
    assert standing(state, 5) == outcome


def test_a_lower_copy_keeps_the_row_out_and_a_higher_one_leaves() -> None:
    row, lower, higher = _copy(5), _copy(1, day=-1), _copy(9, day=1)
    assert settle_day([row], [lower]) == Settlement([], [row], [])
    assert settle_day([row], [higher]) == Settlement([row], [], [higher])


def test_the_record_itself_on_another_day_makes_place() -> None:
    row, before = _copy(5), _copy(5, day=1)
    assert settle_day([row], [before]) == Settlement([row], [], [before])


def test_the_record_itself_on_an_expired_day_stays() -> None:
    row, before = _copy(5), _copy(5, day=1)
    assert settle_day([row], [before], {before.event_date}) == Settlement([], [row], [])


def test_the_record_itself_stays_where_the_row_does_not_come() -> None:
    """It goes when the day that it left is applied, and not a moment before its id has another row."""
    row, before, lower = _copy(5), _copy(5, day=-1), _copy(1, day=1)
    assert settle_day([row], [before, lower]) == Settlement([], [row], [])


def test_counts_name_what_was_done() -> None:
    applied = DayApplied(
        "applied",
        3,
        inserted=1,
        displaced=2,
        unchanged=7,
        aggregates={"sessions": RowChanges(1, 1, 1), "funnels": RowChanges()},
    )
    assert applied.written == 6
    assert applied.counts == {
        "warehouse_inserted": 1,
        "warehouse_displaced": 2,
        "warehouse_unchanged": 7,
        "warehouse_sessions": 3,
    }
