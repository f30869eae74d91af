"""A staged file between the object store and the warehouse: named by a manifest, checked before anything is copied."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_core.errors import BadData
from headrace_core.keys import file_id
from headrace_core.manifest import File, Manifest

__all__ = ["CheckedFile", "ManifestFile", "check_file", "files_of"]

_DAY_US = 86_400_000_000
_DAYS_BEFORE_1970 = date(1970, 1, 1).toordinal() - 1


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file, and the place of its manifest in the chain."""

    file: File
    file_id: int
    partition: int
    chain_start: int
    chain_end: int
    schema_version: int
    min_received_us: int | None
    max_received_us: int | None

    @classmethod
    def of(
        cls,
        file: File,
        *,
        partition: int,
        chain_start: int,
        chain_end: int,
        schema_version: int,
        min_received_us: int | None,
        max_received_us: int | None,
    ) -> ManifestFile:
        """The file with the id that its key gives."""
        return cls(
            file=file,
            file_id=file_id(file.key),
            partition=partition,
            chain_start=chain_start,
            chain_end=chain_end,
            schema_version=schema_version,
            min_received_us=min_received_us,
            max_received_us=max_received_us,
        )


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file whose bytes are what the manifest names. ``days`` are the event dates of its rows (UTC)."""

    entry: ManifestFile
    content: bytes
    days: frozenset[date]

    @property
    def file_id(self) -> int:
        """The number that stands for the file's key."""
        return self.entry.file_id

    @property
    def rows(self) -> int:
        """Rows that the manifest names and the file holds."""
        return self.entry.file.rows


def files_of(manifest: Manifest) -> list[ManifestFile]:
    """The files of a manifest in their order."""
    return [
        ManifestFile.of(
            file,
            partition=manifest.partition,
            chain_start=manifest.start,
            chain_end=manifest.end,
            schema_version=manifest.schema_version,
            min_received_us=manifest.min_received_ts,
            max_received_us=manifest.max_received_ts,
        )
        for file in manifest.files
    ]


def check_file(entry: ManifestFile, content: bytes) -> CheckedFile:
    """``content`` as a checked file; BadData where its size, digest or row count are not the manifest's."""
    file = entry.file
    if len(content) != file.bytes:
        raise _torn(file, f"it has {len(content)} bytes, the manifest says {file.bytes}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise _torn(file, f"its SHA-256 is {digest}, the manifest says {file.sha256}")
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        rows = parquet.metadata.num_rows
        days = _days(parquet.read(columns=["event_ts"], use_threads=False)["event_ts"])
    except (pa.ArrowException, KeyError, OSError) as error:
        raise _torn(file, f"it is no Parquet file of events: {error}") from error
    if rows != file.rows:
        raise _torn(file, f"it holds {rows} rows, the manifest says {file.rows}")
    return CheckedFile(entry, content, days)


def _days(event_ts: pa.ChunkedArray[pa.TimestampScalar[Any, Any]]) -> frozenset[date]:
    """UTC dates of the times. Through integers: the zone database that Arrow would ask may be absent."""
    micros = event_ts.cast(pa.timestamp("us")).cast(pa.int64())
    from_year_one = pc.add(
        micros, _DAYS_BEFORE_1970 * _DAY_US
    )  # positive: integer division truncates towards zero
    ordinals = pc.unique(pc.divide(from_year_one, _DAY_US))
    return frozenset(date.fromordinal(days + 1) for days in ordinals.to_pylist() if days is not None)


def _torn(file: File, why: str) -> BadData:
    return BadData(
        "A staged file is not the one that its manifest names.",
        why=f"{file.key}: {why}.",
        fix="Restore the object from its bucket version, then release the file with the loader's release command.",
        code="file_torn",
    )
