"""The world of one seed: every process of the path, their ports, time, and the adversary that draws what happens next.

Everything random comes from one `random.Random(seed)`, nothing reads a clock and nothing runs concurrently, so a seed
replays step by step.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from tests.chaos import machines
from tests.chaos.chains import Chains
from tests.chaos.days import Days
from tests.chaos.drivers import DriverActor
from tests.chaos.guards import Guard
from tests.chaos.loaders import LoaderActor
from tests.chaos.log import Network, SimulatedLog
from tests.chaos.oracle import Oracle, Violations
from tests.chaos.owners import OwnerActor
from tests.chaos.processes import SteppedLoop
from tests.chaos.rules import SimulatedRules
from tests.chaos.settings import Settings
from tests.chaos.stagers import StagerActor
from tests.chaos.store import ReadableStore, SimulatedStore
from tests.chaos.traffic import DAY_MS, Traffic, encode_event, identity_of
from tests.chaos.warehouse import SimulatedWarehouse
from tests.chaos.warehouse_oracle import WarehouseOracle

from headrace_core.errors import ExitCode, HeadraceError
from headrace_core.keys import file_id, partition_of
from headrace_core.paths import ChainKind, ChainPosition, parse_object_key
from headrace_core.topics import DEDUP_INDEX, EVENTS_CLEAN, EVENTS_RAW
from headrace_dedup.owner import Owner
from headrace_loader.chain import ChainReader, is_orphan
from headrace_loader.load_discovery import LoadDiscovery
from headrace_loader.stage_messages import Contents, Cut
from headrace_loader.stager import Stager
from headrace_loader.warehouse import Warehouse
from headrace_spark.ports import REQUEST_LIVES_MS

__all__ = ["World"]

T = TypeVar("T")

_HOUR_MS = 3_600_000
_START_MS = 1_790_000_000_000
_PARTITIONS = 2
_OLD_RULES, _NEW_RULES = 1, 2


class World:
    """All state of one run. `run` plays it to the end and leaves what it found in `violations`."""

    partition_count = _PARTITIONS

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.without = settings.without
        self.rng = rng = Random(settings.seed)
        self.now_ms = _START_MS
        self.steps = 0
        self.calm = False
        self.events: Counter[str] = Counter()
        """How often the adversary did what."""
        self.trace: list[str] | None = None
        """What happened, step by step, where somebody wants to know."""
        self._skew_ms = 0
        self._rules = _OLD_RULES
        self._needed_rules: dict[int, int] = {}
        self.group_offsets = [0] * _PARTITIONS
        """The hint that owners commit."""
        self._nonces = self._writers = 0
        self._loop = asyncio.new_event_loop()
        self._tables = rng.choice(("eager", "eager", "lasting", "lasting", "own", "cramped"))
        self._fingerprint_versions = {_OLD_RULES: 1, _NEW_RULES: rng.choice((1, 1, 1, 2))}
        self._built_ms: dict[str, int] = {}
        self.violations = Violations()
        self.log = SimulatedLog()
        self.network = Network(rng, self.log, lambda _: self.append_ms)
        self.network.in_order = Guard.IN_ORDER not in self.without
        self.store = SimulatedStore(rng)
        self.warehouse = SimulatedWarehouse(rng, self.without)
        self.oracle = Oracle(
            self.log,
            _PARTITIONS,
            self.violations,
            window_ms=settings.window_ms,
            every_block_counts=Guard.COMPARE_AND_APPEND in self.without,
        )
        self.chains = Chains(self.store, self.oracle, self.violations)
        self._warehouse_oracle = WarehouseOracle(
            self.warehouse,
            self.oracle,
            self.chains,
            self.violations,
            with_jobs=settings.days > 0,
            moving=settings.unique,
        )
        self._traffic = Traffic(
            rng,
            ids=settings.ids,
            rules=settings.rules,
            moves=not settings.unique,
            users=settings.users,
            days_back=settings.days_back,
        )
        self.loop = SteppedLoop()
        self.days = Days(self)
        self.owners = [
            OwnerActor(self, partition, f"owner {partition}.{number}")
            for partition in range(_PARTITIONS)
            for number in range(settings.owners_per_partition)
        ]
        archives: tuple[ChainKind, ...] = ("raw", "verdicts") if rng.random() < settings.archives else ()
        self._kinds: tuple[ChainKind, ...] = ("events", *archives)
        self.stagers = [
            StagerActor(self, kind, p) for kind in self._kinds for p in range(_PARTITIONS) for _ in range(2)
        ]
        self.loaders = [LoaderActor(self, rng.choice("01")) for _ in range(settings.loaders)]

        self._happenings: tuple[tuple[float, Callable[[], object]], ...] = (
            (settings.produce, self._produce),
            (settings.time, self._pass_time),
            (settings.load, self._step_loader),
            *self._upstream(),
            (settings.notice, self.warehouse.notice_one),
            (0.02, self.store.land_one),
            (settings.clock, self._step_clock),
            (settings.damage, self._damage),
            (settings.collect, self._collect),
            (settings.rare, self._rare),
            (settings.days, self._step_driver),
            (settings.days / 8, self._sprint),
        )
        self._shares = sum(share for share, _ in self._happenings)

    def _upstream(self) -> tuple[tuple[float, Callable[[], object]], ...]:
        """Dedup and stage step by step, or as if nothing ever happened to them."""
        if not self.settings.upstream:
            return ((0.12, self._pump),)
        return (
            (0.27, self._step_owner),
            (0.24, self.network.deliver),
            (0.14 if len(self._kinds) == 1 else 0.3, self._step_stager),
        )

    @property
    def append_ms(self) -> int:
        """The leader's clock."""
        return self.now_ms + self._skew_ms

    def note(self, what: str) -> None:
        """Count what the adversary did; keep it where the run is traced."""
        self.events[what] += 1
        self.say(what)

    def say(self, what: object) -> None:
        """Add to the trace, if there is one."""
        if self.trace is not None:
            self.trace.append(f"{self.steps:5d} {self.now_ms - _START_MS:>12d} {what}")

    # What processes ask of the world.

    def rules_of(self, partition: int) -> int:
        """The version of the rules that a process started now has."""
        return self._needed_rules.pop(partition, self._rules)

    def owner_stopped(self, owner: OwnerActor, error: HeadraceError) -> None:
        """A machine asked for its process to end. Exit 70 names rules that cannot build a row: the other version must."""
        self.note(f"owner stopped {error.exit_code}")
        if error.exit_code is ExitCode.BUG and error.code == "accepted_record_cannot_be_built":
            self._needed_rules[owner.partition] = _OLD_RULES + _NEW_RULES - owner.rules
        elif error.code == "raw_records_gone" and not self.calm:
            self.note("a range's records expired while its owner slept")
        else:
            self.violations.add("X stop", f"{owner.name} stopped: {error}")

    def has_manifest(self, partition: int) -> bool:
        """Whether the events chain of a partition has begun."""
        return bool(self.chains.events(partition))

    def new_owner(self, actor: OwnerActor) -> Owner:
        """An owner as its process starts it."""
        self._writers += 1
        rules = SimulatedRules(actor.rules, self._fingerprint_versions[actor.rules])
        actor.table = machines.new_table("own" if self.calm else self._tables)
        return machines.new_owner(
            actor.partition,
            f"w{self._writers}",
            rules,
            actor.table,
            window_ms=self.settings.window_ms,
            group_offset=self.group_offsets[actor.partition],
            rebuild_index=actor.rebuilds_index,
            without=self.without,
        )

    def new_stager(self, actor: StagerActor) -> Stager[Any]:
        """A stager as its process starts it."""
        return machines.new_stager(actor.kind, actor.partition, self._nonce, self.without)

    def new_chain_reader(self, actor: StagerActor) -> ChainReader:
        """What a stage process finds the chain's end with; its hint may be of any age."""
        identity = machines.chain_identity(actor.kind, actor.partition)
        end = self.log.end((identity.topic, actor.partition))
        hint = self.rng.choice((None, self.rng.randint(0, end)))
        return ChainReader(ReadableStore(self.store), identity, hint=hint, deadline_s=1.0)

    def new_discovery(self, warehouse: Warehouse) -> LoadDiscovery:
        """What a load process finds its files with."""
        return LoadDiscovery(ReadableStore(self.store), warehouse, partitions=_PARTITIONS, deadline_s=1.0)

    def at_once(self, work: Coroutine[Any, Any, T]) -> T:
        """Run reads that wait for nothing to their end, as one step."""
        return self._loop.run_until_complete(work)

    def _nonce(self) -> str:
        self._nonces += 1
        return f"{self._nonces:08x}"

    def build(self, cut: Cut[Any]) -> Contents:
        """The objects of a cut."""
        self._built_ms[cut.key] = self.now_ms
        self.chains.built(cut)
        return machines.build(cut.identity.kind, cut)

    # The adversary.

    def run(self) -> World:
        """All steps, then healing and the checks at rest."""
        try:
            self._play()
        except (HeadraceError, AssertionError, LookupError) as error:
            self.violations.add("X error", f"step {self.steps}: {error!r}")
        finally:
            for loader in self.loaders:
                loader.crash()
            self.days.end_all()
            self.loop.close()
            self._loop.close()
        return self

    def _play(self) -> None:
        steps = self.rng.choice(self.settings.steps)
        if self.settings.lose_index:
            self._walk(steps)
            self._rebuild_index()
        self._walk(steps)
        if not self.is_over:
            self.heal()

    def _walk(self, steps: int) -> None:
        for _ in range(steps):
            if self.is_over:
                return
            self.step()

    @property
    def is_over(self) -> bool:
        """Whether a violation ended the run: any, or one of those that the run looks for."""
        found = self.violations.found
        return any(code in found for code in self.settings.until) if self.settings.until else bool(found)

    def step(self) -> None:
        """One thing happens, then the invariants are checked."""
        self.steps += 1
        self._draw()
        self.check()

    def check(self) -> None:
        """The invariants that hold at every moment."""
        self.oracle.observe()
        self.chains.observe()
        self._warehouse_oracle.observe()
        self.days.oracle.observe()

    def _draw(self) -> None:
        chance = self.rng.random() * self._shares
        for share, happen in self._happenings:
            chance -= share
            if chance < 0:
                happen()
                return

    def _rare(self) -> None:
        self.rng.choice(
            (
                self._deploy,
                self._repair,
                self._suppress,
                self._hole,
                self._retain,
            )
        )()

    def _produce(self) -> None:
        """Events, each once or twice, in their partitions of events.raw."""
        for _ in range(self.settings.burst):
            event = self._traffic.draw(self.now_ms)
            identity = identity_of(event.source, event.id)
            place = (EVENTS_RAW.name, partition_of(identity, _PARTITIONS))
            value = encode_event(event)
            for _ in range(self.rng.choice((1, 1, 1, 2))):
                self.log.append(place, [(identity, value, ())], self.append_ms)

    def _pass_time(self) -> None:
        if self.rng.random() < self.settings.long_pause:
            self.note("pause of more than a day")
            self.now_ms += 26 * _HOUR_MS
        else:
            self.now_ms += self.rng.choice((0, 1, 1, 3)) * _HOUR_MS
        self.store.forget_sent_before(self.now_ms - REQUEST_LIVES_MS)

    def _step_clock(self) -> None:
        self.note("leader clock stepped")
        self._skew_ms = self.rng.choice((0, 0, -6, 5)) * _HOUR_MS

    def _deploy(self) -> None:
        self.note("deploy or rollback")
        self._rules = self.rng.choice((_OLD_RULES, _NEW_RULES, _NEW_RULES))

    def _hole(self) -> None:
        """Control records use up offsets; in dedup.index there are none."""
        self.log.add_hole(
            (self.rng.choice((EVENTS_RAW.name, EVENTS_CLEAN.name)), self.rng.randrange(_PARTITIONS))
        )

    def _retain(self) -> None:
        """Retention: what is older than three windows and not needed any more can be read no longer."""
        partition = self.rng.randrange(_PARTITIONS)
        oracle = self.oracle.partitions[partition]
        decided = oracle.valid_blocks[-1].start if oracle.valid_blocks else 0
        staged = self._chain_end("events", partition)
        archived = self._chain_end("raw", partition) if "raw" in self._kinds else decided
        self._drop(EVENTS_RAW.name, partition, min(decided, archived))
        self._drop(EVENTS_CLEAN.name, partition, staged)
        if "verdicts" not in self._kinds:
            self._drop(DEDUP_INDEX.name, partition, oracle.first_remembered())

    def _chain_end(self, kind: ChainKind, partition: int) -> int:
        chain = self.chains.of(kind, partition)
        return chain[-1].end if chain else 0

    def _drop(self, topic: str, partition: int, below: int) -> None:
        oldest_ms = self.now_ms - 3 * self.settings.window_ms
        records = self.log.read((topic, partition), 0, below)
        old = [record.offset for record in records if record.timestamp < oldest_ms]
        if old:
            self.note("records expired")
            self.log.drop_before((topic, partition), old[-1] + 1)

    def _step_owner(self) -> None:
        self._awake(self.owners)

    def _step_stager(self) -> None:
        self._awake(self.stagers)

    def _pump(self) -> None:
        """What was produced for one partition is decided and staged."""
        partition = self.rng.randrange(_PARTITIONS)
        self.calm = True
        self._finish_owner(partition)
        stager = next(each for each in self.stagers if (each.kind, each.partition) == ("events", partition))
        self._finish_staging(stager)
        self.calm = False

    def _step_loader(self) -> None:
        self._awake(self.loaders)

    def _step_driver(self) -> None:
        """Drivers have many small steps: they go on for some, mostly."""
        awake = [driver for driver in self.days.drivers if driver.asleep_until <= self.steps]
        if awake:
            self._awake(awake, (1, 8, 32))
            self.days.spring()

    def _sprint(self) -> None:
        """Somebody does a whole piece of work while the others stand still."""
        pump, load = self._pump, lambda: self.run_through(self.rng.choice(self.loaders), 60)
        awake = [driver for driver in self.days.drivers if driver.asleep_until <= self.steps]
        for happen in self.rng.choice(((pump, load, load), (load,), (), ())):
            happen()
        if awake:
            self.run_through(self.rng.choice(awake), 400)

    def run_through(self, actor: LoaderActor | DriverActor, turns: int) -> None:
        """Let one process go on for so many turns, or to the end of its work."""
        for _ in range(turns):
            if self.is_over or (isinstance(actor, LoaderActor) and actor.idle):
                return
            if isinstance(actor, LoaderActor) and actor.asleep_until > self.steps:
                return
            actor.advance()
            self.check()
            if isinstance(actor, DriverActor) and not actor.busy:
                return

    def chance(self) -> float:
        """A draw in [0, 1) of what befalls a request; 1 once nothing fails any more."""
        return 1.0 if self.calm else self.rng.random()

    def _awake(self, actors: list[Any], bursts: tuple[int, ...] = (1, 1, 2, 4)) -> None:
        actor = self.rng.choice(actors)
        for _ in range(self.rng.choice(bursts)):
            if actor.asleep_until <= self.steps:
                actor.step()
                self.check()

    def _collect(self) -> None:
        """Orphan collection: files that no manifest names and none ever will (or, unguarded, that are old)."""
        for key in list(self.store.objects):
            position = parse_object_key(key)
            if position is not None and self._is_orphan(key, position):
                self.note("orphan collected")
                self.store.delete(key)

    def _is_orphan(self, key: str, position: ChainPosition) -> bool:
        manifests = {each.start: each for each in self.chains.of(position.kind, position.partition)}
        if Guard.EXACT_COLLECTION not in self.without:
            return is_orphan(key, manifests)
        named = any(file.key == key for manifest in manifests.values() for file in manifest.files)
        return not named and self.now_ms - self._built_ms[key] > DAY_MS

    def _damage(self) -> None:
        """A staged file comes back torn, or the warehouse refuses a value in it."""
        loaded = self.warehouse.ledger
        keys = [key for key in self.store.objects if key.startswith("staged/") and file_id(key) not in loaded]
        if not keys:
            return
        key = self.rng.choice(keys)
        if self.rng.random() < self.settings.torn:
            self.store.torn.add(key)
        else:
            self.warehouse.poisoned.add(file_id(key))

    def _repair(self) -> None:
        """One file that was set aside is put right and released, whatever was loaded meanwhile."""
        errors = self.warehouse.errors
        if errors:
            self._release(self.rng.choice(sorted(errors)))

    def _release(self, identifier: int) -> None:
        self.note("file released")
        self.store.torn.discard(self.warehouse.errors[identifier].key)
        self.warehouse.poisoned.discard(identifier)
        self.warehouse.released.add(identifier)

    def _suppress(self) -> None:
        if len(self.warehouse.suppressed) < self.settings.suppressions:
            self.note("subject suppressed")
            self.warehouse.suppressed.add(("user", f"e{self.rng.randrange(self.settings.ids)}"))

    # The loss of the index.

    def _rebuild_index(self) -> None:
        """Owners come to rest, then dedup.index is gone, and one owner of each partition is started to rebuild it."""
        self._end_all()
        for partition in range(_PARTITIONS):
            self.calm = True
            self._finish_owner(partition)
            self.calm = False
            if not self.is_over:
                self.log.truncate((DEDUP_INDEX.name, partition))
                self.oracle.partitions[partition].forget_index()
                self._finish_rebuild(partition)

    def _finish_rebuild(self, partition: int) -> None:
        owner = OwnerActor(self, partition, f"rebuilder of {partition}")
        owner.rebuilds_index = True

        def advance() -> None:
            owner.step()
            self.network.deliver(hurry=True)

        self.until(lambda: owner.settled, advance, "rebuild")
        owner.crash()

    # Healing.

    def heal(self) -> None:
        """Nothing in flight lands any more, everything in flight lands at once, or some: then fresh processes finish."""
        self._end_all()
        self.calm = self.warehouse.calm = True
        for partition in range(_PARTITIONS):
            self._finish_owner(partition)
        for kind in self._kinds:
            for partition in range(_PARTITIONS):
                self._finish_staging(StagerActor(self, kind, partition))
        self._finish_loading()
        if self.settings.days:
            self.days.heal()
        if self.is_over:
            return
        self.check()
        for oracle in self.oracle.partitions:
            oracle.at_rest()
        self.chains.at_rest(self._kinds)
        self._warehouse_oracle.at_rest()

    def _end_all(self) -> None:
        processes: list[OwnerActor | StagerActor | LoaderActor] = [*self.owners, *self.stagers, *self.loaders]
        for process in processes:
            process.crash()
        self.days.end_all()
        while self.rng.random() < 0.7 and not self.network.idle:
            self.network.deliver(hurry=True)
            self.check()
        self.network.lose_all()
        while self.rng.random() < 0.7 and self.store.pending:
            self.store.land_one()
            self.check()
        self.store.lose_all()
        while self.warehouse.outlived:
            self.warehouse.notice_one()
            self.check()

    def _finish_owner(self, partition: int) -> None:
        owner = OwnerActor(self, partition, f"last owner of {partition}")
        self._rules = _NEW_RULES

        def advance() -> None:
            if owner.machine is None:
                owner.start(self.rules_of(partition))
            owner.advance()
            self.network.deliver(hurry=True)

        self.until(lambda: owner.settled, advance, "dedup")
        owner.crash()

    def _finish_staging(self, stager: StagerActor) -> None:
        self.until(lambda: stager.settled, stager.advance, "stage")

    def _finish_loading(self) -> None:
        self.store.torn.clear()
        self.warehouse.poisoned.clear()
        self.warehouse.released |= self.warehouse.errors.keys()
        loader = LoaderActor(self, "0")
        self.until(lambda: loader.idle, loader.advance, "load")
        loader.crash()

    def until(self, done: Callable[[], bool], advance: Callable[[], None], what: str) -> None:
        """Advance one process to its end; that it comes to one is an invariant too."""
        for _ in range(5_000):
            if done() or self.is_over:
                return
            advance()
            self.check()
        self.violations.add("P1 progress", f"{what} does not come to an end")
