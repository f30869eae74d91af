"""Rows without the subjects who asked to be forgotten (rules E1, B1)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_spark.ports import Suppressions

__all__ = ["without_suppressed"]


def without_suppressed(rows: DataFrame, suppressed: Suppressions) -> DataFrame:
    """Rows whose user_id, anonymous_id and customer_id are none of the list. It is broadcast: an installation's list of
    two years is thousands of ids."""
    lists = (
        ("user_id", suppressed.users),
        ("anonymous_id", suppressed.anonymous),
        ("customer_id", suppressed.customers),
    )
    return reduce(lambda kept, each: _without(kept, *each), lists, rows)


def _without(rows: DataFrame, column: str, values: Iterable[str]) -> DataFrame:
    listed = [(value,) for value in sorted(values)]
    if not listed:
        return rows
    subjects = rows.sparkSession.createDataFrame(listed, f"{column} string")
    return rows.join(F.broadcast(subjects), column, "left_anti")
