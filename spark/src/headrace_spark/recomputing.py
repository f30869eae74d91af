"""Rows that this version of the code makes otherwise than they are stored: found by Spark, kept as files beside the run.

Every stored row that the selection takes is compared with what its raw record is made into now. What differs is written
once; all days that change are made from these files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it
from pyspark.sql.types import ArrayType, BinaryType, StringType, StructField, StructType

from headrace_core.keys import file_id
from headrace_spark.raw_rows import MOVED, REASON, Rebuilder
from headrace_spark.reprocess_report import CHANGED, MISSING, REJECTED
from headrace_spark.reprocessing import Selection
from headrace_spark.revised_rows import POSITION
from headrace_spark.transforms.rows import lake_schema, staged_schema, with_day

__all__ = ["changed_columns", "changes", "holdings", "moved_values", "rebuilt", "sample_rows", "summary"]

_CARRIED = ("customer_id", "identity_status", "device_type", "os", "browser", "country")
"""Columns that are no part of normalisation: identity is resolved anew for every generation, enrichment has versions of its
own."""

_SAME = "same"


def holdings(stored: DataFrame, received_from_us: int) -> list[Row]:
    """Per file and partition of stored rows: ``rows``, ``older`` (received before), and the offsets of the others, ``low``
    and ``high``."""
    is_older = F.unix_micros("received_ts") < received_from_us
    offset = F.when(~is_older, F.col("src_offset"))
    by_file = stored.groupBy("src_partition", "file_id")
    return by_file.agg(
        F.count("*").alias("rows"),
        F.count_if(is_older).alias("older"),
        F.min(offset).alias("low"),
        F.max(offset).alias("high"),
    ).collect()


def rebuilt(session: SparkSession, addresses: Sequence[str], rebuilder: Rebuilder) -> DataFrame:
    """What the records of raw objects are made into; see `Rebuilder`."""
    schema = _rebuilt_schema()
    if not addresses:
        return session.createDataFrame([], schema)
    objects = session.read.format("binaryFile").load([*addresses]).select("path", "content")
    return objects.mapInArrow(rebuilder.batches, schema)


def _rebuilt_schema() -> StructType:
    """Every column may be null: a record that cannot be built has none but its position."""
    moved = StructType([StructField("key", StringType()), StructField("value", BinaryType())])
    events = [StructField(field.name, field.dataType) for field in staged_schema() if field.name != "file_id"]
    return StructType([*events, StructField(REASON, StringType()), StructField(MOVED, ArrayType(moved))])


def changes(stored: DataFrame, made: DataFrame, selection: Selection) -> DataFrame:
    """The selected rows that do not stay as they are: the columns of the lake with their new values, then ``from_day``,
    ``status``, REASON, MOVED, and ``before`` and ``after``, maps from the names of changed columns to texts."""
    selected = _selected(stored, selection).alias("o")
    joined = selected.join(
        made.alias("n"), [F.col(f"o.{name}") == F.col(f"n.{name}") for name in POSITION], "left"
    )
    compared = [
        field.name for field in staged_schema() if field.name not in (*_CARRIED, *POSITION, "file_id")
    ]
    differs = {name: ~F.col(f"o.{name}").eqNullSafe(F.col(f"n.{name}")) for name in compared}
    status = (
        F.when(F.col("n.src_offset").isNull(), MISSING)
        .when(F.col(f"n.{REASON}").isNotNull(), REJECTED)
        .when(reduce(Column.__or__, differs.values()), CHANGED)
        .otherwise(_SAME)
    )
    rows = joined.select(
        *(_column(field.name).alias(field.name) for field in staged_schema()),
        F.col("o.event_date").alias("from_day"),
        status.alias("status"),
        F.col(f"n.{REASON}").alias(REASON),
        F.col(f"n.{MOVED}").alias(MOVED),
        _texts(differs, "o").alias("before"),
        _texts(differs, "n").alias("after"),
    ).where(F.col("status") != _SAME)
    return with_day(rows).select(*lake_schema().fieldNames(), *rows.columns[len(staged_schema()) :])


def _selected(stored: DataFrame, selection: Selection) -> DataFrame:
    ids = stored.sparkSession.createDataFrame(
        [(file_id(key),) for key in sorted(selection.files)], "file_id bigint"
    )
    recent = stored.where(F.unix_micros("received_ts") >= selection.received_from_us)
    return recent.join(F.broadcast(ids), "file_id", "left_semi")


def _column(name: str) -> Column:
    return F.col(f"o.{name}" if name in (*_CARRIED, *POSITION, "file_id") else f"n.{name}")


def _texts(differs: Mapping[str, Column], side: str) -> Column:
    """A map from each column that differs to its value as text. A map cannot leave out what is null, so pairs are made."""
    pairs = [
        F.when(
            is_other,
            F.struct(F.lit(name).alias("key"), F.col(f"{side}.{name}").cast("string").alias("value")),
        )
        for name, is_other in differs.items()
    ]
    return F.map_from_entries(F.filter(F.array(*pairs), lambda pair: pair.isNotNull()))


def summary(written: DataFrame) -> list[Row]:
    """How many rows became what: ``rows`` and ``moved`` values per status, reason, day and file."""
    grouped = written.groupBy("status", REASON, "from_day", F.col("event_date").alias("to_day"), "file_id")
    return grouped.agg(F.count("*").alias("rows"), F.sum(F.size(MOVED)).alias("moved")).collect()


def sample_rows(written: DataFrame, most: int) -> list[Row]:
    """The changed rows of the lowest source positions."""
    columns = (*POSITION, "event_id", "source", "from_day", "event_date", "before", "after")
    return written.where(F.col("status") == CHANGED).select(*columns).orderBy(*POSITION).limit(most).collect()


def changed_columns(written: DataFrame) -> dict[str, int]:
    """Changed rows by the columns that differ."""
    names = written.where(F.col("status") == CHANGED).select(F.explode(F.map_keys("before")).alias("name"))
    return {
        row["name"]: row["rows"] for row in names.groupBy("name").agg(F.count("*").alias("rows")).collect()
    }


def moved_values(written: DataFrame) -> Iterator[tuple[str, bytes]]:
    """Keys and bytes of the values that changed rows lack for their length, read from Spark a part at a time."""
    pairs = written.where(F.col("status") == CHANGED).select(F.explode(MOVED).alias("pair"))
    rows = pairs.select("pair.key", "pair.value").dropDuplicates(["key"]).toLocalIterator()
    return ((row["key"], bytes(row["value"])) for row in rows)
