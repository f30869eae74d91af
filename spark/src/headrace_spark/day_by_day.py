"""Days settled one after the other, of which a refused one holds up no other: the run names them all in the end. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from headrace_core.errors import BadData
from headrace_core.pipeline_run import DayResult

__all__ = ["refusal", "settle_each"]

_log = logging.getLogger(__name__)
_NAMED = 10
_EXPLAINED = 3


async def settle_each(
    days: Iterable[str],
    settle: Callable[[str], Awaitable[DayResult]],
    finish: Callable[[DayResult], None],
) -> dict[str, BadData]:
    """Settle each day and tell ``finish`` of it, of a refused one as ``stopped``; why each refused day was refused. What is
    not the day's own fault (a dependency is away, the time is over) is raised at once."""
    refused: dict[str, BadData] = {}
    for day in days:
        try:
            result = await settle(day)
        except BadData as error:
            _log.error("A day is refused; the others go on.", extra={"day": day, "error": str(error)})
            refused[day] = error
            result = DayResult(event_date=day, outcome="stopped", why=str(error))
        finish(result)
    return refused


def refusal(refused: Mapping[str, BadData]) -> BadData:
    """The error of a run with refused days, at least one: it names them, and says of the first ones why."""
    reasons = [f"{day}: {error.what} {error.why}".rstrip() for day, error in sorted(refused.items())]
    first = [refused[day] for day in sorted(refused)][:_EXPLAINED]
    codes = {error.code for error in refused.values()}
    return BadData(
        f"Refused: {_listed(sorted(refused), _NAMED, ', ')}. Every other day of the run is done.",
        why=_listed(reasons, _EXPLAINED, " "),
        fix=" ".join(dict.fromkeys(error.fix for error in first if error.fix)),
        code=codes.pop() if len(codes) == 1 else "days_refused",
    )


def _listed(texts: list[str], most: int, between: str) -> str:
    more = len(texts) - most
    return between.join(texts[:most]) + (f"{between}and {more} more" if more > 0 else "")
