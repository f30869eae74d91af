"""Revenue: which currencies it is in, and of what size. Pure. Exact sums are finance's; here logarithms tell units from cents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from headrace_spark.quality.bounds import LEAST_DAYS, most_of, range_of_levels
from headrace_spark.quality.checks import Check, Skipped
from headrace_spark.quality.metrics import ABSENT, DayMetrics, Money, SourceMetrics

__all__ = ["LEAST_EVENTS", "money_checks"]

LEAST_EVENTS = 30
"""Revenue events below which a source's money says nothing."""

_LEAST_DISTANCE = 0.10
_WORTH_NAMING = 0.02
_LEAST_WIDTH = 0.6
"""In powers of ten: a factor of 4."""


def money_checks(metrics: DayMetrics, history: Sequence[DayMetrics]) -> list[Check | Skipped]:
    """currency_mix per source, revenue_scale per source and currency."""
    found: list[Check | Skipped] = []
    for name, source in metrics.sources.items():
        days = [day.sources[name] for day in history if name in day.sources]
        found += _mix(name, source, days)
        for currency, money in source.money.items():
            found += _scale(name, currency, money, [day.money.get(currency) for day in days])
    return found


def _mix(name: str, source: SourceMetrics, history: Sequence[SourceMetrics]) -> list[Check | Skipped]:
    events, today = _shares(source)
    if events < LEAST_EVENTS:
        return []
    days = [shares for count, shares in map(_shares, history) if count >= LEAST_EVENTS]
    if len(days) < LEAST_DAYS:
        return [Skipped(name="currency_mix", subject=name, why=_too_few(len(days)))]
    currencies = sorted({currency for shares in [today, *days] for currency in shares})
    usual = {currency: sum(day.get(currency, 0) for day in days) / len(days) for currency in currencies}
    chance = 1.5 * sqrt((len(currencies) - 1) / events)
    bound = max(_LEAST_DISTANCE, 2 * most_of([_distance(day, usual) for day in days]), chance)
    if bound >= 1:
        return [Skipped(name="currency_mix", subject=name, why="the days before make no mix unusual")]
    check = Check(
        name="currency_mix",
        subject=name,
        source=name,
        measured=round(_distance(today, usual), 6),
        at_least=0,
        at_most=round(bound, 6),
        because="share of revenue events in other currencies than usual: "
        + ", ".join(f"{currency} {share:.1%}" for currency, share in usual.items() if share >= 0.001),
        values=tuple(
            currency for currency, share in today.items() if share - usual[currency] > _WORTH_NAMING
        ),
    )
    return [check]


def _shares(source: SourceMetrics) -> tuple[int, Mapping[str, float]]:
    """Revenue events that have a currency, and the share of each; without one they are null_rate_currency's."""
    counts = {currency: money.events for currency, money in source.money.items() if currency != ABSENT}
    total = sum(counts.values())
    return total, {currency: count / total for currency, count in counts.items()}


def _distance(left: Mapping[str, float], right: Mapping[str, float]) -> float:
    """The share that would have to move to make one mix the other."""
    return sum(abs(left.get(currency, 0) - right.get(currency, 0)) for currency in {*left, *right}) / 2


def _scale(name: str, currency: str, money: Money, history: Sequence[Money | None]) -> list[Check | Skipped]:
    if money.amounts < LEAST_EVENTS:
        return []
    subject = f"{name}, {currency or 'no currency'}"
    levels = [
        day.log10_sum / day.amounts for day in history if day is not None and day.amounts >= LEAST_EVENTS
    ]
    width = max(_LEAST_WIDTH, 4 / sqrt(money.amounts))
    usual = range_of_levels(levels, least_width=width)
    if usual is None:
        return [Skipped(name="revenue_scale", subject=subject, why=_too_few(len(levels)))]
    check = Check(
        name="revenue_scale",
        subject=subject,
        source=name,
        measured=round(money.log10_sum / money.amounts, 6),
        at_least=round(usual.at_least, 6),
        at_most=round(usual.at_most, 6),
        because=f"mean power of ten of an amount, {min(levels):.2f} to {max(levels):.2f} on {len(levels)} days",
        values=(currency,),
    )
    return [check]


def _too_few(days: int) -> str:
    return f"{days} days with {LEAST_EVENTS} revenue events are known, {LEAST_DAYS} are needed"
