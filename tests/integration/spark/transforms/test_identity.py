"""Customers on rows: what the view events_resolved says, stored."""

from __future__ import annotations

from pyspark.sql import SparkSession
from tests.support.spark_rows import lake_rows, rows_of

from headrace_core.identity import Edge, edge_record, resolve
from headrace_spark.transforms.identity import with_customers


def _edge(kind: str, alias: str, customer: str) -> Edge:
    return Edge(
        kind="user" if kind == "user" else "anonymous",
        alias=alias,
        customer_id=customer,
        op="assert",
        source="crm",
        confidence=1.0,
        valid_from=0,
    )


_EDGES = (_edge("anonymous", "a1", "u1"), _edge("user", "u1", "c9"), _edge("anonymous", "shared", "u1"))

_CASES = {
    ("u1", None): ("c9", "resolved"),
    ("u1", "a1"): ("c9", "resolved"),
    (None, "a1"): ("c9", "resolved"),
    ("c9", None): ("c9", "resolved"),
    # A device that is known as somebody else's does not make its user somebody else.
    ("u2", "shared"): (None, "resolved"),
    ("u2", None): (None, "resolved"),
    (None, "a2"): (None, "anonymous"),
    (None, None): (None, "unresolved"),
}


def test_user_id_decides_then_anonymous_id(spark: SparkSession) -> None:
    aliases = resolve([edge_record(offset, edge) for offset, edge in enumerate(_EDGES)]).aliases
    resolution = spark.createDataFrame(
        [(row.user_key, row.customer_id) for row in aliases], "user_key string, customer_id string"
    )
    rows = lake_rows(
        spark,
        [
            {
                "user_id": user,
                "anonymous_id": anonymous,
                "user_key": f"u:{user}" if user else f"a:{anonymous}" if anonymous else "e:x",
                # Left by an earlier generation; a mapping that was taken back leaves nothing of it.
                "customer_id": "old",
                "identity_status": "unresolved",
            }
            for user, anonymous in _CASES
        ],
    )
    found = with_customers(rows, resolution)
    assert found.schema.names == rows.schema.names
    resolved = rows_of(found, "src_offset")
    assert [(row["customer_id"], row["identity_status"]) for row in resolved] == list(_CASES.values())
    assert [row["user_key"] for row in resolved] == [row["user_key"] for row in rows_of(rows, "src_offset")]
