"""Two guards of the load that the set of rows does not need: what each is for instead."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any, TypeVar

from tests.chaos.guards import Guard
from tests.chaos.warehouse import SimulatedSession, SimulatedWarehouse
from tests.support.staged_files import DAY, clean_row, staged_file

from headrace_loader.load import LoadResult, load_files
from headrace_loader.load_files import CheckedFile

T = TypeVar("T")


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end: nothing here waits for anything but its turn."""
    while True:
        try:
            work.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result


def _warehouse(*without: Guard) -> SimulatedWarehouse:
    warehouse = SimulatedWarehouse(Random(0), frozenset(without))
    warehouse.calm = True
    return warehouse


def _load(warehouse: SimulatedWarehouse, files: Sequence[CheckedFile]) -> LoadResult:
    return _finish(load_files(warehouse, files, now_us=1, writer="w"))


def test_the_ledger_check_keeps_expired_rows_from_coming_back() -> None:
    file = staged_file([clean_row("a"), clean_row("b", offset=1)], start=0)
    warehouse = _warehouse()
    _load(warehouse, [file])
    warehouse.expire(DAY.date())
    _load(warehouse, [file])
    assert warehouse.rows == []


def test_without_the_ledger_check_a_reload_brings_expired_rows_back() -> None:
    file = staged_file([clean_row("a"), clean_row("b", offset=1)], start=0)
    warehouse = _warehouse(Guard.LEDGER_CHECK)
    _load(warehouse, [file])
    _load(warehouse, [file])
    assert len(warehouse.rows) == 2, "while the rows stay, insert-if-absent stands in for the ledger"
    warehouse.expire(DAY.date())
    _load(warehouse, [file])
    assert len(warehouse.rows) == 2


class _TornSession(SimulatedSession):
    """A connection on which a COPY ends early and says nothing."""

    async def copy(self, file: CheckedFile) -> None:
        await super().copy(file)
        del self._open.staged[-1]


class _TornWarehouse(SimulatedWarehouse):
    def connect(self, slot: str) -> SimulatedSession:
        return _TornSession(self, slot)


def test_the_count_check_finds_a_torn_file() -> None:
    file = staged_file([clean_row("a"), clean_row("b", offset=1)], start=0)
    warehouse = _TornWarehouse(Random(0), frozenset())
    warehouse.calm = True
    result = _load(warehouse, [file])
    assert [entry.code for entry in result.set_aside] == ["file_rows_differ"]
    assert (warehouse.rows, warehouse.ledger) == ([], {})


def test_without_the_count_check_a_torn_file_passes_for_loaded() -> None:
    file = staged_file([clean_row("a"), clean_row("b", offset=1)], start=0)
    warehouse = _TornWarehouse(Random(0), frozenset((Guard.COUNT_CHECK,)))
    warehouse.calm = True
    _load(warehouse, [file])
    assert list(warehouse.ledger) == [file.file_id]
    assert len(warehouse.rows) == 1, "one of the two rows is lost in silence"
