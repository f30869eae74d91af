"""Events as Spark has them: their schema, and what follows from a row alone.

Times are counted in integer microseconds, so no result depends on the session's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cache

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from headrace_core.events import LATE_AFTER_US
from headrace_core.events import Column as StructColumn
from headrace_core.tables import EVENTS, Table, TableColumn, TableKind

__all__ = [
    "DAY_US",
    "as_table",
    "day_of",
    "day_start_us",
    "lake_schema",
    "of_day",
    "of_span",
    "schema_of",
    "staged_schema",
    "start_of",
    "table_schema",
    "with_day",
    "with_hour",
]

DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_EPOCH = date(1970, 1, 1)

_TYPES: dict[TableKind, DataType] = {
    "uuid": StringType(),
    "text": StringType(),
    "json": StringType(),
    "timestamp": TimestampType(),
    "smallint": ShortType(),
    "integer": IntegerType(),
    "bigint": LongType(),
    "decimal": DecimalType(18, 4),
    "sum": DecimalType(38, 4),
    "date": DateType(),
    "boolean": BooleanType(),
}
_OF_THE_LOAD = {"loaded_ts"}
_OF_THE_DAY = {"event_date", "is_late"}


@cache
def staged_schema() -> StructType:
    """A staged file: the columns of a clean event, then file_id. Older files lack the newer ones, which are then null."""
    return schema_of(column for column in EVENTS.columns if column.name not in _OF_THE_LOAD | _OF_THE_DAY)


@cache
def lake_schema() -> StructType:
    """Events of a generation: a staged row, then event_date and is_late."""
    return schema_of(column for column in EVENTS.columns if column.name not in _OF_THE_LOAD)


@cache
def table_schema(table: Table) -> StructType:
    """The columns of a warehouse table, as an aggregate of the lake has them."""
    return schema_of(table.columns)


def schema_of(columns: Iterable[TableColumn | StructColumn]) -> StructType:
    """The columns of a table, or of a struct that is stored as Parquet."""
    return StructType([StructField(column.name, _TYPES[column.kind], column.nullable) for column in columns])


def as_table(rows: DataFrame, schema: StructType) -> DataFrame:
    """The columns of a schema in its order and types; others are dropped."""
    return rows.select(*(F.col(field.name).cast(field.dataType).alias(field.name) for field in schema))


def day_start_us(day: date) -> int:
    """The first microsecond of a UTC day."""
    return (day - _EPOCH).days * DAY_US


def of_day(rows: DataFrame, day: date) -> DataFrame:
    """The rows whose event time is on a UTC day. Parquet's statistics skip what lies outside of it."""
    return of_span(rows, day_start_us(day), day_start_us(day) + DAY_US)


def of_span(rows: DataFrame, start_us: int, end_us: int) -> DataFrame:
    """The rows whose event time is in a half-open span of UTC microseconds."""
    start, end = F.timestamp_micros(F.lit(start_us)), F.timestamp_micros(F.lit(end_us))
    return rows.where((F.col("event_ts") >= start) & (F.col("event_ts") < end))


def start_of(us: Column, width_us: int) -> Column:
    """The start of the span of ``width_us`` that a time is in, both in microseconds since 1970."""
    return us - F.pmod(us, F.lit(width_us))


def day_of(us: Column) -> Column:
    """The UTC day of a time in microseconds, as a number of days since 1970."""
    return F.call_function("div", us, F.lit(DAY_US))


def with_day(rows: DataFrame) -> DataFrame:
    """Staged rows with event_date and is_late: a row of the lake."""
    day = day_of(F.unix_micros("event_ts"))
    return rows.withColumns(
        {
            "event_date": F.date_from_unix_date(day.cast("int")),
            "is_late": F.unix_micros("received_ts") >= day * DAY_US + LATE_AFTER_US,
        }
    )


def with_hour(rows: DataFrame) -> DataFrame:
    """Rows with the UTC hour of their event time, 0 to 23: the part of the day that a file is written for."""
    within = F.pmod(F.unix_micros("event_ts"), F.lit(DAY_US))
    return rows.withColumn("hour", F.call_function("div", within, F.lit(_HOUR_US)).cast("int"))
