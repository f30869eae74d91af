"""Rule L2 as a pure decision."""

from datetime import date, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from headrace_core.copies import Copy, Settlement, settle

DAY = date(2026, 11, 20)


def _copy(offset: int, day: int = 0, *, identity: str = "x", file_id: int = 1) -> Copy:
    return Copy(identity, DAY + timedelta(days=day), (0, offset), file_id)


def test_the_lowest_of_the_batch_stays() -> None:
    first, second = _copy(1), _copy(2, day=1)
    assert settle([second, first], []) == Settlement([first], [second], [])


def test_a_lower_stored_copy_keeps_the_others_out() -> None:
    stored, staged = _copy(1), _copy(2, day=-1)
    assert settle([staged], [stored]) == Settlement([], [staged], [])


def test_a_higher_stored_copy_leaves_for_a_lower_one() -> None:
    stored, staged = _copy(5, day=1), _copy(2)
    assert settle([staged], [stored]) == Settlement([staged], [], [stored])


def test_a_copy_between_two_stored_ones_displaces_both() -> None:
    stored = [_copy(5, day=-1), _copy(6, day=1)]
    assert settle([_copy(2)], stored).displaced == stored


def test_a_frozen_day_gives_no_copy_away() -> None:
    stored, staged = _copy(5, day=1), _copy(2)
    assert settle([staged], [stored], {stored.event_date}) == Settlement([], [staged], [])


def test_copies_two_days_apart_are_two_rows() -> None:
    copies = [_copy(1), _copy(2, day=2)]
    assert settle(copies, []).absent == copies


copies = st.lists(
    st.builds(_copy, st.integers(0, 40), st.integers(0, 4), identity=st.sampled_from("xyz")),
    max_size=8,
    unique_by=lambda copy: copy.position,
)


@given(copies)
def test_a_batch_ends_like_its_copies_loaded_one_by_one_in_order(staged: list[Copy]) -> None:
    at_once = settle(staged, []).absent
    stored: list[Copy] = []
    for copy in sorted(staged, key=lambda copy: copy.position):
        decided = settle([copy], stored)
        stored = [each for each in stored if each not in decided.displaced] + decided.absent
    assert sorted(at_once, key=lambda copy: copy.position) == stored


@given(copies, st.randoms(use_true_random=False))
def test_in_any_order_of_loading_no_two_copies_within_a_day_remain_and_none_is_lost(
    staged: list[Copy], order: Random
) -> None:
    stored: list[Copy] = []
    shuffled = staged[:]
    order.shuffle(shuffled)
    for copy in shuffled:
        decided = settle([copy], stored)
        stored = [each for each in stored if each not in decided.displaced] + decided.absent
    for at, one in enumerate(stored):
        for other in stored[at + 1 :]:
            assert one.dedup_id != other.dedup_id or abs((one.event_date - other.event_date).days) > 1
    assert {copy.dedup_id for copy in stored} == {copy.dedup_id for copy in staged}
