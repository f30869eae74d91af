"""CPU seconds of a process with all its descendants: the driver, its JVM and the Python workers."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

__all__ = ["tree_cpu_s"]

_PROC = Path("/proc")


def tree_cpu_s(pid: int, proc: Path = _PROC) -> float | None:
    """User and system seconds of ``pid``, of its living descendants, and of the dead ones that were waited for. None where
    the system keeps no /proc."""
    ticks: dict[int, int] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in proc.glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold anything. Behind it: state, parent, …, utime, stime, cutime, cstime.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        process = int(stat.parent.name)
        ticks[process] = sum(map(int, fields[11:15]))
        children[int(fields[1])].append(process)
    if pid not in ticks:
        return None
    todo, total = [pid], 0
    while todo:
        process = todo.pop()
        total += ticks.get(process, 0)
        todo += children[process]
    return total / os.sysconf("SC_CLK_TCK")
