"""A generation's files into tables of the job's database session, outside any transaction (rule B3)."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_core.ddl import create_session_table
from headrace_core.errors import BadData
from headrace_core.keys import file_id
from headrace_core.lake import Generation, LakeFile, LakeTable
from headrace_core.tables import EVENTS, EVENTS_DAY, EVENTS_HOUR, EVENTS_MINUTE, USER_DAY, Table
from headrace_core.warehouse_sql import copy_into
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.warehouse import PostgresConnection
from headrace_runtime.warehouse_copy import copy_stream, wire_batch, wire_schema
from headrace_spark import warehouse_aggregates_sql as aggregates_sql
from headrace_spark import warehouse_day_sql as sql
from headrace_spark.lake_reader import batches, fetch, torn

__all__ = ["ROLLUPS", "DayStage"]

ROLLUPS = (EVENTS_MINUTE, EVENTS_HOUR, EVENTS_DAY, USER_DAY)
"""What follows from rows, and on a day whose rows have expired from the generation."""

_DAY_US = 86_400_000_000


class DayStage:
    """One generation on its way. ``store_deadline_s`` holds for each read of up to 8 MiB; ``folder`` is where files wait
    between store and server, the system's own where it is None."""

    def __init__(
        self,
        connection: PostgresConnection,
        store: ObjectStore,
        generation: Generation,
        *,
        store_deadline_s: float,
        folder: Path | None,
    ) -> None:
        self._connection = connection
        self._store = store
        self._generation = generation
        self._deadline_s = store_deadline_s
        self._folder = folder
        self._day = date.fromisoformat(generation.event_date)

    async def load(self, tables: Collection[Table], *, expired: bool) -> int:
        """Load the events, or on an expired day the aggregates that stand for them, and ``tables``; compare the events.
        The number of rows left out because their subjects are suppressed.

        Raises BadData where a file is not what the generation says, and what store and warehouse raise.
        """
        for statement in sql.CREATE:
            await self._connection.execute(statement)
        contained = [file_id(key) for key in self._generation.contains]
        await self._connection.execute(sql.KEEP_CONTAINED, [contained])
        for table in tables:
            await self._copy(table.name, aggregates_sql.staged(table))
        return await self._load_rollups() if expired else await self._load_events()

    async def _load_events(self) -> int:
        await self._copy(EVENTS.name, sql.STAGE)
        await self._refuse_repeated()
        await self._connection.execute(sql.KEEP_SUBJECTS)
        suppressed = await self._connection.count(sql.TAKE_OUT_SUPPRESSED)
        await self._analyze(sql.STAGE.name, "day_files")
        await self._connection.execute(sql.compare(self._day))
        await self._analyze("day_pairs")
        return suppressed

    async def _load_rollups(self) -> int:
        await self._connection.execute(aggregates_sql.CREATE_USERS)
        for table in ROLLUPS:
            await self._connection.execute(create_session_table(aggregates_sql.due(table)))
        for table in (EVENTS_MINUTE, USER_DAY):
            await self._copy(table.name, aggregates_sql.staged(table))
        return 0

    async def _analyze(self, *names: str) -> None:
        """Statistics of session tables, which no background worker sees."""
        for name in names:
            await self._connection.execute(f"ANALYZE pg_temp.{name}")

    async def _copy(self, name: str, stage: Table) -> None:
        await self._connection.execute(create_session_table(stage))
        lake: LakeTable = name  # type: ignore[assignment] # tables of the lake have the names of the warehouse's
        for file in self._generation.files(lake):
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="headrace-day-") as folder:
                path = Path(folder) / "part.parquet"
                await fetch(self._store, file, path, deadline_s=self._deadline_s)
                await self._connection.copy_in(copy_into(stage), self._stream(path, file, stage))

    def _stream(self, path: Path, file: LakeFile, stage: Table) -> Iterator[bytes]:
        schema = wire_schema(stage)
        try:
            ready = (
                wire_batch(batch, schema, self._event_date(batch, file) if stage is sql.STAGE else {})
                for batch in batches(path, file, schema.names)
            )
            yield from copy_stream(ready, schema)
        except pa.ArrowException as error:
            raise torn(file, f"a value does not fit its column: {error}") from error

    def _event_date(self, batch: pa.RecordBatch, file: LakeFile) -> dict[str, pa.Array[Any]]:
        """The date of the rows, which must be the generation's: those of another day would never be found again."""
        number = (self._day - date(1970, 1, 1)).days
        micros = np.asarray(batch["event_ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
        if (micros // _DAY_US != number).any():
            raise torn(file, f"it holds rows of another day than {self._day}")
        return {"event_date": pa.array(np.full(batch.num_rows, number, np.int32)).cast(pa.date32())}

    async def _refuse_repeated(self) -> None:
        found = await self._connection.execute(sql.REPEATED)
        if found:
            raise BadData(
                "A generation holds an identity twice.",
                why=f"{found[0][0]} is more than one row of {self._day}.",
                fix="Report this as a defect of the job that made the generation; undo it, then run the day again.",
                code="generation_repeats",
            )
