"""`python -m headrace_loader customers`: resolve all edges and write who is who into the warehouse, once."""

from __future__ import annotations

import time

from headrace_loader.migrate import check_revision
from headrace_runtime.customer_tables import Published, publish_customers
from headrace_runtime.edge_log import EdgeSnapshot, read_edges
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.settings import KafkaSettings, WarehouseSettings
from headrace_runtime.warehouse import PostgresConnection

__all__ = ["CustomersSettings", "publish"]

_CONNECT_DEADLINE_S = 30.0
_READ_DEADLINE_S = 600.0


class CustomersSettings(KafkaSettings, WarehouseSettings):
    """Where edges come from and customers go."""


async def publish(settings: CustomersSettings) -> Published:
    """Read, resolve, write. RetryLater where another process does it, or the warehouse is not migrated."""
    connection = await PostgresConnection.connect(
        settings.warehouse_dsn.get_secret_value(), application_name="headrace-customers"
    )
    try:
        await check_revision(connection)
        return await publish_customers(connection, lambda: _read(settings), now_us=time.time_ns() // 1_000)
    finally:
        await connection.close()


async def _read(settings: CustomersSettings) -> EdgeSnapshot:
    reader = KafkaLogReader(KafkaConnection.from_settings(settings, client_id="headrace-customers"))
    await reader.start(deadline_s=_CONNECT_DEADLINE_S)
    try:
        return await read_edges(reader, deadline_s=_READ_DEADLINE_S)
    finally:
        await reader.stop()
