"""Files of a generation as streams of Arrow batches: checked before the first row is read, in bounded memory.

An object is read in ranges, each under its own deadline, into a file of the job's scratch folder, and its digest grows
with it. What is held in memory is a range, and later a batch of rows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.errors import BadData
from headrace_core.lake import LakeFile
from headrace_runtime.ports_store import ObjectStore

__all__ = ["batches", "fetch", "torn"]

_RANGE_BYTES = 8 << 20
_ROWS_PER_BATCH = 1024
"""As in the loader: about 2 MB of wide rows."""


async def fetch(store: ObjectStore, file: LakeFile, target: Path, *, deadline_s: float) -> None:
    """Write the object to ``target``; ``deadline_s`` holds for each range.

    Raises BadData where its size or SHA-256 is not the generation's, and what the store raises.
    """
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as sink:
        for start in range(0, file.bytes, _RANGE_BYTES):
            # The last range asks for one byte past the end: an object that is longer shows.
            end = start + _RANGE_BYTES if start + _RANGE_BYTES < file.bytes else file.bytes + 1
            data = await _range(store, file, start, end, deadline_s)
            await asyncio.to_thread(_keep, data, sink, digest)
            size += len(data)
    if size != file.bytes:
        raise torn(file, f"its size is not the {file.bytes} bytes that the generation says")
    if digest.hexdigest() != file.sha256:
        raise torn(file, f"its SHA-256 is {digest.hexdigest()}, the generation says {file.sha256}")


async def _range(store: ObjectStore, file: LakeFile, start: int, end: int, deadline_s: float) -> bytes:
    try:
        return await store.get_range(file.key, start, end, deadline_s=deadline_s)
    except ValueError as error:
        raise torn(file, f"it ends before byte {start}") from error


def _keep(data: bytes, sink: BinaryIO, digest: hashlib._Hash) -> None:
    sink.write(data)
    digest.update(data)


def batches(path: Path, file: LakeFile, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The rows with those of ``columns`` that the file has; no batch is empty. Raises BadData where the file is no Parquet,
    or does not hold the rows that the generation says."""
    rows = 0
    try:
        with pq.ParquetFile(path, memory_map=True) as parquet:
            wanted = [name for name in parquet.schema_arrow.names if name in columns]
            for batch in parquet.iter_batches(_ROWS_PER_BATCH, columns=wanted, use_threads=False):
                rows += batch.num_rows
                if batch.num_rows:
                    yield batch
    except (pa.ArrowException, OSError) as error:
        raise torn(file, f"it cannot be decoded: {error}") from error
    if rows != file.rows:
        raise torn(file, f"it holds {rows} rows, the generation says {file.rows}")


def torn(file: LakeFile, why: str) -> BadData:
    """The error of a file that is not what its generation says."""
    return BadData(
        "A file of the lake is not the one that its generation names.",
        why=f"{file.key}: {why}.",
        fix="Restore the object from its bucket version and run the job again; the day stays as it is until then.",
        code="lake_file_torn",
    )
