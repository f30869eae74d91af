"""The record of a day's archive: which generation was verified, file by file, and when. Its hot rows may go by it alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from headrace_core.errors import BadData
from headrace_core.lake import Generation, LakeFile

__all__ = ["DayArchive", "archived_files", "decode_archive", "digest_of_files", "encode_archive"]


class DayArchive(msgspec.Struct, frozen=True, kw_only=True):
    """``result`` is the key of the generation that was verified, of all tables; ``rows`` are those of events; ``digest``
    is `digest_of_files`."""

    version: Literal[1] = 1
    event_date: str
    result: str
    generation: str
    sequence: int
    rows: int
    files: int
    bytes: int
    digest: str
    verified_ms: int
    run: str


encode_archive = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(DayArchive).decode


def decode_archive(data: bytes) -> DayArchive:
    """Bytes of a record; BadData where they are none."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise BadData(
            "The record of a day's archive cannot be read.",
            why=str(error),
            fix="Delete the object: the next archive run verifies the day again.",
            code="archive_unreadable",
        ) from error


def archived_files(generation: Generation) -> list[LakeFile]:
    """The files of all tables of a generation, in order of their keys."""
    return sorted((file for files in generation.tables.values() for file in files), key=lambda file: file.key)


def digest_of_files(files: Iterable[LakeFile]) -> str:
    """SHA-256 in hex over a line per file: its digest, bytes, rows and key, in order of the keys."""
    ordered = sorted(files, key=lambda file: file.key)
    lines = (f"{file.sha256} {file.bytes} {file.rows} {file.key}\n" for file in ordered)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
