"""A warehouse beside a lake: the loader's files go into the one, generations of the same files into both."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tests.support.lake_generations import Row, generation_of, lake_rows
from tests.support.staged_files import DAY
from tests.support.warehouses import PostgresHarness, tables_of

from headrace_core.lake import Generation
from headrace_core.tables import (
    EVENTS,
    EVENTS_DAY,
    EVENTS_HOUR,
    EVENTS_MINUTE,
    USER_DAY,
    USER_FIRST_SEEN,
    Table,
)
from headrace_loader.load import LoadResult, load_files
from headrace_loader.load_files import CheckedFile
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.warehouse import PostgresConnection
from headrace_spark.warehouse_apply import DayTransaction
from headrace_spark.warehouse_day import AGGREGATES, WarehouseDays
from headrace_spark.warehouse_difference import DayApplied, DayState

__all__ = ["Interrupted", "WarehouseWorld", "ids"]

Hook = Callable[[], Awaitable[Any]]

_TODAY = DAY.date()
_WRITTEN = (EVENTS, EVENTS_MINUTE, EVENTS_HOUR, EVENTS_DAY, USER_DAY, USER_FIRST_SEEN)


def ids(rows: Sequence[Row]) -> list[str]:
    """Event ids in the order of source positions."""
    return [row["event_id"] for row in rows]


@dataclass
class WarehouseWorld:
    """A migrated database, an object store, and the code that writes the one from the other."""

    dsn: str
    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    aggregates: tuple[Table, ...] = AGGREGATES
    sequences: dict[date, int] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        self.harness = PostgresHarness(self.dsn, PostgresWarehouse(self.dsn))
        self.days = WarehouseDays(self.dsn, self.store, aggregates=self.aggregates)

    async def load(self, *files: CheckedFile) -> LoadResult:
        """Load files as the loader does."""
        return await load_files(self.harness.warehouse, files, now_us=1_790_000_000_000_000, writer="t")

    async def generation(
        self,
        rows: Sequence[Row],
        contains: Collection[CheckedFile],
        *,
        day: date = _TODAY,
        tables: Mapping[Table, Sequence[Row]] | None = None,
        files: int = 1,
    ) -> Generation:
        """A new generation of a day."""
        self.made += 1
        return await generation_of(
            self.store, day, rows, contains, name=f"g{self.made}", tables=tables, files=files
        )

    async def lake(self, *files: CheckedFile, day: date = _TODAY) -> Generation:
        """A generation of a day of a lake that has read ``files``."""
        return await self.generation(lake_rows(files, day), files, day=day)

    def next_sequence(self, generation: Generation) -> int:
        """One above the last of the generation's day."""
        day = date.fromisoformat(generation.event_date)
        self.sequences[day] = self.sequences.get(day, 0) + 1
        return self.sequences[day]

    async def apply(self, generation: Generation, sequence: int | None = None) -> DayApplied:
        """Apply a generation, with the next sequence of its day if none is given."""
        given = self.next_sequence(generation) if sequence is None else sequence
        return await self.days.apply_day(generation, given)

    async def rows(self) -> list[Row]:
        """All rows of the events table in order of their source positions."""
        return await self.harness.rows()

    async def check(self) -> list[Row]:
        """Rollups are those of the rows, no identity has two copies within a day, and the ledger adds up; the rows."""
        rows = await self.rows()
        assert await self.harness.tables() == tables_of(Rollups.of(rows))
        places: dict[str, list[date]] = {}
        for row in rows:
            for other in places.setdefault(row["dedup_id"], []):
                assert abs((other - row["event_date"]).days) > 1
            places[row["dedup_id"]].append(row["event_date"])
        sums = await self.harness.ledger_sums()
        assert sums["rows"] == sums["inserted"] + sums["present"] + sums["suppressed"]
        negative = "SELECT count(*) FROM ops.load_ledger WHERE least(rows_inserted, rows_present, rows_suppressed) < 0"
        assert await self.harness.query(negative) == [(0,)]
        assert await self.left_behind() == []
        return rows

    async def versions(self) -> dict[str, list[tuple[Any, ...]]]:
        """Which transaction wrote each row of each table but the sequences: equal ones say that nothing was written."""
        statement = "SELECT ctid::text, xmin::text, tableoid::regclass::text FROM {} ORDER BY 3, 1"
        tables = [*_WRITTEN, *self.aggregates]
        names = [*(table.full_name for table in tables), "ops.load_ledger"]
        return {name: await self.harness.query(statement.format(name)) for name in names}

    async def left_behind(self) -> list[str]:
        """Tables of jobs that are still there."""
        found = await self.harness.query(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(day|due)_' AND relname <> 'day_generation'"
        )
        return [row[0] for row in found]


class Interrupted(WarehouseDays):
    """Lets others act right before the lock is asked for, and right after it is held."""

    def __init__(
        self, world: WarehouseWorld, *, before: Hook | None = None, after: Hook | None = None
    ) -> None:
        super().__init__(world.dsn, world.store, aggregates=())
        self.hooks = before, after

    def _transaction(self, connection: PostgresConnection, day: date) -> DayTransaction:
        before, after = self.hooks

        class Transaction(DayTransaction):
            async def begin(self) -> None:
                if before is not None:
                    await before()
                await super().begin()

            async def lock(self) -> DayState:
                state = await super().lock()
                if after is not None:
                    await after()
                return state

        return Transaction(connection, day)
