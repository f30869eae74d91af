"""The index of a day's verdicts by dedup id: which file of which partition holds an id, so that a look-up reads one row group.

A day is that of the first block of a verdict manifest, in UTC by append time. Its files hold one row per dedup id, sorted
by it, with all verdicts that the id got on the day: so an id is in one row group, whatever its copies are.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace_core.errors import BadData
from headrace_core.keys import partition_of

__all__ = ["IdVerdict", "VerdictFile", "VerdictIndex", "decode_verdict_index", "encode_verdict_index"]


class IdVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One of the verdicts of an id, as `headrace_core.verdict_rows.VerdictRow` has it; times in UTC us."""

    src_partition: int
    src_offset: int
    verdict: str
    reason: str | None
    first_offset: int | None
    fingerprint: int
    decided_ts: int
    rules_version: int
    index_offset: int


class VerdictFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, and the first and the last id in it, 32 hex digits each."""

    key: str
    rows: int
    bytes: int
    sha256: str
    first_id: str
    last_id: str


class VerdictIndex(msgspec.Struct, frozen=True, kw_only=True):
    """``files`` per partition, sorted by their ids, which do not overlap. ``chain_ends`` says per partition up to which
    offset of dedup.index the day's manifests were read; ``verdicts`` is how many there are."""

    version: Literal[1] = 1
    date: str
    partitions: int
    chain_ends: dict[str, int]
    files: dict[str, tuple[VerdictFile, ...]]
    verdicts: int
    made_ms: int

    def file_of(self, dedup_id: bytes) -> VerdictFile | None:
        """The one file that may hold an id; None where no verdict of the day is of it."""
        text = dedup_id.hex()
        files = self.files.get(str(partition_of(dedup_id, self.partitions)), ())
        return next((file for file in files if file.first_id <= text <= file.last_id), None)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all files."""
        return frozenset(file.key for files in self.files.values() for file in files)


encode_verdict_index = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(VerdictIndex).decode


def decode_verdict_index(data: bytes) -> VerdictIndex:
    """Bytes of an index; BadData where they are none."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise BadData(
            "The index of a day's verdicts cannot be read.",
            why=str(error),
            fix="Delete the object: the next compaction writes the day's verdicts anew.",
            code="verdict_index_unreadable",
        ) from error
