"""Hours: which are sure to be busy, and how far a day has moved."""

import pytest

from headrace_spark.quality.volume_checks import BUSY_ROWS, busy_hours, shift_of_hours

OPEN = [0] * 8 + [500] * 10 + [0] * 6


def test_an_hour_is_sure_only_between_sure_hours() -> None:
    assert busy_hours([OPEN] * 4) == set(range(9, 17))
    assert busy_hours([[500] * 24] * 4) == set(range(24))
    assert busy_hours([[BUSY_ROWS - 1] * 24] * 4) == frozenset()


def test_one_quiet_day_makes_an_hour_unsure_unless_it_is_a_hole_among_many() -> None:
    quiet, hole = [*OPEN], [*OPEN]
    quiet[12], hole[12] = 3, 0
    assert busy_hours([OPEN] * 5 + [quiet]) == set(range(9, 17)) - {11, 12, 13}
    assert busy_hours([OPEN] * 5 + [hole]) == set(range(9, 17))
    assert busy_hours([OPEN] * 4 + [hole]) == set(range(9, 17)) - {11, 12, 13}
    assert busy_hours([OPEN] * 4 + [hole] * 2) == set(range(9, 17)) - {11, 12, 13}


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 2])
def test_a_day_that_moves_as_a_whole(shift: int) -> None:
    moved = OPEN[-shift:] + OPEN[:-shift]
    assert shift_of_hours(moved, [OPEN] * 4) == abs(shift)


def test_a_day_that_only_grows_or_shrinks_has_not_moved() -> None:
    longer = [0] * 6 + [500] * 14 + [0] * 4
    assert shift_of_hours(longer, [OPEN] * 4) == shift_of_hours(OPEN, [longer] * 4) == 0
    assert shift_of_hours(OPEN, [OPEN, OPEN[-3:] + OPEN[:-3]]) == 0
