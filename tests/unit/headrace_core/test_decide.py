"""The pure decision: entries, tags, clock and horizon (D1, D2, D8)."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from headrace_core.block import Verdict
from headrace_core.decide import (
    ABSENT,
    DEAD,
    decide,
    entry,
    entry_offset,
    entry_tag,
    horizon,
    partition_clock,
    tags_equal,
)
from headrace_core.reasons import Reason


class Seen:
    """A table with fixed content."""

    def __init__(self, known: dict[bytes, int] | None = None) -> None:
        self._known = known or {}

    def get_many(self, ids: Sequence[bytes]) -> list[int]:
        """See SeenTable."""
        return [self._known.get(identity, ABSENT) for identity in ids]

    def set_many(self, ids: Sequence[bytes], entries: Sequence[int]) -> None:
        """See SeenTable."""
        self._known.update(zip(ids, entries, strict=True))


@given(offset=st.integers(0, 2**40 - 2), content=st.integers(0, 2**64 - 1))
def test_an_entry_holds_offset_and_tag(offset: int, content: int) -> None:
    made = entry(offset, content)
    assert 0 < made < 2**64
    assert made > DEAD
    assert entry_offset(made) == offset
    assert entry_tag(made) != 0
    assert tags_equal(made, content)


@given(content=st.integers(0, 2**64 - 1))
def test_a_fingerprint_of_another_version_equals_every_one(content: int) -> None:
    assert tags_equal(entry(5, None), content)


def test_the_clock_is_a_running_maximum() -> None:
    assert partition_clock(5, [3, 9, 7]) == 9
    assert partition_clock(10, [3, 9]) == 10
    assert partition_clock(10, []) == 10


@given(
    clocks=st.lists(st.integers(0, 50), max_size=12).map(sorted),
    before=st.integers(0, 60),
    first=st.integers(0, 60),
    window=st.integers(1, 40),
    known_from=st.integers(0, 3),
)
def test_the_horizon_is_the_start_of_the_first_block_inside_the_window(
    clocks: list[int], before: int, first: int, window: int, known_from: int
) -> None:
    starts = [10 * number for number in range(len(clocks))]
    known_from = min(known_from, len(clocks))
    found = horizon(
        starts,
        clocks,
        clock_before_ms=before,
        first_append_ms=first,
        window_ms=window,
        start=999,
        known_from=known_from,
    )
    limit = max(before, first) - window
    inside = [s for s, clock in list(zip(starts, clocks, strict=True))[known_from:] if clock > limit]
    assert found == (inside[0] if inside else 999)


def test_verdicts_updates_and_undo() -> None:
    live, expired = entry(50, 1), entry(5, 1)
    seen = Seen({b"live": live, b"old": expired, b"dead": DEAD})
    made = decide(
        offsets=[100, 101, 102, 103, 104, 105, 106],
        ids=[b"live", b"live", b"old", b"dead", b"new", b"new", b"bad"],
        fingerprints=[1, 2, 7, 7, 8, 8, 9],
        reasons=[0, 0, 0, 0, 0, 0, Reason.WRONG_TYPE.number],
        seen=seen,
        horizon_offset=10,
    )
    accepted, duplicate, quarantined = Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED
    assert list(made.verdicts) == [
        duplicate,
        quarantined,
        accepted,
        accepted,
        accepted,
        duplicate,
        quarantined,
    ]
    assert made.reasons == (0, Reason.ID_CONFLICT.number, 0, 0, 0, 0, Reason.WRONG_TYPE.number)
    assert made.first_offsets == (50, 50, -1, -1, -1, 104, -1)
    assert made.updated_ids == (b"old", b"dead", b"new")
    assert made.updated_entries == (entry(102, 7), entry(103, 7), entry(104, 8))
    assert made.undo == ((b"old", expired), (b"dead", DEAD), (b"new", ABSENT))


def test_offset_zero_is_remembered() -> None:
    seen = Seen({b"first": entry(0, 3)})
    made = decide(offsets=[1], ids=[b"first"], fingerprints=[3], reasons=[0], seen=seen, horizon_offset=0)
    assert list(made.verdicts) == [Verdict.DUPLICATE]
    assert made.first_offsets == (0,)
