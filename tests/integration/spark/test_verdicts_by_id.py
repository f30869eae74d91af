"""Verdicts sorted by dedup id on real parts: each is found, by one row group of a day, whatever its copies are."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from tests.support.day_world import DEADLINE_S, DayWorld, new_bucket
from tests.support.job_context import context_of

from headrace_core.block import Verdict
from headrace_core.clock import ManualClock, SystemClock
from headrace_core.keys import partition_of
from headrace_core.manifest import Manifest, encode_manifest
from headrace_core.paths import manifest_key, object_key
from headrace_core.pipeline_run import RunSpec
from headrace_core.reasons import Reason
from headrace_loader.archive import build_verdicts
from headrace_loader.intakes import VerdictTuple
from headrace_loader.stage_messages import ChainIdentity, Cut
from headrace_runtime.verdict_lookup import find_verdicts, read_verdict_index
from headrace_spark.jobs import compact
from headrace_spark.settings import SparkSettings

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

_PARTITIONS = 2
_IDS = 140_000
"""More than a row group of them."""
_COPIES = 5_000
"""Of one id: a client that never stops sending it."""


def _id(seed: int, partition: int) -> bytes:
    """The id of a number, of this partition."""
    draw = random.Random(seed)
    while partition_of(found := draw.randbytes(16), _PARTITIONS) != partition:
        pass
    return found


def _rows(ids: Sequence[bytes], start: int, partition: int, clock_ms: int) -> list[VerdictTuple]:
    """A verdict per id: accepted where it is new, else a duplicate or, of every third, quarantined."""
    first: dict[bytes, int] = {}
    rows = []
    for offset, dedup_id in enumerate(ids, start):
        known = first.setdefault(dedup_id, offset)
        verdict = Verdict.ACCEPTED if known == offset else Verdict.DUPLICATE
        reason = Reason.NONE
        if known != offset and offset % 3 == 0:
            verdict, reason = Verdict.QUARANTINED, Reason.ID_CONFLICT
        rows.append(
            VerdictTuple(
                dedup_id.hex(),
                offset,
                verdict,
                reason.number,
                -1 if verdict == Verdict.ACCEPTED else known,
                2**64 - offset - 1,
                clock_ms,
                1,
                partition,
                start,
            )
        )
    return rows


async def _stage(world: DayWorld, rows: list[VerdictTuple], partition: int, start: int) -> None:
    """The rows as the archive role stores them: a file, and its manifest at the chain's end."""
    now_ms, end = world.clock.now_ms(), start + len(rows)
    key = object_key("verdicts", partition, start, end, appended_ms=now_ms, nonce="t")
    identity = ChainIdentity("verdicts", partition, "dedup.index", "t", "c")
    contents = build_verdicts(Cut(identity, start, end, end, rows, 0, now_ms, now_ms, key))
    for name, data in contents.objects:
        await world.store.put(name, data, deadline_s=DEADLINE_S)
    manifest = Manifest(
        kind="verdicts",
        cluster_id="c",
        topic_id="t",
        topic="dedup.index",
        partition=partition,
        start=start,
        end=end,
        max_source_offset=end,
        rows=len(rows),
        files=(contents.file,),
        first_append_ms=now_ms,
        last_append_ms=now_ms,
        schema_version=contents.schema_version,
        writer="test",
        created_ms=now_ms,
    )
    data = encode_manifest(manifest)
    await world.store.put(manifest_key("verdicts", partition, start), data, deadline_s=DEADLINE_S)


def _group_bytes(data: bytes) -> list[int]:
    """What each row group of a file takes."""
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return [
        sum(group.column(at).total_compressed_size for at in range(group.num_columns)) for group in groups
    ]


async def test_every_verdict_is_found_by_one_row_group(
    spark_settings: SparkSettings, spark: SparkSession
) -> None:
    own = {"s3_bucket": new_bucket(spark_settings), "partitions": _PARTITIONS}
    clock = ManualClock(SystemClock().now_ms())
    world = DayWorld(spark_settings.model_copy(update=own), spark, clock=clock)
    day = str(datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date())
    hot = _id(0, 0)
    ids = [_id(number, 0) for number in range(1, _IDS)]
    ids += [hot] * _COPIES + random.Random(7).sample(ids, 10_000)
    others = [_id(number, 1) for number in range(10)]
    rows = _rows(ids, 0, 0, clock.now_ms())
    await _stage(world, rows[:90_000], 0, 0)
    await _stage(world, rows[90_000:], 0, 90_000)
    await _stage(world, _rows(others, 0, 1, clock.now_ms()), 1, 0)
    clock.advance(2 * 86_400)
    done = await compact.run(context_of(world, "compact", "sort"), RunSpec(job="compact"))
    assert [(result.event_date, result.outcome) for result in done.days] == [(day, "swapped")]
    assert done.counts["verdicts"] == len(rows) + 10
    assert (await compact.run(context_of(world, "compact", "again"), RunSpec(job="compact"))).days == ()
    index = await read_verdict_index(world.store, day, deadline_s=DEADLINE_S)
    assert index is not None
    [file] = index.files["0"]
    data = await world.store.get(file.key, deadline_s=DEADLINE_S)
    groups = _group_bytes(data)
    assert len(groups) == 2
    for dedup_id in (hot, *ids[:8], *ids[-8:], *others[:3]):
        found = await find_verdicts(world.store, index, dedup_id, deadline_s=DEADLINE_S)
        partition = partition_of(dedup_id, _PARTITIONS)
        expected = [
            row
            for row in (rows if partition == 0 else _rows(others, 0, 1, 0))
            if row.dedup_id == dedup_id.hex()
        ]
        assert [(each.src_offset, each.first_offset) for each in found.verdicts] == [
            (row.offset, None if row.first_offset < 0 else row.first_offset) for row in expected
        ]
        assert (found.row_groups, found.requests) == (1, 2)
        assert partition == 1 or found.bytes - min(len(data), 64 << 10) in groups
    first, *copies = (await find_verdicts(world.store, index, hot, deadline_s=DEADLINE_S)).verdicts
    assert (first.verdict, first.reason, first.fingerprint) == ("accepted", None, -first.src_offset - 1)
    assert {(each.verdict, each.reason) for each in copies} == {
        ("duplicate", None),
        ("quarantined", "id_conflict"),
    }
    assert {each.decided_ts for each in copies} == {rows[0].clock_ms * 1000}
    unknown = await find_verdicts(world.store, index, _id(10**9, 0), deadline_s=DEADLINE_S)
    assert unknown.verdicts == ()
    assert unknown.row_groups <= 1
