"""Figures of the operator over the fake API server: a burst of 6,000 PipelineRuns, memory, and the time to a driver pod.

The operator is the service's own process, with the settings of an installation, held to one core; the API server, which answers
after 10 ms, and the kubelet are this process. Ordinary is a spark-submit for each run, from one core too: measured on a few
and multiplied, since 6,000 of them take hours.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.kubelet import Exit, Kubelet, Run, Schedule, Step
from tests.support.fake_kubernetes.objects import Json
from tests.support.operator_installation import INSTALLATION

from benchmarks.measure import Figure, resident_bytes
from benchmarks.ordinary.spark_submit import Submission, spark_submit

__all__ = ["FIGURES"]

_NAMESPACE = "runs"
_BURST = 6_000
_PACED = 300
_PACED_WITHIN_S = 60.0
_LATENCY_S = 0.01
_TICK_S = 0.5
_SUBMISSIONS = 4
_CORE = 0
_MOST_S = 1_800.0


@dataclass(frozen=True, slots=True)
class _Burst:
    """What one burst cost."""

    minutes: float
    mib_per_1000: float


def _life(_pod: Json) -> Sequence[Step]:
    """A driver that ends well at its third tick."""
    return (Schedule(), Run(), Exit(0))


class _Bench:
    """The cluster and the operator's process."""

    def __init__(self, fake: FakeKubernetes, pid: int) -> None:
        self.fake = fake
        self.pid = pid

    def create(self, name: str) -> None:
        """A run with a key of its own."""
        body = {
            "metadata": {"name": name},
            "spec": {"job": "daily", "date": "2026-11-28", "concurrencyKey": name, "size": "small"},
        }
        self.fake.store.create(resource_named("pipelineruns"), _NAMESPACE, body)

    def drivers(self) -> int:
        """How many driver pods exist."""
        return len(self.fake.objects("pods"))

    def finished(self) -> int:
        """How many runs have come to their end."""
        return sum(
            "completionTime" in (body.get("status") or {}) for body in self.fake.objects("pipelineruns")
        )


@asynccontextmanager
async def _bench() -> AsyncIterator[_Bench]:
    fake = FakeKubernetes(history=400_000)
    fake.keep_calls = False
    fake.latency_s = _LATENCY_S
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "runs.yaml").write_text(json.dumps(INSTALLATION), encoding="utf-8")
        async with fake.serve():
            environment = {
                **os.environ,
                "HEADRACE_KUBECONFIG": str(fake.kubeconfig(folder, "operator", _NAMESPACE)),
                "HEADRACE_RUNS_FILE": str(folder / "runs.yaml"),
                "HEADRACE_HTTP_PORT": "0",
                "HEADRACE_LOG_LEVEL": "WARNING",
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headrace_operator", env=environment
            )
            os.sched_setaffinity(process.pid, {_CORE})
            kubelet = asyncio.create_task(_live(fake))
            try:
                await _until(lambda: len(fake.watches) == 2, 60.0)
                await asyncio.sleep(2.0)
                yield _Bench(fake, process.pid)
            finally:
                kubelet.cancel()
                process.terminate()
                await process.wait()


async def _live(fake: FakeKubernetes) -> None:
    """The kubelet, which forgets pods that have ended."""
    kubelet = Kubelet(fake, _life, lambda: time.time_ns() // 1_000_000)
    while True:
        kubelet.tick()
        await asyncio.sleep(_TICK_S)


async def _until(met: object, within_s: float) -> None:
    assert callable(met)
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110  (the cluster is this process)
            await asyncio.sleep(0.05)


async def _burst() -> _Burst:
    """All runs at once, until every one has succeeded."""
    async with _bench() as bench:
        before = resident_bytes(bench.pid)
        began = time.monotonic()
        for number in range(_BURST):
            bench.create(f"run-{number}")
            if number % 100 == 99:
                await asyncio.sleep(0)
        while bench.finished() < _BURST:
            if time.monotonic() - began > _MOST_S:
                raise RuntimeError(f"{bench.finished()} of {_BURST} runs finished")
            await asyncio.sleep(1.0)
        minutes = (time.monotonic() - began) / 60
        grown_mib = (resident_bytes(bench.pid) - before) / (1 << 20)
    return _Burst(minutes, grown_mib / (_BURST / 1_000))


async def _starts_s() -> list[float]:
    """Seconds from each resource to its driver pod, at 300 a minute."""
    async with _bench() as bench:
        created: dict[str, float] = {}
        started: dict[str, float] = {}
        watching = asyncio.create_task(_note(bench.fake, started))
        for number in range(_PACED):
            name = f"run-{number}"
            created[name] = time.monotonic()
            bench.create(name)
            await asyncio.sleep(_PACED_WITHIN_S / _PACED)
        await _until(lambda: len(started) == _PACED, 60.0)
        watching.cancel()
    return sorted(started[name] - created[name] for name in created)


async def _note(fake: FakeKubernetes, started: dict[str, float]) -> None:
    """When each run's driver pod came to be."""
    history = fake.store.histories[resource_named("pods")]
    seen = 0
    while True:
        for version, kind, body in history.after(seen):
            seen = version
            if kind == "ADDED":
                started.setdefault(body["metadata"]["labels"]["headrace.io/run"], time.monotonic())
        await history.moved(1.0)


async def _submissions() -> list[Submission]:
    fake = FakeKubernetes()
    fake.latency_s = _LATENCY_S
    async with fake.serve():
        await spark_submit(fake.url, _NAMESPACE, "warm-up", _CORE)
        return [await spark_submit(fake.url, _NAMESPACE, f"run-{n}", _CORE) for n in range(_SUBMISSIONS)]


async def _burst_min(rounds: int) -> tuple[list[float], list[float]]:
    ours = [(await _burst()).minutes for _ in range(min(rounds, 2))]
    seconds = statistics.median(each.seconds for each in await _submissions())
    return ours, [seconds * _BURST / 60]


async def _mib_per_1000(_rounds: int) -> tuple[list[float], list[float]]:
    ours = [(await _burst()).mib_per_1000]
    return ours, [each.peak_mib for each in await _submissions()]


async def _start_p95_s(rounds: int) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    for _ in range(min(rounds, 3)):
        starts_s = await _starts_s()
        ours.append(starts_s[int(len(starts_s) * 0.95)])
    return ours, [each.seconds for each in await _submissions()]


FIGURES = [
    Figure(
        "operator_burst_min",
        "operator",
        "min",
        "≤ 10",
        "a spark-submit per run, one after the other on one core: seconds of one × 6,000",
        _burst_min,
        less_is_better=True,
    ),
    Figure(
        "operator_mib_per_1000",
        "operator",
        "MiB",
        "≤ 25",
        "the memory of one spark-submit while it runs",
        _mib_per_1000,
        less_is_better=True,
    ),
    Figure(
        "operator_start_p95_s",
        "operator",
        "s",
        "≤ 2",
        "one spark-submit, nothing else on its core",
        _start_p95_s,
        less_is_better=True,
    ),
]
