"""Job ``erase``: takes the subjects of a request out of warehouse, lake and extracts, and leaves evidence (rules E1 to E5).

The subjects are those of the request and all who were suppressed before, with everything that identity leads to from them.
So a later edge to a suppressed customer extends it in the next run, of whichever request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from headrace_core.errors import RetryLater
from headrace_core.identity import resolve
from headrace_core.paths import erasure_key
from headrace_core.pipeline_run import DayResult, RunSpec
from headrace_runtime.errors_store import ObjectNotFound
from headrace_spark.context import Context
from headrace_spark.day_job import day_job
from headrace_spark.edge_tombstones import EdgeEraser, LogEdgeEraser, keys_about
from headrace_spark.erase_cleanup import find_extracts
from headrace_spark.erase_engine import EdgesOfOthers, EraseEngine
from headrace_spark.erasing import expand
from headrace_spark.erasing_run import EraseJob, erase, runs_to_wait_for
from headrace_spark.erasure_evidence import (
    Evidence,
    begun,
    closed,
    decode_evidence,
    encode_evidence,
    found,
    is_swapped,
    settled,
    sizes,
    swapped,
)
from headrace_spark.lake_orphans import find_orphans
from headrace_spark.outcome import JobOutcome
from headrace_spark.ports import Suppressions
from headrace_spark.settling import DayJob, RunIdentity
from headrace_spark.spark_engine import SparkEngine
from headrace_spark.store_records import StoreRecords
from headrace_spark.subject_rows import SparkSubjectRows
from headrace_spark.warehouse_subjects import PostgresSubjects

__all__ = ["erase_request", "run"]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """Carry out the request that the spec names. RetryLater (75) while runs that planned before it may still swap."""
    job = day_job(
        context.settings, context.store, context.clock, context.spark, context.progress, quality="off"
    )
    return await erase_request(context, spec, job, LogEdgeEraser(context.settings))


async def erase_request(context: Context, spec: RunSpec, job: DayJob, edges: EdgeEraser) -> JobOutcome:
    """As `run`, over given ports."""
    assert spec.erase is not None, "the spec was checked"
    return await _Erasure(context, spec.erase.request, job, edges).carry_out(dry_run=spec.dry_run)


class _Erasure:
    def __init__(self, context: Context, request: str, job: DayJob, edges: EdgeEraser) -> None:
        self._context = context
        self._request = request
        self._job = job
        self._edges = edges
        self._deadline_s = context.settings.store_deadline_s
        self._warehouse = PostgresSubjects(context.settings.warehouse_dsn.get_secret_value())
        self._records = StoreRecords(context.store, deadline_s=self._deadline_s)
        self._rows = SparkSubjectRows(context.spark, context.lake_files())

    async def carry_out(self, *, dry_run: bool) -> JobOutcome:
        """See `run`."""
        requested = await self._warehouse.request(self._request)
        snapshot = await self._job.edges.read()
        asked = _union(requested, await self._job.warehouse.suppressed())
        subjects = expand(asked, resolve(snapshot.records))
        if dry_run:
            return await self._look(subjects)
        # Whoever plans from now on reads the list; what rows name has to be known before they go.
        await self._warehouse.suppress(subjects)
        evidence, days = await self._read(), tuple[DayResult, ...]()
        if not is_swapped(evidence, subjects):
            evidence, days = await self._swap(evidence, subjects)
        evidence = await self._forget_edges(evidence, keys_about(snapshot, subjects))
        await self._wait(evidence)
        evidence = await self._close(evidence, subjects)
        return JobOutcome(days, _counts(evidence), (erasure_key(self._request),))

    def _identity(self) -> RunIdentity:
        attempt = self._context.attempt
        return RunIdentity("erase", attempt.run, attempt.attempt, self._context.ends_by_ms)

    def _erase_job(self, subjects: Suppressions) -> EraseJob:
        engine = self._job.engine
        assert isinstance(engine, SparkEngine)
        days = replace(
            self._job, engine=EraseEngine(engine, self._rows), edges=EdgesOfOthers(self._job.edges, subjects)
        )
        return EraseJob(days, self._records, self._rows, self._warehouse)

    async def _look(self, subjects: Suppressions) -> JobOutcome:
        """What a run would do, in counts."""
        results = []
        for day in await self._records.days():
            generation = (await self._records.state(day)).generation
            holding = (
                frozenset[str]() if generation is None else await self._rows.holding(generation, subjects)
            )
            results.append(
                DayResult(event_date=day, outcome="planned", counts={"files_to_rewrite": len(holding)})
            )
        rewritten = sum(result.counts["files_to_rewrite"] > 0 for result in results)
        return JobOutcome(
            tuple(results), {"days": len(results), "days_to_rewrite": rewritten, **sizes(subjects)}
        )

    async def _read(self) -> Evidence:
        """The evidence that attempts before this one left."""
        try:
            return decode_evidence(
                await self._context.store.get(erasure_key(self._request), deadline_s=self._deadline_s)
            )
        except ObjectNotFound:
            return Evidence(request=self._request, opened_ms=self._context.clock.now_ms())

    async def _swap(
        self, evidence: Evidence, subjects: Suppressions
    ) -> tuple[Evidence, tuple[DayResult, ...]]:
        """Rows go from the warehouse and from every day. What there is to delete is on record before it goes."""
        evidence = await self._begin(evidence, subjects)
        erased = await erase(self._erase_job(subjects), self._identity(), subjects)
        for day in erased.days:
            self._context.finish_day(day)
        evidence = swapped(
            settled(evidence, erased.deleted),
            subjects,
            run=self._context.attempt.run,
            days={day.event_date for day in erased.days},
            rewritten={day.event_date for day in erased.days if day.counts.get("files_rewritten")},
            planned_before=erased.planned_before,
            now_ms=self._context.clock.now_ms(),
        )
        return await self._store(evidence), erased.days

    async def _begin(self, evidence: Evidence, subjects: Suppressions) -> Evidence:
        """Evidence with what there is to delete, and the overflow objects that rows of the subjects name."""
        holding: dict[str, frozenset[str]] = {}
        with self._context.progress.stage("look for rows"):
            for day in await self._records.days():
                generation = (await self._records.state(day)).generation
                if generation is not None:
                    holding[day] = await self._rows.holding(generation, subjects)
            keys = frozenset[str]().union(*holding.values())
            named = await self._rows.overflow_of(keys, subjects)
        days = {day for day, files in holding.items() if files}
        evidence = begun(found(evidence, await self._warehouse.count()), holding=days, overflow=named)
        return await self._store(evidence)

    async def _forget_edges(self, evidence: Evidence, keys: Sequence[bytes]) -> Evidence:
        evidence = await self._store(found(evidence, {"edges": len(keys)}))
        await self._edges.erase(keys)
        return await self._store(settled(evidence, {"edges": len(keys)}))

    async def _wait(self, evidence: Evidence) -> None:
        """RetryLater while attempts may swap that had planned before the last swap."""
        now_ms = self._context.clock.now_ms()
        waiting = await runs_to_wait_for(
            self._records, frozenset(evidence.waits_for), own_run=evidence.swapped_by, now_ms=now_ms
        )
        if waiting:
            last = waiting[-1]
            until = datetime.fromtimestamp(last.may_swap_until_ms / 1000, UTC).isoformat(timespec="seconds")
            raise RetryLater(
                f"The erasure {self._request} waits for {len(waiting)} attempts of other runs.",
                why=f"Attempt {last.attempt} of {last.run} planned before the last day was swapped, and may still"
                f" write until {until}; no other may for longer.",
                fix=f"Run the job again after {until}. To have it sooner, cancel that run and wait for its end.",
                code="erasure_waits",
            )

    async def _close(self, evidence: Evidence, subjects: Suppressions) -> Evidence:
        """Delete what was replaced, then close. What goes is on record before it goes."""
        store, deadline_s = self._context.store, self._deadline_s
        with self._context.progress.stage("delete"):
            ended, run = frozenset(evidence.waits_for), evidence.swapped_by
            orphans = await find_orphans(store, self._records, ended, run=run, deadline_s=deadline_s)
            overflow = await self._unnamed(evidence.overflow)
            extracts = await find_extracts(
                store, self._rows, subjects, begun=evidence.extracts, deadline_s=deadline_s
            )
            counts = {"overflow": len(overflow), "files": len(orphans.doomed)}
            evidence = msgspec.structs.replace(found(evidence, counts), extracts=tuple(sorted(extracts)))
            await self._store(evidence)
            of_extracts = [key for keys in extracts.values() for key in keys]
            await store.delete([*overflow, *orphans.doomed, *of_extracts], deadline_s=deadline_s)
        evidence = closed(settled(evidence, counts), now_ms=self._context.clock.now_ms())
        await self._store(evidence)
        await self._warehouse.close(self._request, erasure_key(self._request))
        return evidence

    async def _unnamed(self, candidates: Sequence[str]) -> list[str]:
        """Of overflow objects those that no row of a current generation names."""
        if not candidates:
            return []
        keys: list[str] = []
        for day in await self._records.days():
            generation = (await self._records.state(day)).generation
            keys += [] if generation is None else [file.key for file in generation.files("events")]
        return sorted(set(candidates) - await self._rows.overflow_of(keys, None))

    async def _store(self, evidence: Evidence) -> Evidence:
        key = erasure_key(self._request)
        await self._context.store.put(key, encode_evidence(evidence), deadline_s=self._deadline_s)
        return evidence


def _union(left: Suppressions, right: Suppressions) -> Suppressions:
    return Suppressions(
        left.users | right.users, left.anonymous | right.anonymous, left.customers | right.customers
    )


def _counts(evidence: Evidence) -> dict[str, int]:
    return {
        **{f"{name}_deleted": count for name, count in evidence.deleted.items()},
        "extracts_deleted": len(evidence.extracts),
        "days_rewritten": len(evidence.days_rewritten),
        "days_repointed": evidence.days_repointed,
    }
