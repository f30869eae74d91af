"""The operator dies after every single call of a run: it converges all the same, and no attempt has two drivers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.fake_kubernetes.kubelet import Exit, Gone, Run, Schedule, SpawnExecutors, Stay, Step
from tests.support.fake_kubernetes.objects import Json
from tests.support.operator_drill import Drill, condition_of
from tests.support.operator_installation import installed_planner

from headrace_operator.names import ATTEMPT_LABEL

_RESULT = json.dumps(
    {
        "version": 1,
        "run": "r",
        "attempt": 1,
        "job": "daily",
        "outcome": "succeeded",
        "counts": {"rows": 7},
        "startedMs": 1,
        "endedMs": 2,
    }
)
_LIFE: tuple[Step, ...] = (Schedule(), Run(), SpawnExecutors(2), Stay())


def _driver_ends(*ends: Step) -> Callable[[Json], Sequence[Step]]:
    """Drivers of attempts 1, 2, … end so; executors just run."""

    def script(pod: Json) -> Sequence[Step]:
        labels = pod["metadata"]["labels"]
        if labels["spark-role"] == "executor":
            return (Schedule(), Run())
        return (*_LIFE, ends[min(int(labels[ATTEMPT_LABEL]), len(ends)) - 1])

    return script


def _finished(drill: Drill) -> bool:
    """The run is over, and nothing of it is left to do."""
    return condition_of(drill.run())[0] in ("True", "False") and _at_rest(drill)


def _at_rest(drill: Drill) -> bool:
    pods = drill.fake.objects("pods")
    executors = [pod for pod in pods if pod["metadata"]["labels"]["spark-role"] == "executor"]
    held = [pod for pod in pods if pod["metadata"].get("finalizers")]
    return not executors and not held


class _Case:
    """A way that a run can go, and how it ends."""

    def __init__(
        self,
        ends: Sequence[Step],
        outcome: tuple[str, str],
        attempts: int,
        *,
        spec: Json | None = None,
        at_turn: Callable[[Drill, int], None] = lambda _drill, _turn: None,
    ) -> None:
        self.script = _driver_ends(*ends)
        self.outcome = outcome
        self.attempts = attempts
        self.spec = spec or {}
        self.at_turn = at_turn

    async def run(self, folder: Path, die_after: int | None) -> Drill:
        drill = Drill(folder, installed_planner(), self.script, die_after=die_after, every_turn=self.at_turn)
        drill.create(**self.spec)
        await drill.until(_finished)
        drill.check()
        body = drill.run()
        assert condition_of(body) == self.outcome
        assert len(body["status"]["attempts"]) == self.attempts
        assert not drill.fake.access.refused, "the chart's Role is enough"
        return drill


def _cancel(drill: Drill, turn: int) -> None:
    if turn == 6:
        runs = next(each for each in drill.fake.store.histories if each.plural == "pipelineruns")
        drill.fake.store.patch(runs, "runs", "r", {"spec": {"cancel": True}})


_CASES = {
    "succeeds": _Case([Exit(0, message=_RESULT)], ("True", "DriverSucceeded"), 1),
    "is retried after a kill": _Case(
        [Exit(137, "Error"), Exit(0, message=_RESULT)], ("True", "DriverSucceeded"), 2
    ),
    "is retried after memory ran out": _Case(
        [Exit(137, "OOMKilled"), Exit(0, message=_RESULT)], ("True", "DriverSucceeded"), 2
    ),
    "loses its driver": _Case([Gone(), Exit(0, message=_RESULT)], ("True", "DriverSucceeded"), 2),
    "fails for good": _Case([Exit(1, "Error", "boom")], ("False", "DriverFailed"), 1),
    "is cancelled": _Case([Stay()], ("False", "Cancelled"), 1, at_turn=_cancel),
}


@pytest.mark.parametrize("name", _CASES)
async def test_a_run_survives_the_death_of_the_operator_after_any_call(name: str, tmp_path: Path) -> None:
    case = _CASES[name]
    undisturbed = await case.run(tmp_path, None)
    calls = undisturbed.calls
    assert calls > 8
    for number in range(1, calls + 1):
        drill = await case.run(tmp_path, number)
        assert drill.lives == 2, f"the operator did not die after call {number} of {calls}"


async def test_nothing_is_written_once_a_run_is_over(tmp_path: Path) -> None:
    case = _CASES["succeeds"]
    drill = Drill(tmp_path, installed_planner(), case.script)
    drill.create()
    over_at: list[int] = []

    def later(drill: Drill) -> bool:
        if _finished(drill):
            over_at.append(drill.turns)
        return len(over_at) > 20

    await drill.until(later)
    writes = [
        call for call in drill.fake.calls if call.verb in ("patch", "create", "delete", "deletecollection")
    ]
    assert len(writes) <= 16, [f"{call.verb} {call.resource}" for call in writes]
    before = drill.run()["metadata"]["resourceVersion"]
    history = [version for version, _, _ in _run_history(drill)]
    assert str(history[-1]) == before
    assert len(history) <= 8


def _run_history(drill: Drill) -> list[tuple[int, str, Json]]:
    runs = next(each for each in drill.fake.store.histories if each.plural == "pipelineruns")
    return drill.fake.store.histories[runs].after(0)
