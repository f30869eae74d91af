"""What a PipelineRun asks for and what it ends with: the one model of the resource, the REST API, the CLI and the driver.

A run is a name and a spec. The spec is a typed allow-list: a job, a day or an interval of days, the job's own parameters,
and how to run it. The driver gets the spec as a file; its answer is a RunResult. JSON uses camelCase, as Kubernetes does.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal, get_args

import msgspec

from headrace_core.errors import BadData

__all__ = [
    "JOBS",
    "RETENTION",
    "ArchiveParameters",
    "CompactParameters",
    "DailyParameters",
    "DayResult",
    "EraseParameters",
    "ExportParameters",
    "Interval",
    "JobName",
    "Overrides",
    "QualityParameters",
    "ReprocessParameters",
    "RetentionParameters",
    "Retry",
    "RunError",
    "RunResult",
    "RunSpec",
    "Stage",
    "check_run_name",
    "decode_result",
    "decode_spec",
    "encode_run",
]

JobName = Literal["daily", "reprocess", "compact", "quality", "archive", "retention", "erase", "export"]
JOBS: tuple[JobName, ...] = get_args(JobName)
"""All jobs, in the order in which people meet them."""

_DATE = r"^\d{4}-\d{2}-\d{2}$"
Day = Annotated[str, msgspec.Meta(pattern=_DATE, description="A UTC date, such as 2026-11-28.")]


class _Block(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A part of the resource: unknown fields are refused, so that a typing error is no silent default."""


class Interval(_Block, frozen=True, kw_only=True):
    """Days from ``start`` up to, not including, ``end``."""

    start: Day
    end: Day

    @property
    def days(self) -> int:
        """How many days it holds; below 1 where ``end`` is no later day. ValueError where a date is none."""
        return (dt.date.fromisoformat(self.end) - dt.date.fromisoformat(self.start)).days


class DailyParameters(_Block, frozen=True, kw_only=True):
    """``catch_up``: also plan every other day that has files which no generation of it contains, oldest first."""

    catch_up: bool = True
    quality: Literal["gate", "report", "off"] = "gate"
    """Whether a failing critical expectation stops the swap, is only reported, or nothing is checked."""


class ReprocessParameters(_Block, frozen=True, kw_only=True):
    """``undo`` names the run whose generations are taken back instead; refused where a later generation followed.

    ``mappings``, each a ``name@version``, read the rows of all versions of their names; other rows are read by the version
    that they were sent for.
    """

    undo: Annotated[str, msgspec.Meta(max_length=63)] | None = None
    mappings: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^[^@]+@[^@]+$", max_length=128)], ...],
        msgspec.Meta(max_length=64),
    ] = ()
    samples: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 20
    """Changed rows that a dry run shows."""


class CompactParameters(_Block, frozen=True, kw_only=True):
    """``target_bytes`` is the size that files are brought to."""

    target_bytes: Annotated[int, msgspec.Meta(ge=1 << 20, le=1 << 30)] = 128 << 20
    verdicts: bool = True
    """Whether each closed day's verdicts are rewritten sorted by dedup id too."""


class QualityParameters(_Block, frozen=True, kw_only=True):
    """``fail`` makes a failing critical expectation the run's failure; else it is only reported."""

    fail: bool = True


class ArchiveParameters(_Block, frozen=True, kw_only=True):
    """``min_age_days``: a day is archived once it is older than this."""

    min_age_days: Annotated[int, msgspec.Meta(ge=1, le=730)] = 35


class RetentionParameters(_Block, frozen=True, kw_only=True):
    """How long objects are kept, in days."""

    staged_days: Annotated[int, msgspec.Meta(ge=2, le=30)] = 30
    manifest_days: Annotated[int, msgspec.Meta(ge=31, le=730)] = 60
    generation_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7
    orphan_hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 24


RETENTION = RetentionParameters()
"""What the installation promises where a spec says nothing else."""


class EraseParameters(_Block, frozen=True, kw_only=True):
    """``request`` is the id of the erasure request in ops.erasure_requests."""

    request: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class ExportParameters(_Block, frozen=True, kw_only=True):
    """An extract of an aggregate of the interval's days."""

    table: Literal[
        "events_minute",
        "events_hour",
        "events_day",
        "user_day",
        "sessions",
        "funnels",
        "cohorts",
        "finance_daily",
    ]
    format: Literal["parquet", "hyper"] = "parquet"


class Retry(_Block, frozen=True, kw_only=True):
    """When a failed attempt is followed by another: pauses grow from ``initial_seconds`` by ``factor``."""

    limit: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    initial_seconds: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 30
    factor: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    max_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 600


class Overrides(_Block, frozen=True, kw_only=True):
    """What a run takes instead of its size's values, up to the most that the installation lets the size take."""

    executors: Annotated[int, msgspec.Meta(ge=1, le=500)] | None = None
    executor_memory_mib: Annotated[int, msgspec.Meta(ge=512, le=1 << 20)] | None = None
    executor_cores: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    driver_memory_mib: Annotated[int, msgspec.Meta(ge=512, le=1 << 20)] | None = None


class RunSpec(_Block, frozen=True, kw_only=True):
    """The spec of a PipelineRun. Exactly one of ``date`` and ``interval``, or neither for jobs that find their days."""

    job: JobName
    date: Day | None = None
    interval: Interval | None = None
    daily: DailyParameters | None = None
    reprocess: ReprocessParameters | None = None
    compact: CompactParameters | None = None
    quality: QualityParameters | None = None
    archive: ArchiveParameters | None = None
    retention: RetentionParameters | None = None
    erase: EraseParameters | None = None
    export: ExportParameters | None = None
    size: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "small"
    overrides: Overrides | None = None
    retry: Retry = Retry()
    deadline_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 21_600
    scheduling_deadline_seconds: Annotated[int, msgspec.Meta(ge=10, le=86_400)] = 900
    concurrency_policy: Literal["Forbid", "Queue", "Replace"] = "Forbid"
    concurrency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    dry_run: bool = False
    rerun_of: Annotated[str, msgspec.Meta(max_length=63)] | None = None
    suspend: bool = False
    cancel: bool = False
    ttl_seconds_after_finished: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)] = 604_800

    def days(self) -> tuple[dt.date, ...]:
        """The days that the spec names, oldest first; none where the job finds its own."""
        if self.date is not None:
            return (dt.date.fromisoformat(self.date),)
        if self.interval is None:
            return ()
        start = dt.date.fromisoformat(self.interval.start)
        return tuple(start + dt.timedelta(days=number) for number in range(self.interval.days))


_NEEDS_DAYS: frozenset[JobName] = frozenset({"daily", "reprocess", "quality", "export"})
_MOST_DAYS = 62
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_decode = msgspec.json.Decoder(RunSpec).decode

encode_run = msgspec.json.Encoder(order="deterministic").encode
"""A spec or result as JSON."""


def decode_spec(data: bytes) -> RunSpec:
    """A spec from JSON, checked; BadData says which field is wrong."""
    try:
        spec = _decode(data)
        _check(spec)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadData(
            "The run cannot be understood.",
            why=str(error),
            fix="Compare it with docs/services/spark.md; unknown fields are refused.",
            code="run_invalid",
        ) from None
    return spec


def _check(spec: RunSpec) -> None:
    """The rules between fields. ValueError names the broken one."""
    others = [job for job in JOBS if job != spec.job and getattr(spec, job) is not None]
    if others:
        raise ValueError(f"the job is {spec.job}, but there are parameters of {', '.join(others)}")
    if spec.date is not None and spec.interval is not None:
        raise ValueError("date and interval exclude each other")
    if spec.interval is not None and not 0 < spec.interval.days <= _MOST_DAYS:
        raise ValueError(f"the interval must hold 1 to {_MOST_DAYS} days; end is not part of it")
    spec.days()  # a date that the calendar does not have is a ValueError
    is_undo = spec.reprocess is not None and spec.reprocess.undo is not None
    if spec.job in _NEEDS_DAYS and spec.date is None and spec.interval is None and not is_undo:
        raise ValueError(f"{spec.job} needs a date or an interval")
    if spec.job in ("erase", "export") and getattr(spec, spec.job) is None:
        raise ValueError(f"{spec.job} needs its parameters")


def check_run_name(name: str) -> str:
    """The name of a run, which becomes part of object keys and pod names: a DNS label. BadData where it is none."""
    if _NAME.fullmatch(name) is None:
        raise BadData(
            f"{name!r} is no name of a run.",
            why="A name is 1 to 63 lower-case letters, digits and hyphens, and begins and ends with no hyphen.",
            fix="Choose another name, such as daily-2026-11-28.",
            code="run_name",
        )
    return name


class Stage(_Block, frozen=True, kw_only=True):
    """A step of a job and what it cost. CPU seconds are those of driver and executors together where they are known."""

    name: str
    seconds: float
    rows: int | None = None
    cpu_seconds: float | None = None


class DayResult(_Block, frozen=True, kw_only=True):
    """What a run did with one day. ``sequence`` is the pointer's after the swap; None where nothing was swapped."""

    event_date: Day
    outcome: Literal["swapped", "unchanged", "planned", "stopped"]
    generation: str | None = None
    sequence: int | None = None
    counts: dict[str, int] = {}
    reports: tuple[str, ...] = ()
    """Keys of reports beside the result, such as Data Docs."""
    why: str | None = None


class RunError(_Block, frozen=True, kw_only=True):
    """Why a run failed, for people: what happened, why, and what to do."""

    what: str
    why: str | None = None
    fix: str | None = None
    code: str = "bug"


class RunResult(_Block, frozen=True, kw_only=True):
    """What a driver leaves behind, in the object store and, cut to what fits, in its termination message."""

    version: Literal[1] = 1
    run: str
    attempt: int
    job: JobName
    outcome: Literal["succeeded", "failed"]
    exit_code: int = 0
    dry_run: bool = False
    days: tuple[DayResult, ...] = ()
    counts: dict[str, int] = {}
    reports: tuple[str, ...] = ()
    """Keys of reports about the run as a whole."""
    stages: tuple[Stage, ...] = ()
    error: RunError | None = None
    started_ms: int
    ended_ms: int


_decode_result = msgspec.json.Decoder(RunResult).decode


def decode_result(data: bytes) -> RunResult:
    """Bytes of an attempt's result; BadData where they are none."""
    try:
        return _decode_result(data)
    except msgspec.MsgspecError as error:
        raise BadData(
            "The result of a run cannot be read.",
            why=str(error),
            fix="Restore the object from its bucket version.",
            code="result_unreadable",
        ) from error
