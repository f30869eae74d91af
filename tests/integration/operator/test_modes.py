"""What users can ask of runs: concurrency, suspend, cancel, deadlines, retries, time to live; and what Events tell of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.kubelet import Exit, Run, Schedule, SpawnExecutors, Stay, Step
from tests.support.fake_kubernetes.objects import ApiFailure, Json
from tests.support.operator_drill import Drill, condition_of
from tests.support.operator_installation import installed_planner
from tests.support.operator_world import NAMESPACE

_RUNS = resource_named("pipelineruns")


def _slow(_pod: Json) -> Sequence[Step]:
    return (Schedule(), Run(), *[Stay()] * 6, Exit(0))


def _endless(_pod: Json) -> Sequence[Step]:
    return (Schedule(), Run())


def _drill(
    folder: Path, script: Callable[[Json], Sequence[Step]] = _slow, **change: Callable[[Drill], object]
) -> Drill:
    """A drill in which something happens at a turn: ``at_5=…``."""
    turns = {int(name.removeprefix("at_")): what for name, what in change.items()}

    def every_turn(drill: Drill, turn: int) -> None:
        if turn in turns:
            turns[turn](drill)

    return Drill(folder, installed_planner(), script, every_turn=every_turn)


def _set(name: str, **fields: object) -> Callable[[Drill], object]:
    return lambda drill: drill.fake.store.patch(_RUNS, NAMESPACE, name, {"spec": fields})


def _over(*names: str) -> Callable[[Drill], bool]:
    return lambda drill: all(condition_of(drill.run(name))[0] in ("True", "False") for name in names)


def _attempt_times(drill: Drill, name: str) -> tuple[str, str]:
    attempts = drill.run(name)["status"]["attempts"]
    return attempts[0]["startTime"], attempts[-1]["endTime"]


async def test_forbid_ends_the_second(tmp_path: Path) -> None:
    drill = _drill(tmp_path)
    drill.create("a")
    drill.clock.advance(5)
    drill.create("b")
    await drill.until(_over("a", "b"))
    drill.check()
    assert condition_of(drill.run("a")) == ("True", "DriverSucceeded")
    assert condition_of(drill.run("b")) == ("False", "ConcurrencyForbidden")


async def test_queue_lets_the_second_wait(tmp_path: Path) -> None:
    drill = _drill(tmp_path)
    drill.create("a")
    drill.clock.advance(5)
    drill.create("b", concurrencyPolicy="Queue")
    await drill.until(_over("a", "b"))
    drill.check()
    assert condition_of(drill.run("b")) == ("True", "DriverSucceeded")
    assert _attempt_times(drill, "a")[1] <= _attempt_times(drill, "b")[0]


async def test_replace_cancels_the_first_and_waits_for_its_end(tmp_path: Path) -> None:
    drill = _drill(tmp_path, at_4=lambda drill: drill.create("b", concurrencyPolicy="Replace"))
    drill.create("a")
    await drill.until(lambda drill: drill.turns > 5 and _over("a", "b")(drill))
    drill.check()
    assert condition_of(drill.run("a")) == ("False", "Cancelled")
    assert condition_of(drill.run("b")) == ("True", "DriverSucceeded")
    assert _attempt_times(drill, "a")[1] <= _attempt_times(drill, "b")[0]


async def test_two_runs_of_the_same_second_agree_on_one(tmp_path: Path) -> None:
    drill = _drill(tmp_path)
    for name in ("b", "a", "c"):
        drill.create(name)
    await drill.until(_over("a", "b", "c"))
    assert [condition_of(drill.run(name))[1] for name in "abc"] == [
        "DriverSucceeded",
        "ConcurrencyForbidden",
        "ConcurrencyForbidden",
    ]


async def test_a_suspended_run_starts_when_it_is_resumed(tmp_path: Path) -> None:
    drill = _drill(tmp_path, at_8=_set("r", suspend=False))
    drill.create(suspend=True)
    seen: list[tuple[int, int]] = []

    def look(drill: Drill) -> bool:
        seen.append((drill.turns, len(drill.fake.objects("pods"))))
        return _over("r")(drill)

    await drill.until(look)
    assert all(pods == 0 for turn, pods in seen if turn < 8)
    assert condition_of(drill.run()) == ("True", "DriverSucceeded")


async def test_a_cancelled_run_ends_its_driver_and_executors(tmp_path: Path) -> None:
    def script(pod: Json) -> Sequence[Step]:
        spawned = (SpawnExecutors(2),) if pod["metadata"]["labels"]["spark-role"] == "driver" else ()
        return (Schedule(), Run(), *spawned)

    drill = _drill(tmp_path, script, at_6=_set("r", cancel=True))
    drill.create()
    await drill.until(_over("r"))
    drill.check()
    assert condition_of(drill.run()) == ("False", "Cancelled")
    left = drill.fake.objects("pods")
    assert [pod["metadata"]["labels"]["spark-role"] for pod in left] in ([], ["driver"])


async def test_the_deadline_counts_from_the_first_attempt_over_all(tmp_path: Path) -> None:
    def script(pod: Json) -> Sequence[Step]:
        first = pod["metadata"]["labels"]["headrace.io/attempt"] == "1"
        return (Schedule(), Run(), Exit(137, "Error")) if first else (Schedule(), Run())

    drill = _drill(tmp_path, script)
    drill.create(deadlineSeconds=90, retry={"initialSeconds": 20})
    await drill.until(_over("r"))
    drill.check()
    assert condition_of(drill.run()) == ("False", "DeadlineExceeded")
    assert len(drill.run()["status"]["attempts"]) == 2


async def test_retries_end_and_pause_longer_each_time(tmp_path: Path) -> None:
    drill = _drill(tmp_path, lambda _pod: (Schedule(), Run(), Exit(137, "OOMKilled")))
    drill.create(retry={"limit": 2, "initialSeconds": 10, "factor": 2})
    await drill.until(_over("r"))
    drill.check()
    assert condition_of(drill.run()) == ("False", "BackoffLimitExceeded")
    attempts = drill.run()["status"]["attempts"]
    assert [attempt["reason"] for attempt in attempts] == ["OutOfMemory"] * 3
    reasons = {event["reason"] for event in drill.fake.objects("events")}
    assert reasons, "people hear of it by kubectl describe"


async def test_bad_data_and_configuration_are_not_tried_again(tmp_path: Path) -> None:
    for code, reason in ((65, "BadData"), (78, "InvalidConfiguration"), (70, "DriverFailed")):
        drill = _drill(tmp_path, lambda _pod, code=code: (Schedule(), Run(), Exit(code)))  # type: ignore[misc]
        drill.create()
        await drill.until(_over("r"))
        assert condition_of(drill.run()) == ("False", reason)
        assert len(drill.run()["status"]["attempts"]) == 1


async def test_the_python_error_of_the_driver_stands_in_the_status(tmp_path: Path) -> None:
    message = (
        '{"version":1,"run":"r","attempt":1,"job":"daily","outcome":"failed","exitCode":65,"startedMs":1,"endedMs":2,'
        '"error":{"what":"The day has no rows.","why":"ValueError: empty","code":"no_rows"}}'
    )
    drill = _drill(tmp_path, lambda _pod: (Schedule(), Run(), Exit(65, "Error", message)))
    drill.create()
    await drill.until(_over("r"))
    told = drill.run()["status"]["attempts"][0]["message"]
    assert "The day has no rows." in told
    assert "ValueError: empty" in told


async def test_a_run_is_deleted_with_its_children_once_its_time_is_over(tmp_path: Path) -> None:
    drill = _drill(tmp_path)
    drill.create(ttlSecondsAfterFinished=60)
    ended_at: list[int] = []

    def gone(drill: Drill) -> bool:
        try:
            if _over("r")(drill):
                ended_at.append(drill.turns)
        except ApiFailure:
            return not drill.fake.objects("pods") and not drill.fake.objects("configmaps")
        return False

    await drill.until(gone)
    assert len(ended_at) * 2 >= 60, "it stayed for its time"


@pytest.mark.parametrize("name", ["x" * 48, "dotted.name"])
async def test_a_name_that_its_children_could_not_bear_is_told_so(name: str, tmp_path: Path) -> None:
    drill = _drill(tmp_path)
    drill.create(name)
    await drill.until(_over(name))
    assert condition_of(drill.run(name)) == ("False", "InvalidSpec")
    assert drill.fake.objects("pods") == []


async def test_a_run_that_is_deleted_while_it_runs_takes_its_driver_along(tmp_path: Path) -> None:
    drill = _drill(tmp_path, _endless, at_6=lambda drill: drill.fake.store.delete(_RUNS, NAMESPACE, "r"))
    drill.create()
    await drill.until(lambda drill: drill.turns > 6 and not drill.fake.objects("pods"))
    assert drill.fake.objects("pipelineruns") == []
    assert drill.fake.objects("configmaps") == []
