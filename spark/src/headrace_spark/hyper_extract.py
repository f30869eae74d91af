"""From files of the lake to an extract for Tableau in the object store: fetched, checked, built on this machine, stored."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from headrace_core.errors import BadData, UsageError
from headrace_core.lake import LakeFile
from headrace_core.tables import ALL_TABLES, Table
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.hyper_file import HyperFile

__all__ = ["MOST_BYTES", "write_hyper"]

MOST_BYTES = 1 << 30
"""Of Parquet in one extract: the file is built on the driver's disk and sent from its memory."""

_TABLES: dict[str, Table] = {table.name: table for table in ALL_TABLES}


async def write_hyper(
    store: ObjectStore,
    table: str,
    inputs: Sequence[LakeFile],
    key: str,
    *,
    scratch: Path | None,
    deadline_s: float,
) -> LakeFile:
    """Write the rows of all inputs to a .hyper file under ``key``. BadData where an input is torn or holds other rows than
    it says; UsageError where there is too much; ConfigurationError where Hyper is not installed."""
    _check_size(inputs)
    stopped = threading.Event()
    with tempfile.TemporaryDirectory(prefix="headrace-hyper-", dir=scratch) as name:
        folder = Path(name)
        try:
            paths = [
                await _fetch(store, file, folder / f"{at}.parquet", deadline_s)
                for at, file in enumerate(inputs)
            ]
            made = folder / "extract.hyper"
            rows = await asyncio.to_thread(_build, made, _TABLES[table], paths, stopped)
            data = await asyncio.to_thread(made.read_bytes)
        finally:
            stopped.set()  # a thread cannot be cancelled: it ends with the file that it is at
    _check_rows(inputs, rows)
    await store.put(key, data, deadline_s=deadline_s)
    return LakeFile(key=key, rows=sum(rows), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _build(made: Path, table: Table, paths: Sequence[Path], stopped: threading.Event) -> list[int]:
    """Rows of each file. Blocks."""
    rows: list[int] = []
    with HyperFile(made, table) as hyper:
        for path in paths:
            if stopped.is_set():
                break
            rows.append(hyper.add(path))
            path.unlink()
    return rows


async def _fetch(store: ObjectStore, file: LakeFile, path: Path, deadline_s: float) -> Path:
    try:
        data = await store.get(file.key, deadline_s=deadline_s)
    except ObjectNotFound as error:
        raise _torn(file, error.what) from error
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise _torn(file, f"Its SHA-256 is {found}; the generation says {file.sha256}.")
    await asyncio.to_thread(path.write_bytes, data)
    return path


def _torn(file: LakeFile, why: str) -> BadData:
    return BadData(
        "A file of the lake is missing or cannot be read.",
        why=f"{file.key}: {why}",
        fix="Restore the object from its bucket version; the day stays as it is until it is readable.",
        code="file_torn",
    )


def _check_size(inputs: Sequence[LakeFile]) -> None:
    size_bytes = sum(file.bytes for file in inputs)
    if size_bytes > MOST_BYTES:
        raise UsageError(
            "The extract would be too large.",
            why=f"The days asked for hold {size_bytes:,} bytes of Parquet; one extract takes {MOST_BYTES:,}.",
            fix="Ask for fewer days, or for the format parquet.",
            code="hyper_too_large",
        )


def _check_rows(inputs: Sequence[LakeFile], rows: Sequence[int]) -> None:
    for file, found in zip(inputs, rows, strict=True):
        if found != file.rows:
            raise BadData(
                "A generation does not hold the rows that it lists.",
                why=f"{file.key} holds {found} rows, its generation says {file.rows}.",
                fix="Restore the object from its bucket version, or have the day made anew.",
                code="rows_differ",
            )
