"""Expiry of a day's hot rows on PostgreSQL (design of the warehouse; rule L4): rows go, aggregates stay, the day is marked.

The day's partition is emptied, not dropped: that needs no lock on the table that everybody queries, and a loader that has
just looked for the partition still finds it. An empty partition costs nothing but its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import date

from headrace_core.errors import Unavailable
from headrace_core.lake import Generation
from headrace_core.tables import DAY_GENERATION, EVENTS, LOAD_LOCK_EVENTS, events_partition
from headrace_core.warehouse_sql import LOCK, MISSING_TABLES
from headrace_runtime.warehouse import CommitUnknown, PostgresConnection
from headrace_spark.archiving import HotDay
from headrace_spark.ports import WarehouseDay

__all__ = ["WarehouseExpiry"]

_ROWS = f"""\
SELECT count(*), count(*) FILTER (WHERE NOT file_id = ANY(%s)),
    (extract(epoch FROM max(loaded_ts)) * 1000)::bigint
FROM {EVENTS.full_name} WHERE event_date = %s"""

_STATE = f"SELECT sequence, expired_ts IS NOT NULL FROM {DAY_GENERATION.full_name} WHERE event_date = %s"

_MARK = f"""\
INSERT INTO {DAY_GENERATION.full_name} AS t (event_date, expired_ts) VALUES (%s, now())
ON CONFLICT (event_date) DO UPDATE SET expired_ts = excluded.expired_ts"""

_BUSY = "day_is_read"


class WarehouseExpiry:
    """`headrace_spark.archiving.HotRows`. ``statement_timeout_s`` bounds each statement: counting the day is one. Readers of
    the day may hold up its end for ``readers_for_s``, while new ones wait behind it, so many ``tries`` long."""

    def __init__(
        self,
        dsn: str,
        days: WarehouseDay,
        *,
        statement_timeout_s: float = 900.0,
        readers_for_s: float = 2.0,
        tries: int = 4,
    ) -> None:
        self._dsn = dsn
        self._days = days
        self._readers_for_s = readers_for_s
        self._tries = tries
        self._statement_timeout_s = statement_timeout_s

    async def read(self, event_date: str, contained: Collection[int]) -> HotDay:
        """See `headrace_spark.archiving.HotRows`."""
        connection = await self._connect()
        try:
            return await _read(connection, date.fromisoformat(event_date), contained)
        finally:
            await connection.close()

    async def apply(self, generation: Generation, sequence: int) -> None:
        """See `headrace_spark.archiving.HotRows`."""
        await self._days.apply(generation, sequence)

    async def expire(self, event_date: str, contained: Collection[int], seen: HotDay) -> bool:
        """See `headrace_spark.archiving.HotRows`. A lost reply of COMMIT is settled by reading the day again."""
        day = date.fromisoformat(event_date)
        for attempt in range(self._tries):
            await asyncio.sleep(2.0 ** (attempt - 1) if attempt else 0)
            try:
                return await self._try(day, contained, seen)
            except CommitUnknown:
                now = await self.read(event_date, contained)
                return now.expired and not now.rows
            except Unavailable as error:
                if error.code != _BUSY:
                    raise
        return False

    async def _try(self, day: date, contained: Collection[int], seen: HotDay) -> bool:
        connection = await self._connect()
        try:
            await connection.begin()
            await connection.execute(LOCK, [LOAD_LOCK_EVENTS])
            if await _read(connection, day, contained) != seen:
                await connection.rollback()
                return False
            await _empty(connection, day, self._readers_for_s)
            await connection.execute(_MARK, [day])
            await connection.commit()
        finally:
            await connection.close()
        return True

    async def _connect(self) -> PostgresConnection:
        return await PostgresConnection.connect(
            self._dsn, application_name="headrace-archive", statement_timeout_s=self._statement_timeout_s
        )


async def _read(connection: PostgresConnection, day: date, contained: Collection[int]) -> HotDay:
    [(rows, outside, newest_ms)] = await connection.execute(_ROWS, [[*contained], day])
    state = await connection.execute(_STATE, [day])
    sequence, expired = state[0] if state else (None, False)
    return HotDay(rows, outside, newest_ms, sequence or 0, expired)


async def _empty(connection: PostgresConnection, day: date, readers_for_s: float) -> None:
    """Give the day's rows back to the machine at once. Unavailable with the code `_BUSY` where its readers do not end."""
    name = events_partition(day)
    if await connection.execute(MISSING_TABLES, [[name]]):
        return
    await connection.execute(f"SET LOCAL lock_timeout = '{round(readers_for_s * 1000)}ms'")
    try:
        await connection.execute(f"TRUNCATE {name}")
    except Unavailable as error:
        raise Unavailable(
            "The rows of a day are read for too long to be expired.",
            why=error.why,
            fix="Nothing: the next run tries again. Long queries stand in pg_stat_activity.",
            code=_BUSY,
        ) from error
