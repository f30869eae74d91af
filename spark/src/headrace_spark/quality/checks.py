"""A check: a number that was measured, and the range it is expected in. The currency of expectations, suites and reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace_spark.quality.catalogue import CATALOGUE, Expectation, ExpectationName

__all__ = ["Check", "Expected", "Skipped", "gravest"]


class Check(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An expectation about one subject (a source, an hour; empty: the whole day). At least one end is given; ends are allowed
    values. ``because`` says where the range comes from, ``values`` which values of a column are out of the ordinary."""

    name: ExpectationName
    subject: str = ""
    source: str | None = None
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    because: str = ""
    values: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and subject, for people."""
        return f"{self.name} ({self.subject})" if self.subject else self.name

    @property
    def holds(self) -> bool:
        """Whether the measure is in the range."""
        low = self.at_least is None or self.measured >= self.at_least
        return low and (self.at_most is None or self.measured <= self.at_most)

    @property
    def expectation(self) -> Expectation:
        """What the catalogue says about it."""
        return CATALOGUE[self.name]


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """An expectation that cannot be checked, and why."""

    name: ExpectationName
    subject: str = ""
    why: str


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is expected of a day. ``history_days`` are the days compared with, oldest first."""

    event_date: str
    checks: tuple[Check, ...]
    skipped: tuple[Skipped, ...] = ()
    history_days: tuple[str, ...] = ()


def gravest(checks: Sequence[Check], most: int) -> tuple[Check, ...]:
    """The first ``most`` checks that failed, critical ones first."""
    failed = [check for check in checks if not check.holds]
    return tuple(sorted(failed, key=lambda check: check.expectation.severity != "critical")[:most])
