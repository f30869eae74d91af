"""CPU seconds are those of a process with all below it."""

from __future__ import annotations

import os
from pathlib import Path

from headrace_spark.cpu_time import tree_cpu_s

TICKS = os.sysconf("SC_CLK_TCK")


def write(proc: Path, pid: int, parent: int, *ticks: int, name: str = "java") -> None:
    (proc / str(pid)).mkdir()
    before = f"{pid} ({name}) S {parent} " + "0 " * 9
    (proc / str(pid) / "stat").write_text(before + " ".join(map(str, ticks)) + " 20 0 1 0")


def test_a_tree_is_summed_with_its_dead(tmp_path: Path) -> None:
    write(tmp_path, 10, 1, TICKS, TICKS, 0, 0)
    write(tmp_path, 11, 10, 2 * TICKS, 0, TICKS, 0, name="a ) strange (name")
    write(tmp_path, 12, 11, 0, 3 * TICKS, 0, 0)
    write(tmp_path, 13, 1, 99 * TICKS, 0, 0, 0)
    assert tree_cpu_s(10, tmp_path) == 8
    assert tree_cpu_s(12, tmp_path) == 3


def test_a_system_without_proc_says_so(tmp_path: Path) -> None:
    assert tree_cpu_s(10, tmp_path / "none") is None
    assert tree_cpu_s(10, tmp_path) is None


def test_this_process_has_used_some() -> None:
    assert (tree_cpu_s(os.getpid()) or 0) > 0
