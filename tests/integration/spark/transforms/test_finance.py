"""Finance of a day: exact amounts per source and currency."""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import SparkSession
from tests.support.spark_rows import DAY, Values, lake_rows, rows_of

from headrace_core.tables import FINANCE_DAILY
from headrace_spark.transforms.finance import finance_daily


def test_orders_refunds_and_currencies(spark: SparkSession) -> None:
    rows: list[Values] = [
        {"revenue": "10.0001", "currency": "EUR", "customer_id": "c1"},
        {"revenue": "0.1", "currency": "EUR", "customer_id": "c1"},
        {"revenue": "0.2", "currency": "EUR", "customer_id": None},
        {"revenue": "-3.0002", "currency": "EUR", "customer_id": "c2"},
        {"revenue": "0", "currency": "EUR", "customer_id": "c3"},
        {"revenue": "99999999999999.9999", "currency": "USD"},
        {"revenue": "99999999999999.9999", "currency": "USD"},
        {"revenue": "5", "currency": None},
        {"revenue": "7", "currency": "EUR", "source": "app", "customer_id": "c1"},
        {"revenue": None, "currency": "EUR", "customer_id": "c4"},
    ]
    table = finance_daily(lake_rows(spark, rows))
    assert tuple(table.columns) == FINANCE_DAILY.column_names
    found = [tuple(row.values()) for row in rows_of(table, "source", "currency")]
    assert found == [
        (DAY, "app", "EUR", 1, 1, Decimal(7), Decimal(0), Decimal(7), 1),
        (DAY, "shop", "", 0, 1, Decimal(5), Decimal(0), Decimal(5), 1),
        (DAY, "shop", "EUR", 3, 3, Decimal("10.3001"), Decimal("-3.0002"), Decimal("7.2999"), 5),
        (
            DAY,
            "shop",
            "USD",
            0,
            2,
            Decimal("199999999999999.9998"),
            Decimal(0),
            Decimal("199999999999999.9998"),
            2,
        ),
    ]
    assert dict(table.dtypes)["net"] == "decimal(38,4)"
