"""Rounds, medians and reports. A figure is measured in interleaved rounds: ours, ordinary, ours, ordinary …"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

__all__ = [
    "Figure",
    "Result",
    "Sample",
    "cpu_seconds",
    "interleave",
    "machine",
    "report",
    "resident_bytes",
    "tree_cpu_seconds",
]

_RESULTS = Path(__file__).parent / "results"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one side: how much was done in how many seconds of the figure's own time (CPU or wall)."""

    done: float
    seconds: float

    @property
    def rate(self) -> float:
        """Done per second."""
        return self.done / self.seconds


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. ``ratio`` says how many times better ours is, ``spread`` is (max - min) / median of our rounds."""

    name: str
    unit: str
    ours: float
    ordinary: float | None
    ordinary_is: str
    ratio: float | None
    target: str
    rounds: int
    spread: float
    commit: str
    machine: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the design: its name, group, unit, target and how to measure it."""

    name: str
    group: str
    unit: str
    target: str
    ordinary_is: str
    run: Callable[[int], Coroutine[None, None, tuple[list[float], list[float]]]]
    """Measures that many rounds. Values of each round: ours, ordinary (empty where there is no alternative)."""
    less_is_better: bool = False


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def tree_cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process and of all that descend from it and still run."""
    return cpu_seconds(pid) + sum(tree_cpu_seconds(child) for child in _children(pid))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while they are listed; its children pass to another one.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (thread / "children").read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def interleave(
    ours: Callable[[], Awaitable[Sample]],
    ordinary: Callable[[], Awaitable[Sample]],
    *,
    rounds: int,
    warm_up: bool = True,
) -> tuple[list[float], list[float]]:
    """Rates of both sides in alternating rounds, after one unmeasured round of each (``warm_up``)."""
    if warm_up:
        await ours()
        await ordinary()
    pairs = [((await ours()).rate, (await ordinary()).rate) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def machine() -> str:
    """What kind of machine this is, without its name."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"


def _commit() -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, timeout=10
    )
    return answer.stdout.strip() or "unknown"


def report(figure: Figure, ours: list[float], ordinary: list[float]) -> Result:
    """Print a figure for people and as one JSON line, and keep it under benchmarks/results/."""
    median = statistics.median(ours)
    other = statistics.median(ordinary) if ordinary else None
    ratio = None if other is None else (other / median if figure.less_is_better else median / other)
    result = Result(
        name=figure.name,
        unit=figure.unit,
        ours=round(median, 2),
        ordinary=None if other is None else round(other, 2),
        ordinary_is=figure.ordinary_is,
        ratio=None if ratio is None else round(ratio, 2),
        target=figure.target,
        rounds=len(ours),
        spread=round((max(ours) - min(ours)) / median, 3),
        commit=_commit(),
        machine=machine(),
    )
    line = msgspec.json.encode(result).decode()
    other_text = "" if ratio is None else f"  ordinary {other:>10,.1f}  x{ratio:.2f}"
    print(
        f"{figure.name:<22} {median:>10,.1f} {figure.unit:<13}{other_text}  target {figure.target}",
        file=sys.stderr,
    )
    print(line, flush=True)
    _RESULTS.mkdir(exist_ok=True)
    kept = json.loads(line) | {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds_ours": ours,
        "rounds_ordinary": ordinary,
    }
    (_RESULTS / f"{figure.name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    return result
