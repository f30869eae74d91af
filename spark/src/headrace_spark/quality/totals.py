"""Adds up the groups of the aggregate of `headrace_spark.quality.measuring`. Pure: a group is counts and keys by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from headrace_spark.quality.metrics import (
    ABSENT,
    DELAYS_S,
    HOURS,
    KNOWN_VALUES,
    NULL_RULES,
    UNKNOWN,
    DayMetrics,
    Money,
    NullCount,
    NullRule,
    SourceMetrics,
)

__all__ = ["Totals"]

_OF_A_SOURCE = ("event_type", "ts_quality", "identity_status")


class Totals:
    """The counts of a day while they grow."""

    def __init__(self, day: str) -> None:
        self._day = day
        self._counts: Counter[str] = Counter()
        self._schema: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._sources: dict[str, _SourceTotals] = {}

    def add(self, group: Mapping[str, Any]) -> None:
        """Add a group."""
        rows = group["rows"]
        self._counts["rows"] += rows
        for name in ("outside", "required_null", "user_key_disagrees"):
            self._counts[name] += rows if group[name] else 0
        for name in KNOWN_VALUES:
            self._counts[f"unknown_{name}"] += rows if group[name] == UNKNOWN else 0
        self._schema[str(_number(group["schema_version"]))] += rows
        self._rules[str(_number(group["rules_version"]))] += rows
        self._sources.setdefault(group["source"] or ABSENT, _SourceTotals()).add(group)

    def distinct(self, ids: int, contents: int) -> None:
        """Set what the second pass counted."""
        self._counts["ids"], self._counts["contents"] = ids, contents

    def metrics(self, columns: Mapping[str, str]) -> DayMetrics:
        """The metrics of the groups so far."""
        count = self._counts
        return DayMetrics(
            event_date=self._day,
            columns=dict(columns),
            rows=count["rows"],
            distinct_ids=count["ids"],
            distinct_contents=count["contents"],
            outside_the_day=count["outside"],
            required_nulls=count["required_null"],
            user_key_disagrees=count["user_key_disagrees"],
            unknown={name: found for name in KNOWN_VALUES if (found := count[f"unknown_{name}"])},
            schema_versions=_sorted(self._schema),
            rules_versions=_sorted(self._rules),
            sources={name: source.metrics() for name, source in sorted(self._sources.items())},
        )


class _SourceTotals:
    """The counts of one source while they grow."""

    def __init__(self) -> None:
        self._rows = 0
        self._values: dict[str, Counter[str]] = {name: Counter() for name in _OF_A_SOURCE}
        self._hours: Counter[int] = Counter()
        self._delays: Counter[int] = Counter()
        self._applies: Counter[str] = Counter()
        self._nulls: Counter[str] = Counter()
        self._money: dict[str, _MoneyTotals] = {}

    def add(self, group: Mapping[str, Any]) -> None:
        rows = group["rows"]
        self._rows += rows
        self._hours[_number(group["hour"])] += rows
        self._delays[group["delay"]] += rows
        for name, values in self._values.items():
            values[group[name]] += rows
        for column, rule in NULL_RULES.items():
            self._count_nulls(column, rule, group)
        if group["filled_revenue"]:
            self._money.setdefault(group["currency"], _MoneyTotals()).add(group)

    def _count_nulls(self, column: str, rule: NullRule, group: Mapping[str, Any]) -> None:
        """The key says to which rows a column applies; only revenue's currency is part of the key itself."""
        if rule.filled is not None:
            applies = group[f"filled_{rule.filled}"]
            nulls = applies if group[column] == ABSENT else 0
        elif not rule.event_types or group["event_type"] in rule.event_types:
            applies = group["rows"]
            nulls = applies - group[f"filled_{column}"]
        else:
            return
        self._applies[column] += applies
        self._nulls[column] += nulls

    def metrics(self) -> SourceMetrics:
        return SourceMetrics(
            rows=self._rows,
            hours=tuple(self._hours[hour] for hour in range(HOURS)),
            event_types=_sorted(self._values["event_type"]),
            ts_quality=_sorted(self._values["ts_quality"]),
            identity=_sorted(self._values["identity_status"]),
            delays=tuple(self._delays[bucket] for bucket in range(len(DELAYS_S) + 1)),
            nulls={
                column: NullCount(rows=rows, nulls=self._nulls[column])
                for column, rows in sorted(self._applies.items())
                if rows
            },
            money={currency: money.metrics() for currency, money in sorted(self._money.items())},
        )


class _MoneyTotals:
    """The revenue of a source in one currency while it grows."""

    def __init__(self) -> None:
        self._events = self._amounts = 0
        self._total = Decimal("0.0000")
        self._log10_sum = 0.0

    def add(self, group: Mapping[str, Any]) -> None:
        self._events += group["filled_revenue"]
        self._amounts += group["amounts"]
        self._total += group["revenue_sum"]
        self._log10_sum += group["log10_sum"] or 0.0

    def metrics(self) -> Money:
        return Money(
            events=self._events,
            total=str(self._total),
            amounts=self._amounts,
            log10_sum=round(self._log10_sum, 6),
        )


def _number(value: int | None) -> int:
    """A key that may be null; −1 stands for null and is no hour, day or version."""
    return -1 if value is None else value


def _sorted(values: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(values.items()))
