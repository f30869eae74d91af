"""Metrics of days made by hand or by chance, for the pure side of data quality."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

from headrace_core.events import CleanEvent, columns_of
from headrace_spark.quality.metrics import (
    DELAYS_S,
    HOURS,
    NULL_RULES,
    DayMetrics,
    Money,
    NullCount,
    SourceMetrics,
)

__all__ = ["COLUMNS", "MONDAY", "binomial", "day_of", "poisson", "source_of", "weeks_of"]

MONDAY = date(2026, 3, 2)
"""A day after eight weeks that begin on a Monday too."""

_SPARK = {
    "timestamp": "timestamp",
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "decimal": "decimal(18,4)",
}
COLUMNS = {column.name: _SPARK.get(column.kind, "string") for column in columns_of(CleanEvent)}
_BUSY_DAY = (0,) * 8 + (400,) * 10 + (0,) * 6


def source_of(
    *,
    hours: Sequence[int] = _BUSY_DAY,
    no_user: float = 0.3,
    nulls: dict[str, float] | None = None,
    quality: dict[str, float] | None = None,
    late: float = 0.0,
    after_receipt: int = 0,
    money: dict[str, tuple[int, float]] | None = None,
) -> SourceMetrics:
    """A source. Shares are of its rows; ``money`` gives events and mean power of ten per currency."""
    rows = sum(hours)
    shares = dict.fromkeys(NULL_RULES, 0.0) | {"user_id": no_user} | (nulls or {})
    delays = [0] * (len(DELAYS_S) + 1)
    delays[0], delays[DELAYS_S.index(50_400)] = after_receipt, round(late * rows)
    delays[1] = rows - sum(delays)
    return SourceMetrics(
        rows=rows,
        hours=tuple(hours),
        ts_quality={name: round(share * rows) for name, share in (quality or {"exact": 1.0}).items()},
        identity={"resolved": rows - round(no_user * rows), "unresolved": round(no_user * rows)},
        delays=tuple(delays),
        nulls={column: NullCount(rows=rows, nulls=round(share * rows)) for column, share in shares.items()},
        money={
            currency: Money(events=events, amounts=events, log10_sum=events * level)
            for currency, (events, level) in (money or {"EUR": (rows, 1.2)}).items()
        },
    )


def day_of(day: date = MONDAY, **sources: SourceMetrics) -> DayMetrics:
    """A day without a defect of its own, with one source unless others are given."""
    found = sources or {"shop": source_of()}
    rows = sum(source.rows for source in found.values())
    return DayMetrics(
        event_date=str(day),
        columns=COLUMNS,
        rows=rows,
        distinct_ids=rows,
        distinct_contents=rows,
        schema_versions={"1": rows},
        rules_versions={"1": rows},
        sources=found,
    )


def weeks_of(count: int = 8, **sources: SourceMetrics) -> list[DayMetrics]:
    """Equal days before MONDAY, oldest first."""
    return [day_of(MONDAY - timedelta(days=back), **sources) for back in range(7 * count, 0, -1)]


def poisson(chance: Random, mean: float) -> int:
    """A Poisson number; by the normal distribution where that is near enough."""
    if mean > 200:
        return max(0, round(chance.gauss(mean, mean**0.5)))
    left, found = mean, -1
    while left > 0:
        left -= chance.expovariate(1.0)
        found += 1
    return max(found, 0)


def binomial(chance: Random, whole: int, share: float) -> int:
    """How many of ``whole`` have what a ``share`` has."""
    middle = whole * share
    spread = (middle * (1 - share)) ** 0.5
    return min(whole, poisson(chance, middle) if middle < 50 else max(0, round(chance.gauss(middle, spread))))


assert len(_BUSY_DAY) == HOURS
