"""The load procedure on the warehouse in memory: L1 to L4 without servers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.support.staged_files import DAY, clean_row, staged_file

from headrace_core.errors import BadData, ConfigurationError, Unavailable
from headrace_loader.load import (
    UnreadFile,
    halves,
    load_batch,
    load_files,
    load_in_order,
    set_aside_files,
)
from headrace_loader.load_files import check_file
from headrace_loader.memory_warehouse import MemorySession, MemoryWarehouse
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse import CommitUnknown, WarehouseSession


async def _load(warehouse: MemoryWarehouse, *files: Any) -> Any:
    return await load_files(warehouse, files, now_us=1, writer="test")


def _ids(warehouse: MemoryWarehouse) -> list[str]:
    return sorted(row.values["event_id"] for row in warehouse.rows)


async def test_a_file_is_loaded_once() -> None:
    warehouse = MemoryWarehouse()
    file = staged_file([clean_row("a", offset=0), clean_row("b", offset=1)], start=0)
    first = await _load(warehouse, file)
    again = await _load(warehouse, file)
    assert _ids(warehouse) == ["a", "b"]
    assert first.new == {file.file_id}
    assert again.new == set()
    assert again.loaded == first.loaded


async def test_a_lost_commit_reply_is_settled_by_the_ledger() -> None:
    class LostReply(MemorySession):
        async def commit(self) -> None:
            self.apply()
            raise CommitUnknown("no reply")

    class Losing(MemoryWarehouse):
        async def session(self, slot: str = "0") -> WarehouseSession:
            return LostReply(self, slot)

    warehouse = Losing()
    file = staged_file([clean_row("a")], start=0)
    with pytest.raises(CommitUnknown):
        await _load(warehouse, file)
    settled = await _load(warehouse, file)
    assert settled.new == set()
    assert settled.loaded[file.file_id].inserted == 1
    assert _ids(warehouse) == ["a"]


async def test_a_poisoned_file_is_set_aside_and_its_neighbours_load() -> None:
    class Picky(MemorySession):
        async def insert_absent(self, *, loaded_us: int) -> Any:
            if any(row.values["event_id"] == "poison" for row in self._staged()):
                raise BadData("This value cannot be stored.", code="value_refused")
            return await super().insert_absent(loaded_us=loaded_us)

    class PickyWarehouse(MemoryWarehouse):
        async def session(self, slot: str = "0") -> WarehouseSession:
            return Picky(self, slot)

    warehouse = PickyWarehouse()
    names = ["a", "b", "poison", "c", "d"]
    files = [staged_file([clean_row(name, offset=at)], start=at * 10) for at, name in enumerate(names)]
    result = await _load(warehouse, *files)
    assert _ids(warehouse) == ["a", "b", "c", "d"]
    assert [entry.file_id for entry in result.set_aside] == [files[2].file_id]
    assert warehouse.errors[files[2].file_id].code == "value_refused"
    assert await warehouse.settled_files([file.file_id for file in files]) == {file.file_id for file in files}


async def test_a_repaired_file_displaces_higher_copies() -> None:
    warehouse = MemoryWarehouse()
    late = staged_file([clean_row("x", at=DAY + timedelta(days=1), offset=7)], start=10)
    early = staged_file([clean_row("x", at=DAY, offset=3)], start=0)
    await _load(warehouse, late)
    result = await _load(warehouse, early)
    assert [row.copy.position for row in warehouse.rows] == [(0, 3)]
    assert result.loaded[early.file_id].inserted == 1
    assert (warehouse.ledger[late.file_id].inserted, warehouse.ledger[late.file_id].present) == (0, 1)
    assert warehouse.rollups == Rollups.of(row.values for row in warehouse.rows)


async def test_suppressed_subjects_are_left_out_and_counted() -> None:
    warehouse = MemoryWarehouse()
    warehouse.suppressed = {("user", "ann")}
    file = staged_file([clean_row("a", user_id="ann"), clean_row("b", offset=1, user_id="bob")], start=0)
    entry = (await _load(warehouse, file)).loaded[file.file_id]
    assert (entry.inserted, entry.present, entry.suppressed) == (1, 0, 1)


async def test_rows_of_another_load_in_the_stage_table_end_the_transaction() -> None:
    warehouse = MemoryWarehouse()
    mine, other = staged_file([clean_row("a")], start=0), staged_file([clean_row("b")], start=10)
    session = await warehouse.session()

    class Shared(MemorySession):
        async def begin(self) -> None:
            await super().begin()
            await self.copy(other)

    with pytest.raises(Unavailable) as raised:
        await load_batch(Shared(warehouse, "0"), [mine], now_us=1, writer="test")
    assert raised.value.code == "stage_table_shared"
    assert warehouse.rows == []
    assert warehouse.lock_holder is None
    await session.close()


async def test_a_file_without_all_its_rows_is_refused() -> None:
    file = staged_file([clean_row("a"), clean_row("b", offset=1)], start=0)

    class Tearing(MemorySession):
        async def copy(self, file: Any) -> None:
            await super().copy(file)
            self._open.staged.pop()

    with pytest.raises(BadData) as raised:
        await load_batch(Tearing(MemoryWarehouse(), "0"), [file], now_us=1, writer="test")
    assert raised.value.code == "file_rows_differ"


async def test_a_file_id_that_stands_for_two_keys_stops_the_loader() -> None:
    warehouse = MemoryWarehouse()
    file, other = staged_file([clean_row("a")], start=0), staged_file([clean_row("b")], start=10)
    entry = (await _load(warehouse, other)).loaded[other.file_id]
    warehouse.ledger[file.file_id] = entry
    with pytest.raises(ConfigurationError) as raised:
        await _load(warehouse, file)
    assert raised.value.code == "file_id_collision"


async def test_a_loaded_file_is_never_set_aside() -> None:
    warehouse = MemoryWarehouse()
    file = staged_file([clean_row("a")], start=0)
    await _load(warehouse, file)
    await set_aside_files(warehouse, [(file.entry, BadData("gone", code="file_missing"))], now_us=2)
    assert warehouse.errors == {}


async def test_no_file_is_set_aside_before_those_that_precede_it_in_its_chain_are_settled() -> None:
    class Broken(MemorySession):
        async def copy(self, file: Any) -> None:
            raise Unavailable("the connection broke")

    class Breaking(MemoryWarehouse):
        async def session(self, slot: str = "0") -> WarehouseSession:
            return Broken(self, slot)

    warehouse = Breaking()
    first, torn = staged_file([clean_row("a")], start=0), staged_file([clean_row("b", offset=1)], start=10)
    unread = UnreadFile(torn.entry, BadData("torn", code="file_torn"))
    with pytest.raises(Unavailable):
        await load_in_order(warehouse, [first, unread], now_us=1, writer="test")
    assert await warehouse.loaded_up_to() == {}, "who starts now must still find the first file"


async def test_files_around_one_that_cannot_be_read_load_in_their_order() -> None:
    warehouse = MemoryWarehouse()
    files = [staged_file([clean_row(name, offset=at)], start=10 * at) for at, name in enumerate("abc")]
    unread = UnreadFile(files[1].entry, BadData("torn", code="file_torn"))
    result = await load_in_order(warehouse, [files[0], unread, files[2]], now_us=1, writer="test")
    assert _ids(warehouse) == ["a", "c"]
    assert result.new == {files[0].file_id, files[2].file_id}
    assert [entry.file_id for entry in result.set_aside] == [files[1].file_id]


@pytest.mark.parametrize("damage", ["shorter", "flipped", "fewer_rows"])
def test_a_torn_file_is_told_before_anything_is_copied(damage: str) -> None:
    file = staged_file([clean_row("a")], start=0)
    content, entry = file.content, file.entry
    if damage == "shorter":
        content = content[:-1]
    elif damage == "flipped":
        content = content[:50] + bytes([content[50] ^ 1]) + content[51:]
    else:
        entry = replace(entry, file=msgspec.structs.replace(entry.file, rows=2))
    with pytest.raises(BadData) as raised:
        check_file(entry, content)
    assert raised.value.code == "file_torn"


def test_days_of_a_file_come_from_its_rows() -> None:
    times = [DAY, DAY + timedelta(days=1) - timedelta(microseconds=1), DAY + timedelta(days=2)]
    file = staged_file([clean_row(str(at), at=time, offset=at) for at, time in enumerate(times)], start=0)
    assert file.days == {DAY.date(), (DAY + timedelta(days=2)).date()}


def test_halves_keep_the_order() -> None:
    files = [staged_file([clean_row(str(at), offset=at)], start=at * 10) for at in range(3)]
    assert [list(part) for part in halves(files)] == [files[:2], files[2:]]
