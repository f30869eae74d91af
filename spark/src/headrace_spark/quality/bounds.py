"""What a measure may be, given what it was: robust bounds that a bad day among many does not move. Pure.

A bound errs on the side of silence: it is left only by what chance and the usual unrest of the days before do not explain.
Four things widen it: the spread of the days (median absolute deviation), the extremes among them (the second highest, so
that one published defect does not count), the chance of small numbers, and a least change that is worth a person's time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

__all__ = ["LEAST_DAYS", "Range", "Share", "most_of", "range_of_counts", "range_of_levels", "share_at_most"]

LEAST_DAYS = 7
"""Comparable days below which nothing is compared."""

_MAD_TO_SIGMA = 1.4826
_SIGMAS = 4.0
_CHANCE_SIGMAS = 6.0
_ODDS = 1.0
"""How far the log odds may pass the second highest of the days before: odds of 2.7 times."""


class Share(NamedTuple):
    """``part`` of ``whole`` rows."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """As a number from 0 to 1; 0 of nothing."""
        return self.part / self.whole if self.whole else 0.0

    @property
    def log_odds(self) -> float:
        """Half a row is added to either side, so that none and all have odds too."""
        return math.log((self.part + 0.5) / (self.whole - self.part + 0.5))


class Range(NamedTuple):
    """From ``at_least`` to ``at_most``, both allowed."""

    at_least: float
    at_most: float


def spread(values: Sequence[float]) -> float:
    """The standard deviation that the median absolute deviation stands for."""
    middle = median(values)
    return _MAD_TO_SIGMA * median(abs(value - middle) for value in values)


def share_at_most(days: Sequence[Share], whole: int, *, least_change: float) -> float | None:
    """The highest share of ``whole`` rows that is still usual; None where days are too few or no share would be unusual."""
    if len(days) < LEAST_DAYS:
        return None
    usual = median(day.value for day in days)
    odds = [day.log_odds for day in days]
    bound = max(
        # Nine tenths of the other rows, where fewer of them are left than the least change.
        usual + min(least_change, 0.9 * (1 - usual)),
        # Odds spread wide where shares are close to 0, shares where they are close to 1/2: the narrower of both.
        min(
            _from_odds(median(odds) + _SIGMAS * spread(odds)),
            usual + 2 * _SIGMAS * spread([day.value for day in days]),
        ),
        _from_odds(most_of(odds) + _ODDS),
        most_of([day.value for day in days]),
        usual + _CHANCE_SIGMAS * math.sqrt(usual * (1 - usual) / whole) + 25 / whole,
    )
    return bound if bound < 1 else None


def _from_odds(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def range_of_counts(days: Sequence[int], *, least_days: int, least_factor: float) -> Range | None:
    """The counts that are still usual; None where days are too few. ``least_factor`` is allowed whatever the days were."""
    if len(days) < least_days:
        return None
    middle = median(days)
    levels = [math.log(day + 0.5) for day in days]
    width = max(math.log(least_factor), _SIGMAS * spread(levels), _CHANCE_SIGMAS / math.sqrt(middle + 1))
    return Range(max(0.0, middle * math.exp(-width) - 25), middle * math.exp(width) + 25)


def range_of_levels(days: Sequence[float], *, least_width: float) -> Range | None:
    """The levels (such as a mean of logarithms) that are still usual; None where days are too few."""
    if len(days) < LEAST_DAYS:
        return None
    middle, ordered = median(days), sorted(days)
    width = max(least_width, _CHANCE_SIGMAS * spread(days))
    return Range(
        min(middle - width, ordered[1] - least_width / 2), max(middle + width, ordered[-2] + least_width / 2)
    )


def most_of(values: Sequence[float]) -> float:
    """The second highest, so that one defect among the days before does not count; the only one where there is one."""
    ordered = sorted(values)
    return ordered[-2] if len(ordered) > 1 else ordered[-1]
