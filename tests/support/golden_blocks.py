"""Golden blocks: how blocks of format 1 are written, byte by byte. ``python -m tests.support.golden_blocks`` writes new ones."""

import json
from pathlib import Path
from typing import Final

from headrace_core.block import Block, BlockHeader, Verdict, encode_block
from headrace_core.reasons import Reason

__all__ = ["BLOCKS", "FILE", "golden"]

FILE: Final = Path(__file__).parents[1] / "data" / "golden" / "blocks.json"


def _header(start: int, end: int, count: int) -> BlockHeader:
    return BlockHeader(
        cluster_id="Zb3qQ2rQTkWk8kq7l3wXbA",
        topic_id="1f0d3a52-6b43-4c4e-8d5b-0c9f7a3c2d11",
        partition=7,
        index_offset=41,
        start=start,
        end=end,
        clock_ms=1_790_000_000_123,
        schema_version=1,
        rules_version=1,
        fingerprint_version=1,
        writer="dedup-0",
        count=count,
    )


BLOCKS: Final = {
    "empty": Block(header=_header(1_000, 1_000, 0)),
    "every verdict": Block(
        header=_header(1_000, 1_010, 4),
        offsets=(1_000, 1_001, 1_004, 1_009),
        verdicts=bytes([Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED, Verdict.QUARANTINED]),
        reasons=(0, 0, Reason.ID_CONFLICT.number, Reason.INVALID_JSON.number),
        first_offsets=(-1, 1_000, 1_000, -1),
        fingerprints=(2**64 - 1, 2**64 - 1, 5, 0),
        dedup_ids=bytes(range(16)) * 3 + bytes(16),
    ),
    "far offsets": Block(
        header=_header(2**40 - 2**32, 2**40 - 1, 2),
        offsets=(2**40 - 2**32, 2**40 - 2),
        verdicts=bytes([Verdict.ACCEPTED, Verdict.DUPLICATE]),
        reasons=(0, 0),
        first_offsets=(-1, 2**39),
        fingerprints=(1, 1),
        dedup_ids=bytes([0xFF]) * 32,
    ),
}
"""Blocks by name."""


def golden() -> dict[str, str]:
    """The bytes as written down, in hex."""
    found: dict[str, str] = json.loads(FILE.read_text())
    return found


if __name__ == "__main__":
    FILE.write_text(
        json.dumps({name: encode_block(block).hex() for name, block in BLOCKS.items()}, indent=1) + "\n"
    )
