"""The gate of a day's job: what was made is measured, compared with the days before, and reported beside the plan."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.errors import BadData
from headrace_core.lake import Plan
from headrace_core.paths import report_key
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.day_rows import read_files
from headrace_spark.driver import SparkDriver
from headrace_spark.lake_files import LakeFiles
from headrace_spark.lake_store import LakeStore
from headrace_spark.ports import Made
from headrace_spark.quality.file_columns import read_columns
from headrace_spark.quality.gate import Policy, stop_reason
from headrace_spark.quality.history import read_history
from headrace_spark.quality.inspection import Inspection, inspect_day
from headrace_spark.quality.metrics import GivenCounts
from headrace_spark.quality.verdict_chains import VerdictChains
from headrace_spark.transforms.rows import day_start_us, lake_schema

__all__ = ["QualityGate"]

_log = logging.getLogger(__name__)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class QualityGate:
    """`headrace_spark.ports.Gate`. Policy ``off`` measures nothing; the day then is no history for later ones."""

    spark: SparkDriver
    files: LakeFiles
    store: ObjectStore
    lake: LakeStore
    policy: Policy
    partitions: int
    deadline_s: float
    _chains: VerdictChains = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_chains", VerdictChains(self.store, self.partitions))

    async def check(self, plan: Plan, made: Made) -> Collection[str]:
        """See `headrace_spark.ports.Gate`. A plan that took its events over has nothing new to check."""
        if self.policy == "off" or "rows_in" not in made.counts:
            return ()
        inspection = await self._inspect(plan, made)
        reports = await self._store(plan, inspection.files)
        if stop := stop_reason(inspection.report, self.policy):
            raise stop
        return reports

    async def _inspect(self, plan: Plan, made: Made) -> Inspection:
        day = date.fromisoformat(plan.day.event_date)
        history = await read_history(self.store, self.lake, day, deadline_s=self.deadline_s)
        verdicts = await self._verdicts(day)
        given = GivenCounts(
            rows_previous=made.counts["rows_previous"],
            rows_read=made.counts["rows_in"] - made.counts["rows_previous"],
            duplicates=made.counts["rows_removed"],
            suppressed=made.counts["rows_suppressed"],
            records_deduplicated=None if verdicts is None else verdicts["accepted"] + verdicts["duplicate"],
            duplicates_at_dedup=None if verdicts is None else verdicts["duplicate"],
        )
        events = made.tables["events"]
        columns = await read_columns(self.store, events, deadline_s=self.deadline_s)
        return await self.spark.run(
            lambda session: inspect_day(
                read_files(session, [file.key for file in events], lake_schema(), self.files.address),
                day,
                columns=columns,
                given=given,
                history=history,
            )
        )

    async def _verdicts(self, day: date) -> Counter[str] | None:
        """How many raw records dedup decided on the day, by verdict. None where that is not known: no verdicts are archived,
        or retention has deleted some; the report says so."""
        start_us = day_start_us(day)
        keys = await self._chains.keys(start_us // 1000, deadline_s=self.deadline_s)
        if not keys:
            return None
        addresses = [self.files.address(key) for key in keys]
        try:
            return await self.spark.run(lambda session: _counted(session, addresses, start_us))
        except BadData as error:
            _log.warning(
                "The verdicts of a day cannot all be read; its duplicates at dedup are not counted.",
                extra={"day": str(day), "error": str(error)},
            )
            return None

    async def _store(self, plan: Plan, files: Mapping[str, bytes]) -> tuple[str, ...]:
        made = plan.id
        keys = {name: report_key(made.run, made.attempt, made.plan, name) for name in sorted(files)}
        for name, key in keys.items():
            await self.store.put(key, files[name], deadline_s=self.deadline_s)
        return tuple(keys.values())


def _counted(session: SparkSession, addresses: list[str], start_us: int) -> Counter[str]:
    start = F.timestamp_micros(F.lit(start_us))
    end = F.timestamp_micros(F.lit(start_us + _DAY_MS * 1000))
    decided = session.read.parquet(*addresses).where(
        (F.col("decided_ts") >= start) & (F.col("decided_ts") < end)
    )
    return Counter({row["verdict"]: row["count"] for row in decided.groupBy("verdict").count().collect()})
