"""Drivers of batch jobs under the adversary: attempts that crash at any step, sleep, are overtaken, run out of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.chaos.day_jobs import RunPorts, reprocess
from tests.chaos.processes import Process, Turns

from headrace_core.errors import BadData, RetryLater, Unavailable, UsageError
from headrace_core.pipeline_run import RunResult
from headrace_spark.erasing_run import Erased
from headrace_spark.ports import REQUEST_LIVES_MS, Suppressions
from headrace_spark.settling import RunIdentity, settle_day
from headrace_spark.undoing import undo_run

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["DriverActor", "Erasure", "Run"]

_HOUR_MS = 3_600_000
_EXPECTED = {
    ("daily", "file_torn"),
    ("reprocess", "file_torn"),
    ("erase", "file_torn"),
    ("reprocess", "lake_file_gone"),
}
"""Jobs and codes of bad data that the adversary makes: the next attempt may find better."""


@dataclass(slots=True, eq=False)
class Erasure:
    """A request to forget subjects, until its evidence closes."""

    name: str
    subjects: Suppressions
    attempt: int = 0
    run: str = ""
    """The run that swapped its days."""
    erased: Erased | None = None
    closed: bool = False
    busy: bool = False


@dataclass(slots=True)
class Run:
    """One run, over its attempts."""

    job: Literal["daily", "reprocess", "undo", "erase", "close"]
    name: str
    days: tuple[str, ...] = ()
    undone: str = ""
    erasure: Erasure | None = None
    attempt: int = 0
    attempts: int = 3
    done: bool = False
    codes: list[str] = field(default_factory=list)


class DriverActor:
    """One driver process at a time; the operator behind it starts attempt n + 1 only when nothing of attempt n runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asleep_until = 0
        self.run: Run | None = None
        self._process: Process[None] | None = None
        self._ports: RunPorts | None = None
        self._ends_by_ms = 0

    @property
    def busy(self) -> bool:
        """Whether an attempt is at work."""
        return self._process is not None

    def step(self) -> None:
        """Let the adversary choose what happens to this process next."""
        world, chance = self._world, self._world.rng.random()
        if self._process is not None and chance < world.settings.driver_crash:
            world.note("driver crashed")
            self.crash()
        elif self._process is not None and chance > 0.995:
            self.asleep_until = world.steps + world.rng.choice((10, 40, 120))
        else:
            self.advance()

    def crash(self) -> None:
        """The process is gone; its open transaction is the server's."""
        if self._process is None or self._ports is None:
            return
        for session in self._ports.warehouse.opened:
            session.lose_client()
        self._process.crash()
        self._ended("crashed")

    def advance(self) -> None:
        """What a process does when nothing goes wrong: one call of a port; or a new attempt, or a new run."""
        world = self._world
        if self._process is None:
            self._start()
        elif world.now_ms > self._ends_by_ms + REQUEST_LIVES_MS:
            world.note("driver ran out of time")
            self.crash()
        else:
            self._process.step(world.rng)
            self._doze()
            if self._process.done:
                self._reap(self._process)

    def _doze(self) -> None:
        """A process sleeps where it hurts."""
        assert self._ports is not None
        turns, world = self._ports.turns, self._world
        if turns.is_blocked:
            turns.is_blocked = False
            self.asleep_until = world.steps + (0 if world.calm else 1)
        if turns.decisive:
            chance, turns.decisive = turns.decisive, 0.0
            if not world.calm and world.rng.random() < chance:
                self.asleep_until = world.steps + world.rng.choice((10, 40, 120))
                if self.run is not None:
                    world.days.parked(self.run)

    def _start(self) -> None:
        if self.run is None or self.run.done or self.run.attempt >= self.run.attempts:
            self.run = self._world.days.next_run()
        if self.run is not None:
            self.begin(self.run)

    def begin(self, run: Run) -> None:
        """A new attempt of a run."""
        world = self._world
        self.run = run
        run.attempt += 1
        hours = 10_000 if world.calm else world.rng.choice((6, 12, 48))
        self._ends_by_ms = world.now_ms + hours * _HOUR_MS
        turns = Turns(world.loop)
        self._ports = RunPorts(world, turns)
        world.say(f"{run.name} attempt {run.attempt} begins: {run.job} {run.days}")
        self._process = Process(world.loop, turns, self._work(self._ports, run))

    def _reap(self, process: Process[None]) -> None:
        try:
            process.result()
        except (Unavailable, RetryLater) as error:
            self._ended(error.code)
        except BadData as error:
            assert self.run is not None
            if (self.run.job, error.code) not in _EXPECTED:
                raise
            self._ended(error.code)
        except UsageError as error:
            if error.code != "undo_refused":
                raise
            assert self.run is not None
            self.run.done = True
            self._ended(error.code)
        else:
            assert self.run is not None
            self.run.done = True
            self._world.note(f"{self.run.job} done")
            self._world.days.done(self.run)
            self._ended("done")

    def _ended(self, code: str) -> None:
        run = self.run
        self._process = self._ports = None
        if run is not None:
            run.codes.append(code)
            self._world.say(f"{run.name} attempt {run.attempt}: {code}")
            self._world.note(f"driver: {code}")
            if run.erasure is not None:
                run.erasure.busy = False

    async def _work(self, ports: RunPorts, run: Run) -> None:
        """An attempt: the job, then its result, whichever way it went."""
        world = self._world
        identity = RunIdentity(
            "daily" if run.job in {"daily", "close"} else run.job, run.name, run.attempt, self._ends_by_ms
        )
        started_ms, error = world.now_ms, None
        try:
            await self._job(ports, run, identity)
        except (Unavailable, RetryLater, BadData, UsageError) as failed:
            error = failed
        if run.job not in {"close"}:
            await ports.objects.store_result(
                RunResult(
                    run=run.name,
                    attempt=run.attempt,
                    job="erase" if run.job == "erase" else "daily",
                    outcome="succeeded" if error is None else "failed",
                    started_ms=started_ms,
                    ended_ms=world.now_ms,
                )
            )
        if error is not None:
            raise error

    async def _job(self, ports: RunPorts, run: Run, identity: RunIdentity) -> None:
        match run.job:
            case "daily":
                for day in run.days:
                    await settle_day(ports.job(), identity, day)
            case "reprocess":
                await reprocess(ports, identity, run.days)
            case "undo":
                ports.records.undone = run.undone
                await ports.check_undo(identity, run.undone)
                await undo_run(ports.job(), ports.records, identity, run.undone)
            case "erase":
                assert run.erasure is not None
                run.erasure.erased = await ports.erase(identity, run.erasure.subjects)
                run.erasure.run = run.name
            case "close":
                assert run.erasure is not None
                assert run.erasure.erased is not None
                if await ports.close(run.erasure.erased, run.erasure.run):
                    run.erasure.closed = True
                    self._world.days.closed(run.erasure)
