"""A loader as one writes it first: rows of a Parquet file as Python objects, executemany, ON CONFLICT DO NOTHING."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.ddl import create_partition, create_table
from headrace_core.tables import EVENTS, events_partition

__all__ = ["OrdinaryLoad"]

_LATE = timedelta(days=1, hours=6)


class OrdinaryLoad:
    """Loads files into a table of the same columns, key and partitions in a schema of its own."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn)
        self._partitions: set[str] = set()
        self._table = EVENTS.full_name.replace("analytics.", "ordinary.")
        self._connection.execute("CREATE SCHEMA ordinary")
        for statement in create_table(EVENTS, "postgresql"):
            self._connection.execute(_own(statement))
        self._connection.commit()

    def load(self, content: bytes) -> int:
        """Insert a file's rows; how many were new."""
        rows = pq.read_table(pa.BufferReader(content)).to_pylist()
        for row in rows:
            row["event_date"] = row["event_ts"].date()
            row["is_late"] = row["received_ts"] >= datetime.combine(row["event_date"], time(), UTC) + _LATE
            row["loaded_ts"] = "now"
        for day in {row["event_date"] for row in rows}:
            self._partition(events_partition(day), create_partition(day))
        columns = EVENTS.column_names
        values = ", ".join(f"%({name})s" for name in columns)
        insert = f"INSERT INTO {self._table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING"
        with self._connection.cursor() as cursor:
            cursor.executemany(insert.encode(), rows)
            inserted = cursor.rowcount
        self._connection.commit()
        return inserted

    def _partition(self, name: str, statements: list[str]) -> None:
        if name not in self._partitions:
            for statement in statements:
                self._connection.execute(_own(statement))
            self._partitions.add(name)


def _own(statement: str) -> bytes:
    return statement.replace("analytics.", "ordinary.").encode()
