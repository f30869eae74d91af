"""The view of events with the customer as of now, on a real PostgreSQL."""

from datetime import UTC, datetime

from tests.support.staged_files import clean_row, staged_file
from tests.support.warehouses import PostgresHarness

from headrace_core.identity import Edge, EdgeOp, EdgeRecord, edge_record, resolve
from headrace_loader.load import load_files
from headrace_loader.warehouse_postgres import PostgresWarehouse

_QUERY = "SELECT event_id, customer_id, identity_status FROM analytics.events_resolved ORDER BY event_id"


def _edge(offset: int, alias: str, customer_id: str, op: EdgeOp = "assert") -> EdgeRecord:
    return edge_record(
        offset,
        Edge(
            kind="anonymous" if alias[0] == "a" else "user",
            alias=alias,
            customer_id=customer_id,
            op=op,
            source="web",
            confidence=0.8,
            valid_from=offset,
        ),
    )


async def _publish(harness: PostgresHarness, *records: EdgeRecord) -> None:
    """What a resolution says, in place of what was there."""
    await harness.query("DELETE FROM analytics.customer_aliases")
    for row in resolve(records).aliases:
        await harness.query(
            "INSERT INTO analytics.customer_aliases (user_key, kind, alias, customer_id, source, confidence, valid_from)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (
                row.user_key,
                row.kind,
                row.alias,
                row.customer_id,
                row.source,
                row.confidence,
                datetime.fromtimestamp(row.valid_from / 1e6, UTC),
            ),
        )


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
    await _publish(harness, *stitched)
    assert await harness.query(_QUERY) == [
        ("device", "c9", "resolved"),
        ("login", "c9", "resolved"),
        ("nobody", None, "unresolved"),
        ("other", None, "resolved"),
    ]
    await _publish(harness, *stitched, _edge(2, "a1", "u1", "retract"))
    assert await harness.query(_QUERY) == [
        ("device", None, "anonymous"),
        ("login", "c9", "resolved"),
        ("nobody", None, "unresolved"),
        ("other", None, "resolved"),
    ]


async def test_a_query_without_the_customer_does_not_pay_for_it(warehouse_dsn: str) -> None:
    harness = PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))
    plan = await harness.query(
        "EXPLAIN SELECT count(*) FROM analytics.events_resolved WHERE event_type = 'track'"
    )
    assert "customer_aliases" not in str(plan)
