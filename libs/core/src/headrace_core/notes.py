"""Notes on the topics batches.staged and batches.loaded: hints that wake readers up, never the truth.

A note may be missing, late, or of a manifest that a reader already knows. The key of the record is the manifest's key.
"""

from __future__ import annotations

import msgspec

from headrace_core.manifest import Manifest
from headrace_core.paths import ChainKind

__all__ = [
    "LoadedNote",
    "StagedNote",
    "decode_loaded_note",
    "decode_staged_note",
    "encode_loaded_note",
    "encode_staged_note",
    "staged_note",
]


class StagedNote(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A manifest was created. Times in UTC microseconds, ``created_ms`` in ms."""

    kind: ChainKind
    partition: int
    start: int
    end: int
    rows: int
    bytes: int
    repeats: int = 0
    """Records that were left out because an earlier manifest holds them."""
    max_received_ts: int | None = None
    created_ms: int


encode_staged_note = msgspec.json.Encoder().encode
decode_staged_note = msgspec.json.Decoder(StagedNote).decode


def staged_note(manifest: Manifest, repeats: int) -> StagedNote:
    """The note about a manifest."""
    return StagedNote(
        kind=manifest.kind,
        partition=manifest.partition,
        start=manifest.start,
        end=manifest.end,
        rows=manifest.rows,
        bytes=sum(file.bytes for file in manifest.files),
        repeats=repeats,
        max_received_ts=manifest.max_received_ts,
        created_ms=manifest.created_ms,
    )


class LoadedNote(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A file was loaded, and what became of its rows. Times in UTC microseconds."""

    file_key: str
    partition: int
    start: int
    end: int
    rows: int
    inserted: int
    present: int = 0
    suppressed: int = 0
    max_received_ts: int | None = None
    loaded_ts: int


encode_loaded_note = msgspec.json.Encoder().encode
decode_loaded_note = msgspec.json.Decoder(LoadedNote).decode
