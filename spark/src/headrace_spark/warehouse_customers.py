"""Who is who, published to the warehouse by a batch job (rule B5)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from headrace_runtime.customer_tables import publish_customers
from headrace_runtime.warehouse import PostgresConnection
from headrace_spark.ports import EdgeSource

__all__ = ["WarehouseCustomers"]


class WarehouseCustomers:
    """`headrace_spark.ports.CustomerTables` on PostgreSQL. ``statement_timeout_s`` bounds each statement."""

    def __init__(self, dsn: str, *, statement_timeout_s: float = 900.0) -> None:
        self._dsn = dsn
        self._statement_timeout_s = statement_timeout_s

    async def publish_customers(self, edges: EdgeSource) -> Mapping[str, int]:
        """See `headrace_spark.ports.CustomerTables`. RetryLater where another process does it just now."""
        connection = await PostgresConnection.connect(
            self._dsn, application_name="headrace-day", statement_timeout_s=self._statement_timeout_s
        )
        try:
            published = await publish_customers(connection, edges.read, now_us=time.time_ns() // 1_000)
        finally:
            await connection.close()
        return {
            f"identity_{name}": count for name, count in msgspec.structs.asdict(published.written).items()
        }
