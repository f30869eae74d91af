"""Retention from look to deletion, over the object store alone: what is past its time goes, and nothing else.

The days whose staged files would be lost come first. The report is stored before anything goes: whoever misses an object
finds there when and why it went.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from headrace_core.errors import BadData
from headrace_core.paths import run_report_key
from headrace_core.pipeline_run import DayResult, RetentionParameters
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.outcome import Attempt, JobOutcome
from headrace_spark.progress import Progress
from headrace_spark.retention_delete import Deleter
from headrace_spark.retention_holdings import HoldingsReader
from headrace_spark.retention_plan import (
    ALARM_DAYS_BEFORE,
    Doomed,
    Holdings,
    RetentionPlan,
    overdue_days,
    plan_retention,
)
from headrace_spark.retention_report import counts_of, encode_deletions, report_of

__all__ = ["Retention", "Settle"]

_log = logging.getLogger(__name__)

Settle = Callable[[str], Awaitable[DayResult]]
"""Brings a day up to date, or says what that would do, and notes the result; raises what `settle_day` raises."""


@dataclass(frozen=True, slots=True)
class Retention:
    """One attempt. ``deadline_s`` bounds each request, ``check_time`` raises once the run's time is over."""

    attempt: Attempt
    store: ObjectStore
    reader: HoldingsReader
    settle: Settle
    progress: Progress
    deadline_s: float
    check_time: Callable[[], None]

    async def run(self, limits: RetentionParameters) -> JobOutcome:
        """Delete what may go; a dry run says what that is. A day that cannot be made keeps its staged files, and its error
        is raised once the rest is gone. Raises Unavailable, RetryLater, and BadData for a lake that cannot be read."""
        holdings = await self._look()
        missing = plan_retention(holdings, limits).missing_days
        days, refused = await self._settle_all(missing)
        if missing and not self.attempt.dry_run:
            holdings = await self._look()
        plan = plan_retention(holdings, limits)
        overdue = _alarm(holdings, limits)
        reports = await self._report(plan, overdue)
        counts = counts_of(plan.delete if self.attempt.dry_run else await self._delete(plan))
        if refused:
            raise refused[0]
        counts |= {
            "bases": len(plan.bases),
            "days_missing": len(plan.missing_days),
            "days_overdue": len(overdue),
        }
        return JobOutcome(tuple(days), counts, reports)

    async def _look(self) -> Holdings:
        with self.progress.stage("list") as stage:
            holdings = await self.reader.read()
            stage.rows = len(holdings.objects)
        return holdings

    async def _settle_all(self, missing: Sequence[str]) -> tuple[list[DayResult], list[BadData]]:
        days: list[DayResult] = []
        refused: list[BadData] = []
        for day in missing:
            try:
                days.append(await self.settle(day))
            except BadData as error:
                _log.error(
                    "A day cannot be made; its staged files stay.", extra={"day": day, "error": str(error)}
                )
                refused.append(error)
        return days, refused

    async def _report(self, plan: RetentionPlan, overdue: Sequence[str]) -> tuple[str, ...]:
        summary, deletions = (
            run_report_key(self.attempt.run, self.attempt.attempt, name)
            for name in ("retention.json", "deletions.jsonl.zst")
        )
        report = report_of(plan, overdue, deletions=deletions, dry_run=self.attempt.dry_run)
        await self.store.put(deletions, encode_deletions(plan.delete), deadline_s=self.deadline_s)
        await self.store.put(summary, msgspec.json.encode(report), deadline_s=self.deadline_s)
        return (summary, deletions)

    async def _delete(self, plan: RetentionPlan) -> Sequence[Doomed]:
        deleter = Deleter(self.store, deadline_s=self.deadline_s, check_time=self.check_time)
        with self.progress.stage("delete") as stage:
            done = await deleter.carry_out(plan)
            stage.rows = len(done)
        return done


def _alarm(holdings: Holdings, limits: RetentionParameters) -> list[str]:
    """The days that are close to losing their staged files; everybody who reads logs is told."""
    age_days = max(1, limits.staged_days - ALARM_DAYS_BEFORE)
    overdue = overdue_days(holdings, age_days)
    if overdue:
        _log.warning(
            "Staged files are nearly past their time and missing from their days' generations.",
            extra={"days": overdue[:20], "count": len(overdue), "older_than_days": age_days},
        )
    return overdue
