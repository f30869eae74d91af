"""Which module does which job. A name stands here once its code does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from headrace_core.errors import UsageError
from headrace_core.pipeline_run import JobName, RunSpec

if TYPE_CHECKING:
    from headrace_spark.context import Context
    from headrace_spark.outcome import JobOutcome

__all__ = ["REGISTRY", "Job", "find_job"]

Job = Callable[["Context", RunSpec], Awaitable["JobOutcome"]]
"""A job: reads what its plan names, makes generations, says what it did."""

REGISTRY: Mapping[JobName, str] = MappingProxyType(
    {
        "archive": "headrace_spark.jobs.archive",
        "compact": "headrace_spark.jobs.compact",
        "daily": "headrace_spark.jobs.daily",
        "erase": "headrace_spark.jobs.erase",
        "export": "headrace_spark.jobs.export",
        "quality": "headrace_spark.jobs.quality",
        "reprocess": "headrace_spark.jobs.reprocess",
        "retention": "headrace_spark.jobs.retention",
    }
)
"""The module of each job, whose ``run`` is the job; imported only when it is asked for."""


def find_job(name: str) -> Job:
    """The job of a name; UsageError lists the names that there are."""
    module = {str(job): module for job, module in REGISTRY.items()}.get(name)
    if module is None:
        raise UsageError(
            f"There is no job {name!r}.",
            why=f"The jobs are: {', '.join(REGISTRY)}.",
            fix="Choose one of them; `python -m headrace_spark --list-jobs` prints them.",
            code="job_unknown",
        )
    job: Job = import_module(module).run
    return job
