"""Finds the rows of subjects in files of the lake and of extracts (rule E3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it
from pyspark.sql.types import StringType

from headrace_core.identity import user_key_of
from headrace_core.lake import Generation
from headrace_core.paths import overflow_key
from headrace_spark.driver import SparkDriver
from headrace_spark.lake_files import LakeFiles
from headrace_spark.ports import Suppressions
from headrace_spark.transforms.rows import lake_schema

__all__ = ["SparkSubjectRows", "user_keys"]

_PATH = "file_path"
_OVERFLOW_KEY = overflow_key("[0-9a-f]{64}")


def user_keys(subjects: Suppressions) -> frozenset[str]:
    """The ids of the subjects as events have them in user_key."""
    users = {user_key_of("user", value) for value in subjects.users}
    return frozenset(users | {user_key_of("anonymous", value) for value in subjects.anonymous})


@dataclass(frozen=True, slots=True)
class SparkSubjectRows:
    """`headrace_spark.ports.SubjectRows`. What was found in a generation is remembered: its files never change."""

    spark: SparkDriver
    files: LakeFiles
    _known: dict[tuple[str, Suppressions], frozenset[str]] = field(default_factory=dict)

    async def holds(self, generation: Generation, subjects: Suppressions) -> bool:
        """See `headrace_spark.ports.SubjectRows`."""
        return bool(await self.holding(generation, subjects))

    async def holding(self, generation: Generation, subjects: Suppressions) -> frozenset[str]:
        """Keys of the generation's event files that have a row of the subjects."""
        known = generation.id.generation, subjects
        if known not in self._known:
            keys = [file.key for file in generation.files("events")]
            self._known[known] = await self.among(keys, subjects)
        return self._known[known]

    async def among(self, keys: Collection[str], subjects: Suppressions) -> frozenset[str]:
        """Of Parquet files those that have a row of the subjects, by whichever columns of ids they have."""
        addresses = {self.files.address(key): key for key in keys}
        if not addresses:
            return frozenset()
        paths = await self.spark.run(lambda session: _paths(session, sorted(addresses), subjects))
        return frozenset(addresses[path] for path in paths)

    async def overflow_of(self, keys: Collection[str], subjects: Suppressions | None) -> frozenset[str]:
        """Keys of the overflow objects that rows of these event files name; of all rows, or of the subjects alone."""
        addresses = [self.files.address(key) for key in sorted(keys)]
        if not addresses:
            return frozenset()
        return await self.spark.run(lambda session: _overflow(session, addresses, subjects))


def _paths(session: SparkSession, addresses: Sequence[str], subjects: Suppressions) -> list[str]:
    rows = session.read.parquet(*addresses)
    found = _of_subjects(rows.select("*", F.col(f"_metadata.{_PATH}").alias(_PATH)), subjects)
    return [row[_PATH] for row in found.select(_PATH).distinct().collect()]


def _of_subjects(rows: DataFrame, subjects: Suppressions) -> DataFrame:
    """Rows of the subjects, some of them more than once."""
    lists = {
        "user_id": subjects.users,
        "anonymous_id": subjects.anonymous,
        "customer_id": subjects.customers,
        "user_key": user_keys(subjects),
    }
    found = [
        _of(rows, column, values) for column, values in lists.items() if column in rows.columns and values
    ]
    return reduce(DataFrame.unionByName, found) if found else rows.limit(0)


def _of(rows: DataFrame, column: str, values: Collection[str]) -> DataFrame:
    named = rows.sparkSession.createDataFrame([(value,) for value in sorted(values)], f"{column} string")
    return rows.join(F.broadcast(named), column, "left_semi")


def _overflow(
    session: SparkSession, addresses: Sequence[str], subjects: Suppressions | None
) -> frozenset[str]:
    rows = session.read.schema(lake_schema()).parquet(*addresses).where(F.col("overflow").isNotNull())
    rows = rows if subjects is None else _of_subjects(rows, subjects)
    texts = [field.name for field in lake_schema() if isinstance(field.dataType, StringType)]
    named = F.regexp_extract_all(F.concat_ws(" ", *texts), F.lit(_OVERFLOW_KEY), F.lit(0))
    return frozenset(row["key"] for row in rows.select(F.explode(named).alias("key")).distinct().collect())
