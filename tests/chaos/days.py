"""Days in the world of a seed: the lake's pointers, the drivers that move them, erasures, and what must be true of it all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tests.chaos.day_engine import DayFiles
from tests.chaos.day_oracle import DayOracle
from tests.chaos.day_rows import day_of
from tests.chaos.drivers import DriverActor, Erasure, Run

from headrace_core.identity import EdgeRecord, decode_edge, resolve
from headrace_core.keys import file_id
from headrace_core.lake import staged_files
from headrace_core.topics import IDENTITY_EDGES
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.erasing import expand
from headrace_spark.ports import Suppressions

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["Days"]


class Days:
    """Everything of a run that has days."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.files = DayFiles(world.store)
        self.oracle = DayOracle(world, self)
        self.drivers = [DriverActor(world) for _ in range(world.settings.drivers)]
        self.erasures: list[Erasure] = []
        self.reprocessed = False
        self._fresh_reprocess: str | None = None
        self.undone: dict[str, str] = {}
        """By undoing run the run that it takes back."""
        self.ambush: tuple[DriverActor, Erasure] | None = None
        self._runs = 0
        self._undoable: list[str] = []
        self._edges: EdgeSnapshot | None = None
        self._keys: dict[int, str] = {}

    def edges(self) -> EdgeSnapshot:
        """The log of identity edges as it is now."""
        place = (IDENTITY_EDGES.name, 0)
        end = self._world.log.end(place)
        if self._edges is None or self._edges.offset != end:
            records = tuple(
                EdgeRecord(record.offset, record.key or b"", decode_edge(record.value))
                for record in self._world.log.all(place)
            )
            self._edges = EdgeSnapshot(records, end)
        return self._edges

    def key_of(self, identifier: int) -> str:
        """The key of a staged file by its id."""
        if identifier not in self._keys:
            keys = (key for key in self._world.store.objects if key.startswith("staged/"))
            self._keys = {file_id(key): key for key in keys}
        return self._keys[identifier]

    def known(self) -> list[str]:
        """Every day that the chains have rows of, that rows may be moved to, or that has a pointer."""
        days: set[str] = set(self.oracle.pointers)
        for partition in range(self._world.partition_count):
            for manifest in self._world.chains.events(partition):
                days.update(manifest.rows_by_event_date)
        return sorted(days)

    # The adversary's requests.

    def next_run(self) -> Run | None:
        """What is asked for next; None where there is nothing to do yet."""
        world, rng, days = self._world, self._world.rng, self.known()
        if not days:
            return None
        others = any(driver.busy and driver.asleep_until > world.steps for driver in self.drivers)
        if self._fresh_reprocess is not None:
            undone, self._fresh_reprocess = self._fresh_reprocess, None
            if rng.random() < 0.4:
                return self._undo(undone)
        pending = [each for each in self.erasures if not each.closed and not each.busy]
        if pending and rng.random() < 0.7:
            return self.erasure_run(rng.choice(pending))
        chance = rng.random()
        if chance < (0.6 if others else 0.1) and len(self.erasures) < world.settings.erasures:
            return self.erasure_run(self._ask())
        if chance < world.settings.reprocess:
            return self._revision(days)
        return Run("daily", self._name("d"), tuple(self._choose(days)))

    def _choose(self, days: list[str]) -> list[str]:
        """Some days, mostly one; those without a pointer are asked for soonest."""
        rng = self._world.rng
        new = [day for day in days if day not in self.oracle.pointers]
        if new and rng.random() < 0.5:
            return [rng.choice(new)]
        return sorted(rng.sample(days, k=min(len(days), rng.choice((1, 1, 1, 2, 5)))))

    def _name(self, kind: str) -> str:
        self._runs += 1
        return f"{kind}{self._runs}"

    def _revision(self, days: list[str]) -> Run:
        rng = self._world.rng
        if self._undoable and rng.random() < 0.5:
            return self._undo(rng.choice(self._undoable[-2:]))
        self.reprocessed = True
        return Run("reprocess", self._name("r"), tuple(days if rng.random() < 0.5 else self._choose(days)))

    def _undo(self, undone: str) -> Run:
        run = Run("undo", self._name("u"), undone=undone)
        self.undone[run.name] = undone
        return run

    def done(self, run: Run) -> None:
        """A run came to its end: a reprocess that swapped something may be taken back."""
        made = any(each.id.run == run.name for each in self.oracle.generations.values())
        if run.job == "reprocess" and made:
            self._undoable.append(run.name)
            self._fresh_reprocess = run.name

    def _ask(self) -> Erasure:
        """Somebody asks to be forgotten."""
        rng, settings = self._world.rng, self._world.settings
        fresh = self._fresh_users()
        user = f"e{rng.randrange(settings.users or settings.ids)}"
        if fresh and rng.random() < 0.8:
            user = rng.choice(fresh)
        return self._erasure(user)

    def _erasure(self, user: str) -> Erasure:
        """A request, expanded by the edges as they are now (rule E1)."""
        self._world.note("erasure asked for")
        asked = Suppressions(users=frozenset((user,)))
        erasure = Erasure(self._name("e"), expand(asked, resolve(self.edges().records)))
        self.erasures.append(erasure)
        return erasure

    def parked(self, run: Run) -> None:
        """A run sleeps where it hurts: now and then somebody asks to be forgotten whose rows it is about to swap in."""
        world = self._world
        if run.job != "daily" or len(self.erasures) >= world.settings.erasures or world.rng.random() > 0.3:
            return
        idle = [driver for driver in self.drivers if not driver.busy]
        fresh = self._fresh_users(run.days)
        if idle and fresh:
            self.ambush = (idle[0], self._erasure(world.rng.choice(fresh)))

    def spring(self) -> None:
        """Run the erasure that was asked for then, as far as its last swap, while the others sleep."""
        if self.ambush is not None:
            (driver, erasure), self.ambush = self.ambush, None
            if not driver.busy and not erasure.busy:
                driver.begin(self.erasure_run(erasure))
                self._world.run_through(driver, 400)

    def _fresh_users(self, days: Sequence[str] = ()) -> list[str]:
        """Users of staged rows, of these days, that no generation contains yet: of those there is most to get wrong."""
        contained = set[str]().union(*(each.contains for each in self.oracle.generations.values()))
        users: set[str] = set()
        for partition in range(self._world.partition_count):
            for manifest in self._world.chains.events(partition)[-5:]:
                for file in staged_files(manifest):
                    if file.key not in contained and file.key not in self._world.store.torn:
                        rows = self.files.staged(file)
                        users.update(row["user_id"] for row in rows if not days or day_of(row) in days)
        return sorted(users)

    def erasure_run(self, erasure: Erasure) -> Run:
        """The next step of an erasure: until its last swap, or the attempt to close it."""
        erasure.busy = True
        if erasure.erased is not None:
            return Run("close", self._name("c"), erasure=erasure, attempts=1)
        erasure.attempt += 1
        return Run("erase", f"{erasure.name}-{erasure.attempt}", erasure=erasure, attempts=1)

    def closed(self, erasure: Erasure) -> None:
        """The evidence of an erasure has closed."""
        self._world.note("erasure closed")
        self.oracle.closed(erasure.subjects)

    # Healing.

    def end_all(self) -> None:
        """Every process is gone."""
        for driver in self.drivers:
            driver.crash()

    def heal(self) -> None:
        """Erasures are finished, days that were reprocessed are all reprocessed, dailies run until nothing is to do."""
        world = self._world
        world.now_ms += 3 * 86_400_000
        for erasure in self.erasures:
            for _ in range(4):
                if not erasure.closed and not world.is_over:
                    self._finish(self.erasure_run(erasure))
        if self.reprocessed:
            self._finish(Run("reprocess", self._name("r"), tuple(self.known())))
        for _ in range(6):
            before = dict(self.oracle.pointers)
            self._finish(Run("daily", self._name("d"), tuple(self.known())))
            if before == self.oracle.pointers or world.is_over:
                break
        else:
            world.violations.add("P1 progress", "dailies swap days for ever")
        if not world.is_over:
            self.oracle.at_rest()

    def _finish(self, run: Run) -> None:
        world = self._world
        if world.is_over:
            return
        driver = DriverActor(world)
        driver.begin(run)
        world.until(lambda: not driver.busy, driver.advance, run.job)
        driver.crash()
        if not run.done and not world.is_over:
            world.violations.add("P1 progress", f"{run.job} does not succeed: {run.codes}")

    @staticmethod
    def beside(day: str, step: int) -> str:
        """Another day."""
        return str(date.fromisoformat(day) + timedelta(days=step))
