"""``headrace identity sync``: what a customer mapping says, as edges in identity.edges.

At least once: the watermark moves only behind edges that are acknowledged, and a row that is read again makes the same edge.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from headrace_cli.identity_rows import REQUIRED_COLUMNS, RowRefused, edge_of_row, micros
from headrace_cli.identity_watermark import (
    SyncState,
    Watermark,
    decode_state,
    encode_state,
    query_digest,
    watermark_of,
)
from headrace_cli.mapping_table import MappingTable, Row
from headrace_core.clock import Clock, SystemClock
from headrace_core.errors import ConfigurationError, UsageError
from headrace_core.identity import Edge, edge_key, encode_edge
from headrace_core.paths import sync_key
from headrace_core.topics import IDENTITY_EDGES
from headrace_runtime.edge_log import EDGES
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogWriter
from headrace_runtime.ports_log import Batch, LogWriter
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import KafkaSettings, StoreSettings, load_settings

__all__ = ["SyncOptions", "SyncPorts", "SyncResult", "connected", "sync"]

_DEADLINE_S = 30.0
_EXAMPLES = 5
_COMPARED_IDS = 200_000


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What to read, and as whose word. ``overlap`` is seconds of a time column, units of a number."""

    table: MappingTable
    source: str
    overlap: float = 900.0
    full: bool = False
    dry_run: bool = False


class _SyncSettings(KafkaSettings, StoreSettings):
    """Where edges and watermark go."""


@dataclass(frozen=True, slots=True)
class SyncPorts:
    """The log and the store, started, and which log it is."""

    writer: LogWriter
    store: ObjectStore
    cluster_id: str
    topic_id: str
    clock: Clock


class SyncResult(msgspec.Struct, kw_only=True):
    """What a sync did. ``passed_over`` are rows whose ids stand for nobody, ``refused`` rows that are wrong, by column."""

    source: str
    dry_run: bool
    began: str = "at the beginning"
    rows: int = 0
    asserted: int = 0
    retracted: int = 0
    passed_over: int = 0
    refused: dict[str, int] = {}
    examples: list[str] = []
    """Of edges in a dry run, else of rows that made none."""
    chained: int = 0
    """Customers that are user ids of the mapping too, which lead on: wanted, or two namespaces that are one by accident."""
    watermark: str | None = None


@dataclass(slots=True)
class _Tally:
    """Counts rows and turns them into edges."""

    source: str
    column: str | None
    now_us: int
    result: SyncResult
    _refused: Counter[str] = field(default_factory=Counter)
    _aliases: set[str] = field(default_factory=set)
    _customers: set[str] = field(default_factory=set)

    def edges(self, rows: Sequence[Row]) -> list[Edge]:
        """The edges of a batch."""
        found = []
        for row in rows:
            at = micros(row.get(self.column)) if self.column else None
            try:
                found.append(
                    edge_of_row(row, source=self.source, valid_from=self.now_us if at is None else at)
                )
            except RowRefused as refused:
                self._refuse(row, refused)
        self._count(found)
        self.result.rows += len(rows)
        return found

    def _refuse(self, row: Row, refused: RowRefused) -> None:
        if refused.flaw == "nobody":
            self.result.passed_over += 1
        else:
            self._refused[refused.flaw] += 1
            self.result.refused = dict(self._refused)
        if len(self.result.examples) < _EXAMPLES and not self.result.dry_run:
            self.result.examples.append(f"{row.get('kind')} {row.get('alias')!r}: {refused}")

    def _count(self, edges: Sequence[Edge]) -> None:
        retracted = sum(edge.op == "retract" for edge in edges)
        self.result.retracted += retracted
        self.result.asserted += len(edges) - retracted
        if self.result.dry_run:
            left = _EXAMPLES - len(self.result.examples)
            self.result.examples += [encode_edge(edge).decode() for edge in edges[:left]]
        if len(self._aliases) < _COMPARED_IDS:
            self._aliases.update(edge.alias for edge in edges if edge.kind == "user")
            self._customers.update(edge.customer_id for edge in edges)
            self.result.chained = len(self._aliases & self._customers)


async def sync(options: SyncOptions, ports: SyncPorts, on_rows: Callable[[int], None]) -> SyncResult:
    """Read the table from where the last sync ended; ``on_rows`` hears of each batch.

    The watermark stays where it was from the first refused row on, so that the row is seen again until it is put right.
    """
    table, result = options.table, SyncResult(source=options.source, dry_run=options.dry_run)
    known = await _begin(options, ports, result)
    bound = None if known is None else known.bound(options.overlap)
    tally = _Tally(options.source, table.column, ports.clock.now_ms() * 1000, result)
    async with aclosing(table.batches(bound)) as batches:
        async for rows in batches:
            _check_columns(rows[0], table.column)
            await _write(options, ports, tally.edges(rows))
            reached = _reached(rows, table.column)
            if reached is not None and not result.refused:
                known = reached
                await _remember(options, ports, known)
            on_rows(len(rows))
    result.watermark = None if known is None else known.value
    return result


async def _begin(options: SyncOptions, ports: SyncPorts, result: SyncResult) -> Watermark | None:
    """The watermark to read on from, if there is one that means something."""
    column = options.table.column
    if column is None or options.full:
        return None
    try:
        state = decode_state(await ports.store.get(sync_key(options.source), deadline_s=_DEADLINE_S))
    except ObjectNotFound:
        return None
    if state is None:
        result.began = "at the beginning: what was remembered cannot be read"
        return None
    why = state.distrust(
        cluster_id=ports.cluster_id, topic_id=ports.topic_id, query=options.table.query, column=column
    )
    if why:
        result.began = f"at the beginning: {why}"
        return None
    result.began = f"at {state.watermark.value}"
    return state.watermark


async def _write(options: SyncOptions, ports: SyncPorts, edges: Sequence[Edge]) -> None:
    if edges and not options.dry_run:
        batch = Batch([*map(edge_key, edges)], [*map(encode_edge, edges)])
        await ports.writer.append_all(EDGES, batch, deadline_s=_DEADLINE_S)


def _reached(rows: Sequence[Row], column: str | None) -> Watermark | None:
    """The watermark of a batch in order: its last value, wherever the database puts rows without one."""
    values = (row[column] for row in reversed(rows)) if column else ()
    return watermark_of(next((value for value in values if value is not None), None))


async def _remember(options: SyncOptions, ports: SyncPorts, watermark: Watermark) -> None:
    if options.dry_run or options.table.column is None:
        return
    state = SyncState(
        cluster_id=ports.cluster_id,
        topic_id=ports.topic_id,
        query=query_digest(options.table.query),
        column=options.table.column,
        watermark=watermark,
        synced_ms=ports.clock.now_ms(),
    )
    await ports.store.put(sync_key(options.source), encode_state(state), deadline_s=_DEADLINE_S)


def _check_columns(row: Row, column: str | None) -> None:
    wanted = REQUIRED_COLUMNS if column is None else (*REQUIRED_COLUMNS, column)
    missing = [name for name in wanted if name not in row]
    if missing:
        raise UsageError(
            f"The query gives no column {', '.join(missing)}.",
            why=f"It gives {', '.join(row)}.",
            fix="Name the columns in the query: SELECT 'user' AS kind, id AS alias, customer AS customer_id, …",
            code="mapping_columns",
        )


@asynccontextmanager
async def connected() -> AsyncIterator[SyncPorts]:
    """Log and store as the environment names them. ConfigurationError where the topic is missing."""
    settings = load_settings(_SyncSettings, os.environ)
    connection = KafkaConnection.from_settings(settings, client_id="headrace-identity")
    admin, writer = KafkaLogAdmin(connection), KafkaLogWriter(connection)
    await admin.start(deadline_s=_DEADLINE_S)
    try:
        found = await admin.describe([IDENTITY_EDGES.name], deadline_s=_DEADLINE_S)
        cluster_id = await admin.cluster_id(deadline_s=_DEADLINE_S)
    finally:
        await admin.stop()
    if IDENTITY_EDGES.name not in found:
        raise ConfigurationError(
            f"Topic {IDENTITY_EDGES.name} is missing.",
            fix="Create the topics (`headrace topics create`).",
            code="topic_missing",
        )
    await writer.start(deadline_s=_DEADLINE_S)
    try:
        yield SyncPorts(
            writer,
            S3ObjectStore.from_settings(settings),
            cluster_id,
            found[IDENTITY_EDGES.name].topic_id,
            SystemClock(),
        )
    finally:
        await writer.stop()
