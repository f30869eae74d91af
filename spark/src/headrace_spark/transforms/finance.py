"""Finance: what a day's events earned, per source and currency, in exact decimals."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.tables import FINANCE_DAILY
from headrace_spark.transforms.rows import as_table, table_schema

__all__ = ["finance_daily"]


def finance_daily(rows: DataFrame) -> DataFrame:
    """The table finance_daily of rows of the lake: those that carry a revenue, a zero included.

    An order is a positive revenue, a refund a negative one, and stays negative. Customers are the different stored
    customer_ids; a row without one counts for no customer. An event without a currency is of the currency ''.
    """
    revenue, nothing = F.col("revenue"), F.lit(0)
    grouped = (
        rows.where(revenue.isNotNull())
        .groupBy("event_date", "source", F.coalesce("currency", F.lit("")).alias("currency"))
        .agg(
            F.count_distinct("customer_id").alias("customers"),
            F.count(F.when(revenue > 0, 1)).alias("orders"),
            F.coalesce(F.sum(F.when(revenue > 0, revenue)), nothing).alias("gross"),
            F.coalesce(F.sum(F.when(revenue < 0, revenue)), nothing).alias("refunds"),
            F.sum(revenue).alias("net"),
            F.count("*").alias("events"),
        )
    )
    return as_table(grouped, table_schema(FINANCE_DAILY))
