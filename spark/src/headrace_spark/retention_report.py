"""What retention says about a plan: sums and samples per reason for people, every key for the record. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import zstandard

from headrace_spark.retention_plan import WHYS, Doomed, RetentionPlan, Why

__all__ = ["Reason", "RetentionReport", "counts_of", "encode_deletions", "report_of"]

_SAMPLES = 5


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What goes for one reason."""

    objects: int
    bytes: int
    samples: tuple[str, ...]


class RetentionReport(msgspec.Struct, frozen=True, kw_only=True):
    """``deletions`` is the key of the list of all objects: a JSON line {key, bytes, why} each, zstd. ``overdue_days`` are
    those whose staged files are nearly due and still missing from a generation."""

    version: int = 1
    dry_run: bool
    reasons: dict[Why, Reason]
    bases: tuple[str, ...]
    missing_days: tuple[str, ...]
    overdue_days: tuple[str, ...]
    deletions: str


def report_of(
    plan: RetentionPlan, overdue_days: Sequence[str], *, deletions: str, dry_run: bool
) -> RetentionReport:
    """The report of what a plan is about to delete, or would."""
    by_why = {why: [doomed for doomed in plan.delete if doomed.why == why] for why in WHYS}
    return RetentionReport(
        dry_run=dry_run,
        reasons={why: _reason(doomed) for why, doomed in by_why.items() if doomed},
        bases=tuple(sorted(plan.bases)),
        missing_days=tuple(plan.missing_days),
        overdue_days=tuple(overdue_days),
        deletions=deletions,
    )


def encode_deletions(doomed: Sequence[Doomed]) -> bytes:
    """The list of all objects."""
    return zstandard.ZstdCompressor(level=3).compress(msgspec.json.Encoder().encode_lines(doomed))


def counts_of(doomed: Sequence[Doomed]) -> dict[str, int]:
    """Objects and bytes, in all and per reason."""
    counts = {"objects": len(doomed), "bytes": sum(each.bytes for each in doomed)}
    for why in WHYS:
        of_why = [each.bytes for each in doomed if each.why == why]
        if of_why:
            counts |= {f"{why}_objects": len(of_why), f"{why}_bytes": sum(of_why)}
    return counts


def _reason(doomed: Sequence[Doomed]) -> Reason:
    step = max(1, len(doomed) // _SAMPLES)
    samples = tuple(each.key for each in doomed[::step][:_SAMPLES])
    return Reason(objects=len(doomed), bytes=sum(each.bytes for each in doomed), samples=samples)
