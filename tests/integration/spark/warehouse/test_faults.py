"""Rule B3 under faults: whatever is killed or lost, a generation is in wholly or not at all, and trying again is safe."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.support.commit_proxy import commit_proxy
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouse_days import WarehouseWorld

from headrace_core.errors import Unavailable
from headrace_core.lake import Generation
from headrace_loader.load_files import CheckedFile
from headrace_runtime.errors_store import StoreUnavailable
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.warehouse import CommitUnknown, PostgresConnection
from headrace_spark.warehouse_apply import DayTransaction
from headrace_spark.warehouse_day import WarehouseDays
from headrace_spark.warehouse_difference import DayApplied

STEPS = ("begin", "lock", "validate", "apply_rows", "follow", "replace_aggregates", "store", "commit")


@pytest.fixture
def world(warehouse_dsn: str) -> WarehouseWorld:
    """A migrated database of the test's own."""
    return WarehouseWorld(warehouse_dsn)


def _files() -> list[CheckedFile]:
    return [
        staged_file(
            [
                clean_row(f"{at}-{row}", at=DAY + timedelta(minutes=row), offset=at * 10 + row)
                for row in range(5)
            ],
            start=at * 10,
        )
        for at in range(2)
    ]


async def _prepared(world: WarehouseWorld) -> Generation:
    """A warehouse with one of two files, and a generation of both with a customer in every row."""
    files = _files()
    await world.load(files[0])
    generation = await world.lake(*files)
    assert (await world.apply(generation)).inserted == 5
    await world.harness.query("DELETE FROM analytics.events WHERE src_offset % 3 = 0")
    await world.harness.query("UPDATE analytics.events SET customer_id = 'old' WHERE src_offset % 3 = 1")
    return generation


async def _is_in(world: WarehouseWorld) -> bool:
    rows = await world.harness.query("SELECT count(*), count(customer_id) FROM analytics.events")
    assert rows in ([(10, 0)], [(7, 4)]), "all of the generation or nothing of it"
    return rows == [(10, 0)]


class _Killed(WarehouseDays):
    """Its first transaction loses its server process right before a step, or right after the step's effect."""

    def __init__(self, world: WarehouseWorld, step: str, moment: str) -> None:
        super().__init__(world.dsn, world.store, aggregates=())
        self._step, self._moment = step, moment
        self.kills = 0

    def _transaction(self, connection: PostgresConnection, day: Any) -> DayTransaction:
        transaction = super()._transaction(connection, day)
        if self.kills:
            return transaction
        original = getattr(transaction, self._step)

        async def step(*arguments: Any) -> Any:
            if self._moment == "before":
                await self._kill(connection.backend_pid)
            answer = await original(*arguments)
            if self._moment == "after":
                await self._kill(connection.backend_pid)
            return answer

        setattr(transaction, self._step, step)
        return transaction

    async def _kill(self, pid: int) -> None:
        self.kills += 1
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        async with connection:
            await connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_server_process_leaves_all_or_nothing(
    world: WarehouseWorld, step: str, moment: str
) -> None:
    generation = await _prepared(world)
    days = _Killed(world, step, moment)
    results: list[DayApplied] = []
    failures = 0
    while not results:
        try:
            results.append(await days.apply_day(generation, 2))
        except Unavailable:
            failures += 1
            assert not await _is_in(world)
            assert await world.left_behind() == []
    assert (days.kills, failures) == (1, 0 if (step, moment) == ("commit", "after") else 1)
    assert (results[0].outcome, results[0].inserted, results[0].changed) == ("applied", 3, 4)
    assert await _is_in(world)
    assert (await days.apply_day(generation, 2)).outcome == "present"


async def test_a_lost_reply_to_commit_is_settled_by_the_sequence(world: WarehouseWorld) -> None:
    generation = await _prepared(world)
    async with commit_proxy(world.dsn) as (proxy, dsn):
        proxy.losses.append("reply")
        applied = await WarehouseDays(dsn, world.store, aggregates=()).apply_day(generation, 2)
        assert proxy.lost == 1
    assert (applied.outcome, applied.inserted, applied.changed) == ("applied", 3, 4)
    assert await _is_in(world)


async def test_a_commit_that_never_arrived_is_tried_again(world: WarehouseWorld) -> None:
    generation = await _prepared(world)
    async with commit_proxy(world.dsn) as (proxy, dsn):
        days = WarehouseDays(dsn, world.store, aggregates=())
        proxy.losses.append("request")
        with pytest.raises(CommitUnknown):
            await days.apply_day(generation, 2)
        assert not await _is_in(world)
        assert (await days.apply_day(generation, 2)).outcome == "applied"
    assert await _is_in(world)


async def test_an_object_store_that_fails_in_the_middle_changes_nothing(world: WarehouseWorld) -> None:
    class Failing(MemoryObjectStore):
        async def get_range(self, key: str, start: int, end: int, *, deadline_s: float) -> bytes:
            raise StoreUnavailable("No answer.", code="store_unavailable")

    await _prepared(world)
    generation = await world.generation([], [])
    [whole] = (await world.lake(*_files())).tables["events"]
    broken = type(generation)(
        id=generation.id,
        job="daily",
        event_date=generation.event_date,
        tables={"events": (whole,)},
        made_ms=0,
    )
    with pytest.raises(Unavailable):
        await WarehouseDays(world.dsn, Failing(), aggregates=()).apply_day(broken, 2)
    assert not await _is_in(world)
    assert await world.left_behind() == []


async def test_a_lock_that_another_writer_keeps_is_given_up_and_tried_again(world: WarehouseWorld) -> None:
    class Impatient(WarehouseDays):
        def _transaction(self, connection: PostgresConnection, day: Any) -> DayTransaction:
            class Transaction(DayTransaction):
                async def begin(self) -> None:
                    await connection.execute("SET lock_timeout = '200ms'")
                    await super().begin()

            return Transaction(connection, day)

    generation = await _prepared(world)
    days = Impatient(world.dsn, world.store, aggregates=())
    async with await psycopg.AsyncConnection.connect(world.dsn) as writer:
        await writer.execute("SELECT FROM ops.load_lock FOR UPDATE")
        with pytest.raises(Unavailable) as raised:
            await days.apply_day(generation, 2)
    assert "lock timeout" in raised.value.why
    assert (await days.apply_day(generation, 2)).outcome == "applied"
