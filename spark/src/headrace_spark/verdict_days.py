"""Sorts the verdicts of closed days by dedup id: which days, from which files, into which index. Ports only, no Spark.

The index is the day's truth and is swapped like a pointer. A manifest that comes to a day after its index was written makes
the next run write the day anew; the files of before are then orphans, which retention collects.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from headrace_core.clock import Clock
from headrace_core.errors import BadData
from headrace_core.manifest import Manifest
from headrace_core.paths import verdict_index_key, verdicts_by_id_prefix
from headrace_core.pipeline_run import DayResult
from headrace_core.verdict_index import VerdictFile, VerdictIndex, decode_verdict_index, encode_verdict_index
from headrace_runtime.errors_store import ObjectNotFound, StoreUnknown
from headrace_runtime.manifest_chain import read_chains
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.run_time import check_ends_by
from headrace_spark.settling import RunIdentity

__all__ = ["DayVerdicts", "VerdictSorter", "VerdictSorting", "closed_verdict_days", "sort_verdicts"]

_log = logging.getLogger(__name__)
_DAY_MS = 86_400_000
_CLOSED_AFTER_MS = 3_600_000
"""After its day a manifest comes within a minute; a worker that was away is the rare case that writes a day twice."""


@dataclass(frozen=True, slots=True)
class DayVerdicts:
    """The verdicts of a day in their chains: the files of each partition, and where its manifests end."""

    date: str
    files: Mapping[int, tuple[str, ...]]
    rows: Mapping[int, int]
    chain_ends: Mapping[str, int]

    @property
    def verdicts(self) -> int:
        """How many there are."""
        return sum(self.rows.values())


class VerdictSorter(Protocol):
    """Writes the verdicts of a day sorted."""

    async def sort(self, day: DayVerdicts, prefix: str) -> tuple[Mapping[int, tuple[VerdictFile, ...]], int]:
        """The files of each partition under ``prefix``, in order of their ids, and how many verdicts are in them. BadData
        where a file is missing or torn."""


@dataclass(frozen=True, slots=True)
class VerdictSorting:
    """The ports. ``deadline_s`` bounds each request."""

    store: ObjectStore
    sorter: VerdictSorter
    clock: Clock
    partitions: int
    deadline_s: float


def closed_verdict_days(
    chains: Mapping[int, Sequence[Manifest]], *, now_ms: int, kept_days: int
) -> list[DayVerdicts]:
    """The days whose verdicts are all there, oldest first: over for an hour, and young enough for all files to be kept."""
    found: dict[str, list[Manifest]] = {}
    for chain in chains.values():
        for manifest in chain:
            if manifest.rows and manifest.first_append_ms is not None:
                found.setdefault(_day(manifest.first_append_ms), []).append(manifest)
    last, first = _day(now_ms - _CLOSED_AFTER_MS), _day(now_ms - (kept_days - 1) * _DAY_MS)
    return [_verdicts(day, manifests) for day, manifests in sorted(found.items()) if first < day < last]


def _verdicts(day: str, manifests: Sequence[Manifest]) -> DayVerdicts:
    files: dict[int, tuple[str, ...]] = {}
    rows: dict[int, int] = {}
    ends: dict[str, int] = {}
    for manifest in manifests:
        partition = manifest.partition
        files[partition] = files.get(partition, ()) + tuple(file.key for file in manifest.files)
        rows[partition] = rows.get(partition, 0) + manifest.rows
        ends[str(partition)] = max(ends.get(str(partition), 0), manifest.end)
    return DayVerdicts(day, files, rows, ends)


def _day(ms: int) -> str:
    return str(datetime.fromtimestamp(ms / 1000, UTC).date())


async def sort_verdicts(job: VerdictSorting, run: RunIdentity, *, kept_days: int) -> list[DayResult]:
    """Every closed day whose index is missing or behind its chains. A day of which a file is gone or torn is told of and
    left out. Raises Unavailable, and BadData for a broken chain."""
    chains = await read_chains(job.store, "verdicts", job.partitions, deadline_s=job.deadline_s)
    results = []
    for day in closed_verdict_days(chains, now_ms=job.clock.now_ms(), kept_days=kept_days):
        seen = await _index(job, day.date)
        if seen is not None and seen[0].chain_ends == day.chain_ends:
            continue
        results.append(await _sort(job, run, day, None if seen is None else seen[1]))
    return results


async def _index(job: VerdictSorting, date: str) -> tuple[VerdictIndex, str] | None:
    try:
        data, etag = await job.store.get_with_etag(verdict_index_key(date), deadline_s=job.deadline_s)
    except ObjectNotFound:
        return None
    return decode_verdict_index(data), etag


async def _sort(job: VerdictSorting, run: RunIdentity, day: DayVerdicts, etag: str | None) -> DayResult:
    counts = {"verdicts": day.verdicts, "verdict_files_read": sum(map(len, day.files.values()))}
    if run.dry_run:
        return DayResult(event_date=day.date, outcome="planned", counts=counts)
    prefix = verdicts_by_id_prefix(day.date, run.next_plan().generation)
    try:
        files, verdicts = await job.sorter.sort(day, prefix)
        _check_count(day, verdicts)
    except BadData as error:
        _log.error("The verdicts of a day cannot be sorted.", extra={"day": day.date, "error": str(error)})
        return DayResult(event_date=day.date, outcome="stopped", counts=counts, why=error.what)
    index = VerdictIndex(
        date=day.date,
        partitions=job.partitions,
        chain_ends=dict(day.chain_ends),
        files={str(partition): of for partition, of in files.items()},
        verdicts=verdicts,
        made_ms=job.clock.now_ms(),
    )
    check_ends_by(run.ends_by_ms, job.clock.now_ms(), f"the verdicts of {day.date}")
    if not await _store(job, index, etag):
        return DayResult(event_date=day.date, outcome="unchanged", why="Another run wrote the index first.")
    counts["verdict_files_written"] = len(index.keys)
    return DayResult(event_date=day.date, outcome="swapped", generation=prefix, counts=counts)


async def _store(job: VerdictSorting, index: VerdictIndex, etag: str | None) -> bool:
    """Swap the index; a lost answer is settled by reading it again."""
    key, data = verdict_index_key(index.date), encode_verdict_index(index)
    try:
        if etag is None:
            return await job.store.put_if_absent(key, data, deadline_s=job.deadline_s)
        return await job.store.replace_if(key, data, etag=etag, deadline_s=job.deadline_s)
    except StoreUnknown:
        now = await _index(job, index.date)
        if now is None or now[0] != index:
            raise
        return True


def _check_count(day: DayVerdicts, verdicts: int) -> None:
    if verdicts != day.verdicts:
        raise BadData(
            f"The sorted verdicts of {day.date} are not those of its manifests.",
            why=f"The manifests say {day.verdicts}, {verdicts} were written.",
            fix="Compare the files with the digests in their manifests, and restore what differs.",
            code="rows_differ",
        )
