"""Rule L2 on a day: of copies of one identity within a day of each other the lowest source position stays.

Copies are decided greedily in the order of their positions, against rows that stay. Of the copies on one day only the
lowest can ever stay, since a row that keeps it out keeps out the higher ones too. So one copy per day is left, and its fate
follows, on each side alike, from how the positions fall from its day on: it goes if the next lower copy beside it stays,
which does not ask for the copy itself. That is decided without a loop, in the JVM, and only for identities that occur twice.
It is exact where the copies of an identity fall over three days in a row at most; the fourth day is not asked.

Wide rows are never shuffled. A pass over the ids counts their 64-bit hashes; the hashes that occur twice are broadcast, and
select the copies; these few narrow rows are decided by the ids themselves, so two ids of one hash stay apart; the copies
that go are broadcast, and the wide rows are read past them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import reduce
from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

__all__ = ["DAYS_AFTER", "DAYS_BEFORE", "DEDUP_COLUMNS", "Strategy", "deduplicate"]

Strategy = Literal["broadcast", "hash"]
"""How few rows find the many: broadcast to them, or, past the limit of a broadcast, joined by hash partitions."""

DAYS_BEFORE = 2
DAYS_AFTER = 2
"""How many days beside a day are asked for copies. The day two away decides whether a copy on the day between stays."""

_POSITION = ("src_partition", "src_offset", "file_id")
DEDUP_COLUMNS = ("dedup_id", "event_date", *_POSITION)
"""What is read of rows on the days beside."""

_REPEATED = "The plan reads the record of one source position twice: a file that the generation contains was read again."


def deduplicate(
    rows: DataFrame,
    beside: DataFrame,
    day: date,
    *,
    strategy: Strategy = "broadcast",
    hash_of: Callable[[str], Column] = F.xxhash64,
) -> DataFrame:
    """The rows of a day that stay, with all their columns.

    ``rows`` are those of the day's generation and of the files that it does not contain, ``beside`` those of the days
    around it (at least DEDUP_COLUMNS; other days are ignored). A generation's rows and new ones are equal before the rule:
    also a row of a generation goes where a lower copy comes later, as in the load. ``hash_of`` a column's name may
    collide: a collision costs time, never a row. The job fails if a source position and file occurs twice.
    """
    copies = rows.select(*DEDUP_COLUMNS).unionByName(beside.select(*DEDUP_COLUMNS))
    if strategy == "hash":
        return _without(rows, _displaced(copies, day).hint("shuffle_hash"))
    hashed = copies.withColumn("id_hash", hash_of("dedup_id"))
    repeated = (
        hashed.groupBy("id_hash").agg(F.count("*").alias("copies")).where("copies > 1").select("id_hash")
    )
    few = hashed.join(F.broadcast(repeated), "id_hash", "left_semi").drop("id_hash")
    return _without(rows, F.broadcast(_displaced(few, day)))


def _without(rows: DataFrame, displaced: DataFrame) -> DataFrame:
    return rows.join(displaced, [*_POSITION], "left_anti").select(*rows.columns)


def _displaced(copies: DataFrame, day: date) -> DataFrame:
    """Positions of the copies on the day that go; every copy of their ids must be among the rows."""
    order = (*_POSITION, "event_date")
    in_order = Window.partitionBy("dedup_id").orderBy(*order)
    of_the_id = in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    is_repeated = reduce(Column.__and__, (F.lag(name).over(in_order) == F.col(name) for name in order))
    placed = copies.withColumns({"place": F.row_number().over(in_order), "is_repeated": is_repeated})
    lowest = {
        f"lowest_{at}": F.min(
            F.when(F.col("event_date") == F.lit(day + timedelta(days=at)), F.col("place"))
        ).over(of_the_id)
        for at in range(-DAYS_BEFORE, DAYS_AFTER + 1)
    }
    goes = (F.col("place") != F.col("lowest_0")) | _goes_beside(-1) | _goes_beside(1)
    fails = F.raise_error(F.lit(_REPEATED)).cast("boolean")
    of_the_day = placed.withColumns(lowest).where(F.col("event_date") == F.lit(day))
    return of_the_day.where(F.when(F.col("is_repeated"), fails).otherwise(goes)).select(*_POSITION)


def _goes_beside(step: int) -> Column:
    """Whether the lowest copy of the day goes because of the days on one side of it.

    It does if that side's next copy is lower and stays; that one stays unless the copy after it is lower still and stays.
    """
    furthest = -DAYS_BEFORE if step < 0 else DAYS_AFTER
    falls = [
        F.coalesce(F.col(f"lowest_{at}") < F.col(f"lowest_{at - step}"), F.lit(False))
        for at in range(furthest, 0, -step)
    ]
    return reduce(lambda further_goes, is_lower: is_lower & ~further_goes, falls, F.lit(False))
