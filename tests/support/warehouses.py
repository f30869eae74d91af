"""Warehouses for tests: the one in memory and the real one, behind one view of what they hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from headrace_core.tables import EVENTS, EVENTS_DAY, EVENTS_HOUR, EVENTS_MINUTE, USER_DAY, USER_FIRST_SEEN
from headrace_loader.memory_warehouse import MemoryWarehouse
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse import Warehouse
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_local.stack import LocalStack

__all__ = [
    "Harness",
    "MemoryHarness",
    "PostgresHarness",
    "migrated_template",
    "new_database",
    "tables_of",
    "warehouse_dsn",
]

Values = dict[str, Any]
Tables = dict[str, dict[Any, Any]]


class Harness(Protocol):
    """A warehouse, and what a test asks of it beside the port."""

    warehouse: Warehouse

    async def rows(self) -> list[Values]:
        """All rows of the events table in order of their source positions."""

    async def tables(self) -> Tables:
        """Rollups, user_day and user_first_seen by key."""

    async def suppress(self, kind: str, value: str) -> None:
        """Add a suppressed subject."""

    async def expire(self, day: date) -> None:
        """Drop the rows of a day and mark it."""

    async def release(self, key: str) -> None:
        """Let a set-aside file be tried again."""

    async def ledger_sums(self) -> dict[str, int]:
        """Sums of the ledger's counts."""


def _position(row: Values) -> tuple[int, int]:
    return row["src_partition"], row["src_offset"]


def tables_of(rollups: Rollups) -> Tables:
    """Rollups in plain Python as the tables that they stand for."""
    return {
        "events_minute": _buckets(rollups.minutes),
        "events_hour": _buckets(rollups.coarser("hour")),
        "events_day": _buckets(rollups.coarser("day")),
        "user_day": {
            (user, day, source): (each.events, each.min_event_ts, each.max_event_ts)
            for (day, user, source), each in rollups.user_days.items()
        },
        "user_first_seen": dict(rollups.first_seen()),
    }


def _buckets(buckets: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: (
            each.events,
            each.late_events,
            each.revenue_events,
            each.revenue,
            each.min_event_ts,
            each.max_event_ts,
        )
        for key, each in buckets.items()
    }


class MemoryHarness:
    """The warehouse in memory."""

    def __init__(self) -> None:
        self.memory = MemoryWarehouse()
        self.warehouse: Warehouse = self.memory

    async def rows(self) -> list[Values]:
        """As Harness says."""
        return sorted((row.values for row in self.memory.rows), key=_position)

    async def tables(self) -> Tables:
        """As Harness says."""
        return tables_of(self.memory.rollups)

    async def suppress(self, kind: str, value: str) -> None:
        """As Harness says."""
        self.memory.suppressed.add((kind, value))

    async def expire(self, day: date) -> None:
        """As Harness says."""
        self.memory.expire(day)

    async def release(self, key: str) -> None:
        """As Harness says."""
        self.memory.released |= {each for each, error in self.memory.errors.items() if error.key == key}

    async def ledger_sums(self) -> dict[str, int]:
        """As Harness says."""
        names = ("rows", "inserted", "present", "suppressed")
        return {name: sum(getattr(each, name) for each in self.memory.ledger.values()) for name in names}


@dataclass
class PostgresHarness:
    """A migrated database of its own."""

    dsn: str
    warehouse: Warehouse

    async def query(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own."""
        connection = await psycopg.AsyncConnection.connect(
            self.dsn, autocommit=True, options="-c timezone=UTC"
        )
        async with connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def rows(self) -> list[Values]:
        """As Harness says."""
        columns = [
            f"{name}::text" if name in {"properties", "context", "overflow"} else name
            for name in EVENTS.column_names
        ]
        found = await self.query(f"SELECT {', '.join(columns)} FROM {EVENTS.full_name}")
        rows = [dict(zip(EVENTS.column_names, row, strict=True)) for row in found]
        return sorted(({**row, "dedup_id": row["dedup_id"].hex} for row in rows), key=_position)

    async def tables(self) -> Tables:
        """As Harness says."""
        found: Tables = {}
        for table in (EVENTS_MINUTE, EVENTS_HOUR, EVENTS_DAY, USER_DAY, USER_FIRST_SEEN):
            values = [name for name in table.column_names if name not in table.key]
            rows = await self.query(f"SELECT {', '.join([*table.key, *values])} FROM {table.full_name}")
            split = len(table.key)
            found[table.name] = {row[:split]: row[split:] for row in rows}
        found["user_first_seen"] = {key[0]: value[0] for key, value in found["user_first_seen"].items()}
        return found

    async def suppress(self, kind: str, value: str) -> None:
        """As Harness says."""
        await self.query("INSERT INTO ops.suppressed_subjects VALUES (%s, %s, now())", (kind, value))

    async def expire(self, day: date) -> None:
        """As Harness says."""
        await self.query(f"DROP TABLE analytics.events_p{day:%Y%m%d}")
        await self.query(f"INSERT INTO ops.day_generation VALUES ('{day}', NULL, now())")

    async def release(self, key: str) -> None:
        """As Harness says."""
        assert isinstance(self.warehouse, PostgresWarehouse)
        assert await self.warehouse.release([key]) == 1

    async def ledger_sums(self) -> dict[str, int]:
        """As Harness says."""
        names = ("rows", "inserted", "present", "suppressed")
        columns = ("rows_staged", "rows_inserted", "rows_present", "rows_suppressed")
        sums = ", ".join(f"coalesce(sum({column}), 0)" for column in columns)
        [row] = await self.query(f"SELECT {sums} FROM ops.load_ledger")
        return {name: int(value) for name, value in zip(names, row, strict=True)}


def new_database(dsn: str, template: str | None = None) -> str:
    """Create a database, a copy of ``template`` where one is given; its connection string."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        connection.execute(statement)
    return f"{dsn.rsplit('/', 1)[0]}/{name}"


def _drop_database(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def migrated_template(stack: LocalStack) -> str:
    """Name of a migrated database that nobody connects to."""
    from headrace_loader.migrate import migrate  # alembic takes half a second that unit tests need not spend

    dsn = new_database(stack.endpoints.postgres_dsn)
    migrate(dsn)
    return dsn.rsplit("/", 1)[1]


@pytest.fixture
def warehouse_dsn(stack: LocalStack, migrated_template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    dsn = new_database(stack.endpoints.postgres_dsn, migrated_template)
    yield dsn
    _drop_database(stack.endpoints.postgres_dsn, dsn.rsplit("/", 1)[1])
