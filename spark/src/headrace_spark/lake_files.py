"""Writes tables by Spark into folders of their own, and says exactly which files that made: rows, bytes and SHA-256.

Spark marks a folder that it makes by an empty object with the folder's name, which plain S3 clients cannot name to delete.
So a file holds the place while Spark writes: the folder is then there already, and no mark is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it

from headrace_core.errors import Bug, UsageError
from headrace_core.lake import LakeFile
from headrace_runtime.ports_store import ObjectInfo, ObjectStore
from headrace_spark.driver import SparkDriver

__all__ = ["LakeFiles"]

_PLACE = ".writing"
"""Spark reads over names that begin with a dot."""


class LakeFiles:
    """Writes folders of Parquet files under one bucket. Raises what `SparkDriver.run` and the store raise."""

    def __init__(self, spark: SparkDriver, store: ObjectStore, *, bucket: str, deadline_s: float) -> None:
        self._spark = spark
        self._store = store
        self._bucket = bucket
        self._deadline_s = deadline_s

    def address(self, key: str) -> str:
        """A key, or a prefix, as Spark reads it."""
        return f"s3a://{self._bucket}/{key}"

    async def write(
        self, prefix: str, frame: DataFrame, *, partition_by: Sequence[str] = ()
    ) -> tuple[LakeFile, ...]:
        """Write the rows of ``frame`` under ``prefix``; the files in order of their keys. See `put` and `keep`."""
        return await self.keep(await self.put(prefix, frame, partition_by=partition_by))

    async def put(
        self, prefix: str, frame: DataFrame, *, partition_by: Sequence[str] = ()
    ) -> list[ObjectInfo]:
        """Write the rows of ``frame`` under ``prefix`` (ends in '/', used by nobody else); the objects that this made.

        Columns of ``partition_by`` go into the names of folders. UsageError where the folder holds files already.
        """
        await self._begin(prefix)
        address = self.address(prefix)
        await self._spark.run(
            lambda _: frame.write.mode("append").partitionBy(*partition_by).parquet(address)
        )
        await self._store.delete([prefix + _PLACE], deadline_s=self._deadline_s)
        return await self._files(prefix)

    async def keep(self, written: Sequence[ObjectInfo]) -> tuple[LakeFile, ...]:
        """Describe what `put` made, of many tables at once if need be. Files without rows are removed again."""
        files = await self.describe(written)
        empty = [file.key for file in files if not file.rows]
        await self._store.delete(empty, deadline_s=self._deadline_s)
        return tuple(file for file in files if file.rows)

    async def describe(self, found: Sequence[ObjectInfo]) -> tuple[LakeFile, ...]:
        """Rows and digest of each Parquet file, read by Spark's workers."""
        if not found:
            return ()
        addresses = [self.address(entry.key) for entry in found]
        digests = await self._spark.run(lambda session: _digests(session, addresses))
        rows = await self._spark.run(lambda session: _rows(session, addresses))
        return tuple(self._file(entry, digests, rows) for entry in found)

    async def read(self, files: Sequence[LakeFile]) -> tuple[LakeFile, ...]:
        """Each file as Spark's workers find it now. Rows are counted where the content is the one that was listed, else 0:
        what is torn has no footer. BadData where a file is missing."""
        addresses = {file.key: self.address(file.key) for file in files}
        digests = await self._spark.run(lambda session: _digests(session, [*addresses.values()]))
        whole = [addresses[file.key] for file in files if digests[addresses[file.key]][0] == file.sha256]
        rows = await self._spark.run(lambda session: _rows(session, whole)) if whole else {}
        found = []
        for key, address in addresses.items():
            sha256, size_bytes = digests[address]
            found.append(LakeFile(key=key, rows=rows.get(address, 0), bytes=size_bytes, sha256=sha256))
        return tuple(found)

    def _file(
        self, entry: ObjectInfo, digests: Mapping[str, tuple[str, int]], rows: Mapping[str, int]
    ) -> LakeFile:
        address = self.address(entry.key)
        sha256, size_bytes = digests[address]
        if size_bytes != entry.bytes:
            raise Bug(
                f"{entry.key} changed while it was read.",
                why=f"It had {entry.bytes} bytes, then {size_bytes}.",
                fix="Nothing may write to the folder of a generation: look for a second process.",
                code="file_changed",
            )
        return LakeFile(key=entry.key, rows=rows.get(address, 0), bytes=entry.bytes, sha256=sha256)

    async def _begin(self, prefix: str) -> None:
        if found := await self._files(prefix):
            raise UsageError(
                f"The folder {prefix} holds files already.",
                why=f"{found[0].key} is one; another process runs, or ran, under the same name and attempt.",
                fix="Give the run another name, or the attempt the next number.",
                code="attempt_repeated",
            )
        await self._store.put(prefix + _PLACE, b"", deadline_s=self._deadline_s)

    async def _files(self, prefix: str) -> list[ObjectInfo]:
        entries = await self._store.list(prefix, deadline_s=self._deadline_s)
        return [entry for entry in entries if entry.key.endswith(".parquet")]


def _digests(session: SparkSession, addresses: Sequence[str]) -> dict[str, tuple[str, int]]:
    """SHA-256 in hex and bytes of each file."""
    files = session.read.format("binaryFile").load([*addresses])
    rows = files.select("path", F.sha2("content", 256).alias("sha256"), "length").collect()
    return {row["path"]: (row["sha256"], row["length"]) for row in rows}


def _rows(session: SparkSession, addresses: Sequence[str]) -> dict[str, int]:
    """Rows of each file that has any: Spark counts them by the footers alone where no column is asked for."""
    paths = session.read.parquet(*addresses).select(F.col("_metadata.file_path").alias("path"))
    return {row["path"]: row["count"] for row in paths.groupBy("path").count().collect()}
