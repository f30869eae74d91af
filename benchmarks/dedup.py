"""Figures of the dedup service: a burst of raw records through the running service, until its last output is acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.bodies import Traffic
from benchmarks.dedup_table import BYTES_PER_ID
from benchmarks.measure import Figure, Sample, cpu_seconds, interleave
from benchmarks.ordinary.dedup import IN_TOPIC, OUT_TOPIC
from benchmarks.records import raw_records
from benchmarks.stand import Feed, stand, until
from headrace_core.topics import EVENTS_CLEAN, EVENTS_QUARANTINE, EVENTS_RAW
from headrace_local.processes import ServiceProcess

__all__ = ["FIGURES"]

_BURST = 96_000
_ORDINARY_BURST = 24_000
_WITHIN_S = 180.0


class _Bursts:
    """Bursts of one side. What both sides get comes from the same generator with the same seed."""

    def __init__(self, feed: Feed, process: ServiceProcess, raw: str, clean: str) -> None:
        self._feed, self._process = feed, process
        self._raw, self._clean = raw, clean
        self._traffic = Traffic()
        self._requests = 0
        self._expected = 0

    async def run(self, count: int) -> Sample:
        """Append ``count`` raw records; done when every event that is new stands in the topic of clean events."""
        events = self._traffic.take(count)
        prepared = raw_records(events, first_request=self._requests)
        self._requests += count
        self._expected += len(set(events))
        before = cpu_seconds(self._process.pid)
        await self._feed.append(self._raw, prepared)
        await until(self._is_done, within_s=_WITHIN_S, what=f"{self._clean} holds {self._expected} records")
        return Sample(count, cpu_seconds(self._process.pid) - before)

    async def _is_done(self) -> bool:
        if not self._process.alive:
            raise RuntimeError(f"{self._process.name} has ended; see {self._process.log_path}")
        return await self._feed.records(self._clean) >= self._expected


async def _dedup_clean(rounds: int) -> tuple[list[float], list[float]]:
    async with stand(IN_TOPIC, OUT_TOPIC) as bench:
        ours = _Bursts(
            bench.feed, await bench.service("dedup", ["headrace_dedup"]), EVENTS_RAW.name, EVENTS_CLEAN.name
        )
        process = await bench.ordinary("ordinary", ["benchmarks.ordinary.dedup"])
        ordinary = _Bursts(bench.feed, process, IN_TOPIC, OUT_TOPIC)
        values = await interleave(_of(ours, _BURST), _of(ordinary, _ORDINARY_BURST), rounds=rounds)
        if quarantined := await bench.feed.records(EVENTS_QUARANTINE.name):
            raise RuntimeError(f"{quarantined} events of the bench were quarantined")
        return values


def _of(bursts: _Bursts, count: int) -> Callable[[], Awaitable[Sample]]:
    return lambda: bursts.run(count)


FIGURES = (
    Figure(
        "dedup_clean",
        "dedup",
        "events/s/core",
        ">= 50,000",
        "getone, json.loads, a set of ids, six fields added, json.dumps, send(), defaults",
        _dedup_clean,
    ),
    BYTES_PER_ID,
)
"""Figures of this module."""
