"""The worker of the roles `stage` and `archive`: owns partitions, fetches for them, bounds memory, tells its health.

One loop fetches for all partitions; each partition has a task that builds and stores. The group only shares out work:
two workers that both believe to own a partition race for manifests, and the loser reads the chain again (S2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from headrace_core.errors import ConfigurationError, Unavailable
from headrace_loader.chain import ChainReader
from headrace_loader.log_identity import LogIdentity
from headrace_loader.settings import StageSettings
from headrace_loader.stage_lines import StageLine
from headrace_loader.stage_messages import (
    Announce,
    ChainIdentity,
    Contents,
    Cut,
    CutLimits,
    Fetched,
    Pressure,
    Tick,
)
from headrace_loader.stage_partition import PartitionStage, StageTools
from headrace_loader.staged_notes import StagedNotes
from headrace_loader.stager import Stager
from headrace_runtime.ports_log import GroupCoordination, LogReader, TopicPartition
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.process import Lifecycle

__all__ = ["StageWorker"]

_log = logging.getLogger(__name__)
_LONGEST_FETCH_S = 0.25
_FETCH_RECORDS = 20_000
_SILENT_AFTER_S = 15.0
_STUCK_AFTER_S = 180.0
_HINT_EVERY_S, _HINT_DEADLINE_S = 1.0, 5.0
_LAG_EVERY_S = 5.0
_IDENTITY_EVERY_S = 30.0
_RETRY_S = 1.0
_NO_GENERATION = -1


class StageWorker:
    """Stages the partitions of `lines` that the group gives to this process."""

    def __init__(
        self,
        life: Lifecycle,
        settings: StageSettings,
        lines: Sequence[StageLine],
        *,
        log: LogIdentity,
        identify: Callable[[], Awaitable[LogIdentity]],
        reader: LogReader,
        group: GroupCoordination,
        store: ObjectStore,
        notes: StagedNotes,
    ) -> None:
        self._life, self._settings = life, settings
        self._lines = {line.topic.name: line for line in lines}
        self._log_identity, self._identify = log, identify
        self._reader, self._group = reader, group
        self._store, self._notes = store, notes
        self._partitions: dict[TopicPartition, PartitionStage] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._reading: dict[TopicPartition, int] = {}
        """Positions of the partitions that are assigned to the reader."""
        self._reassign = False
        """Whether the reader still has partitions that were let go."""
        self._unread: set[TopicPartition] = set()
        """New partitions whose chain's end is not known yet."""
        self._hints: dict[TopicPartition, int] = {}
        self._generation = _NO_GENERATION
        self._builds = asyncio.Semaphore(settings.stage_builds)
        self._progress_s = life.clock.monotonic_s()
        self._lags: dict[TopicPartition, int] = {}
        life.health.watch("stage", self._stuck)

    async def run(self) -> None:
        """Work until the process is asked to stop; then cut and store what is held, within half the grace period."""
        async with asyncio.TaskGroup() as tasks:
            chores = (self._notes.run(), self._commit(), self._watch_lag(), self._watch_identity())
            helpers = [tasks.create_task(chore) for chore in chores]
            try:
                while not self._life.stopping.is_set():
                    await self._follow_group(tasks)
                    await self._fetch_once()
                await self._flush()
            finally:
                for task in (*helpers, *self._tasks.values()):
                    task.cancel()

    # Ownership.

    async def _follow_group(self, tasks: asyncio.TaskGroup) -> None:
        """Take over new partitions and let lost ones go. While members are regrouped everything stays as it is: what is
        gathered may still be ours, and if not, its manifest will not be."""
        generation = self._group.generation
        if generation in (self._generation, _NO_GENERATION):
            return
        self._generation = generation
        owned = {tp for tp in self._group.owned if tp.topic in self._lines}
        for tp in self._partitions.keys() - owned:
            self._let_go(tp)
        new = owned - self._partitions.keys()
        hints = await self._committed(new)
        for tp in sorted(new, key=lambda tp: (tp.topic, tp.partition)):
            self._partitions[tp] = stage = self._stage_of(tp, hints.get(tp))
            self._tasks[tp] = tasks.create_task(stage.run())
        self._unread = (self._unread & owned) | new
        self._life.health.up("group")
        _log.info(
            "The partitions of this worker changed.",
            extra={"owned": len(owned), "new": len(new), "generation": generation},
        )

    def _let_go(self, tp: TopicPartition) -> None:
        self._tasks.pop(tp).cancel()
        del self._partitions[tp]
        self._reassign |= self._reading.pop(tp, None) is not None
        self._hints.pop(tp, None)
        self._lags.pop(tp, None)

    async def _committed(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        try:
            return await self._group.committed(partitions, deadline_s=_HINT_DEADLINE_S) if partitions else {}
        except Unavailable:
            return {}

    def _stage_of(self, tp: TopicPartition, hint: int | None) -> PartitionStage:
        line, settings = self._lines[tp.topic], self._settings
        identity = ChainIdentity(
            line.kind,
            tp.partition,
            tp.topic,
            self._log_identity.topic_ids[tp.topic],
            self._log_identity.cluster_id,
        )
        limits = CutLimits(settings.stage_cut_bytes, settings.stage_cut_rows, settings.stage_cut_age_s)
        stager: Stager[Any] = Stager(
            identity,
            line.intake(self._log_identity),
            limits=limits,
            writer=settings.instance,
            nonce=lambda: uuid4().hex[:12],
        )
        chain = ChainReader(self._store, identity, hint=hint, deadline_s=settings.store_deadline_s)
        return PartitionStage(stager, chain, self._tools(tp, line))

    def _tools(self, tp: TopicPartition, line: StageLine) -> StageTools:
        async def build(cut: Cut[Any]) -> Contents:
            async with self._builds:
                with self._life.telemetry.span("stage file", key=cut.key, rows=len(cut.rows)):
                    return await asyncio.to_thread(line.build, cut)

        return StageTools(
            store=self._store,
            clock=self._life.clock,
            store_deadline_s=self._settings.store_deadline_s,
            build=build,
            announce=lambda told: self._announce(tp, told),
            store_state=self._store_state,
            lost_race=lambda: self._life.telemetry.count("headrace_stage_lost_races_total", kind=line.kind),
        )

    # Fetching.

    async def _fetch_once(self) -> None:
        self._assign()
        wait_s = min(_LONGEST_FETCH_S, self._settings.stage_cut_age_s / 4)
        if not self._reading:
            await self._life.sleep(wait_s)
        else:
            await self._fetch(wait_s)
        for stage in self._partitions.values():
            stage.feed(Tick())
        self._relieve()

    async def _fetch(self, wait_s: float) -> None:
        try:
            fetched = await self._reader.fetch(max_wait_s=wait_s, max_records=_FETCH_RECORDS)
        except Unavailable as error:
            self._life.health.down("kafka", error.what)
            _log.warning("The log could not be read.", extra={"what": error.what, "why": error.why})
            await self._life.sleep(_RETRY_S)
            return
        for tp, (records, next_offset) in fetched.items():
            self._progress_s = self._life.clock.monotonic_s()
            start, self._reading[tp] = self._reading[tp], next_offset
            self._partitions[tp].feed(Fetched(start, records, next_offset))
        self._note_kafka()

    def _assign(self) -> None:
        """Bring the reader to what the partitions want: positions after a seek, pauses for those that are full."""
        for tp, stage in self._partitions.items():
            if stage.seek_to is not None:
                self._reading[tp], stage.seek_to, self._reassign = stage.seek_to, None, True
                self._unread.discard(tp)
        self._note_chains()
        if self._reassign:
            self._reader.assign(self._reading)
            self._reassign = False
        within_budget = self.held_bytes < self._settings.stage_budget_bytes
        for tp in self._reading:
            if within_budget and self._partitions[tp].stager.wants_records:
                self._reader.resume(tp)
            else:
                self._reader.pause(tp)

    @property
    def held_bytes(self) -> int:
        """Rows held by all partitions, gathered and under way."""
        return sum(stage.stager.held_bytes for stage in self._partitions.values())

    def _relieve(self) -> None:
        """Past the budget the partition that gathered most cuts early, so that memory comes free."""
        if self.held_bytes < self._settings.stage_budget_bytes:
            return
        idle = [stage for stage in self._partitions.values() if not stage.stager.busy]
        if idle:
            max(idle, key=lambda stage: stage.stager.gathered_bytes).feed(Pressure())

    async def _flush(self) -> None:
        """Cut what is held, so that the next owner need not read it again. Nothing depends on it."""
        for stage in self._partitions.values():
            stage.feed(Pressure())
        deadline_s = self._life.clock.monotonic_s() + self._settings.shutdown_grace_s / 2
        while self._life.clock.monotonic_s() < deadline_s:
            if not any(stage.stager.busy for stage in self._partitions.values()):
                return
            await asyncio.sleep(0.02)

    # Telling.

    def _announce(self, tp: TopicPartition, told: Announce) -> None:
        manifest, telemetry = told.manifest, self._life.telemetry
        kind = manifest.kind
        self._progress_s = self._life.clock.monotonic_s()
        self._hints[tp] = manifest.end
        self._notes.add(manifest, told.repeats)
        telemetry.count("headrace_stage_rows_total", manifest.rows, kind=kind)
        telemetry.count("headrace_stage_repeats_dropped_total", told.repeats, kind=kind)
        telemetry.count("headrace_stage_files_total", len(manifest.files), kind=kind)
        telemetry.count("headrace_stage_bytes_total", sum(file.bytes for file in manifest.files), kind=kind)
        telemetry.observe("headrace_stage_cut_seconds", told.cut_age_s, kind=kind)

    def _store_state(self, error: Unavailable | None) -> None:
        if error is None:
            self._life.health.up("s3")
            return
        self._life.telemetry.count("headrace_dependency_errors_total", dependency="s3")
        self._life.health.down("s3", error.what)
        _log.warning("The object store does not answer.", extra={"what": error.what, "why": error.why})

    def _note_chains(self) -> None:
        if self._unread:
            self._life.health.down("chains", f"The ends of {len(self._unread)} chains are not read yet.")
        else:
            self._life.health.up("chains")

    def _note_kafka(self) -> None:
        silent_s = self._life.clock.monotonic_s() - self._reader.last_success_monotonic
        if silent_s < _SILENT_AFTER_S:
            self._life.health.up("kafka")
        else:
            self._life.health.down("kafka", f"No broker has answered for {silent_s:.0f} s.")

    async def _commit(self) -> None:
        """Commit chain ends as offsets of the group: a hint for the next owner, and the lag that people look at."""
        while True:
            await asyncio.sleep(_HINT_EVERY_S)
            hints, self._hints = self._hints, {}
            if hints and not await self._group.commit(hints, deadline_s=_HINT_DEADLINE_S):
                self._hints = {tp: at for tp, at in hints.items() if tp in self._partitions} | self._hints

    async def _watch_lag(self) -> None:
        while True:
            await asyncio.sleep(_LAG_EVERY_S)
            reading = dict(self._reading)
            try:
                ends = await self._reader.end_offsets(reading, deadline_s=_HINT_DEADLINE_S) if reading else {}
            except Unavailable:
                continue
            self._lags = {tp: end - self._reading.get(tp, end) for tp, end in ends.items()}
            for tp, lag in self._lags.items():
                kind = self._lines[tp.topic].kind
                self._life.telemetry.gauge(
                    "headrace_stage_lag_records", lag, kind=kind, partition=str(tp.partition)
                )

    async def _watch_identity(self) -> None:
        """A topic that is made anew under a running worker has other offsets: stop before they are taken for ours."""
        while True:
            await asyncio.sleep(_IDENTITY_EVERY_S)
            try:
                found = await self._identify()
            except Unavailable:
                continue
            if found != self._log_identity:
                raise ConfigurationError(
                    "A topic or the cluster was made anew under this process.",
                    why=f"It started on {self._log_identity}, which is now {found}.",
                    fix="Follow the runbook for a recreated topic.",
                    code="log_replaced",
                )

    def _stuck(self) -> str | None:
        """Why this worker makes no progress though it could: records wait and both dependencies answer."""
        idle_s = self._life.clock.monotonic_s() - self._progress_s
        waiting = sum(self._lags.values())
        down = [component for component in self._life.health.components if not component.ok]
        if waiting <= 0 or down or idle_s < _STUCK_AFTER_S:
            return None
        return f"{waiting} records wait and none was staged for {idle_s:.0f} s"
