"""The load on a real PostgreSQL under faults: whatever is killed or lost, each event is one row and counted once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.support.commit_proxy import commit_proxy
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouses import PostgresHarness, tables_of

from headrace_core.errors import Unavailable
from headrace_loader.load import LoadResult, load_files
from headrace_loader.load_files import CheckedFile
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse import CommitUnknown, WarehouseSession
from headrace_loader.warehouse_postgres import PostgresSession, PostgresWarehouse

STEPS = ("lock", "ledger_of", "copy", "staged_rows", "insert_absent", "add_rollups", "record", "commit")

_FOREIGN_ROW = """\
INSERT INTO ops.stage_events_0 (
    row_number, dedup_id, event_date, src_partition, src_offset, file_id, event_ts, is_late, source, event_type,
    identity_status, user_key
) VALUES (0, gen_random_uuid(), '2026-11-20', 0, 0, 42, '2026-11-20', false, 's', 'track', 'anonymous', 'a:x')"""


@pytest.fixture
def harness(warehouse_dsn: str) -> PostgresHarness:
    """A migrated database of the test's own."""
    return PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))


async def _load(warehouse: Any, files: Sequence[CheckedFile]) -> LoadResult:
    return await load_files(warehouse, files, now_us=1_790_000_000_000_000, writer="test")


async def _until_loaded(warehouse: Any, files: Sequence[CheckedFile]) -> tuple[LoadResult, int]:
    """Load as the worker does: again and again while the warehouse is unavailable."""
    for failures in range(50):
        try:
            return await _load(warehouse, files), failures
        except Unavailable:
            continue
    raise AssertionError("the load never ended")


async def _check(harness: PostgresHarness, expected: set[str]) -> None:
    rows = await harness.rows()
    assert sorted(row["event_id"] for row in rows) == sorted(expected)
    assert await harness.tables() == tables_of(Rollups.of(rows))
    sums = await harness.ledger_sums()
    assert sums["inserted"] == len(rows)
    assert sums["rows"] == sums["inserted"] + sums["present"] + sums["suppressed"]


def _files(count: int = 3, rows: int = 20) -> list[CheckedFile]:
    return [
        staged_file(
            [clean_row(f"{at}-{row}", offset=at * 100 + row, user_id=f"u{row % 7}") for row in range(rows)],
            start=at * 100,
        )
        for at in range(count)
    ]


class _Killed(PostgresWarehouse):
    """Its first session loses its server process right before a step, or right after the step's effect."""

    def __init__(self, dsn: str, step: str, moment: str) -> None:
        super().__init__(dsn)
        self._killer, self._step, self._moment = dsn, step, moment
        self.kills = 0

    async def session(self) -> WarehouseSession:
        session = await super().session()
        assert isinstance(session, PostgresSession)
        if self.kills == 0:
            self._plant(session)
        return session

    def _plant(self, session: PostgresSession) -> None:
        original = getattr(session, self._step)

        async def step(*arguments: Any, **more: Any) -> Any:
            if self._moment == "before":
                await self._kill(session.backend_pid)
            answer = await original(*arguments, **more)
            if self._moment == "after":
                await self._kill(session.backend_pid)
            return answer

        setattr(session, self._step, step)

    async def _kill(self, pid: int) -> None:
        self.kills += 1
        connection = await psycopg.AsyncConnection.connect(self._killer, autocommit=True)
        async with connection:
            await connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_server_process_changes_nothing(
    harness: PostgresHarness, step: str, moment: str
) -> None:
    warehouse = _Killed(harness.dsn, step, moment)
    result, failures = await _until_loaded(warehouse, _files())
    assert warehouse.kills >= 1
    assert len(result.loaded) == 3
    assert failures == (0 if (step, moment) == ("commit", "after") else 1)
    await _check(harness, {f"{at}-{row}" for at in range(3) for row in range(20)})


@pytest.mark.parametrize(("loss", "already"), [("reply", True), ("request", False)])
async def test_a_lost_commit_is_settled_by_the_ledger(
    harness: PostgresHarness, loss: Any, already: bool
) -> None:
    files = _files()
    async with commit_proxy(harness.dsn) as (proxy, dsn):
        warehouse = PostgresWarehouse(dsn)
        await _load(warehouse, files[:1])
        proxy.losses.append(loss)
        with pytest.raises(CommitUnknown) as raised:
            await _load(warehouse, files)
        assert raised.value.code == "commit_unknown"
        assert proxy.lost == 1
        settled = await _load(warehouse, files)
    assert len(settled.loaded) == 3
    assert (settled.new == set()) == already
    await _check(harness, {f"{at}-{row}" for at in range(3) for row in range(20)})


async def test_many_lost_commits_in_a_row(harness: PostgresHarness) -> None:
    files = _files()
    async with commit_proxy(harness.dsn) as (proxy, dsn):
        # The first one may be that of the transaction which makes the partition.
        proxy.losses.extend(["request", "request", "reply", "request", "reply"])
        _, failures = await _until_loaded(PostgresWarehouse(dsn), files)
    assert failures >= 2
    await _check(harness, {f"{at}-{row}" for at in range(3) for row in range(20)})


@pytest.mark.parametrize("slots", [(0, 1), (0, 0)])
async def test_loaders_at_once_load_each_file_once(harness: PostgresHarness, slots: tuple[int, int]) -> None:
    files = _files(count=8)
    warehouses = [PostgresWarehouse(harness.dsn, slot=slot) for slot in slots]
    parts = [files, [*files[4:], *files[:4]]]
    results = await asyncio.gather(*(_until_loaded(*each) for each in zip(warehouses, parts, strict=True)))
    new = [result.new for result, _ in results]
    assert not new[0] & new[1]
    await _check(harness, {f"{at}-{row}" for at in range(8) for row in range(20)})


@pytest.mark.parametrize("slots", [(0, 1, 2, 3), (0, 0, 0, 0)])
async def test_loaders_at_once_make_tables_once(harness: PostgresHarness, slots: tuple[int, ...]) -> None:
    days = range(12)
    files = [
        staged_file([clean_row(str(at), at=DAY + timedelta(days=at), offset=at)], start=at * 10)
        for at in days
    ]
    sessions = [await PostgresWarehouse(harness.dsn, slot=slot).session() for slot in slots]
    await asyncio.gather(*(session.prepare(files) for session in sessions))
    await asyncio.gather(*(session.close() for session in sessions))
    await _load(harness.warehouse, files)
    await _check(harness, {str(at) for at in days})


@pytest.mark.parametrize("poison", ["nul_in_text", "name_too_long_for_a_key", "dedup_id_malformed"])
async def test_a_poisoned_file_is_found_and_the_others_load(harness: PostgresHarness, poison: str) -> None:
    files = _files(count=5, rows=3)
    broken: dict[str, Any] = {
        "nul_in_text": {"event_name": "a\0b"},
        "name_too_long_for_a_key": {
            "event_name": "".join(chr(0x4E00 + at * 7 % 20_000) for at in range(4_000))
        },
        "dedup_id_malformed": {"dedup_id": "z" * 32},
    }[poison]
    files[2] = staged_file(
        [clean_row("bad", offset=200), clean_row("worse", offset=201, **broken)], start=200
    )
    result = await _load(harness.warehouse, files)
    assert [entry.file_id for entry in result.set_aside] == [files[2].file_id]
    await _check(harness, {f"{at}-{row}" for at in (0, 1, 3, 4) for row in range(3)})
    [(code, message)] = await harness.query("SELECT code, message FROM ops.load_error")
    assert code in {"warehouse_refused", "dedup_id_malformed"}
    assert message


async def test_a_lock_that_another_writer_keeps_is_waited_for_and_then_tried_again(
    harness: PostgresHarness,
) -> None:
    class Impatient(PostgresWarehouse):
        async def session(self) -> WarehouseSession:
            session = await super().session()
            assert isinstance(session, PostgresSession)
            await session._connection.execute("SET lock_timeout = '200ms'")
            return session

    async with await psycopg.AsyncConnection.connect(harness.dsn) as writer:
        await writer.execute("SELECT FROM ops.load_lock FOR UPDATE")
        with pytest.raises(Unavailable) as raised:
            await _load(Impatient(harness.dsn), _files())
    assert "lock timeout" in raised.value.why
    await _load(Impatient(harness.dsn), _files())


async def test_readers_are_not_locked_out_by_a_new_day(harness: PostgresHarness) -> None:
    await _load(harness.warehouse, _files(count=1))
    async with await psycopg.AsyncConnection.connect(harness.dsn) as reader:
        await reader.execute("SELECT count(*) FROM analytics.events")
        tomorrow = staged_file([clean_row("t", at=DAY + timedelta(days=1), offset=900)], start=900)
        await asyncio.wait_for(_load(harness.warehouse, [tomorrow]), 20)
    assert len(await harness.rows()) == 21


async def test_rows_of_another_load_in_the_stage_table_end_the_transaction(
    harness: PostgresHarness,
) -> None:
    """Another worker of the slot committed them between our truncation and our count."""
    files, planted = _files(count=1), [_FOREIGN_ROW]
    await _load(harness.warehouse, [staged_file([clean_row("before", offset=900)], start=900)])

    class Shared(PostgresWarehouse):
        async def session(self) -> WarehouseSession:
            session = await super().session()
            begin = session.begin

            async def begin_late() -> None:
                if planted:
                    await harness.query(planted.pop())
                await begin()

            session.begin = begin_late  # type: ignore[method-assign] # the other worker acts here
            return session

    with pytest.raises(Unavailable) as raised:
        await _load(Shared(harness.dsn), files)
    assert raised.value.code == "stage_table_shared"
    assert len(await harness.rows()) == 1
    await _load(Shared(harness.dsn), files)
    await _check(harness, {"before", *(f"0-{row}" for row in range(20))})


async def test_a_stage_table_of_an_older_shape_is_made_anew(harness: PostgresHarness) -> None:
    await harness.query("CREATE TABLE ops.stage_events_0 (dedup_id uuid)")
    await _load(harness.warehouse, _files(count=1))
    await _check(harness, {f"0-{row}" for row in range(20)})
