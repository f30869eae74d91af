"""Defects as they happen to a day of rows, and the expectations that each must fail: those and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_spark.quality.catalogue import ExpectationName

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["PLANTED", "Planted"]


@dataclass(frozen=True, slots=True)
class Planted:
    """A defect: what it does to the rows, what it must fail, what it may fail too, and whether that stops the swap."""

    name: str
    plant: Callable[[DataFrame], DataFrame]
    fails: frozenset[ExpectationName]
    stops: bool = True
    may_fail: frozenset[ExpectationName] = frozenset()

    def __str__(self) -> str:
        return self.name


def _some(percent: int) -> Column:
    """A share of the rows, the same each time."""
    from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it

    return F.pmod(F.xxhash64("dedup_id", F.lit("planted")), F.lit(100)) < percent


def _burst_of_ids(rows: DataFrame) -> DataFrame:
    return rows.unionByName(rows.where(_some(10)))


def _burst_of_contents(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    again = {
        "dedup_id": F.md5(F.concat("dedup_id", F.lit("again"))),
        "event_id": F.concat("event_id", F.lit("-again")),
        "user_key": F.when(F.col("user_id").isNull(), F.concat("user_key", F.lit("-again"))).otherwise(
            F.col("user_key")
        ),
        "src_offset": F.col("src_offset") + 1_000_000,
    }
    return rows.unionByName(rows.withColumns(again))


def _null_spike(rows: DataFrame) -> DataFrame:
    """A release of the client that forgets who is logged in; normalisation does what it can."""
    from pyspark.sql import functions as F  # noqa: N812

    return rows.withColumns(
        {
            "user_id": F.lit(None).cast("string"),
            "user_key": F.concat(F.lit("e:"), F.col("event_id")),
            "identity_status": F.lit("unresolved"),
        }
    )


def _columns_emptied(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    return rows.withColumn("revenue", F.when(_some(70), F.col("revenue")))


def _moved(hours: int) -> Callable[[DataFrame], DataFrame]:
    def plant(rows: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F  # noqa: N812

        return rows.withColumn(
            "event_ts", F.timestamp_micros(F.unix_micros("event_ts") + hours * 3_600_000_000)
        )

    return plant


def _missing_hour(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    hour = F.floor(F.pmod(F.unix_micros("event_ts"), F.lit(86_400_000_000)) / 3_600_000_000)
    return rows.where(hour != 13)


def _currency_swap(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    return rows.withColumn("currency", F.when(_some(30), "USD").otherwise(F.col("currency")))


def _cents(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    return rows.withColumn("revenue", (F.col("revenue") * 100).cast("decimal(18,4)"))


def _another_day(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    moved = F.when(_some(1), F.unix_micros("event_ts") - 86_400_000_000).otherwise(F.unix_micros("event_ts"))
    return rows.withColumn("event_ts", F.timestamp_micros(moved))


def _junk_type(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    return rows.withColumn("id_source", F.when(_some(1), "guess").otherwise(F.col("id_source")))


def _foreign_keys(rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F  # noqa: N812

    return rows.withColumn(
        "user_key", F.when(_some(2), F.concat("user_key", F.lit("x"))).otherwise(F.col("user_key"))
    )


PLANTED = (
    Planted("burst of ids", _burst_of_ids, frozenset({"unique_dedup_id"})),
    Planted("burst of contents under new ids", _burst_of_contents, frozenset({"repeated_content_rate"})),
    Planted("null spike of users", _null_spike, frozenset({"null_rate_user_id", "unresolved_rate"})),
    Planted("null spike of revenue", _columns_emptied, frozenset({"null_rate_revenue"})),
    Planted(
        "clock three hours ahead", _moved(3), frozenset({"clock_shift"}), may_fail=frozenset({"active_hours"})
    ),
    Planted(
        "clock two hours behind", _moved(-2), frozenset({"clock_shift"}), may_fail=frozenset({"active_hours"})
    ),
    Planted("missing hour", _missing_hour, frozenset({"missing_hour"}), stops=False),
    Planted("currency swap", _currency_swap, frozenset({"currency_mix"})),
    Planted("cents for units", _cents, frozenset({"revenue_scale"})),
    Planted("rows of another day", _another_day, frozenset({"rows_inside_the_day"})),
    Planted("values that no code writes", _junk_type, frozenset({"known_values"})),
    Planted("users of other rows", _foreign_keys, frozenset({"user_key_agrees"})),
)
"""The defects. Each is told apart from the others by what it fails."""
