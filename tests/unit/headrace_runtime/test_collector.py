"""The collector is calmed, not turned off."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from headrace_runtime.collector import calm_collector


@pytest.fixture
def thresholds() -> Iterator[tuple[int, int, int]]:
    """The thresholds before, which come back after the test."""
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)
    gc.unfreeze()


class _Node:
    """Something that can be a cycle."""

    def __init__(self) -> None:
        self.itself = self


def test_what_exists_is_left_out_and_the_young_wait_longer(thresholds: tuple[int, int, int]) -> None:
    calm_collector()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > thresholds[0]


@pytest.mark.usefixtures("thresholds")
def test_a_cycle_made_later_is_still_found() -> None:
    calm_collector()
    seen = ref(_Node())
    gc.collect()
    assert seen() is None
