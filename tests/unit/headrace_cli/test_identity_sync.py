"""The sync on a SQLite database and a log in memory: what it reads again, what it remembers, what it holds back."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from headrace_cli import identity_sync
from headrace_cli.identity import app
from headrace_cli.identity_sync import SyncOptions, SyncPorts, SyncResult, sync
from headrace_cli.identity_watermark import Watermark, decode_state, watermark_of
from headrace_cli.mapping_table import MappingTable, Row
from headrace_core.clock import ManualClock
from headrace_core.errors import BadData, Unavailable, UsageError
from headrace_core.identity import Edge, decode_edge
from headrace_core.paths import sync_key
from headrace_core.topics import IDENTITY_EDGES
from headrace_runtime.edge_log import EDGES
from headrace_runtime.memory_log import AppendFault, MemoryLog, MemoryLogWriter
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.ports_log import TopicSpec

_QUERY = "SELECT kind, alias, customer_id, op, changed FROM mapping -- all of it"


@dataclass
class World:
    """A mapping, a log and a store."""

    path: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    topic_id: str = "t"

    def __post_init__(self) -> None:
        self.log.create(TopicSpec(IDENTITY_EDGES.name, 1))
        self.execute("CREATE TABLE mapping (kind, alias, customer_id, op, changed INTEGER)")

    def execute(self, statement: str, *parameters: object) -> None:
        """Change the mapping."""
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(statement, parameters)
        connection.close()

    def put(self, alias: object, customer_id: object, changed: int | None, op: str = "assert") -> None:
        """Add a row."""
        self.execute("INSERT INTO mapping VALUES ('user', ?, ?, ?, ?)", alias, customer_id, op, changed)

    async def sync(
        self,
        *,
        query: str = _QUERY,
        column: str | None = "changed",
        overlap: float = 0,
        full: bool = False,
        dry_run: bool = False,
    ) -> SyncResult:
        """One run."""
        writer = MemoryLogWriter(self.log)
        await writer.start()
        options = SyncOptions(
            MappingTable(f"sqlite:///{self.path}", query, column), "crm", overlap, full, dry_run
        )
        ports = SyncPorts(writer, self.store, "cluster", self.topic_id, ManualClock())
        return await sync(options, ports, lambda _: None)

    def edges(self) -> list[Edge]:
        """What stands in the log."""
        partition = self.log.partition(EDGES)
        assert partition is not None
        return [decode_edge(record.value or b"") for record in partition.records]

    async def remembered(self) -> str | None:
        """The watermark in the store."""
        if not await self.store.exists(sync_key("crm"), deadline_s=1):
            return None
        state = decode_state(await self.store.get(sync_key("crm"), deadline_s=1))
        return None if state is None else state.watermark.value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "mapping.db")


async def test_a_second_run_reads_on_and_again_what_the_overlap_says(world: World) -> None:
    world.put("u1", "c1", 10)
    world.put("u2", "c2", 20)
    first = await world.sync()
    assert (first.rows, first.asserted, first.watermark) == (2, 2, "20")
    world.put("u3", "c3", 15)
    world.put("u2", "c2", 30, "retract")
    second = await world.sync(overlap=5)
    assert (second.began, second.rows, second.retracted, second.watermark) == ("at 20", 3, 1, "30")
    assert [(edge.alias, edge.op) for edge in world.edges()[2:]] == [
        ("u3", "assert"),
        ("u2", "assert"),
        ("u2", "retract"),
    ]
    third = await world.sync(overlap=0)
    assert third.rows == 1, "rows of the very watermark may still have come"


async def test_rows_without_a_watermark_are_never_skipped(world: World) -> None:
    world.put("u1", "c1", 10)
    await world.sync()
    world.put("u2", "c2", None)
    assert (await world.sync()).rows == 2
    assert await world.remembered() == "10"


async def test_nothing_is_remembered_of_edges_that_did_not_arrive(world: World) -> None:
    world.put("u1", "c1", 10)
    world.log.faults[EDGES].append(AppendFault(appended=False, answered=False))
    with pytest.raises(Unavailable):
        await world.sync()
    assert await world.remembered() is None
    await world.sync()
    assert [edge.alias for edge in world.edges()] == ["u1"]


async def test_a_refused_row_holds_the_watermark_until_it_is_put_right(world: World) -> None:
    world.put("u1", "c1", 10)
    await world.sync()
    world.put(None, "c2", 20)
    world.put("u3", "c3", 30)
    held = await world.sync()
    assert (held.refused, held.asserted, held.watermark) == ({"alias": 1}, 2, "10")
    assert "alias" in held.examples[0]
    world.execute("UPDATE mapping SET alias = 'u2' WHERE alias IS NULL")
    assert (await world.sync()).watermark == "30"
    assert {edge.alias for edge in world.edges()} == {"u1", "u2", "u3"}


async def test_ids_of_nobody_are_passed_over_and_hold_nothing(world: World) -> None:
    world.put("guest", "c1", 10)
    world.put(7, 8, 20)
    found = await world.sync()
    assert (found.passed_over, found.asserted, found.refused, found.watermark) == (1, 1, {}, "20")


@pytest.mark.parametrize("other", ["topic", "query", "damage"])
async def test_a_watermark_that_means_nothing_is_not_believed(world: World, other: str) -> None:
    world.put("u1", "c1", 10)
    world.put("u2", "c2", 20)
    await world.sync()
    query = _QUERY
    match other:
        case "topic":
            world.topic_id = "made anew"
        case "query":
            query = "SELECT kind, alias, customer_id, op, changed FROM mapping WHERE kind = 'user'"
        case _:
            await world.store.put(sync_key("crm"), b"{", deadline_s=1)
    found = await world.sync(query=query)
    assert found.rows == 2
    assert found.began.startswith("at the beginning: ")


async def test_full_reads_everything_and_a_dry_run_changes_nothing(world: World) -> None:
    world.put("u1", "c1", 10)
    world.put("u2", "c2", 20)
    tried = await world.sync(dry_run=True)
    assert (tried.asserted, tried.watermark, world.edges()) == (2, "20", [])
    assert msgspec.json.decode(tried.examples[0], type=Edge).alias == "u1"
    assert await world.remembered() is None
    await world.sync()
    assert (await world.sync(full=True)).rows == 2
    assert (await world.sync(column=None)).rows == 2


async def test_many_rows_come_in_batches(world: World) -> None:
    connection = sqlite3.connect(world.path)
    with connection:
        connection.executemany(
            "INSERT INTO mapping VALUES ('user', ?, ?, NULL, ?)",
            [(f"u{n}", f"c{n}", n) for n in range(12_001)],
        )
    connection.close()
    assert (await world.sync()).watermark == "12000"
    assert len(world.edges()) == 12_001


async def test_customers_that_are_user_ids_too_are_told(world: World) -> None:
    world.put("1", "2", 10)
    world.put("2", "3", 20)
    assert (await world.sync()).chained == 1


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("SELECT kind, alias FROM mapping", None),
        ("SELECT kind, alias, customer_id FROM mapping", "changed"),
        ("SELECT * FROM nothing", None),
        ("no query", "changed"),
    ],
)
async def test_a_query_that_cannot_be_used_says_so(world: World, query: str, column: str | None) -> None:
    world.put("u1", "c1", 10)
    with pytest.raises((UsageError, Unavailable)) as refused:
        await world.sync(query=query, column=column)
    assert refused.value.fix


@pytest.mark.parametrize("url", ["no url", "nosuch://host/db", "postgresql+nosuch://host/db"])
async def test_a_url_that_cannot_be_used_says_so_without_quoting_it(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        async for _ in MappingTable(url, "SELECT 1").batches(None):
            pass
    assert "//host" not in str(refused.value)


async def test_a_query_keeps_its_colons_and_percents(world: World) -> None:
    world.put("u1", "c1", 10)
    query = "SELECT kind, alias, customer_id || ':x%' AS customer_id, op, changed FROM mapping;"
    await world.sync(query=query)
    assert [edge.customer_id for edge in world.edges()] == ["c1:x%"]


_NOON = datetime(2026, 9, 21, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (_NOON, _NOON - timedelta(seconds=90)),
        (_NOON.replace(tzinfo=None), _NOON.replace(tzinfo=None) - timedelta(seconds=90)),
        (date(2026, 9, 21), date(2026, 9, 20)),
        (100, 10),
        (Decimal("100.5"), Decimal("10.5")),
        ("b", "b"),
    ],
)
def test_watermarks_lead_back_by_the_overlap(value: object, bound: object) -> None:
    found = watermark_of(value)
    assert found is not None
    kept = msgspec.json.decode(msgspec.json.encode(found), type=Watermark)
    assert kept.bound(90) == bound


@pytest.mark.parametrize("value", [1.5, True, b"x"])
def test_values_without_an_order_are_no_watermark(value: object) -> None:
    with pytest.raises(BadData):
        watermark_of(value)


async def test_edges_are_valid_from_the_run_where_the_watermark_is_no_time(world: World) -> None:
    world.put("u1", "c1", 10)
    await world.sync()
    [edge] = world.edges()
    assert edge.valid_from == ManualClock().now_ms() * 1_000


async def test_who_stops_the_sync_waits_for_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that blocks can hold its own thread, which ends with the process, but none that the process waits for."""
    held, asked = threading.Event(), threading.Event()

    def stuck(_table: MappingTable, _bound: object) -> Iterator[list[Row]]:
        asked.set()
        held.wait(60)
        yield []

    monkeypatch.setattr(MappingTable, "_read", stuck)
    batches = MappingTable("sqlite://", "SELECT 1").batches(None)
    reading = asyncio.ensure_future(anext(batches))
    await asyncio.to_thread(asked.wait, 10)
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    began = time.monotonic()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - began < 10
    held.set()


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """As in a terminal: what runs in the background of a script has been told to ignore Ctrl-C, and so have its tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_a_stopped_sync_says_what_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def interrupted() -> AsyncIterator[None]:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(10)
        yield

    monkeypatch.setattr(identity_sync, "connected", interrupted)
    with pytest.raises(SystemExit) as ended:
        app(["sync", "--url", "sqlite://", "--query", "SELECT 1"])
    assert ended.value.code == 130
    assert "The sync was stopped." in capsys.readouterr().err
