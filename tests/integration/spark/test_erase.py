"""Erasure over real raw archives, Spark, S3 and PostgreSQL (rules E1 to E5)."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession
from tests.support.day_world import DEADLINE_S, Row, new_bucket
from tests.support.job_context import context_of
from tests.support.raw_world import RawWorld

from headrace_core.errors import RetryLater
from headrace_core.identity import Edge, EdgeRecord, edge_record
from headrace_core.lake import DayInput, Plan, PlanId
from headrace_core.paths import erasure_key
from headrace_core.pipeline_run import EraseParameters, ExportParameters, Interval, RunSpec
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.erasure_evidence import Evidence, decode_evidence
from headrace_spark.jobs import export
from headrace_spark.jobs.erase import erase_request
from headrace_spark.jobs.reprocess import reprocess
from headrace_spark.outcome import Attempt, JobOutcome, succeeded
from headrace_spark.settings import SparkSettings

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(3_600)]

_PEOPLE = int(os.environ.get("HEADRACE_ERASE_PEOPLE", "100"))
"""A campaign sets 10,000; of every hundred one in ten asks to be forgotten, of 10,000 a hundred."""
_GONE = max(10, _PEOPLE // 100)
_DAYS = 3
_MARK = "gone-"
_MAPPING = {
    "name": "visits",
    "version": 1,
    "source": "shop",
    "id": "{visit}",
    "time": {"field": "at", "format": "iso"},
    "fields": {"revenue": "net", "user_id": "customer", "anonymous_id": "device"},
    "constants": {"event_name": "Visit", "currency": "EUR"},
}


@dataclass
class _Tombstones:
    """The log of edges that a test sets takes tombstones as the real one does."""

    world: RawWorld

    async def erase(self, keys: Sequence[bytes]) -> None:
        snapshot = self.world.edges.snapshot
        added = [EdgeRecord(snapshot.offset + at, key, None) for at, key in enumerate(keys)]
        self.world.edges.snapshot = EdgeSnapshot((*snapshot.records, *added), snapshot.offset + len(added))


@dataclass
class _People:
    """Visits of many people on three days, some of them known by their device alone."""

    world: RawWorld
    days: list[str]

    async def erase(self, attempt: int, *, dry_run: bool = False) -> JobOutcome:
        spec = RunSpec(job="erase", erase=EraseParameters(request="r-1"), dry_run=dry_run)
        context = context_of(self.world, "erase", "dry" if dry_run else "erase-1", dry_run=dry_run)
        context.attempt = Attempt(context.attempt.run, attempt, "erase", dry_run, context.attempt.started_ms)
        return await erase_request(context, spec, self.world.job_of(), _Tombstones(self.world))

    async def end(self, run: str) -> None:
        """Let a run have reached its end."""
        context = context_of(self.world, "daily", run)
        await self.world.lake.store_result(
            succeeded(context.attempt, JobOutcome(), (), ended_ms=self.world.clock.now_ms())
        )

    async def others(self) -> dict[str, list[Row]]:
        """The rows of those who stay."""
        return {
            day: [row for row in await self.world.table(day) if _MARK not in str(row)] for day in self.days
        }

    async def evidence(self) -> Evidence:
        content = await self.world.store.get(erasure_key("r-1"), deadline_s=DEADLINE_S)
        assert _MARK.encode() not in content
        return decode_evidence(content)

    async def traces(self) -> list[str]:
        """Objects and tables in which a subject is still found; the copies that expire are left out."""
        found = []
        for prefix in ("lake/", "exports/", "overflow/"):
            for key in await self.world.keys(prefix):
                content = await self.world.store.get(key, deadline_s=DEADLINE_S)
                if key.endswith(".parquet"):
                    content = str(pq.read_table(io.BytesIO(content)).to_pydict()).encode()
                found += [key] if _MARK.encode() in content else []
        return found + self._tables()

    def _tables(self) -> list[str]:
        with psycopg.connect(self.world.settings.warehouse_dsn.get_secret_value()) as connection:
            tables = connection.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'analytics'"
            ).fetchall()
            return [
                name
                for (name,) in tables
                if connection.execute(
                    f"SELECT 1 FROM {name} t WHERE t::text LIKE '%{_MARK}%' LIMIT 1"
                ).fetchone()
            ]


@pytest.fixture
async def people(
    spark_settings: SparkSettings, spark: SparkSession, warehouse_dsn: str, tmp_path: Path
) -> _People:
    own = {
        "s3_bucket": new_bucket(spark_settings),
        "warehouse_dsn": SecretStr(warehouse_dsn),
        "mappings_dir": tmp_path,
    }
    world = RawWorld(spark_settings.model_copy(update=own), spark)
    world.deploy(_MAPPING)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=5)
    days = [noon + timedelta(days=number) for number in range(_DAYS)]
    received_ms = int((days[-1] + timedelta(days=1)).timestamp()) * 1_000
    edges: list[EdgeRecord] = []
    for at, day in enumerate(days):
        rows = [_visit(person, day, at) for person in range(_PEOPLE)]
        await world.load(await world.send(rows, "visits@1", received_ms=received_ms))
    for person in range(_PEOPLE):
        edges.append(_edge(person, len(edges)))
    world.edges.snapshot = EdgeSnapshot(tuple(edges), len(edges))
    people = _People(world, [str(day.date()) for day in days])
    await world.settle(*people.days)
    with psycopg.connect(warehouse_dsn) as connection:
        for person in range(_GONE):
            connection.execute(
                "INSERT INTO ops.erasure_requests (id, subject_kind, subject_value, requested_ts, state)"
                " VALUES ('r-1', 'user', %s, now(), 'open')",
                [_name(person)],
            )
    return people


def _name(person: int) -> str:
    return f"{_MARK if person < _GONE else 'stay-'}{person:05d}"


def _visit(person: int, day: datetime, at: int) -> dict[str, str]:
    """On the last day people are known by their device, which an edge ties to them."""
    name = _name(person)
    who = {"device": f"{name}-device"} if at == _DAYS - 1 else {"customer": name}
    row = {"visit": f"{name}-{at}", "at": (day + timedelta(seconds=person)).isoformat(), "net": "1.00", **who}
    return {**row, "note": "x" * 70_000} if person == 0 and at == 0 else row


def _edge(person: int, offset: int) -> EdgeRecord:
    name = _name(person)
    edge = Edge(
        kind="anonymous",
        alias=f"{name}-device",
        customer_id=name,
        op="assert",
        source="crm",
        confidence=1.0,
        valid_from=0,
    )
    return edge_record(offset, edge)


async def test_nothing_of_those_who_asked_is_left(people: _People) -> None:
    world = people.world
    await _export(people)
    before = await people.others()
    assert sum(map(len, before.values())) == (_PEOPLE - _GONE) * _DAYS
    assert len(await people.traces()) > _DAYS
    dry = await people.erase(1, dry_run=True)
    assert (dry.counts["days_to_rewrite"], dry.counts["users"], dry.counts["anonymous"]) == (3, _GONE, _GONE)
    unplanned = str((datetime.now(UTC) - timedelta(days=20)).date())
    await world.job().lake.store_plan(_plan(world, unplanned), EdgeSnapshot())

    # Runs that planned before may still swap: their days are swapped, and the evidence stays open.
    with pytest.raises(RetryLater, match="waits for"):
        await people.erase(1)
    assert (await people.evidence()).state == "open"
    current = await world.lake.read_day(unplanned)
    assert current.generation is not None
    assert (current.generation.tables, current.generation.contains) == ({}, ())
    for run in ("daily-1", "hung"):
        await people.end(run)

    outcome = await people.erase(2)
    assert await people.traces() == []
    assert await people.others() == before
    evidence = await people.evidence()
    assert (evidence.state, evidence.deleted["events"]) == ("closed", _GONE * _DAYS)
    assert evidence.days_rewritten == tuple(people.days)
    assert evidence.extracts == ("exports/user_day/run=extract/attempt=1/",)
    assert (evidence.deleted["overflow"], evidence.deleted["edges"]) == (1, _GONE)
    assert outcome.counts["events_deleted"] == _GONE * _DAYS

    # What is still staged and archived comes back by no job.
    await world.settle(*people.days)
    spec = RunSpec(job="reprocess", interval=Interval(start=people.days[0], end=_day_after(people.days[-1])))
    await reprocess(context_of(world, "reprocess", "after"), spec, world.job_of)
    assert await people.traces() == []
    assert await people.others() == before


async def _export(people: _People) -> None:
    spec = RunSpec(job="export", date=people.days[0], export=ExportParameters(table="user_day"))
    await export.run(context_of(people.world, "export", "extract"), spec)


def _plan(world: RawWorld, day: str) -> Plan:
    """Of a run that planned a day without a generation, and has not ended."""
    now_ms = world.clock.now_ms()
    return Plan(
        id=PlanId(run="hung", attempt=1, plan=1),
        job="daily",
        day=DayInput(event_date=day),
        made_ms=now_ms,
        ends_by_ms=now_ms + 600_000,
    )


def _day_after(day: str) -> str:
    return str((datetime.fromisoformat(day) + timedelta(days=1)).date())
