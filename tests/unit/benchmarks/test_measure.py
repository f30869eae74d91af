"""Rounds alternate, rates are of the given time, and a report keeps what was measured."""

import json
import os
from pathlib import Path

import pytest
from benchmarks import measure
from benchmarks.measure import Figure, Sample, cpu_seconds, interleave, report, resident_bytes


async def test_rounds_alternate_after_one_unmeasured_round_of_each_side() -> None:
    seen: list[str] = []

    async def side(name: str, rate: float) -> Sample:
        seen.append(name)
        return Sample(rate * 2, 2)

    async def ours() -> Sample:
        return await side("ours", 30)

    async def ordinary() -> Sample:
        return await side("ordinary", 10)

    values = await interleave(ours, ordinary, rounds=3)
    assert values == ([30.0] * 3, [10.0] * 3)
    assert seen == ["ours", "ordinary"] * 4


@pytest.mark.parametrize(("less_is_better", "ratio"), [(False, 0.5), (True, 2.0)])
def test_the_ratio_says_how_many_times_better_ours_is(
    less_is_better: bool, ratio: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_RESULTS", tmp_path)

    async def never(_rounds: int) -> tuple[list[float], list[float]]:
        raise NotImplementedError

    figure = Figure("some_figure", "group", "unit", ">= 1", "the usual", never, less_is_better=less_is_better)
    result = report(figure, [9.0, 10.0, 12.0], [20.0, 20.0, 40.0])
    assert (result.ours, result.ordinary, result.ratio, result.spread) == (10.0, 20.0, ratio, 0.3)
    kept = json.loads((tmp_path / "some_figure.json").read_text())
    assert kept["rounds_ours"] == [9.0, 10.0, 12.0]
    assert kept["rounds_ordinary"] == [20.0, 20.0, 40.0]


def test_cpu_and_memory_of_this_process_are_read() -> None:
    before = cpu_seconds(os.getpid())
    while sum(range(10_000)) and cpu_seconds(os.getpid()) - before < 0.02:
        pass
    held = bytearray(os.urandom(1 << 20)) * 32
    assert resident_bytes(os.getpid()) > len(held)
