"""Migrations on a real PostgreSQL: they lead to the schema that the code renders, from nothing and again."""

import asyncio
from typing import Any

import psycopg
import pytest
from tests.support.warehouses import new_database

from headrace_core.ddl import warehouse_ddl
from headrace_core.errors import RetryLater
from headrace_loader.migrate import check_revision, head_revision, migrate
from headrace_local.stack import LocalStack
from headrace_runtime.warehouse import PostgresConnection

_CATALOGUE = {
    "columns": """
        SELECT table_schema, table_name, ordinal_position, column_name, data_type, is_nullable, numeric_precision,
               numeric_scale, column_default
        FROM information_schema.columns WHERE table_schema IN ('analytics', 'ops') ORDER BY 1, 2, 3""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('analytics', 'ops') ORDER BY 1",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace IN ('analytics'::regnamespace, 'ops'::regnamespace) ORDER BY 1, 2""",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname IN ('analytics', 'ops') ORDER BY 1",
    "partitioning": "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) FROM pg_partitioned_table",
    "locks": "SELECT name FROM ops.load_lock",
}


def _catalogue(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """What a database holds, without the migration tool's own table."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS ops.schema_version")
        return {name: connection.execute(query.encode()).fetchall() for name, query in _CATALOGUE.items()}


def test_migrations_lead_to_the_schema_that_the_code_renders(stack: LocalStack) -> None:
    migrated, rendered = (new_database(stack.endpoints.postgres_dsn) for _ in range(2))
    assert migrate(migrated) == head_revision()
    with psycopg.connect(rendered) as connection:
        for statement in warehouse_ddl("postgresql"):
            connection.execute(statement.encode())
    found = _catalogue(migrated)
    assert found == _catalogue(rendered)
    assert found["locks"] == [("events",)]


async def test_processes_that_migrate_at_once_wait_for_each_other(stack: LocalStack) -> None:
    dsn = new_database(stack.endpoints.postgres_dsn)
    revisions = await asyncio.gather(*(asyncio.to_thread(migrate, dsn) for _ in range(3)))
    assert revisions == [head_revision()] * 3


async def test_a_loader_refuses_a_warehouse_that_is_behind(stack: LocalStack) -> None:
    dsn = new_database(stack.endpoints.postgres_dsn)
    connection = await PostgresConnection.connect(dsn, application_name="test")
    with pytest.raises(RetryLater) as raised:
        await check_revision(connection)
    assert raised.value.code == "warehouse_not_migrated"
    await asyncio.to_thread(migrate, dsn)
    await check_revision(connection)
    await connection.execute("UPDATE ops.schema_version SET version_num = '0000'")
    with pytest.raises(RetryLater):
        await check_revision(connection)
    await connection.close()
