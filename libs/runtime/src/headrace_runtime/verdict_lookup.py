"""Finds the verdicts of one dedup id on one day by the day's index: at most three small reads, of which one is a row group.

Requests: the index (which a caller may keep), the end of one file, one row group. Nothing else is ever read: what is read
beyond it is an error of this module.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.errors import BadData, Bug
from headrace_core.paths import verdict_index_key
from headrace_core.verdict_index import IdVerdict, VerdictFile, VerdictIndex, decode_verdict_index
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore

__all__ = ["VerdictsFound", "find_verdicts", "read_verdict_index"]

_TAIL_BYTES = 64 << 10
"""Enough for the footer of some three hundred row groups."""
_MAGIC_BYTES = 8
"""Length of the footer, and PAR1."""


@dataclass(frozen=True, slots=True)
class VerdictsFound:
    """The verdicts of an id, in the order of their source offsets, and what it cost to find them."""

    verdicts: tuple[IdVerdict, ...] = ()
    requests: int = 0
    bytes: int = 0
    row_groups: int = 0


async def read_verdict_index(store: ObjectStore, day: str, *, deadline_s: float) -> VerdictIndex | None:
    """The index of a day (YYYY-MM-DD); None where its verdicts are not sorted yet, or are past their time."""
    try:
        return decode_verdict_index(await store.get(verdict_index_key(day), deadline_s=deadline_s))
    except ObjectNotFound:
        return None


async def find_verdicts(
    store: ObjectStore, index: VerdictIndex, dedup_id: bytes, *, deadline_s: float
) -> VerdictsFound:
    """The verdicts of an id (16 bytes) on the day of the index. ``deadline_s`` bounds each request. Raises Unavailable,
    ObjectNotFound where the index is older than its files, BadData where a file is not what the index says."""
    file = index.file_of(dedup_id)
    if file is None:
        return VerdictsFound()
    parts = _Parts(file)
    await _read_footer(store, parts, deadline_s)
    group = _group_of(parts, dedup_id.hex())
    if group is not None:
        await parts.fetch(store, *_span(parts.parquet().metadata.row_group(group)), deadline_s)
    verdicts = () if group is None else _verdicts(parts.parquet().read_row_group(group), dedup_id.hex())
    return VerdictsFound(verdicts, parts.requests, parts.fetched_bytes, int(group is not None))


@dataclass(slots=True)
class _Parts:
    """The parts of a file that were fetched, by their start."""

    file: VerdictFile
    parts: dict[int, bytes] = field(default_factory=dict)
    requests: int = 0
    fetched_bytes: int = 0

    async def fetch(self, store: ObjectStore, start: int, end: int, deadline_s: float) -> bytes:
        """Read a span of the file and keep it."""
        data = await store.get_range(self.file.key, start, end, deadline_s=deadline_s)
        self.parts[start] = data
        self.requests += 1
        self.fetched_bytes += len(data)
        return data

    def parquet(self) -> pq.ParquetFile:
        """The file, of which only what was fetched can be read. BadData where it is none."""
        try:
            return pq.ParquetFile(pa.PythonFile(_Sparse(self.file.bytes, self.parts), mode="r"))
        except pa.ArrowInvalid as error:
            raise _torn(self.file, str(error)) from error


class _Sparse(io.RawIOBase):
    """A file of which some spans are there."""

    def __init__(self, size: int, parts: dict[int, bytes]) -> None:
        self._size = size
        self._parts = parts
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        end = self._size if size < 0 else min(self._at + size, self._size)
        for start, data in self._parts.items():
            if start <= self._at and end <= start + len(data):
                found = data[self._at - start : end - start]
                self._at = end
                return found
        raise Bug(
            "A look-up of verdicts read more than its row group.",
            why=f"Bytes {self._at} to {end} were asked for.",
            fix="This is a defect: report it.",
            code="lookup_reads_more",
        )


async def _read_footer(store: ObjectStore, parts: _Parts, deadline_s: float) -> None:
    size = parts.file.bytes
    tail = await parts.fetch(store, max(0, size - _TAIL_BYTES), size, deadline_s)
    if len(tail) < _MAGIC_BYTES or not tail.endswith(b"PAR1"):
        raise _torn(parts.file, "It does not end as a Parquet file of its size.")
    needed = int.from_bytes(tail[-_MAGIC_BYTES:-4], "little") + _MAGIC_BYTES
    if needed > len(tail):
        if needed > size:
            raise _torn(parts.file, "Its footer is longer than the file.")
        await parts.fetch(store, size - needed, size, deadline_s)


def _group_of(parts: _Parts, dedup_id: str) -> int | None:
    """The row group whose ids the id lies between: at most one, since ids are sorted and each stands in one row."""
    metadata: Any = parts.parquet().metadata
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(0).statistics
        if statistics is None or statistics.min <= dedup_id <= statistics.max:
            return number
    return None


def _span(group: Any) -> tuple[int, int]:
    """Start and end of all columns of a row group, which lie side by side."""
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [
        min(each.data_page_offset, each.dictionary_page_offset or each.data_page_offset) for each in columns
    ]
    ends = [start + each.total_compressed_size for start, each in zip(starts, columns, strict=True)]
    return min(starts), max(ends)


def _verdicts(table: Any, dedup_id: str) -> tuple[IdVerdict, ...]:
    row = table["dedup_id"].index(dedup_id).as_py()
    found = [] if row < 0 else table["verdicts"].slice(row, 1).cast(_LIST).to_pylist()[0]
    return tuple(msgspec.convert(verdict, IdVerdict) for verdict in found)


_LIST = pa.list_(
    pa.struct(
        [
            ("src_partition", pa.int32()),
            ("src_offset", pa.int64()),
            ("verdict", pa.string()),
            ("reason", pa.string()),
            ("first_offset", pa.int64()),
            ("fingerprint", pa.int64()),
            ("decided_ts", pa.int64()),
            ("rules_version", pa.int16()),
            ("index_offset", pa.int64()),
        ]
    )
)


def _torn(file: VerdictFile, why: str) -> BadData:
    return BadData(
        "A file of verdicts is not what its index says.",
        why=f"{file.key}: {why}",
        fix="Restore it from its bucket version, or delete the day's index: the next compaction writes it anew.",
        code="file_torn",
    )
