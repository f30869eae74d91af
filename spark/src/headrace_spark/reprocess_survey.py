"""Finds what a reprocess changes: stored rows, the raw records that they came from, and what these are made into now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, Row, SparkSession

from headrace_core.keys import file_id
from headrace_core.manifest import File
from headrace_core.mapping import MappingSpec
from headrace_core.paths import run_report_key
from headrace_core.pipeline_run import ReprocessParameters
from headrace_runtime.manifest_chain import read_chains
from headrace_runtime.mapping_folder import read_mapping
from headrace_spark.context import Context
from headrace_spark.day_rows import read_files
from headrace_spark.planning import Inputs
from headrace_spark.raw_rows import Rebuilder
from headrace_spark.recomputing import (
    changed_columns,
    changes,
    holdings,
    moved_values,
    rebuilt,
    sample_rows,
    summary,
)
from headrace_spark.reprocess_report import CHANGED, Found, ReprocessReport, report_of
from headrace_spark.reprocessing import Move, Selection, select_files
from headrace_spark.transforms.rows import lake_schema
from headrace_spark.warehouse_ledger import loaded_files

__all__ = ["Survey", "changes_prefix", "read_specs", "survey"]

_LOOKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Survey:
    """``address`` is the folder of what was written, ``moves`` are the changed rows in it; the report is for people."""

    report: ReprocessReport
    moves: tuple[Move, ...]
    address: str

    def changed(self, session: SparkSession) -> DataFrame:
        """The rows that change, as they become."""
        written = session.read.parquet(self.address)
        return written.where(written["status"] == CHANGED)


def changes_prefix(context: Context) -> str:
    """Where the changed rows of an attempt lie until it ends."""
    return run_report_key(context.attempt.run, context.attempt.attempt, "changes/")


def read_specs(folder: Path | None) -> list[MappingSpec]:
    """The mappings of the installation. BadData where a file is none: rows would be refused for it."""
    if folder is None:
        return []
    return [read_mapping(path).spec for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))]


async def survey(context: Context, inputs: Inputs, days: Sequence[str], asked: ReprocessParameters) -> Survey:
    """Look at the rows of these days. Writes the changed ones under `changes_prefix`, and values that are too long for a
    row under their keys. Raises BadData for torn objects, Unavailable where the store or the warehouse is away."""
    return await _Surveyor(context, inputs, days, asked).survey()


class _Surveyor:
    def __init__(
        self, context: Context, inputs: Inputs, days: Sequence[str], asked: ReprocessParameters
    ) -> None:
        self._context = context
        self._asked = asked
        self._days = tuple(days)
        self._files = context.lake_files()
        self._address = self._files.address(changes_prefix(context))
        states = map(inputs.state, days)
        generations = [state.generation for state in states if state.generation is not None]
        self._contained = frozenset(key for generation in generations for key in generation.contains)
        self._keys = [file.key for generation in generations for file in generation.files("events")]

    async def survey(self) -> Survey:
        """See `survey`."""
        context, stage = self._context, self._context.progress.stage
        loaded = await loaded_files(context.settings.warehouse_dsn.get_secret_value(), self._contained)
        selection = select_files(self._contained, loaded, now_us=context.clock.now_ms() * 1_000)
        with stage("look at rows"):
            held = await context.spark.run(
                lambda session: holdings(self._stored(session), selection.received_from_us)
            )
        with stage("read manifests"):
            objects = await self._raw_objects(_spans(held, selection))
        with stage("make rows anew"):
            found = await self._compare(selection, objects)
        report = report_of(found, self._days, selection, map(Row.asDict, held), raw_objects=len(objects))
        keys = {file_id(key): key for key in self._contained}
        moves = [_move(row, keys) for row in found.groups if row["status"] == CHANGED]
        return Survey(report, tuple(moves), self._address)

    def _stored(self, session: SparkSession) -> DataFrame:
        return read_files(session, self._keys, lake_schema(), self._files.address)

    async def _compare(self, selection: Selection, objects: Mapping[str, File]) -> Found:
        rebuilder = self._rebuilder(objects)
        addresses = [self._files.address(key) for key in sorted(objects)]

        def differing(session: SparkSession) -> DataFrame:
            return changes(self._stored(session), rebuilt(session, addresses, rebuilder), selection)

        frame = await self._context.spark.run(differing)
        if not await self._files.put(changes_prefix(self._context), frame):
            return Found()
        groups = await self._context.spark.run(lambda session: summary(self._written(session)))
        if any(row["moved"] for row in groups):
            await self._keep_moved()
        return await self._context.spark.run(lambda session: self._found(session, groups))

    def _rebuilder(self, objects: Mapping[str, File]) -> Rebuilder:
        digests = {key: file.sha256 for key, file in objects.items()}
        specs = read_specs(self._context.settings.mappings_dir)
        return Rebuilder(digests, specs, self._asked.mappings, self._files.address(""))

    def _written(self, session: SparkSession) -> DataFrame:
        return session.read.parquet(self._address)

    def _found(self, session: SparkSession, groups: list[Row]) -> Found:
        written = self._written(session)
        samples = sample_rows(written, self._asked.samples) if self._asked.samples else []
        return Found(
            [row.asDict() for row in groups],
            changed_columns(written),
            [row.asDict() for row in samples],
        )

    async def _keep_moved(self) -> None:
        """Their names are digests of what they hold: a second write changes nothing."""
        values = await self._context.spark.run(lambda session: moved_values(self._written(session)))
        while pair := await self._context.spark.run(lambda _: next(values, None)):
            await self._context.store.put_if_absent(
                pair[0], pair[1], deadline_s=self._context.settings.store_deadline_s
            )

    async def _raw_objects(self, spans: Mapping[int, Sequence[tuple[int, int]]]) -> dict[str, File]:
        """The raw objects, by key, in which records of these offsets may lie, and that are still there."""
        settings, store = self._context.settings, self._context.store
        deadline_s = settings.store_deadline_s
        chains = await read_chains(store, "raw", settings.partitions, deadline_s=deadline_s)
        wanted = [
            file
            for partition, chain in chains.items()
            for manifest in chain
            if _overlaps(manifest.start, manifest.end, spans.get(partition, ()))
            for file in manifest.files
        ]
        looks = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def is_there(file: File) -> bool:
            async with looks:
                return await store.exists(file.key, deadline_s=deadline_s)

        there = await asyncio.gather(*map(is_there, wanted))
        return {file.key: file for file, found in zip(wanted, there, strict=True) if found}


def _spans(held: Iterable[Row], selection: Selection) -> dict[int, list[tuple[int, int]]]:
    """Per partition the offsets, both ends included, that rows to be made anew lie between."""
    ids = {file_id(key) for key in selection.files}
    spans: dict[int, list[tuple[int, int]]] = {}
    for row in held:
        if row["file_id"] in ids and row["low"] is not None:
            spans.setdefault(row["src_partition"], []).append((row["low"], row["high"]))
    return spans


def _overlaps(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(low < end and high >= start for low, high in spans)


def _move(row: Mapping[str, object], keys: Mapping[int, str]) -> Move:
    return Move(
        str(row["from_day"]), str(row["to_day"]), keys[int(str(row["file_id"]))], int(str(row["rows"]))
    )
