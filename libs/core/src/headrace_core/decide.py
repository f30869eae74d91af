"""The decision of a range: which raw records are accepted, duplicates or quarantined (rules D1, D2).

Pure: the table of seen ids is a port, and a decision returns the updates and their undo log instead of making them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace_core.block import Verdict
from headrace_core.reasons import Reason

__all__ = [
    "ABSENT",
    "DEAD",
    "TAG_BITS",
    "TAG_MODULUS",
    "Decision",
    "SeenTable",
    "decide",
    "entry",
    "entry_offset",
    "entry_tag",
    "horizon",
    "partition_clock",
    "tags_equal",
]

ABSENT = 0
"""The entry of an id that the table does not hold."""

DEAD = 1
"""The entry of an id whose insertion was undone: below every horizon, but its slot still links others."""

TAG_BITS = 24
"""Width of the fingerprint tag in an entry, below the offset."""
_TAG_MASK = (1 << TAG_BITS) - 1
TAG_MODULUS = _TAG_MASK
"""A fingerprint's tag is its remainder + 1, so that no fingerprint has the tag 0."""
_WILDCARD_TAG = 0
_ACCEPTED, _DUPLICATE, _QUARANTINED = map(int, (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED))


class SeenTable(Protocol):
    """The remembered ids of one partition: id of 16 bytes to entry."""

    def get_many(self, ids: Sequence[bytes]) -> list[int]:
        """The entries of ``ids`` in order, ABSENT where there is none."""
        ...

    def set_many(self, ids: Sequence[bytes], entries: Sequence[int]) -> None:
        """Store entries; ids are distinct. TableFull where no room is left."""
        ...


def entry(offset: int, fingerprint: int | None) -> int:
    """What the table remembers of an accepted record: 40 bits of offset + 1 and a 24-bit tag of the fingerprint.

    None stands for a fingerprint of another version, which compares as equal to every one.
    """
    return (offset + 1) << TAG_BITS | _tag(fingerprint)


def _tag(fingerprint: int | None) -> int:
    return _WILDCARD_TAG if fingerprint is None else fingerprint % TAG_MODULUS + 1


def entry_offset(value: int) -> int:
    """The offset of an entry; -1 for DEAD and ABSENT."""
    return (value >> TAG_BITS) - 1


def entry_tag(value: int) -> int:
    """The tag of an entry; 0 compares as equal to every tag."""
    return value & _TAG_MASK


def tags_equal(value: int, fingerprint: int) -> bool:
    """Whether an entry's content counts as that of ``fingerprint``."""
    tag = value & _TAG_MASK
    return tag == _WILDCARD_TAG or tag == fingerprint % TAG_MODULUS + 1


def partition_clock(before_ms: int, append_times_ms: Sequence[int]) -> int:
    """The clock after a range: the running maximum of append times, so that it never goes back."""
    return max(before_ms, max(append_times_ms, default=before_ms))


def horizon(
    starts: Sequence[int],
    clocks_ms: Sequence[int],
    *,
    clock_before_ms: int,
    first_append_ms: int,
    window_ms: int,
    start: int,
    known_from: int = 0,
) -> int:
    """The offset below which ids are forgotten for a range that begins at ``start`` (rule D1).

    ``starts`` and ``clocks_ms`` are of the blocks before, in order; those before ``known_from`` do not count. The clock
    at the range's *first* record decides: a later record would shorten the window by the time that the range spans.
    """
    limit = max(clock_before_ms, first_append_ms) - window_ms
    first = bisect_right(clocks_ms, limit, lo=known_from)
    return starts[first] if first < len(starts) else start


@dataclass(frozen=True, slots=True)
class Decision:
    """Verdicts of a range in record order, and what the table must learn. ``undo`` is (id, entry before) per update."""

    verdicts: bytes
    reasons: tuple[int, ...]
    first_offsets: tuple[int, ...]
    updated_ids: tuple[bytes, ...]
    updated_entries: tuple[int, ...]
    undo: tuple[tuple[bytes, int], ...]


def decide(
    *,
    offsets: Sequence[int],
    ids: Sequence[bytes],
    fingerprints: Sequence[int],
    reasons: Sequence[int],
    seen: SeenTable,
    horizon_offset: int,
) -> Decision:
    """Decide a range. ``reasons[i]`` is not 0 where record i cannot be normalised; such records are not remembered."""
    count, before = len(offsets), seen.get_many(ids)
    fresh: dict[bytes, int] = {}
    undo: dict[bytes, int] = {}
    verdicts = bytearray([_ACCEPTED]) * count
    out_reasons = list(reasons)
    firsts = [-1] * count
    lowest_live = max(entry(horizon_offset, None), DEAD + 1)
    # Most records are accepted: two dictionaries learn of it, everything else stands there already.
    for at, offset, identity, content, reason, known in zip(
        range(count), offsets, ids, fingerprints, reasons, before, strict=True
    ):
        value = fresh.get(identity, known)
        if reason:
            verdicts[at] = _QUARANTINED
        elif value < lowest_live:
            fresh[identity] = (offset + 1) << TAG_BITS | content % TAG_MODULUS + 1
            undo[identity] = known
        else:
            firsts[at] = (value >> TAG_BITS) - 1
            if tags_equal(value, content):
                verdicts[at] = _DUPLICATE
            else:
                verdicts[at] = _QUARANTINED
                out_reasons[at] = Reason.ID_CONFLICT.number
    return Decision(
        bytes(verdicts),
        tuple(out_reasons),
        tuple(firsts),
        tuple(fresh),
        tuple(fresh.values()),
        tuple(undo.items()),
    )
