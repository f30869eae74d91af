"""Bounds: what they allow always, what they never allow, and that one bad day does not move them."""

from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_spark.quality.bounds import (
    LEAST_DAYS,
    Share,
    most_of,
    range_of_counts,
    range_of_levels,
    share_at_most,
)

shares = st.builds(
    lambda whole, part: Share(round(part * whole), whole), st.integers(100, 10**6), st.floats(0, 1)
)


@given(days=st.lists(shares, min_size=LEAST_DAYS, max_size=16), whole=st.integers(100, 10**7))
def test_what_two_days_had_is_usual(days: list[Share], whole: int) -> None:
    bound = share_at_most(days, whole, least_change=0.05)
    assert bound is None or sorted(day.value for day in days)[-2] <= bound + 1e-9


@given(days=st.lists(shares, max_size=LEAST_DAYS - 1))
def test_few_days_decide_nothing(days: list[Share]) -> None:
    assert share_at_most(days, 1_000, least_change=0.05) is None
    assert range_of_levels([day.value for day in days], least_width=0.1) is None
    assert range_of_counts([day.whole for day in days], least_days=LEAST_DAYS, least_factor=2) is None


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [(0, 0.05, 0.0501), (300, 0.5, 0.6), (980, 0.99, 1.0)],
)
def test_of_equal_days_the_bound_is_the_least_change_or_the_odds(
    part: int, least: float, most: float
) -> None:
    bound = share_at_most([Share(part * 100, 100_000)] * 20, 100_000, least_change=0.05)
    assert bound is not None
    assert least <= bound <= most


def test_a_column_that_is_always_empty_cannot_become_emptier() -> None:
    assert share_at_most([Share(1_000, 1_000)] * 20, 1_000, least_change=0.05) is None


def test_small_numbers_widen_a_share() -> None:
    days = [Share(2_000, 10_000)] * 20
    few, many = (share_at_most(days, whole, least_change=0.05) for whole in (100, 100_000))
    assert few is not None
    assert many is not None
    assert few > many


def test_one_published_defect_moves_a_bound_only_little() -> None:
    days = [Share(30_000 + 100 * number, 100_000) for number in range(30)]
    clean = share_at_most(days, 100_000, least_change=0.05)
    with_defect = share_at_most([*days[:-1], Share(100_000, 100_000)], 100_000, least_change=0.05)
    assert clean == pytest.approx(with_defect, abs=0.02)


def test_counts_may_fall_to_a_quarter_and_rise_fourfold() -> None:
    found = range_of_counts([10_000] * 8, least_days=4, least_factor=4)
    assert found == pytest.approx((2_475, 40_025))


@given(days=st.lists(st.integers(0, 10**9), min_size=4, max_size=8))
def test_the_median_count_is_always_usual(days: list[int]) -> None:
    found = range_of_counts(days, least_days=4, least_factor=4)
    assert found is not None
    assert found.at_least <= sorted(days)[len(days) // 2] <= found.at_most


def test_levels_tell_cents_from_units() -> None:
    days = [log10(20 + number) for number in range(10)]
    found = range_of_levels(days, least_width=0.6)
    assert found is not None
    assert found.at_least < log10(25) < found.at_most < log10(2_500)


def test_the_second_highest() -> None:
    assert most_of([1.0]) == 1.0
    assert most_of([3.0, 1.0, 2.0]) == 2.0
