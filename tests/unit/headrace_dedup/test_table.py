"""The table of seen ids (D8) against a dictionary: any history, any capacity, expiry, undo, full."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_core.decide import ABSENT, DEAD, entry
from headrace_dedup.slots import SLOT_BYTES
from headrace_dedup.table import IdTable, TableFull


def _id(number: int) -> bytes:
    return random.Random(number).randbytes(16)


def _table(slots: int = 1 << 16, multiplier: int = 0x9E37_79B9_7F4A_7C15) -> IdTable:
    return IdTable(max_bytes=slots * SLOT_BYTES, multiplier=multiplier)


_EVERY = [_id(number) for number in range(301)]
_numbers = st.lists(st.integers(0, 300), unique=True, max_size=60)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(_numbers, st.sampled_from(["set", "undo", "release"])), max_size=20),
    multiplier=st.sampled_from([1, 3, 0x9E37_79B9_7F4A_7C15]),
)
def test_any_history_equals_a_dictionary(steps: list[tuple[list[int], str]], multiplier: int) -> None:
    table, model = IdTable(max_bytes=600 * SLOT_BYTES, multiplier=multiplier), dict[bytes, int]()
    offset = horizon = 0
    for numbers, what in steps:
        ids = [_EVERY[number] for number in numbers]
        if what == "release":
            horizon = offset
            table.release_below(horizon)
        elif what == "undo":
            values = [model.get(identity, DEAD) for identity in ids]
            table.set_many(ids, values)
            model.update(zip(ids, values, strict=True))
        else:
            values = [entry(offset + at, at) for at in range(len(ids))]
            offset += len(ids)
            table.set_many(ids, values)
            model.update(zip(ids, values, strict=True))
        for identity, found in zip(_EVERY, table.get_many(_EVERY), strict=True):
            expected = model.get(identity, ABSENT)
            # An entry below the released horizon may be forgotten, never changed.
            forgettable = found == ABSENT and expected < entry(horizon, None)
            assert found == expected or forgettable


def test_ids_that_share_their_low_half_are_told_apart() -> None:
    table = _table()
    ids = [high.to_bytes(8, "big") + bytes(8) for high in range(1, 200)]
    table.set_many(ids, [entry(at, 1) for at in range(len(ids))])
    assert table.get_many(ids) == [entry(at, 1) for at in range(len(ids))]
    assert table.get_many([bytes(16)]) == [ABSENT]


def test_the_last_entry_of_an_id_that_occurs_twice_counts() -> None:
    table = _table()
    table.set_column(_id(1) + _id(2) + _id(1), [entry(1, 1), entry(2, 2), entry(3, 3)])
    assert table.get_many([_id(1), _id(2)]) == [entry(3, 3), entry(2, 2)]


@pytest.mark.parametrize("window", [1_001, 2_503])
def test_the_window_turns_over_twenty_times_without_growth_or_loss(window: int) -> None:
    """Expired ids make place for new ones for ever, at any capacity; no live one is lost."""
    table = IdTable(max_bytes=8_009 * SLOT_BYTES)
    dice = random.Random(7)
    step = 250
    live: list[bytes] = []
    for start in range(0, 20 * window + window, step):
        fresh = [dice.randbytes(16) for _ in range(step)]
        table.release_below(max(0, start - window))
        table.set_many(fresh, [entry(start + at, None) for at in range(step)])
        live = [*live, *fresh][-window:]
        first = start + step - len(live)
        assert table.get_many(live) == [entry(first + at, None) for at in range(len(live))]
    assert table.capacity <= 8_009


def test_a_full_table_changes_nothing() -> None:
    table = _table(1_000)
    ids = [_id(number) for number in range(750)]
    table.set_many(ids, [entry(at, 1) for at in range(750)])
    assert table.room() == 0
    with pytest.raises(TableFull) as refused:
        table.set_many([_id(1), _id(900), _id(901)], [entry(900, 1), entry(901, 1), entry(902, 1)])
    assert "HEADRACE_DEDUP_TABLE_BYTES" in refused.value.fix
    assert table.get_many([_id(1), _id(900)]) == [entry(1, 1), ABSENT]


def test_a_full_table_takes_updates_and_one_id_from_the_reserve() -> None:
    table = _table(1_000)
    table.set_many([_id(number) for number in range(750)], [entry(at, 1) for at in range(750)])
    table.set_many([_id(3)], [entry(800, 1)])
    table.set_many([_id(1_000)], [entry(801, 1)])
    assert table.get_many([_id(3), _id(1_000)]) == [entry(800, 1), entry(801, 1)]


def test_released_ids_make_room() -> None:
    table = _table(1_000)
    table.set_many([_id(number) for number in range(750)], [entry(at, 1) for at in range(750)])
    table.release_below(700)
    assert table.room() == 700
    table.set_many(
        [_id(number) for number in range(2_000, 2_500)], [entry(at, 1) for at in range(800, 1_300)]
    )
    assert table.get_many([_id(10), _id(720)]) == [ABSENT, entry(720, 1)]


def test_many_parts_keep_every_id_through_a_rebuild() -> None:
    """More slots than a rebuild takes at once."""
    table = IdTable(max_bytes=1 << 24)
    dice = random.Random(5)
    ids = [dice.randbytes(16) for _ in range(280_000)]
    for start in range(0, len(ids), 50_000):
        part = ids[start : start + 50_000]
        table.set_many(part, [entry(start + at, 9) for at in range(len(part))])
    assert table.get_many(ids) == [entry(at, 9) for at in range(len(ids))]
    assert len(table) == len(ids)
