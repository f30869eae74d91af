"""Who is who in a real PostgreSQL: the tables follow the edges, and events_resolved follows the tables."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.dedup_world import DedupWorld
from tests.support.staged_files import clean_row, staged_file
from tests.support.warehouses import PostgresHarness, new_database

from headrace_core.errors import ExitCode
from headrace_core.identity import Edge, EdgeOp, EdgeRecord, edge_record, resolve
from headrace_loader.load import load_files
from headrace_loader.migrate import migrate
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_local.stack import LocalStack
from headrace_runtime.warehouse import PostgresConnection
from headrace_runtime.warehouse_customers import Written, write_customers

_QUERY = "SELECT event_id, customer_id, identity_status FROM analytics.events_resolved ORDER BY event_id"


def _edge(at: int, alias: str, customer_id: str, op: EdgeOp = "assert") -> Edge:
    return Edge(
        kind="anonymous" if alias[0] == "a" else "user",
        alias=alias,
        customer_id=customer_id,
        op=op,
        source="web",
        confidence=0.8,
        valid_from=at,
    )


def _records(*edges: Edge) -> list[EdgeRecord]:
    return [edge_record(offset, edge) for offset, edge in enumerate(edges)]


async def _write(dsn: str, records: Sequence[EdgeRecord], now_us: int = 1) -> Written:
    connection = await PostgresConnection.connect(dsn, application_name="test")
    try:
        return await write_customers(connection, resolve(records).aliases, now_us=now_us)
    finally:
        await connection.close()


async def test_a_mapping_reaches_stored_rows_and_leaves_them_when_it_is_taken_back(
    warehouse_dsn: str,
) -> None:
    harness = PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))
    rows = [
        clean_row("device", offset=0, anonymous_id="a1", customer_id="stale", identity_status="resolved"),
        clean_row("login", offset=1, user_id="u1", anonymous_id="a1", identity_status="resolved"),
        clean_row("nobody", offset=2, user_key="e:nobody", identity_status="unresolved"),
        clean_row("other", offset=3, user_id="u2", identity_status="resolved"),
    ]
    await load_files(harness.warehouse, [staged_file(rows, start=0)], now_us=1, writer="test")
    assert await harness.query(_QUERY) == [
        ("device", None, "anonymous"),
        ("login", None, "resolved"),
        ("nobody", None, "unresolved"),
        ("other", None, "resolved"),
    ]
    stitched = [_edge(0, "a1", "u1"), _edge(1, "u1", "c9")]
    await _write(warehouse_dsn, _records(*stitched))
    assert await harness.query(_QUERY) == [
        ("device", "c9", "resolved"),
        ("login", "c9", "resolved"),
        ("nobody", None, "unresolved"),
        ("other", None, "resolved"),
    ]
    await _write(warehouse_dsn, _records(*stitched, _edge(2, "a1", "u1", "retract")))
    assert await harness.query(_QUERY) == [
        ("device", None, "anonymous"),
        ("login", "c9", "resolved"),
        ("nobody", None, "unresolved"),
        ("other", None, "resolved"),
    ]


async def test_only_the_difference_is_written_and_suppressed_subjects_are_left_out(
    warehouse_dsn: str,
) -> None:
    harness = PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))
    odd = "a\\b\t\n\rü"
    records = _records(_edge(5, odd, "u1"), _edge(7, "u1", "c9"), _edge(6, "a2", "u2"), _edge(1, "a3", "u3"))
    first = await _write(warehouse_dsn, records, now_us=10**6)
    assert (first.aliases_written, first.customers_written) == (7, 3)
    wanted = [(row.customer_id, row.first_seen_ts, row.alias_count) for row in resolve(records).customers]
    counted = "SELECT customer_id, (extract(epoch FROM first_seen_ts) * 1e6)::bigint, alias_count"
    assert await harness.query(f"{counted} FROM analytics.customers ORDER BY 1") == wanted
    stored = await harness.query(
        "SELECT alias, customer_id FROM analytics.customer_aliases ORDER BY user_key"
    )
    assert sorted(stored) == sorted((row.alias, row.customer_id) for row in resolve(records).aliases)

    again = await _write(warehouse_dsn, records, now_us=2 * 10**6)
    nothing = Written(
        aliases_written=0, aliases_removed=0, customers_written=0, customers_removed=0, suppressed=0
    )
    assert again == nothing
    await harness.suppress("anonymous", "a2")
    await harness.suppress("customer", "c9")
    less = await _write(warehouse_dsn, records, now_us=3 * 10**6)
    assert (less.suppressed, less.aliases_removed, less.customers_removed) == (4, 4, 1)
    left = await harness.query("SELECT user_key FROM analytics.customer_aliases ORDER BY 1")
    assert left == [("a:a3",), ("u:u2",), ("u:u3",)]


async def test_a_query_without_the_customer_does_not_pay_for_it(warehouse_dsn: str) -> None:
    harness = PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))
    plan = await harness.query(
        "EXPLAIN SELECT count(*) FROM analytics.events_resolved WHERE event_type = 'track'"
    )
    assert "customer_aliases" not in str(plan)


async def test_the_command_takes_the_edges_from_the_log(fresh_stack: LocalStack, tmp_path: Path) -> None:
    world = DedupWorld(fresh_stack, tmp_path)
    await world.prepare()
    await world.write_edges(_edge(0, "a1", "u1"), _edge(1, "u1", "c9"))
    dsn = new_database(fresh_stack.endpoints.postgres_dsn)

    def command() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "headrace_loader", "customers"],
            env={**fresh_stack.environment(), "HEADRACE_WAREHOUSE_DSN": dsn},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert command().returncode == ExitCode.RETRY_LATER, "the warehouse is not migrated"
    migrate(dsn)
    ended = command()
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["offset"], told["customers"], told["aliases"], told["ambiguous"]) == (2, 1, 3, {})
    harness = PostgresHarness(dsn, PostgresWarehouse(dsn))
    found = await harness.query("SELECT alias, customer_id FROM analytics.customer_aliases ORDER BY 1")
    assert found == [("a1", "c9"), ("c9", "c9"), ("u1", "c9")]
